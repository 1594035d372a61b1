"""History by blocks of event time: the order of judging inside a block, and a restart anywhere, change nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.labels import PartLabel
from fusion.paced_history import PacedHistory
from fusion.waiting_room import BLOCK_MS
from ingest.join.evidence import Evidence
from ingest.messages import Defect, Instant
from ingest.plan.plan import Plan

Make = Callable[..., Evidence]
T0 = 1_767_600_000_000 // BLOCK_MS * BLOCK_MS


def at(evidence: Evidence, ms: int) -> Evidence:
    return dataclasses.replace(evidence, event_at=Instant(T0 + ms))


def label(number: int, ms: int, outcome: Literal["defect", "ok"] = "defect") -> PartLabel:
    at = Instant(T0 + ms)
    return PartLabel.of(Defect(part_id=f"P{number}", line_id="L1", recorded_at=at, source="audit", outcome=outcome), at)


def test_a_part_sees_blocks_before_the_one_before_its_own_and_nothing_younger(plan: Plan, make: Make) -> None:
    history = PacedHistory(plan, "L1")
    for number in range(40):
        history.enter(at(make(number, tool="T1" if number % 4 else "T9"), number), 0.01 if number % 4 else 0.9)
    assert history.view(at(make(99, tool="T9"), 2 * BLOCK_MS - 1)).risk == {}
    assert history.view(at(make(99, tool="T9"), 2 * BLOCK_MS)).risk["tool_id=T9"] > 0.5


def test_a_label_that_comes_before_its_part_was_judged_is_not_lost(plan: Plan, make: Make) -> None:
    history = PacedHistory(plan, "L1")
    history.label(label(1, 500))
    history.label(label(2, 600, "ok"))
    for number in (1, 2):
        history.enter(at(make(number, tool=f"T{number}"), number), 0.1)
    assert history.view(at(make(9, tool="T1"), 3 * BLOCK_MS)).rate["tool_id=T1"] > 0


def test_a_part_judged_anew_on_more_evidence_counts_as_it_is_known_then_once_and_not_after_it_was_counted(
    plan: Plan, make: Make
) -> None:
    first, known = (PacedHistory(plan, "L1") for _ in range(2))
    for number in range(20):
        evidence = at(make(number, tool=f"T{number % 2}"), number)
        first.enter(evidence, 0.9)
        first.amend(evidence, number / 100)
        known.enter(evidence, number / 100)
    later = at(make(99, tool="T1"), 2 * BLOCK_MS)
    assert first.view(later) == known.view(later)
    first.amend(at(make(1, tool="T1"), 1), 0.9)
    assert first.view(later) == known.view(later)
    assert first.view(later).parts == 20


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(24)), restart=st.integers(0, 23))
def test_the_order_of_judging_and_a_restart_change_nothing(
    plan: Plan, make: Make, order: list[int], restart: int
) -> None:
    views = []
    for places, stop in ((list(range(24)), -1), (order, restart)):
        history = PacedHistory(plan, "L1")
        for step, number in enumerate(places):
            evidence = make(number, tool=f"T{number % 3}")
            history.enter(at(evidence, number * 1000), (number % 7) / 10)
            if number % 2:
                history.label(label(number, number * 1000 + 500))
            if step == stop:
                kept = history.changes()
                history = PacedHistory(plan, "L1")
                for key, value in kept:
                    history.restore(key, value)
        views.append(history.view(at(make(99, tool="T1"), 4 * BLOCK_MS)))
    assert views[0] == views[1]
    assert views[0].parts == 24
