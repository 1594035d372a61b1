"""What a producer puts on the plant's topics: the inverse of `decode.py`, for publishing recordings and for tests."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ingest.decode.door import ARROW
from ingest.decode.sensors import SensorBody
from ingest.log.seam import Headers
from ingest.messages import FloatArray, Frame, Instant, SensorRecord, encode


def encode_frame(frame: Frame) -> tuple[Headers, bytes]:
    """Headers and body of a `qc.frames` record; headers that are empty are left out."""
    texts = {
        "part_id": frame.part_id,
        "line_id": frame.line_id,
        "camera_id": frame.camera_id,
        "captured_at": frame.captured_at.isoformat(),
        "content-type": frame.content_type,
        "station_id": frame.station_id,
        "frame_id": frame.frame_id,
        "ref": frame.ref,
        "product": frame.product,
    }
    return tuple((name, text.encode()) for name, text in texts.items() if text), frame.body


def encode_samples_arrow(record: SensorRecord) -> tuple[Headers, bytes]:
    """Headers and body of a `qc.sensors` record as an Arrow IPC stream. NaN becomes null. Times to the microsecond."""
    stamps = pa.array(np.rint(record.ts_ms * 1000.0).astype(np.int64)).cast(pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {"ts": stamps}
    for name, samples in record.channels.items():
        columns[name] = pa.array(samples, from_pandas=True)
    metadata = {"line_id": record.line_id, "station_id": record.station_id}
    if record.part_id:
        metadata["part_id"] = record.part_id
    batch = pa.RecordBatch.from_pydict(columns).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return (("content-type", ARROW.encode()),), sink.getvalue().to_pybytes()


def encode_samples_json(record: SensorRecord) -> tuple[Headers, bytes]:
    """Headers and body of a `qc.sensors` record as JSON, every time spelled out to the millisecond."""
    body = SensorBody(
        line_id=record.line_id,
        station_id=record.station_id,
        channels={name: _nullable(samples) for name, samples in record.channels.items()},
        ts=[Instant(round(ts)).isoformat() for ts in record.ts_ms.tolist()],
        part_id=record.part_id,
    )
    return (("content-type", b"application/json"),), encode(_without_nones(body))


def _nullable(samples: FloatArray) -> list[float | None]:
    return [None if sample != sample else sample for sample in samples.tolist()]


def _without_nones(body: SensorBody) -> Any:
    return {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}
