"""What is taken back is forgotten by the whole fold: it ends as if the decision had never been made.

What may differ is what happened in between: a part that was judged while the decision stood saw it, as it saw every
label that had been released by then, and its verdict stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.history import HALF_LIFE_PARTS
from fusion.judge import Judge
from fusion.partition import Partition
from fusion.training.cases import label_of, released_labels
from fusion.waiting_room import BLOCK_MS
from ingest.folder.replay_folder import DefectRow
from ingest.messages import Box, Defect, Findings, Fitness, Instant, Verdict, Visit
from ingest.plan.plan import Plan
from tests.fusion.test_partition_cameras import partition_of

T0 = 1_767_600_000_000 // BLOCK_MS * BLOCK_MS
CYCLE_MS = 4000
PARTS = 24  # judged before anybody decides anything
BEGIN = T0 + (PARTS + 20) * CYCLE_MS  # of the decisions


class Begun:
    """The state of a partition that has judged its parts, and how to make a partition that takes it over."""

    def __init__(self, state: list[tuple[str, bytes | None]], empty: Callable[[], Partition]) -> None:
        self.state, self.empty = state, empty

    def partition(self) -> Partition:
        partition = self.empty()
        partition.restore(self.state)
        return partition


def judged(partition: Partition, number: int, at: int) -> list[Verdict]:
    """One part, with the camera alone; every fifth is flagged by it."""
    flagged = number % 5 == 0
    frame = Findings(
        part_id=f"P{number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{number}",
        captured_at=Instant(at), inspected_at=Instant(at), score=0.6 if flagged else 0.3 + 0.01 * (number % 7),
        threshold=0.5, fitness=Fitness(ok=True), fingerprint=str(number),
        boxes=[Box(x=40 * number, y=7, width=9, height=9, score=0.9)] if flagged else [],
    )  # fmt: skip
    visit = Visit(
        part_id=f"P{number}", line_id="L1", station_id="OP20", started_at=Instant(at - 1000), ended_at=Instant(at),
        batch_id=f"B{number // 6}", product="P", attributes={"tool_id": f"T{number % 3}"},
    )  # fmt: skip
    rulings = [*partition.take(frame, at), *partition.take(visit, at), *partition.advance(at + 1000)]
    return [ruling.verdict for ruling in rulings]


@pytest.fixture(scope="module")
def begun(plan: Plan, judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Begun:
    home = tmp_path_factory.mktemp("begun")
    partition = partition_of(plan, judge, home)
    for number in range(PARTS):
        judged(partition, number, T0 + number * CYCLE_MS)
    return Begun(partition.changes(), lambda: partition_of(plan, judge, home))


@dataclass(frozen=True)
class Step:
    """After `wait_ms` somebody says something about a part, takes back one of his own decisions (the `number`th that
    stands), or (`what` "part") another part is judged."""

    what: Literal["defect", "ok", "unsure", "undo", "part"]
    number: int = 0
    by: str = "anna"
    source: Literal["inspector", "customer"] = "inspector"
    wait_ms: int = 1000


Event = Defect | int
Told = list[tuple[int, Event]]


def events(steps: Sequence[Step], named: bool) -> tuple[Told, Told]:
    """What comes and when; the same without what was taken back and what takes it back. `named`: an undo says which
    record it means; else it is the same person's latest of that part, as it was written before."""
    told: Told = []
    stands: list[Defect] = []
    gone: list[Defect] = []
    at = BEGIN
    for place, step in enumerate(steps):
        at += step.wait_ms
        name, own = str(place) if named else msgspec.UNSET, [one for one in stands if one.recorded_by == step.by]
        if step.what == "part":
            told.append((at, PARTS + place))
        elif step.what != "undo":
            record = Defect(
                part_id=f"P{5 * step.number}", line_id="L1", recorded_at=Instant(at), source=step.source,
                outcome=step.what, recorded_by=step.by, record_id=name,
            )  # fmt: skip
            told.append((at, record))
            stands += [record] if step.what != "unsure" else []
        elif own:
            meant = own[step.number % len(own)]
            if not named:
                of_part = (meant.part_id, meant.source)
                meant = next(one for one in reversed(own) if (one.part_id, one.source) == of_part)
            undo = msgspec.structs.replace(
                meant,
                recorded_at=Instant(at),
                outcome="unsure",
                comment="undone",
                record_id=name,
                undoes=meant.record_id,
            )
            told.append((at, undo))
            stands.remove(meant)
            gone += [meant, undo]
    return told, [(at, event) for at, event in told if event not in gone]


def played(begun: Begun, told: Told, stops: set[int]) -> Partition:
    """The partition behind all that, taken over at each of `stops`, and behind two parts much later, which count it."""
    partition, kept = begun.partition(), dict(begun.state)
    for number, (at, event) in enumerate(told):
        if isinstance(event, Defect):
            partition.take(event, at)
        else:
            judged(partition, event, at)
        if number in stops:
            kept.update(partition.changes())
            partition = begun.empty()
            partition.restore([(key, body) for key, body in kept.items() if body is not None])
    for number in (900, 901):
        judged(partition, number, BEGIN + 40 * BLOCK_MS + number * CYCLE_MS)
    return partition


