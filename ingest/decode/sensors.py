"""Sensor records in JSON: what stands in the body, and how it becomes samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from ingest.decode.checks import Checks, check_id
from ingest.errors import BadRecord
from ingest.messages import FloatArray, Instant, Message, SensorRecord


class SensorBody(Message, frozen=True, kw_only=True):
    """A JSON body of `qc.sensors`: `started_at` + `dt_ms`, or `ts`, never both."""

    line_id: str
    station_id: str
    channels: dict[str, list[float | None]]
    started_at: Instant | None = None
    dt_ms: float | None = None
    ts: list[str] | None = None
    part_id: str | None = None


def decode_json_samples(body: SensorBody, checks: Checks, logged_at_ms: float) -> SensorRecord:
    """Raises BadRecord."""
    check_source(checks, body.line_id, body.station_id, body.part_id, body.channels)
    lengths = {len(samples) for samples in body.channels.values()}
    if len(lengths) > 1:
        raise BadRecord("channels_unequal", f"the channels have {sorted(lengths)[:8]} samples")
    length = lengths.pop() if lengths else 0
    check_count(checks, length, len(body.channels))
    if body.ts is None:
        ts_ms = even_times(body.started_at, body.dt_ms, length, checks, logged_at_ms)
    else:
        if body.started_at is not None or body.dt_ms is not None:
            raise BadRecord("bad_time", "either ts, or started_at and dt_ms, not both")
        if len(body.ts) != length:
            raise BadRecord("channels_unequal", f"{len(body.ts)} times for {length} samples")
        ts_ms = parse_times(body.ts)
        check_clock(checks, ts_ms, logged_at_ms)
    channels = {name: np.array(samples, np.float64) for name, samples in body.channels.items()}
    return SensorRecord(body.line_id, body.station_id, ts_ms, channels, body.part_id or None)


def check_source(
    checks: Checks, line_id: str, station_id: str, part_id: str | None, channels: Mapping[str, object] | Sequence[str]
) -> None:
    """The names of a sensor record. Raises BadRecord. An empty `part_id` says as little as none."""
    check_id("station_id", station_id)
    checks.place(line_id, station_id)
    if part_id:
        check_id("part_id", part_id)
    for channel in channels:
        check_id("channel", channel)


def check_count(checks: Checks, length: int, channels: int) -> None:
    """How many samples: one at least, not more than a record may hold. Raises BadRecord."""
    if not length or not channels:
        raise BadRecord("no_samples", "the record holds no sample")
    if length * channels > checks.samples_max:
        raise BadRecord("too_many_samples", f"{length} x {channels} samples; at most {checks.samples_max} are taken")


def check_clock(checks: Checks, ts_ms: FloatArray, logged_at_ms: float) -> None:
    """Every time in the sane range. Raises BadRecord."""
    checks.clock("ts", float(ts_ms.min()), float(ts_ms.max()), logged_at_ms)


def even_times(
    started_at: Instant | None, dt_ms: float | None, length: int, checks: Checks, logged_at_ms: float
) -> FloatArray:
    """float64[length], ms since 1970. Raises BadRecord unless both are there, dt_ms > 0 and the clock is sane."""
    if started_at is None or dt_ms is None:
        raise BadRecord("bad_time", "neither ts, nor started_at and dt_ms")
    if not dt_ms > 0:
        raise BadRecord("bad_time", f"dt_ms must be greater than 0, not {dt_ms:g}")
    checks.clock("started_at + dt_ms", started_at, started_at + (length - 1) * dt_ms, logged_at_ms)
    return np.asarray(started_at + np.arange(length) * dt_ms, np.float64)


def parse_times(texts: Sequence[str]) -> FloatArray:
    """RFC 3339 times as ms since 1970, at once where Arrow knows the spelling, else one by one. Raises BadRecord."""
    try:
        stamps = pa.array(texts, pa.string()).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return np.asarray(stamps.to_numpy() / 1000.0, np.float64)
    except (pa.ArrowException, UnicodeEncodeError):
        pass
    try:
        return np.array([Instant.parse(text) for text in texts], np.float64)
    except (ValueError, OverflowError) as error:
        raise BadRecord("bad_time", f"ts: {error}") from error
