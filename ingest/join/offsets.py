"""Clocks that are off: how far each source's clock stands from the visits its records should fall into.

Every part gives an interval of corrections that would put the source's record inside its visit (a frame), or one
correction that would lay a run of samples onto it (a run's edges). The offset is where most recent intervals meet;
while no correction does nearly as well as any, the clock is right and nothing is corrected.
"""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np

from ingest.messages import FloatArray

MEMORY = 32  # visits looked back on: enough for a median, few enough to follow a clock that was set
ENOUGH = 6  # visits before anything is corrected
AGREEMENT = 0.75  # share of the visits that must agree on one correction
EDGE_TOLERANCE_MS = 10.0  # two edges closer than this are the same edge, whatever the sample rate


class _PackedOffset(msgspec.Struct, array_like=True):
    shift_ms: float
    intervals: list[tuple[float, float]]
    alarmed: bool


class ClockOffset:
    """The offset of one source's clock. `shift_ms` is added to the times of what comes from it."""

    def __init__(self, correct_ms: float) -> None:
        self.correct_ms = correct_ms
        self.shift_ms = 0.0
        self.alarmed = False
        self._changed = False
        self._intervals: deque[tuple[float, float]] = deque(maxlen=MEMORY)

    def observe(self, low_ms: float, high_ms: float) -> bool:
        """One visit's interval of corrections, relative to times already shifted. True when `shift_ms` changed or is
        now beyond what may be corrected."""
        right = low_ms <= 0.0 <= high_ms
        self._changed = self._changed or not (right and self._always_right())
        self._intervals.append((low_ms + self.shift_ms, high_ms + self.shift_ms))
        if len(self._intervals) < ENOUGH or right:
            return False
        agreed, best = _stab(list(self._intervals))
        inside = sum(1 for low, high in self._intervals if low <= self.shift_ms <= high)
        if agreed < AGREEMENT * len(self._intervals) or inside >= AGREEMENT * agreed:
            return False
        alarmed_before, self.alarmed = self.alarmed, abs(best) > self.correct_ms
        shift = 0.0 if self.alarmed else round(best, 3)
        changed = shift != self.shift_ms or self.alarmed > alarmed_before
        self.shift_ms = shift
        return changed

    def _always_right(self) -> bool:
        """Is all that is remembered of visits where the clock is right? One more such visit is no news then; until
        then the changelog has each, or what a restart remembers would be the visits that were off."""
        shift = self.shift_ms
        return len(self._intervals) == MEMORY and all(low <= shift <= high for low, high in self._intervals)

    def take_changed(self) -> bool:
        """Is there something about the clock that the changelog does not have yet? Asking clears it."""
        changed, self._changed = self._changed, False
        return changed

    def pack(self) -> bytes:
        return msgspec.msgpack.encode(_PackedOffset(self.shift_ms, list(self._intervals), self.alarmed))

    def unpack(self, body: bytes) -> None:
        packed = msgspec.msgpack.decode(body, type=_PackedOffset)
        self.shift_ms, self.alarmed = packed.shift_ms, packed.alarmed
        self._intervals = deque(packed.intervals, maxlen=MEMORY)


def _stab(intervals: list[tuple[float, float]]) -> tuple[int, float]:
    """The most intervals that share a point, and the middle of where they do."""
    lows, highs = np.sort([low for low, _ in intervals]), np.sort([high for _, high in intervals])
    points = np.concatenate((lows, highs))
    inside = np.searchsorted(lows, points, "right") - np.searchsorted(highs, points, "left")
    most = int(inside.max())
    where = points[inside == most]
    return most, float((where.min() + where.max()) / 2)


def frame_interval(captured: float, started: float, ended: float) -> tuple[float, float]:
    """Corrections that put a frame inside its visit."""
    return started - captured, ended - captured


def run_interval(ts_ms: FloatArray, activity: FloatArray, started: float, ended: float) -> tuple[float, float] | None:
    """The correction that lays the nearest run of samples (or of activity) onto a visit, from both edges.

    `ts_ms` float64[n] ascending, around the visit; `activity` float64[n], any signal that is high while the station
    works. None when no run has about the visit's length.
    """
    if ts_ms.size < 4:
        return None
    tolerance = max(EDGE_TOLERANCE_MS, 2.0 * float(np.median(np.diff(ts_ms))))
    for edges in (_gap_edges(ts_ms, ended - started), _activity_edges(ts_ms, activity, ended - started)):
        fitting = [
            (first, last) for first, last in edges
            if abs((last - first) - (ended - started)) <= 0.1 * (ended - started) + tolerance
        ]  # fmt: skip
        if fitting:
            first, last = min(fitting, key=lambda run: abs(run[0] - started))
            middle = ((started - first) + (ended - last)) / 2
            return middle - tolerance, middle + tolerance
    return None


def _gap_edges(ts_ms: FloatArray, duration: float) -> list[tuple[float, float]]:
    steps = np.diff(ts_ms)
    breaks = np.flatnonzero(steps > max(5.0 * float(np.median(steps)), 0.02 * duration))
    starts = np.concatenate(([0], breaks + 1))
    ends = np.concatenate((breaks, [ts_ms.size - 1]))
    return [(float(ts_ms[a]), float(ts_ms[b])) for a, b in zip(starts, ends, strict=True) if b > a]


def _activity_edges(ts_ms: FloatArray, activity: FloatArray, duration: float) -> list[tuple[float, float]]:
    """Runs above the middle between idle and busy; pauses shorter than a fifth of a visit do not end a run."""
    low, high = np.nanpercentile(activity, (10, 90)) if not np.isnan(activity).all() else (0.0, 0.0)
    busy = np.flatnonzero(activity > (low + high) / 2)
    if high <= low or busy.size < 2:
        return []
    pauses = np.flatnonzero(np.diff(ts_ms[busy]) > 0.2 * duration)
    starts = busy[np.concatenate(([0], pauses + 1))]
    ends = busy[np.concatenate((pauses, [busy.size - 1]))]
    return [(float(ts_ms[a]), float(ts_ms[b])) for a, b in zip(starts, ends, strict=True)]