def learned(partition: Partition) -> dict[str, object]:
    """What labels have left behind in each thing that learns from them live."""
    history, line = partition.histories["L1"]._history, partition.calibration._lines["L1"]
    scan = partition.scan._lines["L1"].memory._parts
    (book,) = partition.cameras._books.values()
    return {
        "labels of history": {part_id: part.label for part_id, part in history._parts.items()},
        "recalibration": {key: (lot.at, lot.bins, lot.cells) for key, lot in line.lots.items()},
        "labels of recalibration": {key: part.label for key, part in line.parts.items()},
        "scan": {part.part_id: part.label for part in scan.values()},
        "camera": {part_id: looked.label for part_id, looked in book.ledger.parts.items()},
    }


def rates(partition: Partition) -> dict[str, tuple[float, ...]]:
    """Sums of risks, defects and labels of the line and of each attribute value, as of now."""
    history, told = partition.histories["L1"]._history, {}
    for name, tally in (("", history._line), *history._entities.items()):
        fade = math.exp2(-(history._line.at - tally.at) / HALF_LIFE_PARTS)
        told[name] = (tally.risk * fade, tally.defects * fade, tally.labels * fade)
    return told


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["defect", "ok", "undo", "undo", "unsure", "part", "part", "part"]),
        st.integers(0, 2),
        st.sampled_from(["anna", "anna", "ben"]),
        st.sampled_from(["inspector", "inspector", "customer"]),
        st.sampled_from([1, 20_000, 70_000]),
    ),
    min_size=8,
    max_size=24,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, named=st.booleans(), stops=st.sets(st.integers(0, 23), max_size=3))
def test_after_any_decisions_and_take_backs_all_is_as_if_those_taken_back_had_never_been(
    begun: Begun, steps: list[Step], named: bool, stops: set[int]
) -> None:
    """With other parts judged in between, so that some labels have been counted by the time they are taken back."""
    told, without = events(steps, named)
    whole, never = played(begun, told, stops), played(begun, without, set())
    assert learned(whole) == learned(never)
    assert rates(whole) == {name: pytest.approx(sums, abs=1e-9) for name, sums in rates(never).items()}
    assert trained_on(told) == trained_on(without)


def trained_on(told: Told) -> list[object]:
    """The labels that training takes from a recording of this, and what each part's is."""
    rows = [DefectRow(Instant(at), event, n) for n, (at, event) in enumerate(told) if isinstance(event, Defect)]
    labels = released_labels(rows, None)
    parts = sorted({released.defect.part_id for released in labels})
    of_part = {part: [one.defect for one in labels if one.defect.part_id == part] for part in parts}
    return [labels, {part: label_of(records, BEGIN, None) for part, records in of_part.items()}]


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_what_is_taken_back_within_its_block_of_time_was_never_seen_by_any_part(
    begun: Begun, steps: list[Step]
) -> None:
    """Decisions taken back a second later, and some that stand; a part is judged in each block."""
    told: Told = []
    without: Told = []
    for number, step in enumerate(steps):
        at = BEGIN + number * BLOCK_MS
        part = (at + 5000, PARTS + number)
        record = Defect(
            part_id=f"P{step.number}", line_id="L1", recorded_at=Instant(at + 1000), source="audit",
            outcome="ok" if step.what == "ok" else "defect", recorded_by=step.by, record_id=f"r{number}",
        )  # fmt: skip
        undo = Defect(
            part_id=record.part_id, line_id="L1", recorded_at=Instant(at + 2000), source="audit", outcome="unsure",
            recorded_by=step.by, record_id=f"u{number}", undoes=f"r{number}",
        )  # fmt: skip
        stays = step.what == "part"
        told += [(at + 1000, record), *([] if stays else [(at + 2000, undo)]), part]
        without += [*([(at + 1000, record)] if stays else []), part]
    assert verdicts_of(begun, told) == verdicts_of(begun, without)


def verdicts_of(begun: Begun, told: Told) -> list[object]:
    partition, out = begun.partition(), list[Verdict]()
    for at, event in told:
        if isinstance(event, Defect):
            partition.take(event, at)
        else:
            out += judged(partition, event, at)
    return [msgspec.structs.replace(one, risk=_rounded(one.risk), risk_low=None, risk_high=None) for one in out]


def _rounded(risk: float | None) -> float | None:
    """What rounding leaves in decayed sums is no difference."""
    return None if risk is None else round(risk, 6)


def test_labels_counted_before_there_was_a_book_of_records_are_taken_back_too(begun: Begun) -> None:
    told, _ = events([Step("defect", 1), *[Step("part", wait_ms=BLOCK_MS)] * 3], named=False)
    kept = dict(begun.state) | dict(played(begun, told, set()).changes())
    older = begun.empty()
    older.restore([(key, body) for key, body in kept.items() if body is not None and "\x1flabel\x1f" not in key])
    assert older.histories["L1"]._history._parts["P5"].label == 1
    at = BEGIN + 4_000_000
    undo = Defect(
        part_id="P5", line_id="L1", recorded_at=Instant(at), source="inspector", outcome="unsure",
        recorded_by="anna", comment="undone",
    )  # fmt: skip
    older.take(undo, at)
    judged(older, 950, at + 10 * BLOCK_MS)
    assert older.histories["L1"]._history._parts["P5"].label == -1
    assert older.calibration._lines["L1"].lots == {}
