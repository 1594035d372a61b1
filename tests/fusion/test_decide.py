"""Decide: silence is never a pass, manual overrules all, and the threshold holds what the plan asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.decide import Call, Standing, choose_threshold, decide, drawn_for_audit, evidence_reasons
from ingest.join.evidence import Evidence
from ingest.messages import ModelName
from ingest.plan.plan import Audit, Plan

Make = Callable[..., Evidence]
MODEL = ModelName(name="fusion", version="1", sha256="m")
REASONS = st.sampled_from([(), ("evidence_missing",), ("evidence_unfit",), ("novel",)])


def auto(risk: float | None, threshold: float | None, standing: Standing = Standing(), drawn: bool = False) -> Call:  # noqa: B008
    return decide(risk, threshold, standing, mode="auto", missed=False, drawn=drawn)


@pytest.mark.parametrize(
    ("risk", "reasons", "decision", "said"),
    [
        (0.01, (), "pass", ()),
        (0.2, (), "review", ("risk_over_threshold",)),
        (0.1, (), "review", ("risk_over_threshold",)),
        (0.2, ("evidence_missing",), "review", ("risk_over_threshold", "evidence_missing")),
        (0.01, ("evidence_missing",), "cannot_tell", ("evidence_missing",)),
        (0.01, ("evidence_unfit",), "cannot_tell", ("evidence_unfit",)),
        (None, (), "cannot_tell", ("model_not_ready",)),
    ],
)
def test_the_table_of_decisions(
    risk: float | None, reasons: tuple[str, ...], decision: str, said: tuple[str, ...]
) -> None:
    call = auto(risk, 0.1, Standing(reasons))
    assert (call.decision, call.reasons) == (decision, said)


@given(risk=st.none() | st.floats(0, 1), threshold=st.none() | st.floats(0, 1), reasons=REASONS, drawn=st.booleans(),
       missed=st.booleans(), manual=st.booleans(), known=st.booleans())  # fmt: skip
def test_a_pass_needs_a_model_that_spoke_low_risk_whole_evidence_and_auto_mode(
    risk: float | None, threshold: float | None, reasons: tuple[str, ...], drawn: bool, missed: bool, manual: bool,
    known: bool,
) -> None:  # fmt: skip
    standing = Standing(reasons if known else (*reasons, "unknown_product"), known)
    call = decide(risk, threshold, standing, mode="manual" if manual else "auto", missed=missed, drawn=drawn)
    if call.decision == "pass":
        assert risk is not None
        assert threshold is not None
        assert risk < threshold
        assert not reasons
        assert known
        assert not any((drawn, missed, manual))
        assert call.reasons == ()
    else:
        assert call.reasons
    assert call.audit == (call.reasons == ("audit",))


def test_manual_mode_overrules_even_a_missed_deadline() -> None:
    call = decide(0.9, 0.1, Standing(), mode="manual", missed=True, drawn=True)
    assert call == Call("cannot_tell", ("manual_mode", "deadline_missed"))


def test_an_unknown_product_is_never_a_confident_guess() -> None:
    assert auto(0.99, 0.1, Standing(("unknown_product",), False)).decision == "cannot_tell"


def test_a_need_that_is_unfit_is_not_also_missing(make: Make) -> None:
    needs = ("camera:top", "sensors:OP10")
    assert evidence_reasons(make(1), needs) == ()
    assert evidence_reasons(make(1, fit=False), needs) == ("evidence_unfit",)
    assert evidence_reasons(make(1, sources=("sensors:OP10",)), needs) == ("evidence_missing",)
    assert evidence_reasons(make(1, sources=("sensors:OP10",)), ("sensors:OP10",)) == ()


def test_audits_draw_their_share_and_always_the_same_parts(plan: Plan, make: Make) -> None:
    audited = msgspec.structs.replace(plan, audit=Audit(share=0.2))
    part = make(1)
    parts = [dataclasses.replace(part, part_id=f"P{i}") for i in range(2000)]
    drawn = [drawn_for_audit(audited, MODEL, e) for e in parts]
    assert drawn == [drawn_for_audit(audited, MODEL, e) for e in parts]
    assert 0.16 < np.mean(drawn) < 0.24
    other = msgspec.structs.replace(MODEL, sha256="n")
    assert drawn != [drawn_for_audit(audited, other, e) for e in parts]
    assert not any(drawn_for_audit(plan, MODEL, e) for e in parts)


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=5, max_size=80), st.floats(0, 0.2))
@settings(deadline=None)
def test_the_threshold_holds_the_escape_bound_before_the_review_share(
    parts: list[tuple[int, bool]], escape_rate_max: float
) -> None:
    risk = np.array([r / 100 for r, _ in parts])
    defect = np.array([d for _, d in parts])
    plan = make_plan_with(escape_rate_max)
    choice = choose_threshold(risk, defect, plan)
    passed = risk < choice.threshold
    assert (passed & defect).sum() <= escape_rate_max * len(parts) + 1e-9
    assert (~passed).mean() == pytest.approx(choice.review_share)
    assert choice.conflict or choice.review_share <= plan.constraints.review_share_max


PARTS = st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=5, max_size=80)


@given(PARTS, st.floats(0, 0.2), st.floats(0.1, 50.0), st.floats(1.1, 20.0))
@settings(deadline=None)
def test_dearer_escapes_never_raise_the_threshold_and_dearer_reviews_never_lower_it(
    parts: list[tuple[int, bool]], escape_rate_max: float, review_cost: float, times: float
) -> None:
    risk, defect = np.array([r / 100 for r, _ in parts]), np.array([d for _, d in parts])
    plan = make_plan_with(escape_rate_max)
    usual = msgspec.structs.replace(plan.objective, review_cost=review_cost)
    escapes = msgspec.structs.replace(usual, escape_cost=usual.escape_cost * times)
    reviews = msgspec.structs.replace(usual, review_cost=review_cost * times)
    plain, dear_escapes, dear_reviews = (
        choose_threshold(risk, defect, msgspec.structs.replace(plan, objective=objective))
        for objective in (usual, escapes, reviews)
    )
    assert dear_escapes.threshold <= plain.threshold <= dear_reviews.threshold


@given(PARTS, st.floats(0, 0.2), st.floats(0.0, 1.0))
@settings(deadline=None)
def test_no_threshold_lies_above_the_highest_that_is_allowed(
    parts: list[tuple[int, bool]], escape_rate_max: float, at_most: float
) -> None:
    risk, defect = np.array([r / 100 for r, _ in parts]), np.array([d for _, d in parts])
    plan = make_plan_with(escape_rate_max)
    free, bound = choose_threshold(risk, defect, plan), choose_threshold(risk, defect, plan, at_most)
    assert bound.threshold <= at_most
    assert bound.threshold == free.threshold or free.threshold > at_most or bound.review_share > free.review_share
    assert (risk >= bound.threshold).mean() == pytest.approx(bound.review_share)


@given(st.floats(0, 1), st.floats(0, 2), REASONS, st.booleans())
def test_what_inspectors_have_no_time_for_is_held_and_never_passed(
    risk: float, hold_below: float, reasons: tuple[str, ...], drawn: bool
) -> None:
    free = decide(risk, 0.1, Standing(reasons), mode="auto", missed=False, drawn=drawn)
    call = decide(risk, 0.1, Standing(reasons), mode="auto", missed=False, drawn=drawn, hold_below=hold_below)
    if risk >= 0.1 and risk < hold_below:
        assert call == Call("cannot_tell", ("capacity", "risk_over_threshold", *reasons))
    else:
        assert call == free


def test_the_threshold_is_the_cheapest_of_those_allowed() -> None:
    """Reviews cost 2.5, escapes 450: every defect is worth 180 reviews, so all are caught where the bound is loose."""
    risk = np.concatenate([np.linspace(0.0, 0.0005, 900), np.linspace(0.5, 0.9, 100)])
    defect = np.concatenate([np.zeros(900, bool), np.ones(100, bool)])
    choice = choose_threshold(risk, defect, make_plan_with(1.0))
    assert choice.review_share == pytest.approx(0.1)
    assert not choice.conflict


def test_a_conflict_between_the_limits_is_told_and_the_share_gives_way() -> None:
    rng = np.random.default_rng(0)
    risk, defect = rng.random(1000) * 0.01 + 0.3, rng.random(1000) < 0.3
    choice = choose_threshold(risk, defect, make_plan_with(0.001))
    assert choice.conflict
    assert choice.review_share > 0.9
    said = choice.say_conflict(make_plan_with(0.001))
    assert "cannot both be held" in said
    assert "30 % reviews would let" in said
    assert ("To review every part would cost less" in said) == (choice.cost_per_part > 2.5)


def make_plan_with(escape_rate_max: float) -> Plan:
    text = PLAN.replace(b"0.003", str(escape_rate_max).encode())
    return msgspec.json.decode(text, type=Plan)


PLAN = msgspec.json.encode(
    {
        "plan": 1, "plant": "p", "owners": {"objective": "a", "model": "b", "stop": "c"},
        "objective": {"escape_cost": 450.0, "review_cost": 2.5, "currency": "USD"},
        "constraints": {"escape_rate_max": 0.003, "review_share_max": 0.3, "latency_ms_max": 500},
        "grants": {"topics": []}, "audit": {"share": 0.01}, "lines": [],
    }
)  # fmt: skip
