"""Undo the shift and score again: the channel whose shift brought the flags is the one that explains them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fusion.drift.recent import RecentRows, Rows
from fusion.drift.signals import DriftReference
from fusion.drift.undo_shift import UndoShift, moved_most
from fusion.gate import GateJudge
from fusion.history import HistoryView
from fusion.judge import Judge
from fusion.risk.features import raw_columns
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan

Make = Callable[..., Evidence]


@pytest.fixture(scope="module")
def gate(shelf: Path, plan: Plan) -> GateJudge:
    gate = Judge.open(shelf, plan).gate("L1", "EOL")
    assert gate is not None
    return gate


def rows_of(gate: GateJudge, parts: list[Evidence]) -> Rows:
    width = len(raw_columns(gate.builder.spec))
    recent = RecentRows(width, 1, parts=len(parts))
    for evidence in parts:
        reading = gate.read(evidence, HistoryView())
        assert reading is not None
        product = gate.builder.product_at(evidence.product)
        recent.enter(
            reading.row.raw, np.zeros(1, dtype=np.float32), product, reading.estimate.model, reading.estimate.risk
        )
    return recent.latest(len(parts))


def test_the_channel_that_brought_the_flags_explains_them(gate: GateJudge, make: Make) -> None:
    rng = np.random.default_rng(0)
    moved = rows_of(gate, [make(n, current=float(v)) for n, v in enumerate(rng.normal(6.0, 0.2, 150))])
    assert gate.drift is not None
    typical = gate.drift.typical
    usual = rows_of(gate, [make(n, current=float(v)) for n, v in enumerate(rng.normal(4.0, 0.2, 150))])
    limit = 2.0 * float(usual.risk.max())  # the gate's own may lie among good parts: reviews are cheap there
    undo = UndoShift(gate.builder.spec, gate.builder, gate.risk_models, limit)
    ranked = undo.explain(moved, typical, {"OP10.current_a": 8.0, "OP10.oil_c": 0.1, "camera:top": 0.1})
    flagged = float((moved.risk >= limit).sum())
    assert flagged > 100
    assert ranked[0].entity == "OP10.current_a"
    assert ranked[0].flags > 0.7 * flagged
    assert max(one.flags for one in ranked[1:]) < 0.3 * flagged


def test_what_has_not_moved_explains_nothing(gate: GateJudge, make: Make) -> None:
    rng = np.random.default_rng(1)
    usual = rows_of(gate, [make(n, current=float(v)) for n, v in enumerate(rng.normal(4.0, 0.2, 150))])
    assert gate.drift is not None
    typical = gate.drift.typical
    undo = UndoShift(gate.builder.spec, gate.builder, gate.risk_models, gate.threshold)
    assert [one.flags for one in undo.explain(usual, typical, {"OP10.current_a": 0.0})] == pytest.approx(
        [0.0], abs=10.0
    )
    assert undo.explain(usual, typical, {}) == []


def test_recent_rows_are_a_ring_in_the_order_of_judging() -> None:
    recent = RecentRows(1, 1, parts=4)
    for n in range(6):
        recent.enter(np.array([n], dtype=np.float32), np.array([n], dtype=np.float32), 0, 0, 0.5)
    assert len(recent) == 4
    assert recent.residuals(3)[:, 0].tolist() == [3.0, 4.0, 5.0]
    assert recent.latest(9).raw[:, 0].tolist() == [2.0, 3.0, 4.0, 5.0]


def test_what_moved_most_is_told_in_spreads_of_a_part() -> None:
    residuals = np.array([[0.2, -2.0, np.nan], [0.4, -1.0, np.nan]], dtype=np.float32)
    most = moved_most(residuals, np.array([0.1, 1.0, 1.0]), {"a": [0], "b": [1, 2]})
    assert most == pytest.approx({"a": 0.3, "b": -1.5})


def test_a_reference_is_the_same_from_its_bytes(shelf: Path, plan: Plan) -> None:
    first, again = (Judge.open(shelf, plan).gate("L1", "EOL") for _ in range(2))
    assert first is not None
    assert again is not None
    assert isinstance(first.drift, DriftReference)
    assert isinstance(again.drift, DriftReference)
    assert first.drift.digest == again.drift.digest
    assert np.array_equal(first.drift.limits.ewma, again.drift.limits.ewma)
