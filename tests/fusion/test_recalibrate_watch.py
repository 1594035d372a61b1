"""The watch of calibration: remembered risks meet their labels, by blocks of event time, through restarts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.calibration.correction import Recalibration, groups_of
from fusion.calibration.watch import RecalibrationWatch
from fusion.gate import GateJudge
from fusion.history import HistoryView
from fusion.judge import Judge
from fusion.labels import LabelBook, PartLabel
from fusion.partition import Partition
from fusion.waiting_room import BLOCK_MS
from fusion.watch import Judged
from ingest.join.evidence import Evidence
from ingest.messages import Defect, Findings, Fitness, Instant, Verdict, Visit
from ingest.plan.plan import Plan
from ingest.settings import Settings

Make = Callable[..., Evidence]
T0 = 1_767_600_000_000 // BLOCK_MS * BLOCK_MS
PARTS, LOT, DELAY_MS = 240, 12, 90_000
Step = tuple[int, Judged | Defect]


@pytest.fixture(scope="module")
def gate(judge: Judge) -> GateJudge:
    found = judge.gate("L1", "EOL")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def steps(judge: Judge, gate: GateJudge, make: Make) -> list[Step]:
    """Parts that score well, and their labels: from part 100 on one in three is a defect all the same."""
    out: list[Step] = []
    for number in range(PARTS):
        at = T0 + number * 4000
        evidence = dataclasses.replace(make(number), event_at=Instant(at), batch_id=f"B{number // LOT}")
        judgement = judge.judge(evidence, HistoryView(), "auto", False)
        out.append((at + 500, Judged(evidence, judgement, gate, True, Instant(at + 500))))
        out.append((at + DELAY_MS, label(number, at + DELAY_MS, bad=number >= 100 and number % 3 == 0)))
    return sorted(out, key=lambda step: step[0])


def label(number: int, at: int, bad: bool, source: str = "audit") -> Defect:
    outcome = "defect" if bad else "ok"
    return Defect(
        part_id=f"P{number}", line_id="L1", recorded_at=Instant(at), source=source, outcome=outcome  # type: ignore[arg-type]
    )  # fmt: skip


def told(watch: RecalibrationWatch, gate: GateJudge, at: int) -> Recalibration | None:
    return watch.at("L1", "EOL", gate.model, at)


def played(plan: Plan, gate: GateJudge, steps: Sequence[Step], restarts: Sequence[int] = ()) -> list[object]:
    """What parts were told every ten steps, by event time, and what is open in the end."""
    watch, said = RecalibrationWatch(plan), {}
    kept: dict[tuple[str, str], bytes | None] = {}
    for number, (at, step) in enumerate(steps):
        if isinstance(step, Judged):
            said[int(step.evidence.event_at)] = told(watch, gate, int(step.evidence.event_at))
            watch.judged(step)
        else:
            watch.label(PartLabel.of(step, at))
        if number in restarts:
            kept.update({(line_id, key): body for line_id, key, body in watch.changes()})
            watch = RecalibrationWatch(plan)
            for (line_id, key), body in kept.items():
                watch.restore(line_id, key, body)
    end = told(watch, gate, T0 + 10_000_000)
    return [sorted(said.items(), key=lambda item: item[0]), end, watch.incidents(), watch.figures()]


def test_labels_that_contradict_the_risks_correct_them_and_open_one_incident(
    plan: Plan, gate: GateJudge, steps: list[Step]
) -> None:
    said, end, incidents, figures = played(plan, gate, steps)
    assert isinstance(said, list)
    assert isinstance(end, Recalibration)
    assert isinstance(incidents, list)
    before = [one for at, one in said if at < T0 + 100 * 4000 + DELAY_MS]
    assert set(before) == {None}
    assert end.corrected(-5.0) > -3.0
    assert [one.incident for one in incidents] == ["miscalibrated"]
    assert abs(incidents[0].since - (T0 + 100 * 4000)) <= 2 * LOT * 4000
    assert "EOL mean" in incidents[0].what
    assert "lots" in incidents[0].what
    assert figures[0]["correction"]["labels"] == end.labels  # type: ignore[index]


def test_a_part_is_told_nothing_of_its_own_block_or_the_one_before(
    plan: Plan, gate: GateJudge, steps: list[Step]
) -> None:
    said = played(plan, gate, steps)[0]
    assert isinstance(said, list)
    assert all(one is None or one.since <= (at // BLOCK_MS - 1) * BLOCK_MS for at, one in said)


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_neither_restarts_nor_the_order_of_judging_change_what_parts_are_told(
    data: st.DataObject, plan: Plan, gate: GateJudge, steps: list[Step]
) -> None:
    """Parts whose judging is put off behind up to five others, as a takeover does, and restarts anywhere."""
    late = data.draw(st.lists(st.integers(0, 6), min_size=len(steps), max_size=len(steps)))
    disturbed = _disturbed(steps, late)
    restarts = data.draw(st.lists(st.integers(0, len(steps) - 1), max_size=4))
    assert played(plan, gate, disturbed, restarts) == played(plan, gate, steps)


def _disturbed(steps: Sequence[Step], late: Sequence[int]) -> list[Step]:
    places = [n + late[n] if isinstance(step[1], Judged) else n for n, step in enumerate(steps)]
    return [steps[n] for n in sorted(range(len(steps)), key=lambda n: (places[n], n))]


def test_labels_of_complaints_and_of_challenges_are_left_out(plan: Plan, gate: GateJudge, steps: list[Step]) -> None:
    for source in ("customer", "challenge"):
        other = [
            (at, msgspec.structs.replace(step, source=source) if isinstance(step, Defect) else step)
            for at, step in steps
        ]
        _, end, incidents, _ = played(plan, gate, other)
        assert end is None
        assert incidents == []


def test_a_correction_is_of_one_model_and_another_begins_anew(plan: Plan, gate: GateJudge, steps: list[Step]) -> None:
    watch = RecalibrationWatch(plan)
    for at, step in steps:
        if isinstance(step, Judged):
            watch.judged(step)
        else:
            watch.label(PartLabel.of(step, at))
    assert told(watch, gate, T0 + 10_000_000) is not None
    assert watch.at("L1", "EOL", "another model", T0 + 10_000_000) is None


def test_a_later_record_of_a_part_corrects_the_earlier_one(plan: Plan, gate: GateJudge, steps: list[Step]) -> None:
    at = T0 + PARTS * 4000 + 2 * DELAY_MS
    again = [(at + n, label(n, at + n, bad=False)) for n in range(100, PARTS)]
    watch = played(plan, gate, [*steps, *again])
    assert watch[1] is None
    assert watch[2] == []


def test_what_was_concluded_from_labels_that_were_taken_back_is_forgotten(
    plan: Plan, gate: GateJudge, steps: list[Step]
) -> None:
    watch, never, book = RecalibrationWatch(plan), RecalibrationWatch(plan), LabelBook()

    def say(record: Defect, at: int, *watches: RecalibrationWatch) -> None:
        said = book.take(record, at)
        assert said is not None
        for one in watches:
            one.label(said)

    slips = []
    for at, step in steps:
        if isinstance(step, Judged):
            for one in (watch, never):
                told(one, gate, int(step.evidence.event_at))
                one.judged(step)
        else:
            record = msgspec.structs.replace(step, record_id=f"of {step.part_id}")
            slips += [record] if record.outcome == "defect" else []
            say(record, at, *([watch] if record.outcome == "defect" else [watch, never]))
    end = T0 + PARTS * 4000 + 2 * DELAY_MS
    assert told(watch, gate, end) is not None
    assert [one.incident for one in watch.incidents()] == ["miscalibrated"]
    for n, slip in enumerate(slips):
        undo = msgspec.structs.replace(slip, recorded_at=Instant(end + n), outcome="unsure", undoes=slip.record_id)
        say(msgspec.structs.replace(undo, record_id=f"undo {n}"), end + n, watch)
    assert told(watch, gate, end + 5 * BLOCK_MS) is None
    assert told(never, gate, end + 5 * BLOCK_MS) is None
    assert watch.incidents() == []
    ((kept,), (same,)) = (one._lines["L1"].gates.values() for one in (watch, never))
    assert (kept.start, kept.since) == (same.start, same.since) == (0, None)
    assert watch._lines["L1"].lots == never._lines["L1"].lots
    assert told(watch, gate, end - BLOCK_MS) is not None  # what was in force then stays so


# -- in the fold ------------------------------------------------------------------------------------------------------


def stream(partition: Partition, numbers: range, restart: Callable[[Partition], Partition] | None) -> list[Verdict]:
    """Parts through the fold with the camera alone; labels two minutes later contradict the risks from the start."""
    out = []
    for n in numbers:
        at = T0 + n * 4000 + 3500
        frame = Findings(
            part_id=f"P{n}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{n}",
            captured_at=Instant(at), inspected_at=Instant(at), score=0.3 + 0.01 * (n % 7), threshold=0.5,
            fitness=Fitness(ok=True), boxes=[], fingerprint=str(n),
        )  # fmt: skip
        visit = Visit(
            part_id=f"P{n}", line_id="L1", station_id="OP20", started_at=Instant(at - 1000), ended_at=Instant(at),
            batch_id=f"B{n // LOT}", product="P",
        )  # fmt: skip
        out += [*partition.take(frame, at), *partition.take(visit, at), *partition.advance(at + 1000)]
        if n >= 30:
            out += partition.take(label(n - 30, at + 1001, bad=n % 3 == 0), at + 1001)
        if restart is not None and n % 50 == 17:
            partition = restart(partition)
    return [ruling.verdict for ruling in out]


def fresh(plan: Plan, judge: Judge, home: Path) -> Partition:
    settings_ = Settings(home=str(home), shelf=str(home / "shelf"))
    return Partition(plan, settings_, judge, live=False, mode_of=lambda _: "auto", now=lambda at: at)


def test_verdicts_follow_released_labels_and_a_takeover_changes_none(plan: Plan, judge: Judge, tmp_path: Path) -> None:
    kept: dict[str, bytes | None] = {}

    def taken_over(partition: Partition) -> Partition:
        kept.update(dict(partition.changes()))
        after = fresh(plan, judge, tmp_path)
        after.restore([(key, body) for key, body in kept.items() if body is not None])
        return after

    through = stream(fresh(plan, judge, tmp_path), range(200), None)
    assert stream(fresh(plan, judge, tmp_path), range(200), taken_over) == through
    risks = [verdict.risk for verdict in through if verdict.risk is not None]
    assert risks[-1] > 4 * risks[0]
    assert [verdict.decision for verdict in through[-5:]] == ["review"] * 5


def test_a_part_is_corrected_by_the_offset_of_what_it_came_without_and_of_its_product(
    gate: GateJudge, make: Make
) -> None:
    offsets = {"without=camera:top": (1.0, 0.01), "product=another": (2.0, 0.01)}
    correction = Recalibration(model=gate.model, since=0, shift=0.3, low=-9.0, high=9.0, labels=9, offsets=offsets)
    moved = {}
    for name, sources in (("all", ("camera:top", "sensors:OP10")), ("no camera", ("sensors:OP10",))):
        reading = gate.read(make(1, sources=sources), HistoryView(recalibration=correction))
        assert reading is not None
        risk = reading.estimate.risk
        moved[name] = math.log(risk / (1.0 - risk)) - reading.estimate.own
    assert moved == {"all": pytest.approx(0.3), "no camera": pytest.approx(1.3)}


def test_labels_are_counted_by_the_sources_and_the_product_of_their_parts(
    plan: Plan, gate: GateJudge, steps: list[Step]
) -> None:
    watch = RecalibrationWatch(plan)
    for at, step in steps:
        if isinstance(step, Judged):
            watch.judged(step)
        else:
            watch.label(PartLabel.of(step, at))
    told(watch, gate, T0 + 10_000_000)
    lots = watch._lines["L1"].lots.values()
    assert {tuple(groups_of(cell)) for lot in lots for cell in lot.cells} == {("without=", "product=P")}
    assert not any(lot.bins for lot in lots)
