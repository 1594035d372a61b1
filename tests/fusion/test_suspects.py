"""Suspects: what acts together, what stands alone, what needs both, and what an open incident ties to a part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.causes.counterfactual import Undoing, Undone, UndoneTogether
from fusion.causes.suspects import OpenCause, Suspect, lifted, merged, standing_out
from ingest.messages import Instant

SINCE = Instant(1_767_592_800_000)


def itself(entity: str) -> str:
    return entity


def undoing(a: float, b: float, both: float, alike: float = 0.0, risk: float = 0.95) -> Undoing:
    return Undoing(risk, [Undone("a", a), Undone("b", b)], [UndoneTogether("a", "b", both, alike)])


def first(undone: Undoing) -> str:
    return standing_out(undone, itself)[0].cause


def test_two_of_which_either_undone_is_enough_act_together() -> None:
    assert first(undoing(0.9, 0.8, 0.95)) == "a & b"


def test_a_share_of_little_risk_is_no_half_of_a_combination() -> None:
    assert first(undoing(0.9, 0.4, 0.95, risk=0.05)) == "a"


def test_one_that_explains_all_is_alone() -> None:
    assert first(undoing(0.9, 0.05, 0.92)) == "a"


def test_two_whose_shares_add_up_are_two_causes_and_no_combination() -> None:
    suspects = standing_out(undoing(0.5, 0.4, 0.9), itself)
    assert [s.cause for s in suspects] == ["a", "b"]


def test_two_that_only_help_together_are_both_named_though_neither_stands_out_alone() -> None:
    suspects = standing_out(undoing(0.05, 0.04, 0.8), itself)
    assert {s.cause for s in suspects} == {"a", "b"}


def test_nothing_stands_out_is_unknown() -> None:
    assert [s.cause for s in standing_out(undoing(0.1, 0.05, 0.2), itself)] == ["unknown"]
    assert [s.cause for s in standing_out(Undoing(), itself)] == ["unknown"]


def test_a_share_within_the_noise_of_its_draws_is_unknown() -> None:
    assert standing_out(Undoing(0.9, [Undone("a", 0.3, 0.2)]), itself)[0].cause == "unknown"


def test_of_two_companions_the_one_that_is_not_the_same_thing_twice_is_named() -> None:
    undone = Undoing(
        0.95,
        [Undone("air", 0.9), Undone("process", 0.65), Undone("rpm", 0.6)],
        [
            UndoneTogether("air", "process", 0.9, alike=0.8),
            UndoneTogether("air", "rpm", 0.95, alike=0.1),
            UndoneTogether("process", "rpm", 0.95, alike=0.1),
        ],
    )
    assert first(undone) == "air & rpm"


@pytest.mark.parametrize(("ratio", "attributable"), [(4.0, 0.75), (2.0, 0.5), (1.0, 0.0), (0.5, 0.0), (0.0, 0.0)])
def test_the_attributable_share_is_one_minus_one_over_the_ratio(ratio: float, attributable: float) -> None:
    assert OpenCause("tool_id=T7", ratio, SINCE).attributable == attributable


def test_an_incident_lifts_what_the_part_carries_above_its_symptom_and_says_so() -> None:
    symptom = [Suspect("camera:top", ("camera:top",), 1.0)]
    told = lifted(symptom, [OpenCause("tool_id=T7", 4.1, SINCE)], {"tool_id=T7", "camera:top"})
    best = max(told, key=lambda s: s.share)
    assert best.cause == "tool_id=T7"
    assert best.told == (f"incident since {SINCE.isoformat()}: 4.1 times the expected defects",)


def test_an_incident_of_another_tool_or_of_half_a_pair_changes_nothing() -> None:
    symptom = [Suspect("camera:top", ("camera:top",), 1.0)]
    incidents = [OpenCause("tool_id=T8", 9.0, SINCE), OpenCause("recipe=R2 & tool_id=T7", 9.0, SINCE)]
    assert lifted(symptom, incidents, {"tool_id=T7", "camera:top"}) == symptom


def test_the_same_cause_found_and_taught_is_one_suspect_with_both_sentences() -> None:
    found, taught = Suspect("a", ("a",), 0.4, ("found",)), Suspect("a", ("a",), 0.8, ("taught",))
    both = merged([(0.5, [found]), (0.5, [taught])])
    assert [(s.cause, s.told) for s in both] == [("a", ("found", "taught"))]
    assert both[0].share == pytest.approx(0.6)


share = st.floats(0.0, 1.0)


@given(share, share, share, share, st.lists(st.floats(0.1, 50.0), max_size=4))
def test_shares_never_add_up_to_more_than_one(
    a: float, b: float, both: float, alike: float, ratios: list[float]
) -> None:
    a, b = max(a, b), min(a, b)
    suspects = standing_out(undoing(a, b, both, alike), itself)
    told = lifted(suspects, [OpenCause(f"x={i}", r, SINCE) for i, r in enumerate(ratios)], {f"x={i}" for i in range(9)})
    assert sum(s.share for s in told) <= 1.0 + 1e-9
    assert all(s.share >= 0.0 for s in told)
