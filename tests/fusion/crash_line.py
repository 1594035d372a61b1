"""A shift of the hand-made line as its log took it, with all that goes wrong; and owners who die while they fold it.

No broker: a `Story` is what a partition's inputs hold, a `Succession` does with them what fusion workers do, cut down
to the order of effects. What an owner did since its last commit is forgotten with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np

from fusion.judge import Judge
from fusion.partition import Partition, Ruling
from ingest.join.changelog import SEPARATOR
from ingest.messages import Box, Defect, Findings, Fitness, Instant, ModelName, SensorRecord, Verdict, Visit
from ingest.plan.plan import Capacity, Plan
from ingest.settings import Settings
from tests.fusion.conftest import CYCLE_MS, PARTS_PER_LOT, SAMPLES, START, Made, drawn

Message = Visit | SensorRecord | Findings | Defect
Taken = tuple[int, Message]  # the log's time, and what it took
State = dict[str, bytes]

LATE_MS, VERY_LATE_MS = 300, 30_000  # how late records come, and three in a hundred
LABEL_MS = 40_000  # from a part to what an inspector says of it
END_MS = 600_000  # after the last record every gate has spoken its last word
DIRT = Box(x=120, y=44, width=31, height=18, score=1.4)


def shift_plan(plan: Plan) -> Plan:
    """The hand-made plan with channels sampled at one rate, so that windows become full, and a queue that is."""
    (line,) = plan.lines
    first, *others = line.stations
    rated = tuple(msgspec.structs.replace(channel, rate_hz=10.0) for channel in first.channels)
    stations = (msgspec.structs.replace(first, channels=rated), *others)
    lines = (msgspec.structs.replace(line, stations=stations, capacity=Capacity(reviews_per_hour=200, queue_max=6.0)),)
    return msgspec.structs.replace(plan, lines=lines)


@dataclass(frozen=True)
class Story:
    """A shift of `parts` parts. From one part number to another the lens is dirty, the camera hangs or is away, there
    is too much current, the station's clock is off. Always: records that come late, frames that come twice, bookings
    that are corrected, parts that come again, labels that are taken back or contradicted."""

    parts: int
    seed: int = 0
    dirt: range = range(0)
    frozen: range = range(0)
    no_camera: range = range(0)
    more_current: range = range(0)
    clock_off: range = range(0)

    def taken(self) -> list[Taken]:
        """All of it in the order of the log."""
        rng = np.random.default_rng(self.seed)
        out: list[Taken] = []
        for slot, (number, again) in enumerate(self._slots()):
            out += self._part(number, START + slot * CYCLE_MS, again, rng)
        out.sort(key=lambda one: one[0])
        return out

    def _slots(self) -> Iterator[tuple[int, bool]]:
        """(part, does it come again) in the order in which the line makes them."""
        for number in range(self.parts):
            yield number, False
            if number >= 12 and number % 17 == 1:
                yield number - 12, True

    def _part(self, number: int, began: int, again: bool, rng: np.random.Generator) -> Iterator[Taken]:
        made, cause = drawn(number, rng)
        if number in self.more_current:
            made = replace(made, current=made.current + 1.2)
        if again:
            made, cause = replace(made, current=4.0, pit=False), ""
        ended = began + 3500

        def late() -> int:
            return int(rng.integers(1, LATE_MS if rng.random() < 0.97 else VERY_LATE_MS))

        for at, record in self._samples(made, began, f"P{number}" if again else None):
            yield at + late(), record
        first, last = self._visits(made, began)
        yield began + 2000 + late(), first
        yield ended + late(), last
        if number not in self.no_camera:
            frame = self._frame(made, began + 3000)
            at = began + 3000 + late()
            yield at, frame
            if number % 11 == 3:
                yield at + late(), frame
        if number % 13 == 5:  # booked anew with another tool
            yield (
                began + 2000 + late() + 400,
                msgspec.structs.replace(first, attributes={**first.attributes, "tool_id": "T9"}),
            )
        if rng.random() < 0.7 and not again:
            yield from self._labels(number, cause, ended, late())

    def _samples(self, made: Made, began: int, part_id: str | None = None) -> Iterator[tuple[int, SensorRecord]]:
        """The samples of one visit in records that end where they like: some hold the next visit's first ones."""
        rng = np.random.default_rng(made.number)
        count = CYCLE_MS // 100 if part_id is None else SAMPLES
        ts = began + np.arange(count) * 100.0
        busy = made.current * (0.8 + 0.4 * np.sin(np.linspace(0, np.pi, SAMPLES)))
        amps = np.pad(busy, (0, count - SAMPLES)) + rng.normal(0, 0.05, count)
        channels = {"current_a": amps, "oil_c": 40.0 + rng.normal(0, 0.5, count)}
        shift = 900.0 if made.number in self.clock_off else 0.0
        for place in np.array_split(np.arange(count), 3):
            cut = {name: values[place] for name, values in channels.items()}
            yield int(ts[place][-1]), SensorRecord("L1", "OP10", ts[place] + shift, cut, part_id)

    def _visits(self, made: Made, began: int) -> tuple[Visit, Visit]:
        booked = {"tool_id": made.tool, "operator_id": f"op{made.number % 3}", "supplier_lot": made.lot}
        lot = f"B{made.number // PARTS_PER_LOT}"
        first = Visit(
            part_id=f"P{made.number}", line_id="L1", station_id="OP10", started_at=Instant(began),
            ended_at=Instant(began + 2000), batch_id=lot, product=made.product, attributes=booked,
        )  # fmt: skip
        last = Visit(
            part_id=f"P{made.number}", line_id="L1", station_id="OP20", started_at=Instant(began + 2500),
            ended_at=Instant(began + 3500), batch_id=lot, product=made.product,
            attributes={"supplier_lot": made.lot},
        )  # fmt: skip
        return first, last

    def _frame(self, made: Made, at: int) -> Findings:
        rng = np.random.default_rng(made.number + 10_000)
        score = float(rng.normal(0.9 if made.pit else 0.3, 0.05))
        boxes = [Box(x=10, y=20, width=8, height=8, score=0.9)] if made.pit else []
        if made.number in self.dirt:
            score, boxes = max(score, 0.8), [*boxes, DIRT]
        return Findings(
            part_id=f"P{made.number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{at}",
            captured_at=Instant(at), inspected_at=Instant(at), score=score, threshold=0.5, boxes=boxes,
            fitness=Fitness(ok=True), model=ModelName(name="vision-top", version="1", sha256="eye"),
            fingerprint="stuck" if made.number in self.frozen else f"{made.number}/{at}",
        )  # fmt: skip

    def _labels(self, number: int, cause: str, ended: int, late: int) -> Iterator[Taken]:
        at = ended + LABEL_MS
        told = Defect(
            part_id=f"P{number}", line_id="L1", recorded_at=Instant(at), source="inspector",
            outcome="defect" if cause else "ok", cause_code=cause, recorded_by="anna", record_id=f"r{number}",
        )  # fmt: skip
        yield at + late, told
        if number % 7 == 2:
            undo = msgspec.structs.replace(
                told, recorded_at=Instant(at + 20_000), outcome="unsure", comment="undone", record_id=f"u{number}",
                undoes=f"r{number}",
            )  # fmt: skip
            yield at + 20_000 + late, undo
        if number % 19 == 4:
            other = "ok" if cause else "defect"
            contradicted = msgspec.structs.replace(told, outcome=other, record_id=f"c{number}", recorded_by="ben")
            yield at + 90_000, msgspec.structs.replace(contradicted, recorded_at=Instant(at + 90_000))


