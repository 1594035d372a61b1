"""Capacity: never more flags than inspectors can clear, the riskiest first, nothing passed silently."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fusion.capacity import CapacityWatch
from fusion.decide import Decision, Standing, decide
from fusion.judge import Judge, Judgement
from fusion.partition import Partition
from fusion.waiting_room import BLOCK_MS
from fusion.watch import Judged
from ingest.errors import BadInput
from ingest.join.evidence import Evidence
from ingest.messages import Instant
from ingest.plan.file import dump_plan, load_plan
from ingest.plan.plan import Capacity, Plan
from ingest.settings import Settings
from tests.fusion.conftest import START

Make = Callable[..., Evidence]
Part = tuple[int, float]  # event time in ms, risk
THRESHOLD = 0.1
PER_HOUR, QUEUE = 240.0, 20.0
FLAGGED_A_BLOCK = PER_HOUR * BLOCK_MS / 3_600_000


def with_capacity(plan: Plan, per_hour: float = PER_HOUR, queue: float = QUEUE) -> Plan:
    capacity = Capacity(reviews_per_hour=per_hour, queue_max=queue)
    return msgspec.structs.replace(plan, lines=(msgspec.structs.replace(plan.lines[0], capacity=capacity),))


def said_of(risk: float | None, decision: Decision, *reasons: str) -> Judgement:
    return Judgement(
        decision=decision, risk=risk, risk_low=None, risk_high=None, threshold=THRESHOLD, reasons=list(reasons),
        causes=[], model=None, audit=False, base_risk=None, blob=b"",
    )  # fmt: skip


def judged_one(watch: CapacityWatch, make: Make, part: Part) -> str:
    """One part through the watch and the decision; what was decided: `pass`, `review` or `capacity`."""
    at, risk = part
    evidence = dataclasses.replace(make(1), part_id=f"P{at}", event_at=Instant(at))
    hold = watch.hold_below("L1", at)
    call = decide(risk, THRESHOLD, Standing(), mode="auto", missed=False, drawn=False, hold_below=hold)
    said = said_of(risk, call.decision, *call.reasons)
    watch.judged(Judged(evidence, said, None, True, Instant(at)))
    return "capacity" if "capacity" in call.reasons else call.decision


def rush(minutes: int, share_flagged: float, seed: int = 0, start: int = START) -> list[Part]:
    """A part every second; so many of them over the threshold."""
    rng = np.random.default_rng(seed)
    over = rng.random(minutes * 60) < share_flagged
    risks = np.where(over, rng.uniform(THRESHOLD, 1.0, len(over)), 0.01)
    return [(start + 1000 * i, float(risk)) for i, risk in enumerate(risks)]


@pytest.mark.parametrize("share", [0.05, 0.2, 1.0])
def test_never_more_is_flagged_than_inspectors_can_clear(plan: Plan, make: Make, share: float) -> None:
    watch, parts = CapacityWatch(with_capacity(plan)), rush(60, share)
    decided = [judged_one(watch, make, part) for part in parts]
    flagged = np.cumsum([said == "review" for said in decided])
    hours = np.arange(1, len(parts) + 1) / 3600.0
    unseen = 2 * share * BLOCK_MS / 1000.0  # what comes in the two blocks that are not counted yet
    assert (flagged <= QUEUE + PER_HOUR * hours + unseen + 5).all()
    assert flagged[-1] >= 0.85 * min(PER_HOUR, share * 3600)  # nor much less
    assert all(said != "pass" for said, (_, risk) in zip(decided, parts, strict=True) if risk >= THRESHOLD)
    assert watch.counts["held_for_capacity"] == decided.count("capacity") == watch.told()[0]["held"]


def test_the_riskiest_are_flagged_and_the_rest_is_held(plan: Plan, make: Make) -> None:
    watch, parts = CapacityWatch(with_capacity(plan)), rush(60, 0.2)
    decided = [judged_one(watch, make, part) for part in parts]
    late = range(1200, len(parts))
    flagged = [parts[i][1] for i in late if decided[i] == "review"]
    held = [parts[i][1] for i in late if decided[i] == "capacity"]
    assert np.median(flagged) > 0.75
    assert np.median(held) < 0.5


def test_a_line_with_time_to_spare_or_without_a_capacity_holds_nothing(plan: Plan, make: Make) -> None:
    idle = CapacityWatch(with_capacity(plan))
    assert "capacity" not in {judged_one(idle, make, part) for part in rush(60, 0.04)}
    free = CapacityWatch(plan)
    assert "capacity" not in {judged_one(free, make, part) for part in rush(10, 1.0)}
    assert free.told() == []


def test_after_a_rush_and_a_pause_nothing_is_held_any_more(plan: Plan, make: Make) -> None:
    watch = CapacityWatch(with_capacity(plan))
    assert "capacity" in {judged_one(watch, make, part) for part in rush(20, 0.5)}
    later = rush(10, 0.02, start=START + 8 * 3_600_000)
    assert "capacity" not in {judged_one(watch, make, part) for part in later}


def test_decisions_do_not_depend_on_the_order_of_judging_within_a_block(plan: Plan, make: Make) -> None:
    parts = rush(30, 0.3)
    rng = np.random.default_rng(1)
    shaken = sorted(parts, key=lambda part: (part[0] // BLOCK_MS, rng.random()))
    in_order, in_disorder = CapacityWatch(with_capacity(plan)), CapacityWatch(with_capacity(plan))
    told = {part: judged_one(in_order, make, part) for part in parts}
    assert told == {part: judged_one(in_disorder, make, part) for part in shaken}
    assert "capacity" in told.values()


def test_the_account_moves_with_its_partition(plan: Plan, make: Make) -> None:
    parts, asked = rush(30, 0.3), with_capacity(plan)
    one, first = CapacityWatch(asked), CapacityWatch(asked)
    told = [judged_one(one, make, part) for part in parts]
    before = [judged_one(first, make, part) for part in parts[:900]]
    kept: dict[tuple[str, str], bytes | None] = {}
    for line_id, key, value in first.changes():
        kept[line_id, key] = value
    second = CapacityWatch(asked)
    for (line_id, key), value in kept.items():
        second.restore(line_id, key, value)
    assert second.changes() == []
    assert before + [judged_one(second, make, part) for part in parts[900:]] == told


def test_parts_that_a_person_must_see_anyway_do_not_hold_the_riskiest_for_hours(plan: Plan, make: Make) -> None:
    """A camera out for two hours: every part is `cannot_tell`; a while after it is back, flags come through again."""
    watch = CapacityWatch(with_capacity(plan))
    for at, _ in rush(120, 0.0):
        evidence = dataclasses.replace(make(1), part_id=f"P{at}", event_at=Instant(at))
        watch.hold_below("L1", at)
        watch.judged(Judged(evidence, said_of(None, "cannot_tell", "evidence_missing"), None, True, Instant(at)))
    after = rush(60, 0.04, start=START + 120 * 60_000)
    decided = [judged_one(watch, make, part) for part in after]
    assert "review" in decided[600:1200]
    assert "capacity" not in decided[2400:]


def test_a_missed_deadline_counts_by_the_answer_right_behind_it(plan: Plan, make: Make) -> None:
    watch, at = CapacityWatch(with_capacity(plan)), START
    evidence = dataclasses.replace(make(1), event_at=Instant(at))
    watch.hold_below("L1", at)
    watch.changes()
    watch.judged(Judged(evidence, said_of(None, "cannot_tell", "deadline_missed"), None, True, Instant(at)))
    assert watch.changes() == []
    answer = said_of(0.9, "review", "risk_over_threshold")
    watch.judged(Judged(evidence, answer, None, False, Instant(at)))
    assert len(watch.changes()) == 1
    watch.judged(Judged(evidence, answer, None, False, Instant(at)))
    assert watch.changes() == []


def test_a_plan_whose_inspectors_clear_nothing_is_refused_with_its_line(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(dump_plan(with_capacity(plan)))
    assert load_plan(file).lines[0].capacity == Capacity(reviews_per_hour=PER_HOUR, queue_max=QUEUE)
    file.write_text(dump_plan(with_capacity(plan, per_hour=0.0, queue=0.0)))
    with pytest.raises(
        BadInput, match=r"plan.yaml:\d+: .*queue_max must be 1 at least.*reviews_per_hour must be greater"
    ):
        load_plan(file)


def test_a_part_that_is_held_says_so_and_its_revision_too(plan: Plan, judge: Judge, make: Make, tmp_path: Path) -> None:
    """Through the judge: with no token left, a part over the threshold is `cannot_tell`, never a pass."""
    partition = Partition(
        with_capacity(plan),
        Settings(home=str(tmp_path)),
        judge,
        live=False,
        mode_of=lambda _: "auto",
        now=lambda at: at,
    )
    part = make(500, current=6.0)
    view = msgspec.structs.replace(partition.history("L1").view(part), hold_below=2.0)
    said = judge.judge(part, view, "auto", missed=False)
    assert (said.decision, said.reasons[:2]) == ("cannot_tell", ["capacity", "risk_over_threshold"])
    assert said.causes
    assert judge.judge(part, msgspec.structs.replace(view, hold_below=0.0), "auto", missed=False).decision == "review"
