"""From what is remembered of a part to the evidence of one attempt at one gate. Pure, whatever order things came in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ingest.join.evidence import Evidence, StationWindow
from ingest.join.parts import FindingsMemory, PartMemory, VisitMemory
from ingest.messages import Findings, Instant, Visit
from ingest.plan.plan import Gate, Line

WindowOf = Callable[[VisitMemory], StationWindow | None]


@dataclass(frozen=True, slots=True)
class GateView:
    """A gate with what the plan says of the places in front of it."""

    line: Line
    gate: Gate
    place: int
    stations: frozenset[str]
    cameras: dict[str, str]

    @classmethod
    def of(cls, line: Line, gate: Gate) -> GateView:
        place = line.order(gate.after)
        stations = frozenset(s.station_id for s in line.stations[: place + 1])
        cameras = {c.camera_id: c.station_id for c in line.cameras if c.station_id in stations}
        return cls(line, gate, place, stations, cameras)


def attempt_ends(part: PartMemory, view: GateView) -> list[int]:
    """When each attempt's visit at the gate's station ended: a visit that starts at or after an attempt's end begins
    the next one (CONTRACT section 6, *Attempts*)."""
    ends: list[int] = []
    visits = sorted((int(v.visit.started_at), int(v.visit.ended_at)) for v in part.visits_at(view.gate.after))
    for started, ended in visits:
        if not ends or started >= ends[-1]:
            ends.append(ended)
    return ends


def attempt_of(at: float, ends: list[int]) -> int:
    """Number of the attempt that evidence of this event time belongs to."""
    return 1 + sum(1 for end in ends if at > end)


def visit_attempt(visit: Visit, view: GateView, ends: list[int]) -> int:
    """Number of the attempt a visit belongs to: by its start, which at the gate's own station begins the next."""
    return 1 + sum(1 for end in ends if visit.started_at >= end)


def gather(part: PartMemory, view: GateView, number: int, at_close: list[str] | None, window_of: WindowOf) -> Evidence:
    """The evidence of attempt `number`. `at_close`: the sources it had when its gate closed, None while it is open."""
    ends = attempt_ends(part, view)
    visits, current = _select_visits(part, view, number, ends)
    findings = _select_findings(part, view, number, ends, {v.visit.station_id for v in current})
    windows = _select_windows(visits, window_of)
    present, missing, unfit = _sort_sources(view, windows, findings)
    logged = [v.logged_at for v in visits] + [f.logged_at for kept in findings.values() for f in kept]
    logged += [v.samples_at for v in visits]
    known = visits[-1].visit if visits else None
    return Evidence(
        line_id=part.line_id,
        gate_id=view.gate.gate_id,
        part_id=part.part_id,
        attempt=number,
        product=known.product if known else "",
        batch_id=known.batch_id if known else "",
        visits=tuple(v.visit for v in visits),
        windows=windows,
        findings={camera: tuple(f.findings for f in kept) for camera, kept in findings.items()},
        present=present,
        missing=missing,
        unfit=unfit,
        late=() if at_close is None else tuple(s for s in present if s not in at_close),
        complete=all(need in present for need in view.gate.needs),
        event_at=Instant(_event_at(number, ends, visits, findings)),
        newest_at=Instant(max(logged, default=part.heard_at)),
        clock=_clock(windows, findings),
    )


def _select_visits(
    part: PartMemory, view: GateView, number: int, ends: list[int]
) -> tuple[list[VisitMemory], list[VisitMemory]]:
    """Visits of this attempt with carried ones, by start; and those of this attempt alone."""
    by_number = sorted(
        (
            (visit_attempt(v.visit, view, ends), int(v.visit.started_at), v)
            for v in part.visits
            if v.visit.station_id in view.stations
        ),
        key=lambda row: row[:2],
    )
    current = [v for n, _, v in by_number if n == number]
    revisited = {v.visit.station_id for v in current} | {view.gate.after}
    carried: dict[str, VisitMemory] = {}
    for n, _, v in by_number:
        if n < number and v.visit.station_id not in revisited:
            carried[v.visit.station_id] = v
    chosen = sorted([*carried.values(), *current], key=lambda v: (v.visit.started_at, v.visit.station_id))
    return chosen, current


def _select_findings(
    part: PartMemory, view: GateView, number: int, ends: list[int], revisited: set[str]
) -> dict[str, list[FindingsMemory]]:
    chosen: dict[str, list[FindingsMemory]] = {}
    for memory in sorted(part.findings, key=lambda f: (f.captured_at, f.findings.frame_id)):
        camera = memory.findings.camera_id
        station = view.cameras.get(camera)
        if station is None:
            continue
        n = attempt_of(memory.captured_at, ends)
        may_carry = station != view.gate.after and station not in revisited
        if n == number or (n < number and may_carry):
            chosen.setdefault(camera, []).append(memory)
    for camera, kept in chosen.items():
        newest = attempt_of(kept[-1].captured_at, ends)
        chosen[camera] = [f for f in kept if attempt_of(f.captured_at, ends) == newest]
    return dict(sorted(chosen.items()))


def _select_windows(visits: list[VisitMemory], window_of: WindowOf) -> dict[str, StationWindow]:
    windows: dict[str, StationWindow] = {}
    for memory in visits:
        window = window_of(memory)
        if window is not None and window.samples:
            windows[memory.visit.station_id] = window
    return windows


def _sort_sources(
    view: GateView, windows: dict[str, StationWindow], findings: dict[str, list[FindingsMemory]]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Present, missing and unfit sources. A camera that only gave findings without a score is unfit, not present."""
    present = [f"sensors:{station}" for station, window in windows.items() if window.complete]
    unfit: list[str] = []
    for camera, kept in findings.items():
        scored = [f.findings for f in kept if f.findings.score is not None]
        if scored:
            present.append(f"camera:{camera}")
        if not scored or not best_findings(scored).fitness.ok:
            unfit.append(f"camera:{camera}")
    missing = [need for need in view.gate.needs if need not in present and need not in unfit]
    return tuple(sorted(present)), tuple(sorted(missing)), tuple(sorted(unfit))


def best_findings(kept: list[Findings]) -> Findings:
    """Of several frames of one camera the one that speaks: the latest fit one with a score, else the latest."""
    return max(
        kept, key=lambda f: (f.score is not None and f.fitness.ok, f.score is not None, f.captured_at, f.frame_id)
    )


def _event_at(
    number: int, ends: list[int], visits: list[VisitMemory], findings: dict[str, list[FindingsMemory]]
) -> int:
    if number <= len(ends):
        return ends[number - 1]
    times = [float(v.visit.ended_at) for v in visits] + [f.captured_at for kept in findings.values() for f in kept]
    return math.floor(max(times, default=0.0))


def _clock(windows: dict[str, StationWindow], findings: dict[str, list[FindingsMemory]]) -> dict[str, float]:
    shifts = {f"camera:{camera}": kept[-1].shift_ms for camera, kept in findings.items()}
    shifts |= {f"sensors:{station}": window.shift_ms for station, window in windows.items()}
    return {source: shift for source, shift in sorted(shifts.items()) if shift}
