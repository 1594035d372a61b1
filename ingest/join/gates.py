"""Gates open, close and revise (CONTRACT section 6); the timers that make them, and what a takeover finds."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from ingest.join.evidence import Evidence
from ingest.join.gather import GateView, attempt_ends, gather
from ingest.join.memory import Memory, PartKey
from ingest.join.parts import Attempt, PartMemory


@dataclass(frozen=True, slots=True)
class Closing:
    """A gate closed for a part (`first`), or its evidence changed. `at`: the log's time of it. `missed`: the deadline
    had passed before a worker saw the part. `part` and `attempt` are the join's own, handed back to `published`."""

    evidence: Evidence
    at: int
    missed: bool
    first: bool
    attempt: Attempt
    part: PartMemory


@dataclass(order=True, slots=True)
class _Timer:
    due_at: int
    serial: int
    kind: str
    key: PartKey
    gate_id: str
    number: int


class Gates:
    """The gates of all lines of one partition. `live`: deadlines can be missed (never in a replay)."""

    def __init__(self, memory: Memory, live: bool) -> None:
        self.memory = memory
        self.live = live
        self._timers: list[_Timer] = []
        self._serial = 0
        self._holding = False

    @property
    def holding(self) -> bool:
        return self._holding

    def settle(self, part: PartMemory, at: int, read_at: int, numbers: dict[str, int]) -> list[Closing]:
        """Open, close and revise this part's gates. `numbers`: gate -> first attempt that new evidence concerns."""
        closings: list[Closing] = []
        for gate_id, view in self.memory.views[part.line_id].items():
            self._open_due(part, view, at, read_at)
            touched = numbers.get(gate_id)
            for attempt in part.gates.get(gate_id, ()):
                if attempt.is_open or (touched is not None and attempt.number >= touched):
                    closings += self._look(part, view, attempt, at)
        if not self.holding and not closings:
            self.memory.rest(part)
        return closings

    def _open_due(self, part: PartMemory, view: GateView, at: int, read_at: int) -> None:
        ends = attempt_ends(part, view)
        attempts = part.gates.setdefault(view.gate.gate_id, [])
        behind = any(view.line.order(v.visit.station_id) > view.place for v in part.visits)
        wanted = max(len(ends), 1 if behind else 0)
        while len(attempts) < wanted:
            attempts.append(Attempt(len(attempts) + 1))
        for attempt in attempts[:wanted]:
            if attempt.opened_at is None:
                self._open(part, view, attempt, at, read_at)
        named_at = _named_beyond(part, view, ends)
        if named_at is not None and len(attempts) == len(ends):
            attempt = Attempt(len(ends) + 1, booked_at=round(named_at + view.gate.booking_ms))
            attempts.append(attempt)
            self._time("book", part, view, attempt)

    def _open(self, part: PartMemory, view: GateView, attempt: Attempt, at: int, read_at: int) -> None:
        attempt.opened_at = at
        attempt.due_at = round(at + view.gate.deadline_ms)
        attempt.missed = self.live and attempt.due_at < read_at
        self._time("deadline", part, view, attempt)
        self.memory.counts["gates_opened"] += 1

    def _look(self, part: PartMemory, view: GateView, attempt: Attempt, at: int) -> list[Closing]:
        """Close an open gate whose needs are met; hand on new evidence of a closed one while it may be revised."""
        if self._holding:
            part.unseen = part.unseen or not self._is_final(view, attempt, at)
            self.memory.changed.add(part.key)
            return []
        if attempt.is_open:
            evidence = self._gather(part, view, attempt)
            return self._close(part, view, attempt, at, evidence) if evidence.complete else []
        if attempt.closed_at is None:
            return []
        if attempt.final:
            self.memory.counts["too_late"] += 1
            return []
        return [Closing(self._gather(part, view, attempt), at, False, False, attempt, part)]

    def _is_final(self, view: GateView, attempt: Attempt, at: int) -> bool:
        """Had the attempt spoken its last word by `at`? While holding no timer says so."""
        return attempt.final or (attempt.closed_at is not None and _final_at(view, attempt) < at)

    def _close(
        self, part: PartMemory, view: GateView, attempt: Attempt, at: int, evidence: Evidence | None = None
    ) -> list[Closing]:
        evidence = evidence or self._gather(part, view, attempt)
        attempt.closed_at = at
        attempt.at_close = list(evidence.present)
        self._time("final", part, view, attempt)
        self.memory.changed.add(part.key)
        first = Closing(evidence, at, attempt.missed, True, attempt, part)
        if not attempt.missed:
            return [first]
        self.memory.counts["deadline_missed"] += 1
        return [first, Closing(evidence, at, False, False, attempt, part)]

    def _gather(self, part: PartMemory, view: GateView, attempt: Attempt) -> Evidence:
        at_close = attempt.at_close if attempt.closed_at is not None else None
        return gather(
            part, view, attempt.number, at_close, lambda memory: self.memory.window(part.line_id, part.part_id, memory)
        )

    # -- time ----------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """When the next timer is due, None without one."""
        return self._timers[0].due_at if self._timers else None

    def advance(self, now: int) -> list[Closing]:
        """Fire the timers due at or before `now`, in order."""
        closings: list[Closing] = []
        while self._timers and self._timers[0].due_at <= now and not self.holding:
            closings += self._fire(heapq.heappop(self._timers))
        return closings

    def _fire(self, timer: _Timer) -> list[Closing]:
        if timer.key not in self.memory.parts:
            return []
        part = self.memory.known(timer.key)
        assert part is not None
        attempts = part.gates.get(timer.gate_id, [])
        if timer.number > len(attempts):
            return []
        attempt, view = attempts[timer.number - 1], self.memory.views[part.line_id][timer.gate_id]
        if timer.kind == "book" and attempt.opened_at is None:
            self.memory.changed.add(part.key)
            if attempt is attempts[-1] and _named_beyond(part, view, attempt_ends(part, view)) is None:
                attempts.pop()  # a corrected booking has since taken in what named it
                self.memory.rest(part)
                return []
            self._open(part, view, attempt, timer.due_at, timer.due_at)
            return self._look(part, view, attempt, timer.due_at)
        if timer.kind == "deadline" and attempt.is_open:
            return self._close(part, view, attempt, timer.due_at)
        if timer.kind == "final" and attempt.closed_at is not None:
            attempt.final = True
            self.memory.changed.add(part.key)
        self.memory.rest(part)
        return []

    def _time(self, kind: str, part: PartMemory, view: GateView, attempt: Attempt) -> None:
        due = {
            "book": attempt.booked_at or 0,
            "deadline": attempt.due_at,
            "final": _final_at(view, attempt),
        }[kind]
        self._serial += 1
        heapq.heappush(self._timers, _Timer(due, self._serial, kind, part.key, view.gate.gate_id, attempt.number))

    # -- takeover and forgetting ---------------------------------------------------------------------------------------

    def restore_timers(self, part: PartMemory) -> None:
        """Set the timers of a part that was read back from the changelog."""
        for gate_id, attempt in part.attempts():
            view = self.memory.views[part.line_id].get(gate_id)
            if view is None or attempt.final:
                continue
            if attempt.closed_at is not None:
                self._time("final", part, view, attempt)
            elif attempt.opened_at is not None:
                self._time("deadline", part, view, attempt)
            else:
                self._time("book", part, view, attempt)

    def hold(self, now: int) -> None:
        """Took the partition over: open gates past their deadline are missed; from here absorb without closing."""
        self._holding = True
        for part in self.memory.parts.values():
            if isinstance(part, PartMemory):
                for _, attempt in part.attempts():
                    attempt.missed = attempt.missed or (self.live and attempt.is_open and attempt.due_at < now)

    def resume(self, now: int) -> list[Closing]:
        """All has been read that was there at takeover: close what is ready or overdue, revise what changed since a
        worker last judged (it may have been another one, who lost the partition before it had caught up)."""
        self._holding = False
        closings: list[Closing] = []
        for part in [p for p in self.memory.parts.values() if isinstance(p, PartMemory) and p.unseen]:
            part.unseen = False
            self.memory.changed.add(part.key)
            everything = dict.fromkeys(self.memory.views[part.line_id], 1)
            closings += self.settle(part, part.heard_at, part.heard_at, everything)
        return closings + self.advance(now)

    def forget(self, now: int) -> list[Closing]:
        """Forget the oldest parts beyond the limits; an open gate among them closes with what it has."""
        closings: list[Closing] = []
        while not self.holding and (part := self.memory.outlived(now)) is not None:
            for gate_id, attempt in list(part.attempts()):
                if attempt.is_open:
                    closings += self._close(part, self.memory.views[part.line_id][gate_id], attempt, now)
            self.memory.forget(part)
        return closings


def _final_at(view: GateView, attempt: Attempt) -> int:
    return round((attempt.closed_at or 0) + view.gate.late_ms)


def _named_beyond(part: PartMemory, view: GateView, ends: list[int]) -> int | None:
    """When findings or samples first named the part at the gate after its last booked attempt; None if none did."""
    last = ends[-1] if ends else float("-inf")
    station = view.gate.after
    times = [f.logged_at for f in part.findings if f.findings.station_id == station and f.captured_at > last]
    times += [logged for named, moment, logged in part.named if named == station and moment > last]
    return min(times, default=None)
