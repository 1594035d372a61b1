"""What flags lend to labels: a contrast with the other parts of the time, capped, each part once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.scan.fit import fit_scan
from fusion.scan.glr import own_variance, screen
from fusion.scan.lent import LENT_MAX, contrasts, lent_to_windows
from fusion.scan.line import LOOK_PARTS, ScanLine
from fusion.scan.rates import ALL, NONE, ScanNotes
from fusion.scan.rows import Rows
from fusion.scan.search import measured, without
from fusion.scan.sums import windowed
from fusion.waiting_room import block_before
from tests.fusion.scan_lines import DELAY_MS, Made, make, notes_of

ONSET, PARTS = 1500, 4000


def rows_of(parts: int, seed: int, worse: float = 1.0, everywhere: float = 1.0, delay: int = 0) -> Rows:
    """Labels of all but the latest `delay` parts with the flags of all: levels 2 to 4 of one attribute, 5 and 6 of
    another. Level 2 is flagged and bad `worse` times as often as usual, every part flagged `everywhere` times."""
    rng = np.random.default_rng(seed)
    levels = np.stack([np.full(parts, ALL), rng.integers(2, 5, parts), rng.integers(5, 7, parts)], axis=1)
    factor = np.where(levels[:, 1] == 2, worse, 1.0)
    flagged, defect = rng.random(parts) < 0.03 * factor * everywhere, rng.random(parts) < 0.02 * factor
    usual = np.array([1.0, 0.0, 1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])

    def rows(observed: np.ndarray, rate: float) -> Rows:  # type: ignore[type-arg]
        rates, at = np.full(len(observed), rate), np.arange(len(observed))
        return Rows(levels[: len(at)].astype(np.int32), observed, rates, rates, at, np.full(7, 0.05), usual)

    return replace(rows(defect[: parts - delay], 0.02), flags=rows(flagged, 0.03))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 300), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_sums_per_window_and_level_are_those_by_hand(parts: int, width: int, windows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 5, (parts, width)).astype(np.int32)
    segment, values = rng.integers(0, windows, parts), rng.random((parts, 3))
    sums = windowed(levels, segment, windows, 5, values)
    for window in range(windows):
        for level in range(5):
            times = (levels == level).sum(axis=1) * (segment <= window)
            np.testing.assert_allclose(sums[:, window, level], times @ values, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(50, 900), st.integers(0, 2**32 - 1), st.floats(1.0, 4.0))
def test_what_is_lent_to_a_window_is_the_contrast_of_its_parts_and_never_much(
    parts: int, seed: int, worse: float
) -> None:
    rows = rows_of(parts, seed, worse, delay=20)
    flags = rows.flags
    assert flags is not None
    starts, own = rows.position[[len(rows.position) - 10, len(rows.position) // 2, 0]], own_variance(flags)
    lent = lent_to_windows(flags, starts, own)
    assert lent.shape == (3, 7)
    assert (lent >= 0.0).all()
    assert (lent <= LENT_MAX).all()
    assert not lent[:, [ALL, NONE]].any()
    for level in range(2, 7):
        by_hand = contrasts(flags, (level,), starts).lent(own[level])
        np.testing.assert_allclose(lent[:, level], by_hand, atol=1e-9)


def test_a_model_that_flags_everything_more_often_lends_nothing_and_one_level_does() -> None:
    since = np.array([0])
    drifting, one = rows_of(3000, 1, everywhere=5.0).flags, rows_of(3000, 1, worse=3.0).flags
    assert drifting is not None
    assert one is not None
    lent = [float(contrasts(flags, (2,), since).lent(0.05)[0]) for flags in (drifting, one)]
    assert lent[0] < 1.0
    assert lent[1] > 3.0
    assert float(contrasts(drifting, (ALL,), since).lent(0.05)[0]) < 1e-6  # all parts have none to be held against


def test_flags_without_a_defect_among_the_labels_are_no_excess_of_labels() -> None:
    rows = rows_of(3000, 2, worse=4.0, delay=500)
    good = replace(rows, observed=np.zeros(len(rows.observed), dtype=np.bool_))
    assert measured(good, (2,))[0].statistic <= 0.0
    assert screen(good).statistic[2] <= 0.0


def test_what_flags_lend_is_said_and_what_a_cause_explains_is_not_lent_again() -> None:
    rows = rows_of(3000, 3, worse=4.0, delay=500)
    since, row = measured(rows, (2,))
    alone, _ = measured(replace(rows, flags=None), (2,))
    assert 2.0 < since.lent <= LENT_MAX
    assert since.own == pytest.approx(since.statistic - since.lent)
    assert alone.lent == 0.0
    assert since.statistic > alone.statistic + 2.0
    rest = without(rows, (2,), row, since.ratio)
    assert measured(rest, (2,))[0].statistic < 1.0


def named_after(notes: ScanNotes, made: list[Made]) -> int:
    """Parts from the onset to the look that first names the tool; all of them when none does."""
    line = ScanLine("L1")
    line.notes = notes
    for one in made:
        line.settle(block_before(one.at))
        line.enter(one.part)
        line.label(f"P{one.number}", int(one.defect), one.at + DELAY_MS)
        if one.number % LOOK_PARTS == 0 and [found.cause for found in line.incidents()] == ["tool_a=Aa"]:
            return one.number - ONSET
    return len(made)


def test_a_cause_of_which_the_model_sees_a_part_is_named_sooner_by_labels_and_flags_than_by_labels() -> None:
    notes = msgspec.structs.replace(notes_of(), flags_limit=1e9)
    by_labels, together = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)

        def worse(levels: Sequence[str], number: int) -> float:
            return 4.0 if number >= ONSET and "tool_a=Aa" in levels else 1.0

        made = make(PARTS, 40 + seed, worse)
        shown = [one.defect and worse(one.levels, one.number) > 1.0 and bool(rng.random() < 0.6) for one in made]
        seen = [replace(one, flag=one.flag or more) for one, more in zip(made, shown, strict=True)]
        by_labels.append(named_after(msgspec.structs.replace(notes, lends=False), seen))
        together.append(named_after(notes, seen))
    assert sum(together) <= sum(by_labels) - 2 * LOOK_PARTS
    assert max(together) < PARTS


def test_a_model_trained_before_flags_lent_is_judged_as_it_was_and_a_new_one_says_that_they_do() -> None:
    made = make(3000, 5)
    defects = np.array([float(one.defect) for one in made])
    notes = fit_scan([one.levels for one in made], defects, defects)
    assert notes is not None
    assert notes.lends
    old = {name: value for name, value in msgspec.to_builtins(notes).items() if name != "lends"}
    assert not msgspec.convert(old, ScanNotes).lends
