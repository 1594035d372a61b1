"""Training: labels go to the attempt and gate they belong to, and a model on the shelf is the model that was fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusion.history import HistoryView
from fusion.risk.families import Recipe, families, named, recipes
from fusion.risk.fit import Examples, fit_risk, folds, is_better, lots
from fusion.train import fit_gates
from fusion.training.cases import Case, collect_cases, history_views, label_of
from ingest.join.evidence import Evidence
from ingest.join.gates import Closing
from ingest.messages import Instant
from ingest.plan.plan import Gate, Plan
from models.manifest import TrainedOn
from models.open import open_model
from models.shelf import save_model
from tests.fusion.conftest import LABEL_DELAY_MS, cases_of, label

Make = Callable[..., Evidence]


def closing(evidence: Evidence, at: int, first: bool = True) -> Closing:
    return Closing(evidence, at, False, first, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", [*[(family,) for family in families()], recipes(families())[-1]], ids=named)
def test_onnx_scores_as_the_model_that_was_fitted(tmp_path: Path, recipe: Recipe) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 6)).round(1).astype(np.float32)  # many values lie on a limit
    defect = features[:, 0] * features[:, 1] > 1.0
    fitted = fit_risk(Examples(features, defect, np.arange(300) // 20), recipe, trees=60)
    save_model(
        tmp_path, name="fusion", kind="fusion", files={"m.onnx": fitted.onnx}, features=[], threshold=None,
        trained_on=TrainedOn(), notes={}, card="",
    )  # fmt: skip
    fresh = rng.normal(size=(500, 6)).round(1).astype(np.float32)
    scores = open_model(tmp_path, "fusion").run("m.onnx", {"x": fresh})[0][:, 1].astype(np.float64)
    place = np.log(np.clip(scores, 1e-4, 1 - 1e-4) / (1 - np.clip(scores, 1e-4, 1 - 1e-4)))
    risk = 1 / (1 + np.exp(-(fitted.calibration.slope * place + fitted.calibration.intercept)))
    assert np.abs(risk - fitted.predict(fresh)).max() < 1e-4


def test_a_lot_is_wholly_in_one_fold() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, 200)
    examples = Examples(np.zeros((200, 2), np.float32), rng.random(200) < 0.2, groups)
    for train, test in folds(examples, 5):
        assert not set(groups[train]) & set(groups[test])


def test_a_loss_that_is_lower_by_luck_is_not_better() -> None:
    groups = np.arange(200) // 10
    standing = np.full(200, 0.3)
    everywhere, in_one_lot = standing - 0.01, np.where(groups == 3, 0.0, standing)
    assert is_better(everywhere, standing, groups)
    assert is_better(in_one_lot, standing, groups)
    lucky = np.where(groups == 3, 0.0, standing) + np.where(groups == 4, 0.18, 0.0)
    assert not is_better(lucky, standing, groups)
    assert not is_better(standing, standing, groups)


def test_few_batches_become_blocks_of_time() -> None:
    assert lots(["a", "b", "c", "d", "e", "a"]).tolist() == [0, 1, 2, 3, 4, 0]
    blocks = lots(["a"] * 100)
    assert len(set(blocks.tolist())) == 10
    assert (np.diff(blocks) >= 0).all()


def test_each_attempt_has_the_label_recorded_between_its_gate_and_the_next() -> None:
    early, late = label("P", 150), label("P", 250, "ok")
    assert label_of([early, late], 100, 200) is early
    assert label_of([early, late], 200, None) is late
    assert label_of([early, late], 300, None) is late  # none after the gate: all count, the latest wins
    assert label_of([label("P", 150, "unsure")], 100, None) is None


def test_a_defect_made_behind_a_gate_is_no_defect_at_that_gate(plan: Plan, make: Make) -> None:
    line = plan.lines[0]
    early = Gate(gate_id="MID", after="OP10", deadline_ms=500.0)
    two = msgspec.structs.replace(plan, lines=(msgspec.structs.replace(line, gates=(early, *line.gates)),))
    part = make(1)
    mid = dataclasses.replace(part, gate_id="MID", visits=part.visits[:1], findings={})
    closings = [closing(mid, 10), closing(part, 20)]

    def told(cause: str) -> list[bool | None]:
        rows = [dataclasses.replace(r, defect=label("P1", 30, "defect", cause)) for r in cases_of(1)[1]]
        return [case.defect for case in collect_cases(closings, rows, two)]

    assert told("camera:top") == [False, True]
    assert told("OP10.current_a") == [True, True]
    assert told("tool_id=T1") == [True, True]
    assert told("") == [True, True]  # nobody said why: it may have been bad all along


def test_the_last_look_is_learned_from_and_the_first_asks_history(plan: Plan, make: Make) -> None:
    first, last = make(1, sources=("sensors:OP10",)), make(1)
    (case,) = collect_cases([closing(first, 10), closing(last, 20, first=False)], [], plan)
    assert (case.first, case.evidence, case.closed_at, case.defect) == (first, last, 10, None)


def test_history_in_training_knows_no_label_before_it_was_released(plan: Plan) -> None:
    cases, labels = cases_of(60)
    risks = dict.fromkeys((case.key for case in cases), 0.1)
    views, _ = history_views(cases, risks, labels, plan, "L1")
    early = [case for case in cases if case.closed_at <= cases[0].closed_at + LABEL_DELAY_MS]
    assert all(not any(views[case.key].rate.values()) for case in early)
    assert any(any(views[case.key].rate.values()) for case in cases)
    hidden, _ = history_views(cases, risks, [r for r in labels if r.at < Instant(cases[30].closed_at)], plan, "L1")
    assert all(views[case.key] == hidden[case.key] for case in cases[:31])


def test_a_part_does_not_see_its_own_base_risk(plan: Plan) -> None:
    cases, labels = cases_of(40)
    low = dict.fromkeys((case.key for case in cases), 0.1)
    views, _ = history_views(cases, low, labels, plan, "L1")
    changed, _ = history_views(cases, {**low, cases[20].key: 0.9}, labels, plan, "L1")
    assert all(views[case.key] == changed[case.key] for case in cases[:21])
    assert any(views[case.key] != changed[case.key] for case in cases[21:])


def test_too_few_defects_teach_no_risk_but_what_is_usual(plan: Plan) -> None:
    cases, labels = cases_of(80)
    few = [dataclasses.replace(case, defect=i < 7, causes=()) for i, case in enumerate(cases)]
    (gate,) = fit_gates(few, labels, plan, lambda _: None)
    assert gate.notes.provisional == plan.objective.defect_rate_assumed


def test_the_card_says_how_good_on_what_and_where_it_fails(shelf: Path) -> None:
    card = (shelf / "fusion" / "1" / "card.md").read_text()
    for told in (
        "400 parts in 20 batches",
        "labelled cases",
        "AUC",
        "ECE",
        "Threshold",
        "Where it fails",
        "Certificate:",
        "history too short for drift:",
    ):
        assert told in card


def test_a_view_of_nothing_is_what_a_part_of_an_unknown_lot_gets(plan: Plan, make: Make) -> None:
    cases, labels = cases_of(30)
    _, history = history_views(cases, {}, labels, plan, "L1")
    assert history.view(make(99, tool="NEW", lot="NEW")) == HistoryView(parts=30)


def test_parts_among_which_nothing_differs_teach_no_model_and_are_no_error(plan: Plan, make: Make) -> None:
    alike = dataclasses.replace(make(0, sources=("camera:top",)), visits=())
    parts = [dataclasses.replace(alike, part_id=f"P{number}") for number in range(6)]
    cases = [Case(one, one, int(one.newest_at), number % 2 == 0, ()) for number, one in enumerate(parts)]
    said: list[str] = []
    assert fit_gates(cases, [], plan, said.append) == []
    assert any("0 features" in line for line in said)
