"""The join: messages of one partition in, evidence of a part at a gate out (CONTRACT section 6, DESIGN "assemble").

A fold over (message, the log's time) pairs; its only clock is the one passed in. `take` absorbs one message and
returns the gates that closed or got new evidence by it; `advance` fires the timers that are due. Nothing here judges.
"""

from __future__ import annotations

from ingest.join.gates import Closing, Gates
from ingest.join.gather import attempt_ends, attempt_of, visit_attempt
from ingest.join.memory import Memory
from ingest.join.offsets import ClockOffset, frame_interval
from ingest.join.parts import FindingsMemory, PartMemory, VisitMemory
from ingest.messages import Findings, SensorRecord, Visit, encode
from ingest.plan.plan import Plan
from ingest.settings import Settings

JoinMessage = Visit | SensorRecord | Findings
Touched = list[tuple[PartMemory, dict[str, int]]]
NAMED_MAX = 16  # moments at which samples named a part before its visit was booked; the first is what counts


class Assembler:
    """The join of all lines of one partition. `live`: deadlines can be missed (never in a replay)."""

    def __init__(self, plan: Plan, settings: Settings, live: bool) -> None:
        self.memory = Memory(plan, settings)
        self.gates = Gates(self.memory, live)
        self.counts = self.memory.counts

    def take(self, message: JoinMessage, logged_at: int, read_at: int | None = None) -> list[Closing]:
        """Absorb one message the log took at `logged_at`; `read_at` is the clock when a live worker first read it."""
        logged_at = int(logged_at)  # an Instant would be packed as text
        closings = self.gates.advance(logged_at - 1)
        if message.line_id not in self.memory.lines:
            self.counts["unknown_line"] += 1
            return closings
        if isinstance(message, Visit):
            touched = self._take_visit(message, logged_at)
        elif isinstance(message, Findings):
            touched = self._take_findings(message, logged_at)
        else:
            touched = self._take_samples(message, logged_at)
        for part, numbers in touched:
            closings += self.gates.settle(part, logged_at, read_at or logged_at, numbers)
        return self._watched(closings + self.gates.forget(logged_at))

    def advance(self, now: int) -> list[Closing]:
        """Fire the timers due at or before `now`."""
        return self._watched(self.gates.advance(now))

    def resume(self, now: int) -> list[Closing]:
        """End a `Gates.hold`: what closes, in the order in which the parts were made. What was absorbed holds labels
        too, and whoever counts by event time would let a label in before the part it is of."""
        return self._watched(sorted(self.gates.resume(now), key=lambda closing: closing.evidence.event_at))

    def _watched(self, closings: list[Closing]) -> list[Closing]:
        for closing in closings:
            self._watch_stations(closing)
        return closings

    def next_due(self) -> int | None:
        return self.gates.next_due()

    def published(self, closing: Closing, digest: bytes, passed: bool) -> int:
        """A verdict goes out for this closing: its revision number; what it said is remembered."""
        closing.attempt.revision += 1
        closing.attempt.digest = digest
        closing.part.passed = passed
        if closing.part.key in self.memory.parts:
            self.memory.changed.add(closing.part.key)
        return closing.attempt.revision

    # -- one message ---------------------------------------------------------------------------------------------------

    def _take_visit(self, visit: Visit, logged_at: int) -> Touched:
        part = self.memory.part(visit.line_id, visit.part_id, logged_at)
        for known in part.visits_at(visit.station_id):
            if known.visit.started_at == visit.started_at:
                return self._repeat_visit(part, known, visit)
        memory = VisitMemory(visit, logged_at)
        part.visits.append(memory)
        self.memory.station(visit.line_id, visit.station_id).enter_visit(part, memory)
        for findings in part.findings:
            if findings.findings.station_id == visit.station_id:
                self._watch_camera(findings, memory)
        return [(part, self._numbers(part, visit.station_id, visit=visit))]

    def _repeat_visit(self, part: PartMemory, known: VisitMemory, visit: Visit) -> Touched:
        """The same visit booked twice is a repeat; of two that differ the larger record stays, whichever came first."""
        self.counts["repeated_visit"] += 1
        if encode(visit) <= encode(known.visit):
            return []
        self.memory.station(visit.line_id, visit.station_id).book_anew(part.part_id, known, visit)
        return [(part, self._numbers(part, visit.station_id, visit=visit))]

    def _take_findings(self, findings: Findings, logged_at: int) -> Touched:
        part = self.memory.part(findings.line_id, findings.part_id, logged_at)
        clock = self.memory.camera(findings.line_id, findings.camera_id)
        memory = FindingsMemory(findings, logged_at, findings.captured_at + clock.shift_ms, clock.shift_ms)
        for place, known in enumerate(part.findings):
            same = known.findings
            if (same.camera_id, same.captured_at) == (findings.camera_id, findings.captured_at):
                self.counts["repeated_frame"] += 1
                if _rank(findings) <= _rank(same):
                    return []
                part.findings[place] = memory
                break
        else:
            part.findings.append(memory)
        for visit in part.visits_at(findings.station_id):
            self._watch_camera(memory, visit)
        return [(part, self._numbers(part, findings.station_id, at=memory.captured_at))]

    def _take_samples(self, record: SensorRecord, logged_at: int) -> Touched:
        station = self.memory.station(record.line_id, record.station_id)
        chunk, visits = station.enter_samples(record, logged_at)
        for old in station.expire(logged_at):
            self.counts["samples_let_go"] += old.size
        touched: dict[str, tuple[PartMemory, dict[str, int]]] = {}
        if record.part_id is not None and chunk.size:
            part = self.memory.part(record.line_id, record.part_id, logged_at)
            last = float(chunk.ts_ms[-1])
            if len(part.named) < NAMED_MAX:
                part.named.append((record.station_id, last, logged_at))
            touched[part.part_id] = (part, self._numbers(part, record.station_id, at=last))
        for part_id, memory in visits:
            if (record.line_id, part_id) in self.memory.parts:
                part = self.memory.part(record.line_id, part_id, logged_at)
                touched[part_id] = (part, self._numbers(part, record.station_id, visit=memory.visit))
        return list(touched.values())

    def _numbers(
        self, part: PartMemory, station_id: str, visit: Visit | None = None, at: float = 0.0
    ) -> dict[str, int]:
        """gate -> the attempt that evidence from this station concerns, for gates it stands in front of (or at)."""
        numbers: dict[str, int] = {}
        for gate_id, view in self.memory.views[part.line_id].items():
            if station_id in view.stations:
                ends = attempt_ends(part, view)
                numbers[gate_id] = visit_attempt(visit, view, ends) if visit else attempt_of(at, ends)
        return numbers

    # -- clocks --------------------------------------------------------------------------------------------------------

    def _watch_stations(self, closing: Closing) -> None:
        """Compare each station's activity with the visits of a part whose gate has just closed."""
        if not closing.first:
            return
        for memory in closing.part.visits:
            station = self.memory.station(memory.visit.line_id, memory.visit.station_id)
            was = station.clock.shift_ms
            if station.watch_clock(closing.part.part_id, memory):
                station.shift_again(was)
                self._count_clock(station.clock)

    def _watch_camera(self, memory: FindingsMemory, visit: VisitMemory) -> None:
        clock = self.memory.camera(memory.findings.line_id, memory.findings.camera_id)
        captured = memory.findings.captured_at + clock.shift_ms
        if clock.observe(*frame_interval(captured, visit.visit.started_at, visit.visit.ended_at)):
            self._count_clock(clock)

    def _count_clock(self, clock: ClockOffset) -> None:
        self.counts["clock_alarm" if clock.alarmed else "clock_corrected"] += 1


def _rank(findings: Findings) -> tuple[bool, bytes]:
    """Of two findings of the same frame the one with a score counts, then the larger record: order does not matter."""
    return findings.score is not None, encode(findings)