@dataclass(repr=False)
class Ledger:
    """What outlives owners: committed verdicts and state, and how far the inputs were read."""

    state: list[tuple[str, bytes | None]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    offset: int = 0

    def commit(self, partition: Partition, rulings: Sequence[Ruling], offset: int) -> None:
        self.state += partition.changes()
        self.verdicts += [ruling.verdict for ruling in rulings]
        self.offset = offset

    def compacted(self) -> State:
        """The last record of each key, in the order of these; tombstones are gone."""
        last: dict[str, bytes | None] = {}
        for key, body in self.state:
            last.pop(key, None)
            last[key] = body
        return {key: body for key, body in last.items() if body is not None}

    def of_kind(self, *kinds: str) -> State:
        return {key: body for key, body in self.compacted().items() if key.split(SEPARATOR)[1] in kinds}

    def without(self, *kinds: str) -> State:
        return {key: body for key, body in self.compacted().items() if key.split(SEPARATOR)[1] not in kinds}


@dataclass(frozen=True)
class Death:
    """The owner that has read so many records (`at`) dies. `uncommitted`: how many of them since its last commit;
    `away`: records that the log takes until there is a next owner; `relapses`: the next owners, each of which commits
    so many of the records that it has to catch up with, and dies too."""

    at: int
    uncommitted: int = 0
    away: int = 0
    relapses: tuple[int, ...] = ()


@dataclass(frozen=True)
class Succession:
    """One owner after another over one shift. `every`: records of a commit; `compact`: does the log compact its state?
    `live`: can deadlines be missed?"""

    plan: Plan
    judge: Judge
    home: Path
    every: int = 1
    compact: bool = False
    live: bool = False

    def new(self) -> Partition:
        settings = Settings(home=str(self.home), shelf=str(self.home / "shelf"))
        return Partition(self.plan, settings, self.judge, self.live, mode_of=lambda _: "auto", now=lambda at: at)

    def restored(self, ledger: Ledger) -> Partition:
        partition = self.new()
        partition.restore(list(ledger.compacted().items()) if self.compact else list(ledger.state))
        return partition

    def over(self, taken: Sequence[Taken], deaths: Sequence[Death] = ()) -> tuple[Ledger, Partition]:
        """Fold the shift to its end; what the log holds then, and the last owner."""
        ledger, partition, at, rulings = Ledger(), self.new(), 0, list[Ruling]()
        left = sorted(deaths, key=lambda death: death.at)
        while at < len(taken):
            logged_at, message = taken[at]
            rulings += partition.take(message, logged_at, logged_at)
            rulings += partition.advance(logged_at)
            at += 1
            death = left.pop(0) if left and left[0].at <= at else None
            lost = bool(left) and at > left[0].at - left[0].uncommitted
            if (death is None and at % self.every == 0 and not lost) or (death is not None and not death.uncommitted):
                ledger.commit(partition, rulings, at)
                rulings = []
            if death is not None:
                partition, at = self._taken_over(ledger, taken, max(ledger.offset, at + death.away), death.relapses)
                rulings = []
                left = [one for one in left if one.at - one.uncommitted > at]
        rulings += partition.advance(taken[-1][0] + END_MS)
        ledger.commit(partition, rulings, at)
        return ledger, partition

    def _taken_over(
        self, ledger: Ledger, taken: Sequence[Taken], there: int, relapses: Sequence[int]
    ) -> tuple[Partition, int]:
        """The owner that lives, and how far it has read, when so many records are `there`."""
        there = min(len(taken), there)
        now = taken[there - 1][0]
        for records in (*relapses, there):
            partition = self.restored(ledger)
            partition.hold(now)
            end = min(there, ledger.offset + records)
            for logged_at, message in taken[ledger.offset : end]:
                assert partition.take(message, logged_at, now) == []
            if end < there or records < there:
                ledger.commit(partition, [], end)
        ledger.commit(partition, partition.resume(now), there)
        return partition, there
