"""Drift: limits hold on lines that wander, a shift is named with its onset, and a restart loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fusion.drift.charts import Charts, Gathered
from fusion.drift.contrast import contrast, fit_contrast, telling
from fusion.drift.fit import fit_drift
from fusion.drift.limits import fit_limits, own_highest
from fusion.drift.signals import DriftReference, Signal
from fusion.drift.watch import DriftWatch
from fusion.gate import GateJudge
from fusion.history import HistoryView
from fusion.incidents import Incident
from fusion.judge import Judge
from fusion.watch import Judged
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan

Make = Callable[..., Evidence]
TRAINED = 600


def wandering(blocks: int, signals: int, memory: float, seed: int) -> npt.NDArray[np.float64]:
    rng, keep = np.random.default_rng(seed), np.exp(-1.0 / memory)
    out, state = np.empty((blocks, signals)), rng.standard_normal(signals)
    for row in out:
        state = keep * state + np.sqrt(1 - keep**2) * rng.standard_normal(signals)
        row[:] = 0.7 * state + 0.7 * rng.standard_normal(signals)
    return out


@pytest.mark.parametrize("memory", [0.7, 3.0, 10.0])
def test_limits_hold_on_a_line_that_wanders_as_it_did_in_training(memory: float) -> None:
    blocks = wandering(1100, 20, memory, seed=3)
    limits = fit_limits(blocks[:100], 0.005)
    ewma, cusum = own_highest((blocks[100:] - limits.centre) / limits.scale, limits.slack)
    assert np.sum((ewma > limits.ewma) | (cusum > limits.cusum)) <= 1  # of 20 signals in 1000 blocks


def test_a_line_that_wanders_longer_gets_wider_limits() -> None:
    even, slow = (fit_limits(wandering(80, 10, memory, seed=1), 0.005) for memory in (0.7, 10.0))
    assert np.median(slow.ewma) > np.median(even.ewma)


def test_a_history_too_short_to_tell_sets_no_limit() -> None:
    limits = fit_limits(wandering(8, 3, 1.0, seed=0), 0.005)
    assert np.all(np.isinf(limits.ewma))
    assert np.all(np.isinf(limits.cusum))


def test_a_run_begins_where_the_cusum_left_zero() -> None:
    charts, one = Charts(1), np.ones(1)
    for k, z in enumerate([0.0, 0.5, 0.2, 3.0, 3.0]):
        charts.step(np.array([z]), Gathered(1000 * k, np.array([10.0 * z]), 10 * one), one, 50 * one)
    run = charts.run(0)
    assert (run.since, run.parts, run.upwards) == (3000, 20, True)
    assert run.residual == pytest.approx(3.0)


def test_charts_come_back_to_the_last_bit() -> None:
    rng, charts, ones = np.random.default_rng(0), Charts(5), np.ones(5)
    for k in range(20):
        charts.step(rng.standard_normal(5), Gathered(k, rng.standard_normal(5), ones), ones, 9 * ones)
    back = Charts.unpack(charts.pack())
    z = rng.standard_normal(5)
    for one in (charts, back):
        one.step(z, Gathered(99, z, ones), ones, 9 * ones)
    assert back.pack() == charts.pack()


def test_what_the_whole_row_says_together_is_told_and_named() -> None:
    rng = np.random.default_rng(0)
    sample = rng.standard_normal((4000, 6)).astype(np.float32)
    window, limit = fit_contrast(sample, sample[::2])
    alike, unlike = (rng.standard_normal((window, 6)).astype(np.float32) for _ in range(2))
    unlike[:, 2] += 1.0
    signals = [Signal(entity=f"OP10.c{i}", measure="mean") for i in range(6)]
    assert contrast(alike, sample[::2]).score < limit
    found = contrast(unlike, sample[::2])
    assert found.score > limit
    assert telling(signals, found.weight)[0] == "OP10.c2"


def test_few_windows_of_training_make_the_test_silent() -> None:
    assert np.isinf(fit_contrast(np.zeros((300, 2), dtype=np.float32), np.zeros((300, 2), dtype=np.float32))[1])


# -- the hand-made line ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gate(shelf: Path, plan: Plan, make: Make) -> GateJudge:
    """The line's trained gate, with a reference of TRAINED good parts."""
    gate = Judge.open(shelf, plan).gate("L1", "EOL")
    assert gate is not None
    rng = np.random.default_rng(5)
    parts = [make(n, current=float(rng.normal(4.0, 0.2))) for n in range(TRAINED)]
    builder = gate.builder
    raw = np.stack([builder.raw(e, HistoryView(), builder.usable(e)) for e in parts])
    fitted = fit_drift(parts, raw, [False] * TRAINED, builder.spec, "drift.npz")
    assert fitted is not None
    gate.drift = DriftReference.unpack(fitted.notes, fitted.packed)
    return gate


