"""Sensor records as an Arrow IPC stream: one row a sample, `ts` or (`started_at`, `dt_ms` in the schema's metadata),
`line_id`, `station_id`, `part_id` in the metadata, every other column a channel.

Before a batch is unpacked its size is known: a compressed batch says in front of each buffer how long it will be.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.decode.checks import Checks
from ingest.decode.sensors import check_clock, check_count, check_source, even_times, parse_times
from ingest.errors import BadRecord
from ingest.messages import FloatArray, Instant, SensorRecord

# Arrow does not cast half floats
_KINDS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_NUMBERS = frozenset(getattr(pa, kind)().id for kind in _KINDS)
CHANNELS_MAX = 1000  # no station has more; each costs some microseconds whether it holds samples or not
BATCHES_MAX = 1000  # a record is one batch; a stream cut up further costs more than it carries


def decode_arrow(body: bytes, checks: Checks, logged_at_ms: float) -> SensorRecord:
    """Raises BadRecord."""
    try:
        schema, batches = _read(body, checks)
        return _record(schema, batches, checks, logged_at_ms)
    except (pa.ArrowException, OSError, ValueError, MemoryError, EOFError, struct.error) as error:
        raise BadRecord("bad_arrow", f"{type(error).__name__}: {str(error)[:200]}") from error


def _record(schema: Any, batches: list[Any], checks: Checks, logged_at_ms: float) -> SensorRecord:
    names = list(schema.names)
    metadata = _metadata(schema)
    channels = [name for name in names if name != "ts"]
    line_id, station_id, part_id = (metadata.get(key, "") for key in ("line_id", "station_id", "part_id"))
    check_source(checks, line_id, station_id, part_id, channels)
    length = sum(batch.num_rows for batch in batches)
    check_count(checks, length, len(channels))
    if "ts" in names:
        if "started_at" in metadata or "dt_ms" in metadata:
            raise BadRecord("bad_time", "either ts, or started_at and dt_ms, not both")
        ts_ms = _join([_times(batch.column("ts")) for batch in batches])
        check_clock(checks, ts_ms, logged_at_ms)
    else:
        ts_ms = even_times(*_even(metadata), length, checks, logged_at_ms)
    places = [place for place, name in enumerate(names) if name != "ts"]
    samples = _join([_samples(batch.select(places)) for batch in batches])
    return SensorRecord(line_id, station_id, ts_ms, dict(zip(channels, samples.T, strict=True)), part_id or None)


def _read(body: bytes, checks: Checks) -> tuple[Any, list[Any]]:
    messages = iter(pa.ipc.MessageReader.open_stream(body))
    first = next(messages, None)
    if first is None or first.type != "schema":
        raise ValueError("the stream does not begin with a schema")
    schema = pa.ipc.read_schema(first)
    names = schema.names
    if len(names) > CHANNELS_MAX or len(set(names)) < len(names):
        raise ValueError(f"{len(names)} columns, or two of one name")
    for name, kind in zip(names, schema.types, strict=True):
        if kind.id not in _NUMBERS and not (name == "ts" and _is_time(kind)):
            raise ValueError(f"column {name[:100]!a} is {str(kind)[:60]}, not a plain number")
    return schema, list(_batches(messages, schema, checks))


def _batches(messages: Iterator[Any], schema: Any, checks: Checks) -> Iterator[Any]:
    rows, columns = 0, len(schema.names)
    # 8 bytes a sample and its time, and each column's padding and bit mask
    room = 2 * (checks.samples_max + 8 * columns) * 8 + 1024
    for place, message in enumerate(messages):
        if message.type != "record batch" or place >= BATCHES_MAX:
            raise ValueError(f"unexpected {message.type} message at place {place}")
        room -= _unpacked_bytes(message.metadata.to_pybytes(), message.body)
        if room < 0:
            raise BadRecord("too_many_samples", f"the record unpacks to more than {checks.samples_max} samples")
        batch = pa.ipc.read_record_batch(message, schema)
        batch.validate()
        rows += batch.num_rows
        check_count(checks, max(rows, 1), max(columns - 1, 1))
        yield batch


def _unpacked_bytes(metadata: bytes, body: Any) -> int:
    """How long a batch's buffers will be once unpacked (0 when it is not compressed: then it lies in the body).

    Reads the flatbuffer of Arrow's `Message.fbs`: Message.header (field 2) is a RecordBatch with buffers (field 2) and
    compression (field 3); each compressed buffer begins with its unpacked length as int64 (-1: as it is).
    """
    message = struct.unpack_from("<I", metadata, 0)[0]
    header = _follow(metadata, message, 2)
    if not header or not _follow(metadata, header, 3):
        return 0
    vector = _follow(metadata, header, 2)
    total = 0
    for place in range(struct.unpack_from("<I", metadata, vector)[0] if vector else 0):
        offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * place)
        if length >= 8:
            unpacked = struct.unpack("<q", body[offset : offset + 8].to_pybytes())[0]
            total += length if unpacked < 0 else unpacked
    return int(total)


def _follow(buffer: bytes, table: int, field: int) -> int:
    """Where the table or vector in this field of a flatbuffer table begins; 0 when the field is absent."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    entry = 4 + 2 * field
    if entry + 2 > struct.unpack_from("<H", buffer, vtable)[0]:
        return 0
    at = struct.unpack_from("<H", buffer, vtable + entry)[0]
    return table + at + struct.unpack_from("<I", buffer, table + at)[0] if at else 0


def _metadata(schema: Any) -> dict[str, str]:
    try:
        return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    except UnicodeDecodeError as error:
        raise BadRecord("bad_arrow", "the schema's metadata is not UTF-8") from error


def _even(metadata: dict[str, str]) -> tuple[Instant | None, float | None]:
    if "started_at" not in metadata or "dt_ms" not in metadata:
        return None, None
    try:
        return Instant.parse(metadata["started_at"]), float(metadata["dt_ms"])
    except (ValueError, OverflowError) as error:
        raise BadRecord("bad_time", f"started_at, dt_ms: {error}") from error


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_string(kind))


def _samples(batch: Any) -> FloatArray:
    """float64[rows, columns], each column contiguous, NaN where null. Raises BadRecord for a written NaN or Inf."""
    found: FloatArray = batch.to_tensor(null_to_nan=True, row_major=False).to_numpy().astype(np.float64, copy=False)
    finite = np.isfinite(found)
    if not finite.all() and found.size - int(finite.sum()) > sum(column.null_count for column in batch.columns):
        raise BadRecord("not_finite", "a sample is NaN or Inf; a missing sample is null")
    return found


def _times(column: Any) -> FloatArray:
    """ms since 1970; numbers are ms, stamps without a zone UTC. Raises BadRecord for a missing time."""
    if column.null_count:
        raise BadRecord("bad_time", "ts holds nulls")
    if pa.types.is_string(column.type):
        try:
            return parse_times(column.to_pylist())
        except UnicodeDecodeError as error:
            raise BadRecord("bad_time", "ts is not UTF-8") from error
    if pa.types.is_timestamp(column.type):
        per_ms = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}[column.type.unit]
        return np.asarray(column.view(pa.int64()).to_numpy() / per_ms, np.float64)
    return _samples(pa.RecordBatch.from_arrays([column], ["ts"]))[:, 0]


def _join(arrays: list[FloatArray]) -> FloatArray:
    return arrays[0] if len(arrays) == 1 else np.asfortranarray(np.concatenate(arrays))
