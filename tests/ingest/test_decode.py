"""The door: every good record becomes one typed message, every bad one a BadRecord with a documented reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from ingest.decode.door import ARROW, REASONS, Door
from ingest.encode import encode_frame, encode_samples_arrow, encode_samples_json
from ingest.errors import BadRecord
from ingest.log.seam import Headers, Record
from ingest.messages import Frame, Instant, SensorRecord, Visit, encode
from ingest.plan.plan import Audit, Camera, Constraints, Grants, Line, Objective, Owners, Plan, Station
from ingest.settings import Settings

NOW = Instant.parse("2026-11-23T08:30:00.000Z")
STREAMS = ("qc.frames", "qc.sensors", "qc.production", "qc.defects")


def plan(topics: tuple[str, ...] = STREAMS) -> Plan:
    line = Line(
        line_id="L1",
        stations=(Station(station_id="OP20"), Station(station_id="OP40")),
        cameras=(Camera(camera_id="top", station_id="OP40"),),
    )
    return Plan(
        plan=1,
        plant="p",
        owners=Owners(objective="a", model="b", stop="c"),
        objective=Objective(escape_cost=1, review_cost=1, currency="EUR"),
        constraints=Constraints(escape_rate_max=0.1, review_share_max=0.1, latency_ms_max=500),
        grants=Grants(topics=topics),
        audit=Audit(share=0.01),
        lines=(line,),
    )


DOOR = Door(Settings(), plan())


def record(body: bytes | str | dict[str, Any] | None, headers: Headers = ()) -> Record:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return Record("qc.x", 0, 0, b"L1", raw, headers, NOW)


def reason(topic: str, body: bytes | str | dict[str, Any] | None, headers: Headers = (), door: Door = DOOR) -> str:
    with pytest.raises(BadRecord) as refused:
        door.decode(topic, record(body, headers))
    assert refused.value.detail
    assert refused.value.reason in REASONS
    return refused.value.reason


def visit(**changes: Any) -> dict[str, Any]:
    return {
        "part_id": "P1",
        "line_id": "L1",
        "station_id": "OP20",
        "started_at": "2026-11-23T08:26:00.000Z",
        "ended_at": "2026-11-23T08:26:09.125Z",
        "batch_id": "B77",
        "product": "HSG-4",
        "attributes": {"tool_id": "T7"},
    } | changes


def samples(**changes: Any) -> dict[str, Any]:
    body = {
        "line_id": "L1",
        "station_id": "OP20",
        "started_at": "2026-11-23T08:26:00.000Z",
        "dt_ms": 2.0,
        "channels": {"current_a": [4.1, None], "coolant_c": [21.9, 22]},
        "part_id": None,
    } | changes
    return {name: value for name, value in body.items() if value != "absent"}


def frame_headers(**changes: str | bytes | None) -> Headers:
    texts: dict[str, str | bytes | None] = {
        "part_id": "P1",
        "line_id": "L1",
        "camera_id": "top",
        "captured_at": "2026-11-23T08:26:00.125Z",
        "content-type": "image/jpeg",
    }
    texts |= {name.replace("_type", "-type"): value for name, value in changes.items()}
    return tuple(
        (name, text if isinstance(text, bytes) else text.encode()) for name, text in texts.items() if text is not None
    )


def arrow(table: pa.Table, metadata: dict[str, str], compression: str | None = None) -> tuple[bytes, Headers]:
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata(metadata)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes(), (("content-type", ARROW.encode()),)


PLACE = {"line_id": "L1", "station_id": "OP20"}
EVEN = PLACE | {"started_at": "2026-11-23T08:26:00.000Z", "dt_ms": "2"}


def test_a_visit_is_decoded_and_encodes_back() -> None:
    message = DOOR.decode("production", record(visit()))
    assert isinstance(message, Visit)
    assert message.ended_at == message.started_at + 9125
    assert json.loads(encode(message)) == visit()


def test_an_empty_attribute_is_an_absent_one() -> None:
    message = DOOR.decode("production", record(visit(attributes={"tool_id": "", "shift": "B"})))
    assert isinstance(message, Visit)
    assert message.attributes == {"shift": "B"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "no_body"),
        (None, "no_body"),
        ("{", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        ("[" * 100_000, "bad_field"),
        ('{"part_id":' + "[" * 100_000, "bad_field"),
        ('{"part_id": "P1"}', "bad_field"),
        (visit(colour="red"), "bad_field"),
        (visit(part_id=7), "bad_field"),
        (visit(started_at="yesterday"), "bad_field"),
        (visit(started_at="2026-11-23T08:26:00.000"), "bad_field"),
        (visit(started_at=1.7e12), "bad_field"),
        (visit(part_id="x" * 10_000), "bad_id"),
        (visit(part_id=""), "bad_id"),
        (visit(part_id="P\n1"), "bad_id"),
        (visit(line_id="L9"), "unknown_line"),
        (visit(station_id="OP99"), "unknown_station"),
        (visit(station_id=""), "bad_id"),
        (visit(product="x" * 201), "bad_text"),
        (visit(ended_at="2026-11-23T08:25:59.999Z"), "ends_before_start"),
        (visit(started_at="1970-01-01T00:00:00.000Z"), "clock_out_of_range"),
        (visit(ended_at="2026-11-24T08:30:00.001Z"), "clock_out_of_range"),
        (visit(attributes={f"a{n}": "x" for n in range(65)}), "bad_attribute"),
        (visit(attributes={"": "x"}), "bad_attribute"),
        (visit(attributes={"tool_id": "x" * 201}), "bad_attribute"),
    ],
)
def test_a_bad_visit_has_its_reason(body: Any, expected: str) -> None:
    assert reason("production", body) == expected


def test_json_samples_are_decoded_with_null_as_missing() -> None:
    message = DOOR.decode("sensors", record(samples()))
    assert isinstance(message, SensorRecord)
    assert (message.ts_ms - message.ts_ms[0]).tolist() == [0.0, 2.0]
    assert np.isnan(message.channels["current_a"][1])
    assert message.channels["coolant_c"].tolist() == [21.9, 22.0]
    assert message.part_id is None


def test_json_samples_may_carry_their_own_times() -> None:
    body = samples(started_at="absent", dt_ms="absent", ts=["2026-11-23T08:26:00.5Z", "2026-11-23t09:26:01.25+01:00"])
    message = DOOR.decode("sensors", record(body))
    assert isinstance(message, SensorRecord)
    assert (message.ts_ms - float(Instant.parse("2026-11-23T08:26:00Z"))).tolist() == [500.0, 1250.0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps(samples()).replace("4.1", "NaN"), "bad_json"),
        (json.dumps(samples()).replace("4.1", "Infinity"), "bad_json"),
        (json.dumps(samples()).replace("4.1", "1e999"), "bad_field"),
        (samples(channels={"a": [1, 2], "b": [1]}), "channels_unequal"),
        (samples(channels={}), "no_samples"),
        (samples(channels={"a": []}), "no_samples"),
        (samples(channels={"a": [1.0] * 200_001}), "too_many_samples"),
        (samples(channels={"": [1.0]}), "bad_id"),
        (samples(dt_ms=0), "bad_time"),
        (samples(dt_ms=-1), "bad_time"),
        (samples(dt_ms=1e308), "clock_out_of_range"),
        (samples(dt_ms="absent"), "bad_time"),
        (samples(ts=["2026-11-23T08:26:00Z"] * 2), "bad_time"),
        (samples(started_at="absent", dt_ms="absent", ts=["2026-11-23T08:26:00Z"]), "channels_unequal"),
        (samples(started_at="absent", dt_ms="absent", ts=["now", "then"]), "bad_time"),
        (samples(started_at="absent", dt_ms="absent", ts=["1970-01-01T00:00:00Z"] * 2), "clock_out_of_range"),
        (samples(part_id="x" * 10_000), "bad_id"),
        (samples(station_id="OP99"), "unknown_station"),
    ],
)
def test_bad_json_samples_have_their_reason(body: Any, expected: str) -> None:
    assert reason("sensors", body) == expected


@pytest.mark.parametrize("encoding", [encode_samples_arrow, encode_samples_json])
def test_samples_survive_the_wire(encoding: Any) -> None:
    ts_ms = float(NOW) - 1000 + np.arange(50) * 2.0
    current = np.sin(np.arange(50.0))
    current[7] = np.nan
    sent = SensorRecord("L1", "OP20", ts_ms, {"current_a": current, "count": np.arange(50.0)}, "P1")
    headers, body = encoding(sent)
    got = DOOR.decode("sensors", record(body, headers))
    assert isinstance(got, SensorRecord)
    np.testing.assert_array_equal(got.ts_ms, sent.ts_ms)
    assert set(got.channels) == {"current_a", "count"}
    np.testing.assert_array_equal(got.channels["current_a"], current)
    assert (got.line_id, got.station_id, got.part_id) == ("L1", "OP20", "P1")


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_arrow_samples_may_be_even_compressed_and_of_mixed_types(compression: str | None) -> None:
    table = pa.table({"a": pa.array([1, None, 3], pa.int32()), "b": pa.array([0.5, 1.5, 2.5], pa.float32())})
    got = DOOR.decode("sensors", record(*arrow(table, EVEN, compression)))
    assert isinstance(got, SensorRecord)
    assert (got.ts_ms - got.ts_ms[0]).tolist() == [0.0, 2.0, 4.0]
    np.testing.assert_array_equal(got.channels["a"], [1.0, np.nan, 3.0])
    assert got.channels["b"].tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("kind", [pa.timestamp("ms", "UTC"), pa.timestamp("ns"), pa.timestamp("s"), pa.float64()])
def test_arrow_times_may_be_stamps_of_any_unit_or_milliseconds(kind: Any) -> None:
    at = int(NOW) - 4000
    per_second = {"timestamp[s]": 1, "timestamp[ns]": 10**9}.get(str(kind), 1000)
    ts = pa.array([at // 1000 * per_second, (at // 1000 + 1) * per_second]).cast(kind)
    got = DOOR.decode("sensors", record(*arrow(pa.table({"ts": ts, "a": [1.0, 2.0]}), PLACE)))
    assert isinstance(got, SensorRecord)
    assert got.ts_ms.tolist() == [float(at), float(at + 1000)]


def test_arrow_batches_of_one_stream_are_joined() -> None:
    table = pa.table({"a": pa.chunked_array([[1.0, 2.0], [3.0]]), "b": pa.chunked_array([[4.0, 5.0], [6.0]])})
    got = DOOR.decode("sensors", record(*arrow(table, EVEN)))
    assert isinstance(got, SensorRecord)
    assert got.channels["b"].tolist() == [4.0, 5.0, 6.0]
    assert len(got.ts_ms) == 3


TIMES = pa.array([int(NOW), int(NOW) + 1]).cast(pa.timestamp("ms", "UTC"))


@pytest.mark.parametrize(
    ("table", "metadata", "expected"),
    [
        (pa.table({"a": [1.0, float("nan")]}), EVEN, "not_finite"),
        (pa.table({"a": [1.0, float("inf")]}), EVEN, "not_finite"),
        (pa.table({"a": [None, float("nan")]}), EVEN, "not_finite"),
        (pa.table({"a": ["x", "y"]}), EVEN, "bad_arrow"),
        (pa.table({"a": [[1.0], [2.0]]}), EVEN, "bad_arrow"),
        (pa.table({"a": pa.array(["x", "y"]).dictionary_encode()}), EVEN, "bad_arrow"),
        (pa.table({"a": pa.nulls(2)}), EVEN, "bad_arrow"),
        (pa.table([pa.array([1.0]), pa.array([1.0])], ["a", "a"]), EVEN, "bad_arrow"),
        (pa.table({"ts": TIMES}), PLACE, "no_samples"),
        (pa.table({"a": pa.array([], pa.float64())}), EVEN, "no_samples"),
        (pa.table({"a": [1.0]}), PLACE, "bad_time"),
        (pa.table({"a": [1.0]}), EVEN | {"dt_ms": "fast"}, "bad_time"),
        (pa.table({"a": [1.0]}), EVEN | {"dt_ms": "nan"}, "bad_time"),
        (pa.table({"ts": TIMES, "a": [1.0, 2.0]}), EVEN, "bad_time"),
        (pa.table({"ts": pa.array([None, 1.0]), "a": [1.0, 2.0]}), PLACE, "bad_time"),
        (pa.table({"ts": [0.0, 1.0], "a": [1.0, 2.0]}), PLACE, "clock_out_of_range"),
        (pa.table({"a": [1.0]}), EVEN | {"line_id": "L9"}, "unknown_line"),
        (pa.table({"a": [1.0]}), {"line_id": "L1"}, "bad_id"),
        (pa.table({"a": np.zeros(200_001)}), EVEN, "too_many_samples"),
    ],
)
def test_bad_arrow_samples_have_their_reason(table: pa.Table, metadata: dict[str, str], expected: str) -> None:
    assert reason("sensors", *arrow(table, metadata)) == expected


def test_a_compressed_bomb_is_refused_before_it_is_unpacked() -> None:
    body, headers = arrow(pa.table({"a": np.zeros(20_000_000)}), EVEN, "zstd")
    assert len(body) < 100_000
    before = pa.total_allocated_bytes()
    assert reason("sensors", body, headers) == "too_many_samples"
    assert pa.total_allocated_bytes() - before < 1_000_000


def test_a_frame_is_decoded_and_survives_the_wire() -> None:
    message = DOOR.decode("frames", record(b"\xff\xd8jpeg", frame_headers()))
    assert isinstance(message, Frame)
    assert message.frame_id == "top@2026-11-23T08:26:00.125Z"
    assert message.station_id == "OP40"  # where the plan puts the camera
    headers, body = encode_frame(message)
    assert DOOR.decode("frames", record(body, headers)) == message


@pytest.mark.parametrize(
    ("body", "changes", "expected"),
    [
        (b"", {}, "empty_frame"),
        (None, {}, "empty_frame"),
        (b"x", {"part_id": None}, "bad_header"),
        (b"x", {"part_id": b"\xff"}, "bad_header"),
        (b"x", {"part_id": "x" * 10_000}, "bad_id"),
        (b"x", {"camera_id": "side"}, "unknown_camera"),
        (b"x", {"line_id": "L9"}, "unknown_line"),
        (b"x", {"station_id": "OP99"}, "unknown_station"),
        (b"x", {"captured_at": "noon"}, "bad_time"),
        (b"x", {"captured_at": "1970-01-01T00:00:00.000Z"}, "clock_out_of_range"),
        (b"x", {"captured_at": "0001-01-01T00:00:00.000+10:00"}, "bad_time"),
        (b"x", {"content_type": "text/plain"}, "unknown_content_type"),
        (b"x", {"content_type": None}, "bad_header"),
        (b"", {"ref": "x" * 5000}, "bad_text"),
    ],
)
def test_a_bad_frame_has_its_reason(body: bytes | None, changes: dict[str, Any], expected: str) -> None:
    assert reason("frames", body, frame_headers(**changes)) == expected


def test_a_frame_by_reference_needs_no_body() -> None:
    message = DOOR.decode("frames", record(b"", frame_headers(ref="frames/1.jpg")))
    assert isinstance(message, Frame)
    assert (message.ref, message.body) == ("frames/1.jpg", b"")


def test_a_record_over_the_limit_is_refused_on_every_topic() -> None:
    door = Door(Settings(record_bytes_max=1000), plan())
    for topic in ("frames", "sensors", "production", "defects", "findings", "control"):
        assert reason(topic, b" " * 1001, door=door) == "record_too_large"


def test_an_unknown_topic_and_content_type_are_refused() -> None:
    assert reason("gossip", "{}") == "unknown_topic"
    assert reason("sensors", samples(), (("content-type", b"text/csv"),)) == "unknown_content_type"


def test_a_stream_that_is_not_granted_is_refused_and_the_systems_own_are_not() -> None:
    door = Door(Settings(), plan(topics=()))
    for topic in ("frames", "sensors", "production", "defects"):
        assert reason(topic, "{}", door=door) == "not_granted"
    order = {"order": "mode", "mode": "manual", "line_id": "*", "by": "qa.lead", "at": "2026-11-23T08:26:00.000Z"}
    assert door.decode("control", record(order)) is not None


def test_without_a_plan_any_line_and_station_pass() -> None:
    door = Door(Settings())
    assert door.decode("production", record(visit(line_id="L9", station_id="OP99"))) is not None


@pytest.mark.parametrize(
    ("topic", "changes", "expected"),
    [
        ("defects", {"outcome": "maybe"}, "bad_field"),
        ("defects", {"comment": "x" * 4001}, "bad_text"),
        ("defects", {"recorded_at": "1970-01-01T00:00:00.000Z"}, "clock_out_of_range"),
        ("defects", {"line_id": "L9"}, "unknown_line"),
        ("control", {"mode": "off"}, "bad_field"),
        ("control", {"line_id": "L9"}, "unknown_line"),
    ],
)
def test_bad_defects_and_orders_have_their_reason(topic: str, changes: dict[str, Any], expected: str) -> None:
    good = {
        "defects": {
            "part_id": "P1",
            "line_id": "L1",
            "recorded_at": "2026-11-23T08:26:00.000Z",
            "source": "inspector",
            "outcome": "defect",
        },
        "control": {"order": "mode", "mode": "manual", "line_id": "L1", "by": "qa", "at": "2026-11-23T08:26:00.000Z"},
    }[topic]
    assert isinstance(DOOR.decode(topic, record(good)), msgspec.Struct)
    assert reason(topic, good | changes) == expected


def test_every_reason_in_the_source_is_documented_and_every_documented_one_is_used() -> None:
    rooms = (Path(__file__).parents[2] / "ingest" / name for name in ("decode", "folder"))
    source = "".join(path.read_text() for room in rooms for path in sorted(room.glob("*.py")))
    table = source[source.index("REASONS: Mapping") : source.index("_FRAME_HEADERS = ")]
    rest = source.replace(table, "")
    assert set(re.findall(r'BadRecord\(\s*"(\w+)"', rest)) <= set(REASONS)
    assert {word for word in REASONS if f'"{word}"' in rest} == set(REASONS)
