"""Cold start: without labels a gate ranks what is unusual, says so, and promises nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fusion.calibration.calibrate import logit, sigmoid
from fusion.cold_start.fit import begin_cold, share_threshold
from fusion.cold_start.score import MIDDLE, provisional_calibration, provisional_logit, tail_curve
from fusion.history import HistoryView
from fusion.judge import Judge, Judgement
from fusion.risk.fit import DEFECTS_MIN
from fusion.train import fit_gates, save_fusion
from fusion.training.cases import Case
from fusion.training.gate import begin_gate
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan
from tests.fusion.conftest import cases_of

Make = Callable[..., Evidence]
WHOLE = {"tool": "T1", "lot": "S90"}


def unlabelled(cases: list[Case]) -> list[Case]:
    return [dataclasses.replace(case, defect=None, causes=()) for case in cases]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    shelf = tmp_path_factory.mktemp("cold")
    cases = unlabelled(cases_of(400)[0])
    save_fusion(fit_gates(cases, [], plan, lambda _: None), cases, plan, shelf)
    return shelf


@pytest.fixture(scope="module")
def cold(shelf: Path, plan: Plan) -> Judge:
    return Judge.open(shelf, plan)


def auto(judge: Judge, evidence: Evidence) -> Judgement:
    return judge.judge(evidence, HistoryView(), "auto", False)


def test_a_usual_part_passes_and_an_unusual_one_is_reviewed_both_marked_provisional(cold: Judge, make: Make) -> None:
    usual, unusual = auto(cold, make(900, **WHOLE)), auto(cold, make(901, current=6.5, pit=True, **WHOLE))
    assert (usual.decision, usual.reasons) == ("pass", ["provisional"])
    assert (unusual.decision, unusual.reasons) == ("review", ["risk_over_threshold", "provisional"])
    assert unusual.causes


def test_what_stands_out_is_what_is_named(cold: Judge, make: Make) -> None:
    pit, current = auto(cold, make(902, pit=True, **WHOLE)), auto(cold, make(903, current=6.5, **WHOLE))
    assert pit.causes[0].cause == "camera:top"
    assert current.causes[0].cause == "OP10.current_a"


def test_a_source_missing_is_still_cannot_tell(cold: Judge, make: Make) -> None:
    thin = auto(cold, make(904, sources=("sensors:OP10",), **WHOLE))
    assert (thin.decision, thin.reasons) == ("cannot_tell", ["evidence_missing", "provisional"])
    blind = auto(cold, make(905, sources=(), **WHOLE))
    assert (blind.decision, blind.reasons) == ("cannot_tell", ["evidence_missing", "provisional"])


def test_defects_that_nobody_labelled_rank_above_good_parts(cold: Judge) -> None:
    fresh = cases_of(300, seed=5)[0]
    risks = [auto(cold, case.evidence).risk for case in fresh]
    assert roc_auc_score([bool(case.defect) for case in fresh], risks) > 0.95


def test_the_review_share_of_held_out_lots_is_what_the_plan_allows(plan: Plan) -> None:
    cases = unlabelled(cases_of(400)[0])
    (gate,) = fit_gates(cases, [], plan, lambda _: None)
    assert gate.choice.review_share <= plan.constraints.review_share_max + 1e-9
    assert gate.choice.review_share > plan.constraints.review_share_max - 0.02


def test_the_graph_says_what_the_held_out_arithmetic_says_of_the_whole_space(plan: Plan, cold: Judge) -> None:
    """The ONNX of all parts and the numpy of held-out blocks order the same parts alike."""
    cases = unlabelled(cases_of(400)[0])
    begun = begin_cold(begin_gate(cases, plan, lambda _: None), lambda _: None)
    assert begun is not None
    held = [risk for risk in begun.base_risks() if risk is not None]
    served = [auto(cold, case.evidence).risk for case in cases]
    assert np.corrcoef(logit(np.array(held)), logit(np.array(served)))[0, 1] > 0.97


def test_the_card_says_what_it_is_and_what_it_assumed(shelf: Path) -> None:
    card = (shelf / "fusion" / "1" / "card.md").read_text()
    for told in ("without defect labels", "promises nothing about escapes", "2.0% defective", "not checked"):
        assert told in card


def test_nothing_is_certified_and_everything_is_watched(cold: Judge) -> None:
    gate = cold.gate("L1", "EOL")
    assert gate is not None
    assert gate.certificate is not None
    assert gate.certificate.promise is None
    assert "without defect labels" in gate.certificate.say()


def test_a_few_labels_check_the_ranking_and_fit_nothing(plan: Plan, tmp_path: Path) -> None:
    cases = cases_of(400)[0]
    kept = 0
    few = []
    for case in cases:
        kept += bool(case.defect)
        few.append(dataclasses.replace(case, defect=case.defect if kept < DEFECTS_MIN else None, causes=()))
    (checked,) = fit_gates(few, [], plan, lambda _: None)
    (blank,) = fit_gates(unlabelled(cases), [], plan, lambda _: None)
    assert checked.notes.risk[0].auc > 0.9
    assert checked.notes.risk[0].defects == DEFECTS_MIN - 1
    assert blank.notes.risk[0].auc == 0.5
    assert checked.notes.provisional == blank.notes.provisional == 0.02


def test_too_few_parts_teach_nothing(plan: Plan) -> None:
    assert fit_gates(unlabelled(cases_of(40)[0]), [], plan, lambda _: None) == []


def test_parts_that_are_all_labelled_defective_teach_nothing_and_what_is_lacking_is_told(plan: Plan) -> None:
    said: list[str] = []
    cases = [dataclasses.replace(case, defect=True) for case in cases_of(120)[0]]
    assert fit_gates(cases, [], plan, said.append) == []
    assert any("120 labelled defects and 0 good parts" in one and "0 parts may be good" in one for one in said)


@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6), st.floats(0.01, 10), st.floats(-100, 100))
def test_a_tail_curve_never_falls_and_begins_at_nothing(levels: list[float], step: float, score: float) -> None:
    curve = tail_curve(np.sort(np.array(levels)), step)
    at, beyond = curve(np.array([score, score + 0.5]))
    assert 0.0 <= at <= beyond + 1e-9
    assert curve(np.array([min(levels)]))[0] == 0.0


def test_provisional_risks_average_the_assumed_rate_when_parts_are_as_assumed() -> None:
    rng = np.random.default_rng(0)
    bad = rng.random(200_000) < 0.02
    p = np.where(bad, rng.beta(0.25, 1.0, bad.size), rng.random(bad.size))
    risk = sigmoid(provisional_logit(-np.log(p), 0.02))
    assert risk.mean() == pytest.approx(0.02, rel=0.05)
    assert roc_auc_score(bad, risk) == pytest.approx(0.8, abs=0.02)


def test_the_interval_is_wide_and_holds_the_risk() -> None:
    calibration = provisional_calibration(0.02)
    at = provisional_logit(np.array([MIDDLE, 3.0, 7.0]), 0.02)
    low, high = (np.interp(at, calibration.nodes, edge) for edge in (calibration.low, calibration.high))
    assert (low < at).all()
    assert (high > at).all()
    assert (high - low > 2.0).all()


def test_equal_risks_fall_on_one_side_of_the_threshold_together() -> None:
    risk = np.array([0.01] * 50 + [0.5] * 50)
    choice = share_threshold(risk, np.full(100, 0.01), 0.3)
    assert choice.review_share == 0.0
    assert share_threshold(risk, np.full(100, 0.01), 0.5).review_share == pytest.approx(0.5)
