"""When each part is at which station: parts follow one another along the line, several are in it at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.messages import Instant
from ingest.simulate.plant import Ints, LineLayout, stream
from ingest.simulate.roster import Roster

TRANSPORT_MS = 900  # belt between two stations
CLEAR_MS = 400  # a station needs this to let one part out and the next one in
CHANGEOVER_MS = 25_000  # between two batches
STOP_SHARE, STOP_MS = 0.008, 15_000.0  # minor stoppages: how often, and their mean length
CYCLE_SD_MS = 45.0  # operators and robots are not clocks
REWORK_SHARE = 0.012
REWORK_BEHIND = 40  # a reworked part comes back this many parts later (two to three minutes)


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of a part along (some stations of) the line."""

    part: int
    attempt: int
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StationVisits:
    """All visits of one station in order of time. `part` is the place in the roster; times in ms since 1970."""

    station_id: str
    part: Ints
    attempt: Ints
    started_at: Ints
    ended_at: Ints


def draw_schedule(seed: int, layout: LineLayout, roster: Roster, started_at: Instant) -> tuple[StationVisits, ...]:
    """The visits of each station of the line. No two visits of a station overlap."""
    rng = stream(seed, layout.line_id, "schedule")
    passes = _passes(rng, layout, len(roster))
    count = len(passes)
    pause = np.where(rng.random(count) < STOP_SHARE, rng.exponential(STOP_MS, count), 0.0)
    pause += np.abs(rng.normal(0.0, 120.0, count))
    cycles = [np.rint(rng.normal(s.cycle_ms, CYCLE_SD_MS, count)).astype(np.int64) for s in layout.stations]
    nominal = np.cumsum([0.0] + [s.cycle_ms + TRANSPORT_MS for s in layout.stations])
    free = [int(started_at)] * len(layout.stations)
    rows: list[list[tuple[int, int, int, int]]] = [[] for _ in layout.stations]
    entry = float(started_at)
    batch = roster.batch_ids[0]
    for number, run in enumerate(passes):
        if run.attempt == 1 and roster.batch_ids[run.part] != batch:
            batch = roster.batch_ids[run.part]
            entry += CHANGEOVER_MS
        ready = int(entry + nominal[run.places[0]])
        for place in run.places:
            start = max(ready, free[place])
            end = start + int(cycles[place][number])
            rows[place].append((run.part, run.attempt, start, end))
            free[place] = end + CLEAR_MS
            ready = end + TRANSPORT_MS
        entry += layout.takt_ms + pause[number]
    return tuple(_station(layout.stations[place].station_id, rows[place]) for place in range(len(rows)))


def _passes(rng: np.random.Generator, layout: LineLayout, count: int) -> list[Pass]:
    """First passes in order, each reworked part's second one threaded in behind. Rework changes nothing about the part:
    it is inspected again as it is, so that the truth of a part is one."""
    everywhere = tuple(range(len(layout.stations)))
    again = rng.random(count) < REWORK_SHARE
    again[max(count - REWORK_BEHIND, 0) :] = False  # these would come back before they have left
    if count >= 2 * REWORK_BEHIND:
        again[count // 3] = True  # every folder worth the name has one
    which = rng.integers(0, len(layout.rework), count)
    queue: list[tuple[float, Pass]] = []
    for part in range(count):
        queue.append((float(part), Pass(part, 1, everywhere)))
        if again[part]:
            queue.append((part + REWORK_BEHIND + 0.5, Pass(part, 2, layout.rework[which[part]])))
    return [run for _, run in sorted(queue, key=lambda entry: entry[0])]


def _station(station_id: str, rows: list[tuple[int, int, int, int]]) -> StationVisits:
    table = np.array(rows, dtype=np.int64)
    return StationVisits(station_id, table[:, 0], table[:, 1], table[:, 2], table[:, 3])