def run(watch: DriftWatch, gate: GateJudge, judge: Judge, parts: Sequence[Evidence]) -> list[list[Incident]]:
    """What is open after each part."""
    told = []
    for evidence in parts:
        reading = gate.read(evidence, HistoryView())
        call = replace(judge.judge(evidence, HistoryView(), "auto", False), reading=reading)
        watch.judged(Judged(evidence, call, gate, True, evidence.newest_at))
        told.append(watch.incidents())
    return told


def currents(make: Make, values: Sequence[float], first: int = 1000) -> list[Evidence]:
    rng = np.random.default_rng(first)
    return [make(first + k, current=float(v + rng.normal(0.0, 0.2))) for k, v in enumerate(values)]


def test_a_channel_that_moved_is_one_incident_with_its_onset_its_size_and_an_end(
    gate: GateJudge, judge: Judge, make: Make
) -> None:
    parts = currents(make, [4.0] * 200 + [4.5] * 200 + [4.0] * 700)
    told = run(DriftWatch(), gate, judge, parts)
    assert not any(told[:200])
    opened = next(k for k, incidents in enumerate(told) if incidents)
    assert opened < 300
    moved = {incident.cause: incident for incident in told[390]}
    assert set(moved) == {"OP10.current_a"}
    incident = moved["OP10.current_a"]
    assert abs(incident.since - parts[200].event_at) <= 40 * 4000  # two blocks of 20 parts, 4 s each
    assert "A since" in incident.what
    assert "in training" in incident.what
    assert incident.parts_count >= 150
    assert len(incident.parts) == 10
    assert not told[-1]


def test_a_later_look_at_a_part_is_not_counted(gate: GateJudge, judge: Judge, make: Make) -> None:
    watch, part = DriftWatch(), currents(make, [9.0])[0]
    call = judge.judge(part, HistoryView(), "auto", False)
    watch.judged(Judged(part, call, gate, False, part.newest_at))
    assert watch.changes() == []


@pytest.mark.parametrize("cut", [1, 203, 260, 299, 330, 401])
def test_a_takeover_at_any_part_changes_no_drift_incident(gate: GateJudge, judge: Judge, make: Make, cut: int) -> None:
    parts = currents(make, [4.0] * 200 + [4.6] * 200 + [4.0] * 40)
    whole = run(DriftWatch(), gate, judge, parts)
    before, after, kept = DriftWatch(), DriftWatch(), {}
    for part in parts[:cut]:
        run(before, gate, judge, [part])
        kept.update({(line, key): value for line, key, value in before.changes()})
    for (line, key), value in kept.items():
        after.restore(line, key, value)
    assert after.incidents() == whole[cut - 1]
    assert [_drift(one) for one in run(after, gate, judge, parts[cut:])] == [_drift(one) for one in whole[cut:]]


def _drift(incidents: list[Incident]) -> list[Incident]:
    return [one for one in incidents if one.incident == "drift"]


def test_another_reference_begins_anew(gate: GateJudge, judge: Judge, make: Make) -> None:
    watch = DriftWatch()
    assert run(watch, gate, judge, currents(make, [5.0] * 200))[-1]
    retrained, old = gate, gate.drift
    assert old is not None
    try:
        retrained.drift = DriftReference.__new__(DriftReference)
        retrained.drift.__dict__.update(old.__dict__ | {"digest": b"another"})
        assert run(watch, retrained, judge, currents(make, [4.0], first=2000))[-1] == []
    finally:
        gate.drift = old
