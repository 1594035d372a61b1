"""Causes of one part: ranked, with sentences a person can check, also where no label has taught anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from fusion.causes.ranking import CauseFinder
from fusion.causes.suspects import OpenCause
from fusion.gate import GateJudge
from fusion.history import Counted, HistoryView
from fusion.judge import Judge
from ingest.join.evidence import Evidence
from ingest.messages import Cause, Instant

Make = Callable[..., Evidence]
SINCE = Instant(1_767_592_800_000)
WHOLE = {"tool": "T1", "lot": "S90"}


@pytest.fixture(scope="module")
def gate(judge: Judge) -> GateJudge:
    gate = judge.gate("L1", "EOL")
    assert gate is not None
    return gate


def causes(gate: GateJudge, evidence: Evidence, incidents: Sequence[OpenCause] = ()) -> list[Cause]:
    reading = gate.read(evidence, HistoryView())
    assert reading is not None
    return gate.causes(evidence, reading, incidents)


def finder(gate: GateJudge) -> CauseFinder:
    return gate._finder


def told(cause: Cause) -> str:
    return "\n".join(cause.evidence)


def test_a_channel_is_shown_with_its_band_and_when_in_the_cycle_it_left_it(gate: GateJudge, make: Make) -> None:
    cause = causes(gate, make(941, current=6.0, **WHOLE))[0]
    assert cause.cause == "OP10.current_a"
    assert "good parts" in told(cause)
    assert "over the golden band from" in told(cause)
    assert "of its 2000 ms cycle" in told(cause)


def test_a_camera_is_shown_with_its_frame_and_the_region(gate: GateJudge, make: Make) -> None:
    found = causes(gate, make(942, pit=True, **WHOLE))
    camera = next(cause for cause in found if cause.cause == "camera:top")
    assert camera.kind == "camera"
    assert "region x 10 y 20 8 × 8 px" in told(camera)


def test_a_combination_of_channels_is_shown_with_what_the_two_make_together(gate: GateJudge, make: Make) -> None:
    def together(evidence: Evidence) -> list[str]:
        reading = gate.read(evidence, HistoryView())
        assert reading is not None
        return finder(gate)._witness.of_pair("OP10.oil_c", "OP10.current_a", reading.row)

    product, _ = together(make(951, current=6.0, **WHOLE))
    assert product.startswith("OP10.current_a × OP10.oil_c: ")
    assert "good parts" in product
    assert together(make(952, current=4.0, **WHOLE)) == []


def test_an_open_incident_lifts_the_tool_above_the_channel_that_shows_it(gate: GateJudge, make: Make) -> None:
    part = make(943, current=6.0, tool="T2", lot="S90")
    assert causes(gate, part)[0].cause == "OP10.current_a"
    first, *rest = causes(gate, part, [OpenCause("tool_id=T2", 4.1, SINCE)])
    assert (first.cause, first.kind, first.station_id) == ("tool_id=T2", "attribute", "OP10")
    assert f"incident since {SINCE.isoformat()}: 4.1 times the expected defects" in first.evidence
    assert rest[0].cause == "OP10.current_a"


def test_a_tool_is_shown_with_its_rate_against_expectation_and_what_that_rests_on(gate: GateJudge, make: Make) -> None:
    history = HistoryView(
        rate={"tool_id=T2": 1.4}, counts={"tool_id=T2": Counted(labels=120.0, defects=12.0, expected=3.1)}
    )
    part = make(946, current=6.0, tool="T2", lot="S90")
    reading = gate.read(part, history)
    assert reading is not None
    found = gate.causes(part, reading, [OpenCause("tool_id=T2", 4.1, SINCE)], history)
    assert "released defect rate lately 4.1 times the line's (12.0 of 120 labelled, 3.1 expected" in told(found[0])


def test_an_open_incident_of_another_tool_changes_nothing(gate: GateJudge, make: Make) -> None:
    part = make(944, current=6.0, tool="T2", lot="S90")
    assert causes(gate, part, [OpenCause("tool_id=T1", 9.0, SINCE)]) == causes(gate, part)


def test_a_part_unlike_any_in_training_is_explained_by_what_is_unlike(gate: GateJudge, make: Make) -> None:
    found = causes(gate, make(945, current=40.0, **WHOLE))
    assert found[0].cause == "OP10.current_a"
    assert "no label behind this" in told(found[0])


def test_without_a_model_the_good_parts_alone_tell_what_stands_out_or_that_nothing_does(
    gate: GateJudge, make: Make
) -> None:
    def alone(evidence: Evidence) -> str:
        reading = gate.read(evidence, HistoryView())
        assert reading is not None
        return finder(gate).find(evidence, reading.row, gate._risk, None)[0].cause

    assert alone(make(946, current=6.0, **WHOLE)) == "OP10.current_a"
    assert alone(make(947, pit=True, **WHOLE)) == "camera:top"
    assert alone(make(948, **WHOLE)) == "unknown"


def test_shares_are_ranked_add_up_to_at_most_one_and_equal_parts_get_equal_causes(gate: GateJudge, make: Make) -> None:
    incidents = [OpenCause("tool_id=T2", 3.0, SINCE), OpenCause("OP10.oil_c & tool_id=T2", 5.0, SINCE)]
    for number in range(950, 960):
        part = make(number, current=5.0 + number % 3, pit=number % 2 == 0, tool="T2", lot="S90")
        found = causes(gate, part, incidents)
        shares = [cause.share for cause in found]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.0 + 1e-3
        assert found == causes(gate, part, incidents)
        assert all(cause.evidence for cause in found)
