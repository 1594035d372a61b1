"""The one door: bytes of a record → a frozen, typed message, or BadRecord with its reason.

    door = Door(settings, plan)
    message = door.decode("production", record)   # Visit, or BadRecord("ends_before_start", ...)

Nothing a producer can write makes `decode` raise anything but BadRecord; everything behind the door may trust the
lengths, names, clock and finiteness of what it gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ingest.decode.arrow import decode_arrow
from ingest.decode.checks import Checks, content_type_of
from ingest.decode.sensors import SensorBody, decode_json_samples
from ingest.errors import BadRecord
from ingest.log.seam import Record
from ingest.messages import Defect, Findings, Frame, Instant, Order, SensorRecord, Verdict, Visit, json_decoder
from ingest.plan.plan import Plan
from ingest.settings import Settings

Message = Visit | SensorRecord | Findings | Defect | Frame | Order | Verdict

ARROW = "application/vnd.apache.arrow.stream"
#: The plant's own streams, which may only be read when the plan grants them.
GRANTED = frozenset({"frames", "sensors", "production", "defects"})

#: Every `reason` with which the door, or a replay folder, refuses a record or row.
REASONS: Mapping[str, str] = {
    "bad_arrow": "The body is no Arrow IPC stream of plain numeric columns, or unpacks to more than a record may hold.",
    "bad_attribute": "There are too many attributes, or a name or value is too long or not printable.",
    "bad_field": "A field is missing, unknown, or of another type than the contract says.",
    "bad_header": "A header that the contract asks for is missing, or is not UTF-8.",
    "bad_id": "A name (part, line, station, camera) is empty, longer than 200 characters, or not printable.",
    "bad_json": "The body is not JSON in UTF-8 (NaN and Infinity are not JSON).",
    "bad_mark": "A mark is not one box or stroke within a frame, or there are too many of them or of their points.",
    "bad_path": "The file named by a row does not lie below its folder.",
    "bad_row": "A row has more or fewer cells than its table has columns.",
    "bad_text": "A text is too long or cannot be written as UTF-8.",
    "bad_time": "A time is not RFC 3339 with a zone, or a record says its times in no way or in two.",
    "channels_unequal": "The channels of one record differ in length, from each other or from its times.",
    "clock_out_of_range": "A time is before the earliest sane one or too far ahead of the log.",
    "empty_frame": "A frame has neither a picture nor a reference to one.",
    "ends_before_start": "A visit ends before it starts.",
    "no_body": "The record has no body.",
    "no_samples": "A sensor record holds no sample.",
    "not_finite": "A sample is NaN or infinite; a missing sample is null.",
    "not_granted": "The plan does not grant reading this stream.",
    "picture_missing": "The picture a row names is not there.",
    "record_too_large": "The record has more bytes than one may have.",
    "too_many_samples": "A sensor record holds more samples than one may have.",
    "unknown_camera": "The camera is not in the plan.",
    "unknown_content_type": "The content type is none that the contract knows.",
    "unknown_line": "The line is not in the plan.",
    "unknown_station": "The station is not in the plan.",
    "unknown_topic": "The contract knows no such topic.",
}

_FRAME_HEADERS = (
    "part_id", "line_id", "camera_id", "captured_at", "content-type", "station_id", "frame_id", "ref", "product",
)  # fmt: skip


class Door:
    """Decodes and checks records. With a plan also: is the stream granted, are line, station and camera known."""

    def __init__(self, settings: Settings, plan: Plan | None = None) -> None:
        self._checks = Checks(settings, plan)
        self._plan = plan
        checks = self._checks
        bodies: dict[str, tuple[Any, Callable[[Any, float], Message]]] = {
            "production": (Visit, checks.visit),
            "defects": (Defect, checks.defect),
            "findings": (Findings, checks.findings),
            "control": (Order, checks.order),
            "verdicts": (Verdict, lambda verdict, _: verdict),
            "sensors": (SensorBody, lambda body, logged_at: decode_json_samples(body, checks, logged_at)),
        }
        self._bodies = {topic: (json_decoder(kind), check) for topic, (kind, check) in bodies.items()}

    def decode(self, topic: str, record: Record) -> Message:
        """The message in this record of a topic (name without prefix). Raises BadRecord with a reason of `REASONS`."""
        if topic in GRANTED and self._plan is not None and not self._plan.may_read(topic):
            raise BadRecord("not_granted", f"the plan does not grant qc.{topic}")
        size = len(record.body or b"") + sum(len(name) + len(value or b"") for name, value in record.headers)
        if size > self._checks.bytes_max:
            raise BadRecord("record_too_large", f"{size} bytes; at most {self._checks.bytes_max} are taken")
        if topic == "frames":
            return self._frame(record)
        if topic not in self._bodies:
            raise BadRecord("unknown_topic", f"no topic {topic[:100]!a}")
        if not record.body:
            raise BadRecord("no_body", "the record has no body")
        if topic == "sensors" and _is_arrow(record):
            return decode_arrow(record.body, self._checks, record.logged_at_ms)
        decoder, check = self._bodies[topic]
        return check(_parse(decoder, record.body), record.logged_at_ms)

    def _frame(self, record: Record) -> Frame:
        headers = _frame_headers(record)
        captured_at = _instant("captured_at", headers["captured_at"])
        camera_id = headers["camera_id"]
        station_id = headers["station_id"] or self._checks.camera_station(headers["line_id"], camera_id)
        frame = Frame(
            part_id=headers["part_id"],
            line_id=headers["line_id"],
            camera_id=camera_id,
            captured_at=captured_at,
            content_type=content_type_of(headers["content-type"]),
            body=record.body or b"",
            station_id=station_id,
            frame_id=headers["frame_id"] or f"{camera_id}@{captured_at.isoformat()}",
            ref=headers["ref"],
            product=headers["product"],
        )
        return self._checks.frame(frame, record.logged_at_ms)


def _parse(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRecord("bad_field", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord("bad_json", str(error)) from error
    except (RecursionError, OverflowError) as error:
        raise BadRecord("bad_json", f"nested too deeply or out of range: {error}") from error


def _is_arrow(record: Record) -> bool:
    kind = (record.header("content-type") or "application/json").partition(";")[0].strip().lower()
    if kind not in (ARROW, "application/json"):
        raise BadRecord("unknown_content_type", f"content-type {kind[:100]!a} is neither JSON nor {ARROW}")
    return kind == ARROW


def _frame_headers(record: Record) -> dict[str, str]:
    """The contract's headers of a frame, "" for optional ones that are not there; the first of a name counts."""
    raw: dict[str, bytes] = {}
    for name, value in record.headers:
        raw.setdefault(name, value or b"")
    found = {}
    for name in _FRAME_HEADERS:
        try:
            found[name] = raw.get(name, b"").decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRecord("bad_header", f"header {name} is not UTF-8") from error
    for name in _FRAME_HEADERS[:5]:
        if name not in raw:
            raise BadRecord("bad_header", f"header {name} is missing")
    return found


def _instant(field: str, text: str) -> Instant:
    try:
        moment = Instant.parse(text)
        moment.isoformat()  # a time whose year UTC cannot write is none
    except (ValueError, OverflowError) as error:
        raise BadRecord("bad_time", f"{field}: {error}") from error
    return moment
