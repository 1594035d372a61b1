"""What the join remembers: parts (awake or asleep), stations, clocks; bounded, and with a list of what changed."""

from __future__ import annotations

from collections import Counter, OrderedDict

from ingest.join.evidence import StationWindow
from ingest.join.gather import GateView, attempt_ends
from ingest.join.offsets import ClockOffset
from ingest.join.parts import Asleep, PartMemory, VisitMemory, pack_part, unpack_part
from ingest.join.samples import StationSamples
from ingest.join.stations import StationMemory
from ingest.plan.plan import Line, Plan
from ingest.settings import Settings

PartKey = tuple[str, str]


class Memory:
    """Parts in the order in which they were last heard of, and the stations and cameras of their lines."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self.lines: dict[str, Line] = {line.line_id: line for line in plan.lines}
        self.views: dict[str, dict[str, GateView]] = {
            line.line_id: {gate.gate_id: GateView.of(line, gate) for gate in line.gates} for line in plan.lines
        }
        self.parts: OrderedDict[PartKey, PartMemory | Asleep] = OrderedDict()
        self.stations: dict[tuple[str, str], StationMemory] = {}
        self.cameras: dict[tuple[str, str], ClockOffset] = {}
        self.changed: set[PartKey] = set()
        self.gone: set[PartKey] = set()

    def part(self, line_id: str, part_id: str, logged_at: int) -> PartMemory:
        """The part, made if it was unknown, heard of now."""
        key = (line_id, part_id)
        part = self.known(key)
        if part is None:
            part = self.parts[key] = PartMemory(part_id, line_id, logged_at)
            self.gone.discard(key)
        part.heard_at = max(part.heard_at, logged_at)
        self.parts.move_to_end(key)
        self.changed.add(key)
        return part

    def known(self, key: PartKey) -> PartMemory | None:
        """The part if it is remembered, woken if it slept."""
        part = self.parts.get(key)
        if isinstance(part, Asleep):
            part = self.parts[key] = unpack_part(part.body)
        return part

    def rest(self, part: PartMemory) -> None:
        """When all gates have spoken their last word: keep what a rework would need, packed.

        A passed part keeps its attempts only; one that was flagged may well come back and keeps its evidence.
        """
        views = self.views[part.line_id]
        last = max(views.values(), key=lambda view: view.place)
        if not part.gates.get(last.gate.gate_id) or any(not a.final for _, a in part.attempts()):
            return
        ends = attempt_ends(part, last)
        if any(v.visit.started_at >= ends[-1] for v in part.visits if v.visit.station_id in last.stations and ends):
            return  # on its way to the gate again
        for memory in part.visits:
            self.window(part.line_id, part.part_id, memory)
            if not memory.frozen:
                self.station(part.line_id, memory.visit.station_id).freeze(part.part_id, memory)
        if part.passed:
            gate_stations = {view.gate.after for view in views.values()}
            part.findings, part.named = [], []
            part.visits = [v for v in part.visits if v.visit.station_id in gate_stations]
            for memory in part.visits:
                memory.window = None
        for _, attempt in part.attempts():
            attempt.at_close, attempt.history = [], b""
        self.changed.add(part.key)
        self.parts[part.key] = Asleep(part.heard_at, pack_part(part))

    def outlived(self, now: int) -> PartMemory | None:
        """The oldest part, if it is beyond the limits of time or number; else None."""
        if not self.parts:
            return None
        key, oldest = next(iter(self.parts.items()))
        if len(self.parts) <= self.settings.wip_parts_max and oldest.heard_at >= now - self.settings.wip_ms_max:
            return None
        return self.known(key)

    def forget(self, part: PartMemory) -> None:
        del self.parts[part.key]
        self.changed.discard(part.key)
        self.gone.add(part.key)
        self.counts["parts_forgotten"] += 1

    def station(self, line_id: str, station_id: str) -> StationMemory:
        memory = self.stations.get((line_id, station_id))
        if memory is None:
            declared = next((s for s in self.lines[line_id].stations if s.station_id == station_id), None)
            samples = StationSamples(self.settings.samples_keep_ms, self.settings.samples_station_max)
            clock = ClockOffset(self.settings.clock_correct_ms)
            memory = self.stations[(line_id, station_id)] = StationMemory(station_id, declared, samples, clock)
        return memory

    def camera(self, line_id: str, camera_id: str) -> ClockOffset:
        return self.cameras.setdefault((line_id, camera_id), ClockOffset(self.settings.clock_correct_ms))

    def window(self, line_id: str, part_id: str, memory: VisitMemory) -> StationWindow | None:
        return self.station(line_id, memory.visit.station_id).window(part_id, memory)
