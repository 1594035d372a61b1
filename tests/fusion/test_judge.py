"""The judge: what it learned it says, what it lacks it names, and equal evidence gets equal answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusion.gate import GateJudge
from fusion.history import HistoryView
from fusion.judge import Judge, Judgement
from ingest.join.evidence import CURVE_POINTS, Evidence
from ingest.plan.plan import Audit, Plan

Make = Callable[..., Evidence]
NOTHING = HistoryView()
WHOLE = {"tool": "T1", "lot": "S90"}


def auto(judge: Judge, evidence: Evidence, history: HistoryView = NOTHING) -> Judgement:
    return judge.judge(evidence, history, "auto", False)


def test_without_a_model_every_part_is_cannot_tell(tmp_path: Path, plan: Plan, make: Make) -> None:
    judge = Judge.open(tmp_path, plan)
    judgement = auto(judge, make(1))
    assert (judgement.decision, judgement.reasons) == ("cannot_tell", ["model_not_ready"])
    assert (judgement.risk, judgement.threshold, judgement.model, judgement.base_risk) == (None, None, None, None)
    assert judge.problem


def test_a_model_with_one_byte_changed_does_not_open_and_the_judge_says_so(
    tmp_path: Path, shelf: Path, plan: Plan, make: Make
) -> None:
    broken = tmp_path / "shelf"
    shutil.copytree(shelf, broken)
    victim = sorted((broken / "fusion" / "1").glob("*.onnx"))[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    judge = Judge.open(broken, plan)
    assert victim.name in judge.problem
    assert auto(judge, make(1)).reasons == ["model_not_ready"]


def test_a_model_that_learned_from_what_the_plan_forbids_now_does_not_open(shelf: Path, plan: Plan, make: Make) -> None:
    constraints = msgspec.structs.replace(plan.constraints, forbidden_causes=("operator_id", "tool_id"))
    judge = Judge.open(shelf, msgspec.structs.replace(plan, constraints=constraints))
    assert "tool_id" in judge.problem
    assert auto(judge, make(1)).reasons == ["model_not_ready"]


def test_a_good_part_passes_and_a_bad_one_is_reviewed(judge: Judge, make: Make) -> None:
    good, bad = auto(judge, make(900, **WHOLE)), auto(judge, make(901, current=6.0, **WHOLE))
    assert (good.decision, good.reasons, good.causes) == ("pass", [], [])
    assert (bad.decision, bad.reasons) == ("review", ["risk_over_threshold"])
    assert good.risk is not None
    assert bad.risk is not None
    assert good.risk < 0.05 < 0.5 < bad.risk
    for judgement in (good, bad):
        assert 0.0 <= judgement.risk_low <= judgement.risk <= judgement.risk_high <= 1.0  # type: ignore[operator]
        assert judgement.model is not None


def test_equal_evidence_gets_equal_answers_in_any_order(judge: Judge, shelf: Path, plan: Plan, make: Make) -> None:
    parts = [make(910 + i, current=4.0 + i * 0.3, pit=i % 2 == 0, **WHOLE) for i in range(8)]
    first = [auto(judge, part) for part in parts]
    reopened = Judge.open(shelf, plan)
    again = [auto(reopened, part) for part in reversed(parts)]
    assert first == list(reversed(again))


@pytest.mark.parametrize("sources", [("sensors:OP10",), ("camera:top",), ()])
def test_a_part_with_a_source_missing_never_passes(judge: Judge, make: Make, sources: tuple[str, ...]) -> None:
    for number in range(920, 926):
        judgement = auto(judge, make(number, sources=sources, **WHOLE))
        assert judgement.decision != "pass"
        assert "evidence_missing" in judgement.reasons


def test_enough_risk_on_thin_evidence_is_review(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(930, current=6.0, sources=("sensors:OP10",), **WHOLE))
    assert judgement.decision == "review"
    assert judgement.reasons == ["risk_over_threshold", "evidence_missing"]


def test_an_unfit_picture_never_passes(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(931, fit=False, **WHOLE))
    assert judgement.decision != "pass"
    assert "evidence_unfit" in judgement.reasons


def test_an_unknown_product_is_cannot_tell_with_a_wide_interval(judge: Judge, make: Make) -> None:
    known, unknown = auto(judge, make(932, **WHOLE)), auto(judge, make(932, product="NEW", **WHOLE))
    assert (unknown.decision, unknown.reasons[0]) == ("cannot_tell", "unknown_product")
    assert unknown.risk_high > known.risk_high  # type: ignore[operator]


def test_a_channel_beyond_anything_seen_is_novel_and_never_passes(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(933, current=40.0, **WHOLE))
    assert judgement.decision != "pass"
    assert "novel" in judgement.reasons


def test_manual_and_missed_say_so_and_missed_has_no_risk(judge: Judge, make: Make) -> None:
    manual = judge.judge(make(934, **WHOLE), NOTHING, "manual", False)
    assert (manual.decision, manual.reasons) == ("cannot_tell", ["manual_mode"])
    missed = judge.judge(make(934, **WHOLE), NOTHING, "auto", True)
    assert (missed.decision, missed.reasons) == ("cannot_tell", ["deadline_missed"])
    assert (missed.risk, missed.threshold, missed.model) == (None, None, None)
    assert missed.base_risk is not None  # it still enters the history, once


def test_an_audit_is_a_part_that_would_pass(judge: Judge, shelf: Path, plan: Plan, make: Make) -> None:
    audited = Judge.open(shelf, msgspec.structs.replace(plan, audit=Audit(share=1.0)))
    judgement = auto(audited, make(935, **WHOLE))
    assert (judgement.decision, judgement.reasons, judgement.audit) == ("review", ["audit"], True)
    assert judgement.risk == auto(judge, make(935, **WHOLE)).risk
    assert not auto(audited, make(936, current=6.0, **WHOLE)).audit


def test_a_lot_never_seen_before_is_blamed_for_what_lots_do_before_the_camera_that_saw_it(
    judge: Judge, make: Make
) -> None:
    judgement = auto(judge, make(940, pit=True, tool="T2", lot="S77"))
    named = [cause.cause for cause in judgement.causes]
    assert named[0] == "supplier_lot=S77"
    assert judgement.causes[0].kind == "attribute"


def test_too_much_current_is_the_channels_doing_with_a_band_to_check(judge: Judge, make: Make) -> None:
    cause = auto(judge, make(941, current=6.0, tool="T2", lot="S78")).causes[0]
    assert (cause.cause, cause.kind, cause.station_id) == ("OP10.current_a", "channel", "OP10")
    assert any("good parts" in sentence and " A" in sentence for sentence in cause.evidence)


def test_shares_are_ranked_and_sum_to_at_most_one_and_forbidden_causes_are_never_named(
    judge: Judge, make: Make
) -> None:
    for number in range(950, 970):
        causes = auto(judge, make(number, current=5.0 + number % 3, pit=number % 2 == 0, **WHOLE)).causes
        shares = [cause.share for cause in causes]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.0 + 1e-3
        assert not any("operator_id" in cause.cause for cause in causes)


def test_the_exhibit_shows_the_curve_in_its_golden_band_and_every_feature(judge: Judge, make: Make) -> None:
    judgement = auto(judge, make(971, current=6.0, sources=("sensors:OP10",), **WHOLE))
    shown = json.loads(judgement.blob)
    curve = shown["curves"]["OP10"]["current_a"]
    assert len(curve["t"]) == len(curve["curve"]) == CURVE_POINTS
    assert (curve["unit"], curve["lower"], curve["upper"]) == ("A", None, 9.0)
    assert np.mean(np.array(curve["curve"]) > np.array(curve["golden_high"])) > 0.9
    assert shown["features"]["camera:top:ratio"] is None
    assert shown["risk"]["risk"] == pytest.approx(judgement.risk)
    assert [cause["cause"] for cause in shown["causes"]] == [cause.cause for cause in judgement.causes]


def test_good_parts_lie_in_the_golden_band(judge: Judge, make: Make) -> None:
    inside = []
    for number in range(980, 990):
        curve = json.loads(auto(judge, make(number, **WHOLE)).blob)["curves"]["OP10"]["current_a"]
        values = np.array(curve["curve"])
        inside.append(np.mean((values >= curve["golden_low"]) & (values <= curve["golden_high"])))
    assert np.mean(inside) > 0.95


def test_history_raises_the_base_risk_of_nobody(judge: Judge, make: Make) -> None:
    """The base risk has no history among its inputs, else history would feed on itself."""
    part = make(990, **WHOLE)
    calm, told = auto(judge, part), auto(judge, part, HistoryView(risk={"tool_id=T1": 3.0, "supplier_lot=S90": 3.0}))
    assert calm.base_risk == told.base_risk


def test_what_training_saw_seeds_the_history(judge: Judge) -> None:
    assert "line" in judge.history_seed("L1")
    assert judge.history_seed("L9") == {}


def test_a_gate_the_model_does_not_know_is_not_ready(judge: Judge, make: Make) -> None:
    stranger = msgspec.json.encode("MID")
    part = make(991)
    other = type(part)(**{**{f: getattr(part, f) for f in part.__slots__}, "gate_id": json.loads(stranger)})
    assert auto(judge, other).reasons == ["model_not_ready"]
    assert judge.ready("L1", "EOL")
    assert not judge.ready("L1", "MID")


def test_the_model_that_speaks_was_trained_on_what_is_there(judge: Judge, make: Make) -> None:
    gate: GateJudge = judge._gates["L1", "EOL"]
    reading = gate.read(make(992, sources=("sensors:OP10",), **WHOLE), NOTHING)
    assert reading is not None
    assert gate._risk.models[reading.estimate.model].sources == ("sensors:OP10",)
