"""Reliability per set of sources and per product: where one group alone has shifted, it alone is corrected."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.calibration.calibrate import sigmoid
from fusion.calibration.correction import Recalibration, cell_of, groups_of
from fusion.calibration.counts import Counts, LotLabels, bin_of
from fusion.calibration.gate import GateMemory, step
from fusion.calibration.lot_spread import LotSpread
from fusion.calibration.recalibrate import fit_recalibration, onset, rejected

SPREAD = LotSpread(lots=40, variance=0.04, variance_high=0.08, weight=3.0, alarm=3.8)
SOURCES = ("camera:top", "sensors:OP10")
WITH, LESS = cell_of(SOURCES, SOURCES, "R1"), cell_of(SOURCES[1:], SOURCES, "R1")
OTHER = cell_of(SOURCES, SOURCES, "R2")


def lots_of(
    rng: np.random.Generator, n_lots: int, shifts: dict[str, float], shares: tuple[float, ...] = (0.5, 0.5),
    first: int = 0, centre: float = -2.5,
) -> dict[str, LotLabels]:  # fmt: skip
    """Lots of 200 parts of some cells, the odds of each shifted by its own."""
    lots, cells = {}, list(shifts)
    for number in range(first, first + n_lots):
        own, cell = rng.normal(centre, 1.5, 200), rng.choice(len(cells), 200, p=shares)
        true = own + np.array(list(shifts.values()))[cell] + rng.normal(0.0, 0.2)
        lot = lots[f"B{number}"] = LotLabels(1000 * (number + 1))
        for place, bad, k in zip(own, rng.random(200) < sigmoid(true), cell, strict=True):
            lot.count(bin_of(place), 1, int(bad), cells[k])
    return lots


def corrected(correction: Recalibration, cell: str, own: float = -2.5) -> float:
    return correction.narrowed(groups_of(cell)).corrected(own) - own


@pytest.mark.parametrize(("shifted", "other"), [(WITH, LESS), (LESS, WITH), (OTHER, WITH)])
@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_the_group_that_shifted_is_corrected_and_the_others_stay(shifted: str, other: str, shift: float) -> None:
    lots = lots_of(np.random.default_rng(0), 20, {shifted: shift, other: 0.0})
    correction = fit_recalibration(Counts.of(lots, 0), SPREAD, "sha", 0)
    assert corrected(correction, shifted) == pytest.approx(shift, abs=0.25)
    assert corrected(correction, other) == pytest.approx(0.0, abs=0.2)


def test_groups_that_shift_alike_have_no_offsets() -> None:
    alike = 0
    for seed in range(20):
        lots = lots_of(np.random.default_rng(seed), 20, {WITH: 0.8, LESS: 0.8})
        alike += not fit_recalibration(Counts.of(lots, 0), SPREAD, "sha", 0).offsets
    assert alike >= 19


def test_two_parts_in_ten_that_shifted_are_found_though_the_gate_as_a_whole_shows_nothing() -> None:
    lots = lots_of(np.random.default_rng(1), 8, {WITH: 1.0, LESS: 0.0}, (0.15, 0.85))
    together = {name: LotLabels(lot.at, _merged(lot)) for name, lot in lots.items()}
    assert onset(Counts.of(together, 0), None, SPREAD) is None
    assert onset(Counts.of(lots, 0), None, SPREAD) is not None


def _merged(lot: LotLabels) -> dict[int, tuple[int, int]]:
    whole = LotLabels(lot.at)
    for bins in lot.cells.values():
        for place, (parts, bad) in bins.items():
            whole.count(place, parts, bad)
    return whole.bins


def test_groups_in_control_open_nothing() -> None:
    rng = np.random.default_rng(2)
    assert not [
        n for n in range(30)
        if onset(Counts.of(lots_of(rng, 30, {WITH: 0.0, LESS: 0.0, OTHER: 0.0}, (0.4, 0.3, 0.3)), 0), None, SPREAD)
    ]  # fmt: skip


def test_the_incident_names_the_group_and_closes_when_its_risks_mean_again_what_they_say() -> None:
    rng, memory = np.random.default_rng(3), GateMemory(model="m", spread=SPREAD, begun=0)
    lots = lots_of(rng, 10, {WITH: 0.0, LESS: 0.0}) | lots_of(rng, 12, {WITH: 1.3, LESS: 0.0}, first=10)
    step(memory, lots, 100_000, "L1", "EOL")
    assert memory.incident is not None
    assert "most of parts with all sources, whose odds are" in memory.incident.what
    assert memory.current is not None
    offsets = list(memory.current.offsets)
    assert "without=" in offsets
    assert rejected(Counts.of(lots, memory.start), SPREAD, offsets)
    again = lots | lots_of(rng, 100, {WITH: 0.0, LESS: 0.0}, first=22)
    for until in (200_000, 300_000):  # first the correction is found wrong, then none is asked for
        step(memory, again, until, "L1", "EOL")
    assert memory.incident is None
    assert memory.at(300_000) is None


def test_what_two_groups_of_one_part_ask_for_adds_up_and_neither_is_counted_twice() -> None:
    worst = cell_of(SOURCES[1:], SOURCES, "R2")
    shifts = {WITH: 0.0, LESS: 0.8, OTHER: 0.9, worst: 1.7}
    lots = lots_of(np.random.default_rng(4), 40, shifts, (0.25, 0.25, 0.25, 0.25))
    correction = fit_recalibration(Counts.of(lots, 0), SPREAD, "sha", 0)
    for cell, shift in shifts.items():
        assert corrected(correction, cell) == pytest.approx(shift, abs=0.25)


def test_an_offset_widens_the_interval_of_its_group_alone() -> None:
    correction = Recalibration(
        model="m", since=0, labels=9, variance=(0.01, 0.0, 0.0), offsets={"product=R2": (0.5, 0.04)}
    )
    assert correction.narrowed(groups_of(OTHER)).half_width(0.0) > correction.narrowed(groups_of(WITH)).half_width(0.0)
    assert correction.narrowed(groups_of(WITH)).half_width(0.0) == correction.half_width(0.0)


LABELS = st.lists(st.tuples(st.integers(-9, 9), st.booleans(), st.sampled_from(["", WITH, LESS, OTHER])), max_size=30)


@given(LABELS, LABELS)
def test_labels_taken_back_leave_the_lot_as_if_they_had_never_been(
    stay: list[tuple[int, bool, str]], go: list[tuple[int, bool, str]]
) -> None:
    lot, never = LotLabels(0), LotLabels(0)
    for one in (lot, never):
        for place, bad, cell in stay:
            one.count(place, 1, int(bad), cell)
    for sign in (1, -1):
        for place, bad, cell in go:
            lot.count(place, sign, sign * int(bad), cell)
    assert lot == never
    assert lot.empty == (not stay)


def test_state_from_before_there_were_groups_is_taken_over() -> None:
    old = msgspec.msgpack.encode([7, {-3: [5, 1]}])
    lot = msgspec.msgpack.decode(old, type=LotLabels)
    assert (lot.at, lot.bins, lot.cells) == (7, {-3: (5, 1)}, {})
    assert Counts.of({"B": lot}, 0).families() == []
    record = msgspec.msgpack.encode({"model": "m", "since": 3, "shift": 0.5, "labels": 4})
    assert msgspec.msgpack.decode(record, type=Recalibration).narrowed(groups_of(WITH)).shift == 0.5
