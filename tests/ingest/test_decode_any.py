"""No input whatsoever makes the door raise anything but BadRecord."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.decode.door import ARROW, REASONS, Door
from ingest.encode import encode_samples_arrow
from ingest.errors import BadRecord
from ingest.log.seam import Headers, Record
from ingest.messages import Instant, SensorRecord
from ingest.settings import Settings

NOW = Instant.parse("2026-11-23T08:30:00.000Z")
DOOR = Door(Settings())
AT = "2026-11-23T08:26:00.000Z"
GOOD: dict[str, dict[str, Any]] = {
    "production": {
        "part_id": "P1", "line_id": "L1", "station_id": "S", "started_at": AT, "ended_at": AT, "batch_id": "B",
        "product": "p", "attributes": {"tool_id": "T7"},
    },
    "sensors": {"line_id": "L1", "station_id": "S", "started_at": AT, "dt_ms": 2.0, "channels": {"a": [1.0, None]}},
    "defects": {"part_id": "P1", "line_id": "L1", "recorded_at": AT, "source": "audit", "outcome": "ok"},
    "control": {"order": "mode", "mode": "auto", "line_id": "*", "by": "qa", "at": AT},
    "findings": {
        "part_id": "P1", "line_id": "L1", "station_id": "S", "camera_id": "c", "frame_id": "f", "captured_at": AT,
        "inspected_at": AT, "score": 0.4, "threshold": None, "fitness": {"ok": True},
    },
}  # fmt: skip
TOPICS = st.sampled_from([*GOOD, "frames", "verdicts", "state", "", "no\x00such"])
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["part_id", "line_id", "camera_id", "captured_at", "content-type", "ref", "station_id"]),
        st.binary(max_size=12) | st.sampled_from([AT.encode(), ARROW.encode(), b"image/jpeg", b"L1"]),
    ),
    max_size=8,
).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([AT, 10**400]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def only_bad_records(topic: str, body: bytes | None, headers: Headers = ()) -> None:
    """Decode, and fail on any other exception (it passes through) and on a reason nobody documented."""
    with contextlib.suppress(BadRecord):
        try:
            DOOR.decode(topic, Record("qc.x", 0, 0, None, body, headers, NOW))
        except BadRecord as trouble:
            if trouble.reason not in REASONS:
                raise AssertionError(trouble.reason) from trouble
            raise


@settings(max_examples=150, deadline=None)
@given(TOPICS, st.none() | st.binary(max_size=200), HEADERS)
def test_any_bytes_and_headers(topic: str, body: bytes | None, headers: Headers) -> None:
    only_bad_records(topic, body, headers)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(list(GOOD)), st.integers(0, 9), JSON)
@example("production", 0, "\ud800")
@example("production", 3, "9999-12-31T23:59:59.999-23:59")
@example("production", 3, "0001-01-01T00:00:00.000+23:59")
@example("sensors", 3, 5e-324)
@example("sensors", 3, 10**400)
@example("sensors", 4, {"\ud800": [1.0]})
@example("defects", 4, "ok\x00")
def test_any_value_in_any_field(topic: str, place: int, value: Any) -> None:
    body = dict(GOOD[topic])
    body[list(body)[place % len(body)]] = value
    only_bad_records(topic, json.dumps(body).encode())


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(list(GOOD)), st.integers(0, 400), st.binary(max_size=4), st.integers(0, 6))
def test_any_edit_of_a_good_body(topic: str, place: int, put: bytes, drop: int) -> None:
    body = json.dumps(GOOD[topic]).encode()
    place %= len(body)
    only_bad_records(topic, body[:place] + put + body[place + drop :])


def arrow_body(compression: str | None) -> bytes:
    if compression is None:
        return encode_samples_arrow(SensorRecord("L1", "S", NOW + np.arange(9.0), {"a": np.arange(9.0)}, "P"))[1]
    table = pa.table({"ts": NOW + np.arange(99.0), "a": np.arange(99.0)})
    table = table.replace_schema_metadata({"line_id": "L1", "station_id": "S"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


ARROWS = [arrow_body(None), arrow_body("lz4"), arrow_body("zstd")]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ARROWS), st.integers(0, 2000), st.binary(min_size=1, max_size=8), st.integers(0, 8))
def test_any_edit_of_an_arrow_body(good: bytes, place: int, put: bytes, drop: int) -> None:
    place %= len(good)
    only_bad_records("sensors", good[:place] + put + good[place + drop :], (("content-type", ARROW.encode()),))


def test_every_good_body_of_this_file_is_good() -> None:
    for topic, body in GOOD.items():
        assert DOOR.decode(topic, Record("qc.x", 0, 0, None, json.dumps(body).encode(), (), NOW)) is not None
    for arrow in ARROWS:
        headers = (("content-type", ARROW.encode()),)
        assert DOOR.decode("sensors", Record("qc.x", 0, 0, None, arrow, headers, NOW)) is not None


def test_nesting_that_overflows_the_stack_is_a_bad_record() -> None:
    for topic in GOOD:
        for opening in ('{"a":', "[", '{"attributes":{"a":', '{"channels":{"a":[', '{"fitness":{"measures":{"a":'):
            only_bad_records(topic, opening.encode() * 200_000)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)), st.integers(0, 999))
def test_a_time_is_written_as_the_calendar_says_and_read_back_the_same(moment: datetime, ms: int) -> None:
    moment = moment.replace(microsecond=ms * 1000, tzinfo=UTC)
    whole = Instant((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
    assert whole.isoformat() == f"{moment.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"
    assert Instant.parse(whole.isoformat()) == whole
