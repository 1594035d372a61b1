"""One station's memory: its recent samples, the visits they may fall into, and how far its clock is off."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ingest.join.evidence import StationWindow
from ingest.join.offsets import ClockOffset, run_interval
from ingest.join.parts import PartMemory, VisitMemory
from ingest.join.samples import Chunk, StationSamples
from ingest.join.windows import is_full, reduce_window
from ingest.messages import SensorRecord, Visit
from ingest.plan.plan import Station

VISITS_KEPT = 512  # recent visits a late sample may still fall into; beyond it frozen ones go first
SHARED = 0.5  # of a visit's time with another part's: more than clocks that are a little off would make of neighbours
WATCH_ALL = 16  # the clock is compared with each of the first visits, then, while windows are whole,
WATCH_EVERY = 8  # with one in so many: a clock that drifts is found within a minute


def _by_start(entry: tuple[float, int, str, VisitMemory]) -> tuple[float, int]:
    return entry[:2]


@dataclass(slots=True)
class StationMemory:
    """Samples and visits of one station of one line."""

    station_id: str
    declared: Station | None
    samples: StationSamples
    clock: ClockOffset
    visits: list[tuple[float, int, str, VisitMemory]] = field(default_factory=list)
    pending: dict[int, bool] = field(default_factory=dict)
    by_part: dict[str, list[VisitMemory]] = field(default_factory=dict)
    frozen: list[tuple[str, VisitMemory]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    shared: bool = False  # have parts ever visited at the same time, as in an oven?
    shared_told: bool = False  # to the changelog
    longest_ms: int = 0
    serial: int = 0
    watched: int = 0
    tidy_at: int = VISITS_KEPT

    def enter_visit(self, part: PartMemory, memory: VisitMemory) -> None:
        """From now on samples that fall into this visit reach it."""
        started, ended = int(memory.visit.started_at), int(memory.visit.ended_at)
        self.serial += 1
        self.longest_ms = max(self.longest_ms, ended - started)
        bisect.insort(self.visits, (started, self.serial, part.part_id, memory), key=_by_start)
        self.by_part.setdefault(part.part_id, []).append(memory)
        self.shared = self.shared or self._shares(part.part_id, started, ended)
        if len(self.visits) > self.tidy_at:
            self._tidy()
        for chunk in self.samples.touching(part.part_id, started, ended) if not memory.frozen else ():
            memory.samples_at = max(memory.samples_at, chunk.logged_at)

    def _shares(self, part_id: str, started: int, ended: int) -> bool:
        """Does a visit of another part, next to this one by start, share most of the shorter one's time?"""
        place = bisect.bisect_right(self.visits, (float(started), self.serial), key=_by_start)
        for _, _, other_id, other in self.visits[max(0, place - 2) : place + 1]:
            first, last = int(other.visit.started_at), int(other.visit.ended_at)
            common = min(ended, last) - max(started, first)
            if other_id != part_id and common > SHARED * min(ended - started, last - first):
                return True
        return False

    def book_anew(self, part_id: str, memory: VisitMemory, visit: Visit) -> None:
        """A booking was corrected. Other times: the window is cut again, unless the samples of a full one were let go
        of, as they are when the partition changes hands; then it stands as it was."""
        was, memory.visit = memory.visit, visit
        if visit.ended_at == was.ended_at:
            return
        self.longest_ms = max(self.longest_ms, int(visit.ended_at) - int(visit.started_at))
        if not self.holds_samples_of(part_id, memory, was):
            return
        memory.frozen, memory.dirty = False, True
        for chunk in self.samples.touching(part_id, int(visit.started_at), int(visit.ended_at)):
            self.pending.setdefault(chunk.chunk_id, False)  # a restart needs them again

    def holds_samples_of(self, part_id: str, memory: VisitMemory, visit: Visit) -> bool:
        """Are all samples at hand that this visit's window was cut from?"""
        if memory.window is None or not memory.frozen:
            return True
        return self.samples.cut(part_id, visit.started_at, visit.ended_at)[0].size >= memory.window.samples

    def _tidy(self) -> None:
        """Let go of frozen visits, but for the latest; again when there are twice as many as had to stay."""
        half = VISITS_KEPT // 2
        self.visits = [v for v in self.visits[:-half] if not v[3].frozen] + self.visits[-half:]
        self.by_part = {}
        for _, _, part_id, kept in self.visits:
            self.by_part.setdefault(part_id, []).append(kept)
        self.tidy_at = max(VISITS_KEPT, 2 * len(self.visits))

    def _near(self, chunk: Chunk) -> Iterator[tuple[str, VisitMemory]]:
        """Visits (with their parts) that samples of this chunk fall into, by start."""
        if not chunk.size:
            return
        first, last = chunk.ts_ms[0], chunk.ts_ms[-1]
        if chunk.part_id is not None:
            for memory in self.by_part.get(chunk.part_id, ()):
                if memory.visit.ended_at >= first and memory.visit.started_at <= last:
                    yield chunk.part_id, memory
            return
        low = bisect.bisect_left(self.visits, (first - self.longest_ms, -1), key=_by_start)
        high = bisect.bisect_right(self.visits, (last, self.serial + 1), key=_by_start)
        for _, _, part_id, memory in self.visits[low:high]:
            if memory.visit.ended_at >= first:
                yield part_id, memory

    def enter_samples(self, record: SensorRecord, logged_at: int) -> tuple[Chunk, list[tuple[str, VisitMemory]]]:
        """Keep a record's samples of declared channels (of all, where none is); the visits, with parts, they touch."""
        declared = {c.channel for c in self.declared.channels} if self.declared else set()
        channels = {name: values for name, values in record.channels.items() if not declared or name in declared}
        chunk = self.samples.add(record.part_id, record.ts_ms, channels, self.clock.shift_ms, logged_at)
        self.pending[chunk.chunk_id] = False
        touched = self.touched(chunk)
        for _, memory in touched:
            memory.samples_at = max(memory.samples_at, logged_at)
            memory.dirty = True
        return chunk, touched

    def touched(self, chunk: Chunk) -> list[tuple[str, VisitMemory]]:
        """Unfrozen visits that samples of this chunk fall into."""
        return [(part_id, memory) for part_id, memory in self._near(chunk) if not memory.frozen]

    def window(self, part_id: str, memory: VisitMemory) -> StationWindow | None:
        """This visit's window with all samples that have come; computed again only after new ones."""
        if memory.frozen or not memory.dirty:
            return memory.window
        started, ended = memory.visit.started_at, memory.visit.ended_at
        ts_ms, channels, shift = self.samples.cut(part_id, started, ended)
        memory.dirty = False
        if ts_ms.size:
            # A sample at the very end is the next visit's first where samples are regular: it counts only when needed.
            inside = slice(0, ts_ms.searchsorted(ended)) if ended > started else slice(None)
            within = {name: values[inside] for name, values in channels.items()}
            if is_full(self.declared, ts_ms[inside], within, started, ended):
                self.freeze(part_id, memory)
                ts_ms, channels = ts_ms[inside], within
            memory.window = reduce_window(self.station_id, self.declared, ts_ms, channels, started, ended, shift)
        return memory.window

    def freeze(self, part_id: str, memory: VisitMemory) -> None:
        """No further sample can change this visit's window."""
        memory.frozen = True
        self.frozen.append((part_id, memory))

    def shift_again(self, was_ms: float) -> None:
        """The clock's correction changed from `was_ms`: move what was kept, and let unfinished visits look again."""
        self.samples.shift(self.clock.shift_ms - was_ms, self.clock.shift_ms)
        self.pending = dict.fromkeys(self.samples.chunks, False)
        for _, _, _, memory in self.visits:
            memory.dirty = True

    def watch_clock(self, part_id: str, memory: VisitMemory) -> bool:
        """Compare the edges of activity around a visit with the visit. True when the clock's correction changed."""
        if self.declared is None or not self.declared.channels:
            return False
        self.watched += 1
        if self.watched > WATCH_ALL and memory.frozen and self.watched % WATCH_EVERY:
            return False
        if not self.holds_samples_of(part_id, memory, memory.visit):
            return False  # a neighbour's run would be taken for its own
        started, ended = int(memory.visit.started_at), int(memory.visit.ended_at)
        reach = self.clock.correct_ms * 1.5
        ts_ms, channels, _ = self.samples.cut(part_id, int(started - reach), int(ended + reach))
        if not channels:
            return False
        name = self.declared.channels[0].channel
        values = channels.get(name, next(iter(channels.values())))
        interval = run_interval(ts_ms, abs(values), started, ended)
        return interval is not None and self.clock.observe(*interval)

    def unsettled(self) -> list[int]:
        """Pending chunks that are new, or fall into visits that were frozen since the last call."""
        chunks = {number for number, written in self.pending.items() if not written}
        for part_id, memory in self.frozen:
            started, ended = int(memory.visit.started_at), int(memory.visit.ended_at)
            chunks |= {chunk.chunk_id for chunk in self.samples.touching(part_id, started, ended)}
        self.frozen.clear()
        return sorted(chunks & self.pending.keys())

    def covered(self, chunk: Chunk) -> bool:
        """Do all samples of this chunk lie in visits that need nothing more? Then a restart need not find it."""
        if self.shared and chunk.part_id is None:
            return False  # another part's visit may be booked yet
        inside = np.zeros(chunk.size, dtype=np.bool_)  # not a sum: visits of one part may share samples
        edge = 1e-6 if chunk.part_id is not None else 0.0  # the sample at a visit's end is the next visit's first
        for _, memory in self._near(chunk):
            if memory.frozen:
                low, high = chunk.ts_ms.searchsorted((float(memory.visit.started_at), memory.visit.ended_at + edge))
                inside[low:high] = True
        return bool(inside.all())

    def expire(self, now: int) -> list[Chunk]:
        """Let go of old samples; visits that still wanted them keep the window they have."""
        gone = self.samples.outdated(now)
        for chunk in gone:
            for part_id, memory in self.touched(chunk):
                self.window(part_id, memory)
                self.freeze(part_id, memory)
        self.samples.drop(gone)
        self.gone += [chunk.chunk_id for chunk in gone if self.pending.pop(chunk.chunk_id, False)]
        return gone
