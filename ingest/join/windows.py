"""Samples of one visit, reduced to exact statistics and a curve of fixed length: what features, screen and state keep.

Pure functions; the order in which samples came does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ingest.join.evidence import CURVE_POINTS, STATS, ChannelWindow, StationWindow
from ingest.messages import FloatArray, Instant
from ingest.plan.plan import Station

NEED_SHARE = 0.9  # CONTRACT section 6: a need is met by 90 % of the samples ...
NEED_TAIL_SAMPLES = 2.0  # ... that reach to within two samples of the visit's end
GAP_STEPS = 1.5  # samples further apart than this have room for another between them


def order_samples(ts_ms: FloatArray, channels: Mapping[str, FloatArray]) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Sort by time and drop repeats of a moment; of two different values at one moment the larger stays."""
    if ts_ms.size and np.all(ts_ms[1:] > ts_ms[:-1]):
        return ts_ms, dict(channels)
    moments, place = np.unique(ts_ms, return_inverse=True)
    merged: dict[str, FloatArray] = {}
    for name, values in channels.items():
        best = np.full(moments.size, np.nan)
        np.fmax.at(best, place, values)
        merged[name] = best
    return moments, merged


def need_met(
    station: Station | None, ts_ms: FloatArray, channels: Mapping[str, FloatArray], started: int, ended: int
) -> bool:
    """Is the need `sensors:<station>` met by these ordered samples? (CONTRACT section 6)"""
    if ts_ms.size == 0:
        return False
    declared = station.channels if station else ()
    for channel in declared:
        values = channels.get(channel.channel)
        if values is None:
            return False
        times = ts_ms[~np.isnan(values)]
        if times.size == 0:
            return False
        if channel.rate_hz is None:
            continue
        if times.size < NEED_SHARE * channel.rate_hz * (ended - started) / 1000.0:
            return False
        if times[-1] < ended - NEED_TAIL_SAMPLES * 1000.0 / channel.rate_hz:
            return False
    return True


def is_full(
    station: Station | None, ts_ms: FloatArray, channels: Mapping[str, FloatArray], started: int, ended: int
) -> bool:
    """Does no sample of [started, ended) lack? Then none is waited for, and the raw samples need not be kept."""
    if station is None or not station.channels or ts_ms.size == 0:
        return False
    for channel in station.channels:
        values = channels.get(channel.channel)
        if values is None or channel.rate_hz is None or np.isnan(values).any():
            return False
        step_ms = 1000.0 / channel.rate_hz
        if ts_ms.size < max(1.0, (ended - started) / step_ms - 1e-6):
            return False
        if ts_ms.size > 1 and float(np.diff(ts_ms).max()) > GAP_STEPS * step_ms:
            return False
    return True


def reduce_window(
    station_id: str,
    station: Station | None,
    ts_ms: FloatArray,
    channels: Mapping[str, FloatArray],
    started: Instant,
    ended: Instant,
    shift_ms: float,
) -> StationWindow:
    """Reduce ordered samples of one visit. `ts_ms`: float64[n] ascending; each channel float64[n], NaN missing."""
    names = sorted(channels)
    matrix = np.array([channels[name] for name in names], dtype=np.float64).reshape(len(names), ts_ms.size)
    position = (ts_ms - started) / max(1.0, float(ended - started))
    stats = _statistics(matrix, position)
    curves = _curves(matrix, position)
    return StationWindow(
        station_id=station_id,
        started_at=started,
        ended_at=ended,
        samples=int(ts_ms.size),
        complete=need_met(station, ts_ms, channels, started, ended),
        channels={name: ChannelWindow(stats[row], curves[row]) for row, name in enumerate(names)},
        shift_ms=shift_ms,
    )


def _statistics(matrix: FloatArray, position: FloatArray) -> npt.NDArray[np.float32]:
    """STATS of each row of `matrix` (float64[c, n]); NaN where a row has no sample. Energy is the mean square."""
    stats = np.full((matrix.shape[0], len(STATS)), np.nan)
    if matrix.size and not np.isnan(matrix).any():
        stats[:] = _full_statistics(matrix, position)
    else:
        for row, values in enumerate(matrix):
            kept = ~np.isnan(values)
            if kept.any():
                stats[row] = _full_statistics(values[kept][None, :], position[kept])[0]
    stats[:, -1] = np.count_nonzero(~np.isnan(matrix), axis=1)
    return stats.astype(np.float32)


def _full_statistics(matrix: FloatArray, position: FloatArray) -> FloatArray:
    count = matrix.shape[1]
    mean = matrix.mean(axis=1)
    centred = matrix - mean[:, None]
    variance = (centred * centred).mean(axis=1)
    spread = position - position.mean()
    scale = float(spread @ spread)
    slope = centred @ spread / scale if scale > 0 else np.zeros(len(mean))
    ranked = np.sort(matrix, axis=1)
    low, high = int(0.025 * (count - 1)), int(np.ceil(0.975 * (count - 1)))
    middle = 0.5 * (ranked[:, (count - 1) // 2] + ranked[:, count // 2])
    return np.column_stack(
        (
            mean, np.sqrt(variance), ranked[:, 0], ranked[:, -1], middle, slope, matrix[:, 0], matrix[:, -1],
            variance + mean * mean, ranked[:, high] - ranked[:, low], position[matrix.argmax(axis=1)],
            np.full(len(mean), float(count)),
        )
    )  # fmt: skip


def _curves(matrix: FloatArray, position: FloatArray) -> npt.NDArray[np.float32]:
    """Mean of each of CURVE_POINTS equal slices of the visit, float32[c, CURVE_POINTS]; empty slices interpolated."""
    points = np.full((matrix.shape[0], CURVE_POINTS), np.nan, dtype=np.float32)
    slices = np.clip((position * CURVE_POINTS).astype(np.intp), 0, CURVE_POINTS - 1)
    if matrix.size and not np.isnan(matrix).any():
        points[:] = _full_curves(matrix, slices)
        return points
    for row, values in enumerate(matrix):
        kept = ~np.isnan(values)
        if kept.any():
            points[row] = _full_curves(values[kept][None, :], slices[kept])[0]
    return points


def _full_curves(matrix: FloatArray, slices: npt.NDArray[np.intp]) -> FloatArray:
    """As `_curves`, of rows without a gap; `slices` ascending."""
    filled, starts, counts = np.unique(slices, return_index=True, return_counts=True)
    means: FloatArray = np.add.reduceat(matrix, starts, axis=1) / counts
    if filled.size == CURVE_POINTS:
        return means
    centres = np.arange(CURVE_POINTS, dtype=np.float64)
    return np.array([np.interp(centres, filled, row) for row in means])
