"""Novelty: what training never saw is named, believed less, and is rare among lots like those of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusion.history import Counted, HistoryView
from fusion.judge import Judge, Judgement
from fusion.novelty.fit import lot_weights, tail, time_blocks, upper_quantile
from fusion.novelty.reading import Strange, moved
from fusion.novelty.values import LABELS_LEARNED, closed_attributes
from fusion.risk.model import Estimate
from fusion.train import fit_gates, save_fusion
from fusion.training.cases import Case
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan
from tests.fusion.conftest import PARTS_PER_LOT, Made, cases_of, evidence_of

Make = Callable[..., Evidence]
WHOLE = {"tool": "T1", "lot": "S90"}


def auto(judge: Judge, evidence: Evidence, history: HistoryView | None = None) -> Judgement:
    return judge.judge(evidence, history or HistoryView(), "auto", False)


def test_a_value_out_of_range_is_named_with_the_range(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(933, current=40.0, **WHOLE))
    assert "novel" in judgement.reasons
    assert any("OP10.current_a" in one and "beyond" in one and " A" in one for one in judgement.remarks)


def test_a_combination_never_seen_is_named_though_each_value_is_within_its_range(judge: Judge, make: Make) -> None:
    """Current and its spread go together on this line; a part with one and not the other is odd."""
    part = make(934, **WHOLE)
    window = part.windows["OP10"]
    channel = window.channels["current_a"]
    stats = channel.stats.copy()
    stats[1] *= 2.6  # the spread of a part of nearly three times the current
    channels = {**window.channels, "current_a": dataclasses.replace(channel, stats=stats)}
    odd = dataclasses.replace(part, windows={"OP10": dataclasses.replace(window, channels=channels)})
    usual, judgement = auto(judge, part), auto(judge, odd)
    assert (usual.decision, usual.remarks) == ("pass", [])
    assert "novel" in judgement.reasons
    assert judgement.decision != "pass"
    assert any("OP10.current_a: spread" in one and "would be usual" in one for one in judgement.remarks)
    width = [j.risk_high - j.risk_low for j in (usual, judgement)]  # type: ignore[operator]
    assert width[1] > width[0]


def test_lots_like_those_of_training_are_not_novel(judge: Judge) -> None:
    fresh = cases_of(800, seed=9)[0]
    assert np.mean(["novel" in auto(judge, case.evidence).reasons for case in fresh]) <= 0.005


def test_a_part_like_a_labelled_defect_is_nothing_new(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(935, current=6.0, **WHOLE))
    assert (judgement.decision, judgement.reasons) == ("review", ["risk_over_threshold"])


def test_an_unknown_product_is_named_beside_those_that_were_learned(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(936, product="NEW", **WHOLE))
    assert judgement.remarks[0] == "product NEW is none of those learned: P"


@pytest.fixture(scope="module")
def tooled(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Judge:
    """A line whose tool T1 alone makes defects, so that its model goes by the tool."""
    rng = np.random.default_rng(3)
    cases = []
    for number in range(400):
        bad = number % 3 == 1 and rng.random() < 0.5
        made = Made(number, float(rng.normal(4.0, 0.2)), False, f"T{number % 3}", f"S{number // PARTS_PER_LOT}")
        evidence = evidence_of(made)
        cases.append(Case(evidence, evidence, int(evidence.newest_at), bool(bad), ()))
    shelf = tmp_path_factory.mktemp("tooled")
    save_fusion(fit_gates(cases, [], plan, lambda _: None), cases, plan, shelf)
    return Judge.open(shelf, plan)


def test_a_new_tool_is_no_confident_guess_where_the_tool_matters(tooled: Judge, make: Make) -> None:
    known, new = auto(tooled, make(937, tool="T0", lot="S90")), auto(tooled, make(937, tool="T9", lot="S90"))
    assert (known.decision, known.remarks) == ("pass", [])
    assert new.decision != "pass"
    assert any("tool_id=T9" in one and "is new" in one for one in new.remarks)
    assert new.risk_high > known.risk_high  # type: ignore[operator]
    if new.decision == "cannot_tell":
        assert new.reasons == ["unknown_attribute"]


def test_a_new_tool_stops_no_line_where_the_tool_does_not_matter(judge: Judge, make: Make) -> None:
    decisions = [auto(judge, make(number, tool="T9", lot="S90")) for number in range(900, 940)]
    passed = [one for one in decisions if one.decision == "pass"]
    assert len(passed) >= 0.9 * len(decisions)
    assert all(one.reasons == ["unknown_attribute"] for one in passed)
    assert all("tool_id=T9" in one.remarks[0] for one in passed)


def test_a_new_tool_is_learned_from_released_labels_without_retraining(tooled: Judge, make: Make) -> None:
    part = make(938, tool="T9", lot="S90")
    few = HistoryView(counts={"tool_id=T9": Counted(labels=LABELS_LEARNED - 1)})
    many = HistoryView(counts={"tool_id=T9": Counted(labels=LABELS_LEARNED)})
    assert auto(tooled, part, few).remarks
    assert not auto(tooled, part, many).remarks


def test_a_new_lot_is_never_news(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(939, tool="T1", lot="NEVER-SEEN"))
    assert (judgement.decision, judgement.reasons, judgement.remarks) == ("pass", [], [])


def test_the_card_says_what_few_lots_can_promise(shelf: Path) -> None:
    card = (shelf / "fusion" / "1" / "card.md").read_text()
    assert "20 lots can promise a new lot no rarer than 1 in 21" in card
    assert "all known (nothing new in the last 10 lots): tool_id at OP10 (3)" in card


def test_only_attributes_that_stopped_bringing_news_are_closed(judge: Judge) -> None:
    cases = cases_of(400)[0]
    gate = judge.gate("L1", "EOL")
    assert gate is not None
    slots, groups = gate.builder.spec.attributes, np.arange(400) // PARTS_PER_LOT
    booked = [case.evidence.attributes for case in cases]
    assert [one.name for one in closed_attributes(slots, booked, groups)] == ["tool_id"]
    late = [{**values, ("OP10", "tool_id"): "T9"} if n > 380 else values for n, values in enumerate(booked)]
    assert closed_attributes(slots, late, groups) == ()
    assert closed_attributes(slots, booked[:100], groups[:100]) == ()  # five lots say too little


def test_an_attribute_that_decides_nothing_moves_nothing() -> None:
    estimate = Estimate(0.01, 0.005, 0.02, 0)
    assert Strange().widened(estimate) == estimate
    strange = Strange(unknown=True, lowest=-1.0, highest=2.0)
    assert strange.widened(estimate).high == pytest.approx(moved(0.01, 2.0))
    assert strange.could_reach(0.01, 0.05)
    assert not strange.could_reach(0.01, 0.5)
    assert not strange.could_reach(0.6, 0.5)  # over it already: a review


def test_a_model_of_before_there_was_novelty_still_opens(shelf: Path, plan: Plan, make: Make) -> None:
    from fusion.gate import FusionNotes, GateArrays, GateJudge
    from models.open import open_model

    opened = open_model(shelf, "fusion")
    notes = msgspec.convert(opened.manifest.notes, FusionNotes).gates[0]
    old = msgspec.structs.replace(notes, novelty=None, closed=())
    reading = GateJudge(old, GateArrays.unpack(opened.read(old.arrays)), opened, plan).read(make(1), HistoryView())
    assert reading is not None
    assert not reading.strange.remarks


def test_lots_weigh_the_same_and_time_is_cut_between_them() -> None:
    groups = np.array([7] * 90 + [3] * 10)
    assert lot_weights(groups)[:90].sum() == pytest.approx(0.5)
    assert time_blocks(groups).tolist() == [0] * 90 + [1] * 10
    scores = np.concatenate([np.zeros(90), np.ones(10)])
    assert upper_quantile(scores, lot_weights(groups), 0.5) == 0.0
    assert upper_quantile(scores, lot_weights(groups), 0.4) == 1.0


def test_the_tail_of_an_exponential_is_found() -> None:
    scores = np.random.default_rng(0).exponential(2.0, 50_000)
    start, step = tail(scores, np.full(50_000, 1 / 50_000))
    assert start == pytest.approx(2.0 * np.log(20), rel=0.05)
    assert step == pytest.approx(2.0, rel=0.05)


def test_one_part_is_measured_as_all_of_training_were(judge: Judge, make: Make) -> None:
    """The serving arithmetic, written by hand, is that of `Space.units`, also where a source is missing."""
    gate = judge.gate("L1", "EOL")
    assert gate is not None
    novelty = gate._strangeness._gate
    assert novelty is not None
    for sources in (("camera:top", "sensors:OP10"), ("sensors:OP10",)):
        row = gate.builder.row(make(940, sources=sources, **WHOLE), HistoryView())
        expected = novelty._space.units(row.features[None, :], 0)[0]
        assert np.allclose(novelty._units_of(row, 0), expected, atol=1e-5)
