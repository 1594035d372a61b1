"""What every message must hold, whichever door it came through: names, places, clock, lengths. One reason per rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from ingest.errors import BadInput, BadRecord
from ingest.messages import Defect, Findings, Frame, Instant, Mark, Order, Visit
from ingest.plan.plan import Plan
from ingest.settings import Settings

ID_CHARS_MAX = 200  # a GS1 data-matrix code holds 70 to 150 characters
ATTRIBUTES_MAX = 64  # facts booked at one visit; more is somebody's whole database row
TEXT_CHARS_MAX = 4000  # a comment a person typed
CODES_CHARS_MAX = 1000  # several causes, separated by `;`
MARKS_MAX = 50  # of one record; who draws more has drawn the texture
POINTS_MAX = 2000  # of one stroke: a slow hand on a screen of 120 Hz for a quarter of a minute
RECORD_POINTS_MAX = 20_000  # of all its strokes: 300 kB of text, far below what a log takes as one record
PIXEL_MAX = 65_535  # the widest picture a JPEG can hold
CONTENT_TYPES = frozenset({"image/jpeg", "image/png", "image/tiff", "image/bmp"})


def check_id(field: str, value: str) -> None:
    """A name that must be there: 1 to 200 printable characters. Raises BadRecord `bad_id`."""
    if not 0 < len(value) <= ID_CHARS_MAX or not value.isprintable():
        raise BadRecord("bad_id", f"{field} wants 1 to {ID_CHARS_MAX} printable characters, got {_shown(value)}")


def check_text(field: str, value: str, chars_max: int = ID_CHARS_MAX) -> None:
    """Text that may be empty: limited, and free of what cannot be written as UTF-8. Raises BadRecord `bad_text`."""
    if len(value) > chars_max:
        raise BadRecord("bad_text", f"{field} wants at most {chars_max} characters, got {_shown(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadRecord("bad_text", f"{field} is not Unicode text: {error.reason}") from error


def _shown(value: str) -> str:
    return f"{value[:40]!a}{'...' if len(value) > 40 else ''} ({len(value)} characters)"


def check_taking_back(defect: Defect) -> None:
    """Raises BadRecord `bad_id`, or `bad_field` where a record that takes another back says more than that."""
    if defect.record_id is not msgspec.UNSET:
        check_id("record_id", defect.record_id)
    if defect.undoes is not msgspec.UNSET:
        check_id("undoes", defect.undoes)
        if defect.outcome != "unsure":
            raise BadRecord("bad_field", f"undoes: a record that takes another back says unsure, not {defect.outcome}")


def check_marks(marks: Iterable[Mark]) -> None:
    """Each mark one box or stroke of sane size; whether it lies within its picture only who has the picture can say.

    Raises BadRecord `bad_mark`, `bad_id` or `bad_text`.
    """
    points = 0
    for number, mark in enumerate(marks, start=1):
        points += len(mark.stroke.points) if mark.stroke is not None else 0
        if number > MARKS_MAX or points > RECORD_POINTS_MAX:
            most = f"{MARKS_MAX} marks, or {RECORD_POINTS_MAX} points of strokes,"
            raise BadRecord("bad_mark", f"more than {most} in one record")
        check_id("camera_id of a mark", mark.camera_id)
        check_text("frame_id of a mark", mark.frame_id, 2 * ID_CHARS_MAX)
        check_text("kind of a mark", mark.kind)
        if (mark.box is None) == (mark.stroke is None):
            raise BadRecord("bad_mark", f"mark {number} wants exactly one of box and stroke")
        if (wrong := _wrong_shape(mark)) is not None:
            raise BadRecord("bad_mark", f"mark {number}: {wrong}")


def _wrong_shape(mark: Mark) -> str | None:
    """What is wrong with the shape of a mark, in words."""
    if mark.box is not None:
        box = mark.box
        if not (0 < box.width <= PIXEL_MAX and 0 < box.height <= PIXEL_MAX):
            return f"a box of {box.width} x {box.height} pixels"
        if not (0 <= box.x <= PIXEL_MAX and 0 <= box.y <= PIXEL_MAX):
            return f"a box at {box.x}, {box.y}, which is in no picture"
        return None
    assert mark.stroke is not None  # exactly one of the two is there
    if not 0 < mark.stroke.width_px <= PIXEL_MAX:
        return f"a stroke {mark.stroke.width_px} pixels wide"
    if not 0 < len(mark.stroke.points) <= POINTS_MAX:
        return f"a stroke of {len(mark.stroke.points)} points; 1 to {POINTS_MAX} are taken"
    outside = next((p for p in mark.stroke.points if not all(_within(place) for place in p)), None)
    return None if outside is None else f"a stroke through {outside[0]}, {outside[1]}, which is in no picture"


def _within(place: float) -> bool:
    return math.isfinite(place) and 0 <= place <= PIXEL_MAX


def content_type_of(name: str) -> str:
    """`image/jpeg; charset=...` in any case -> `image/jpeg`. Raises BadRecord `unknown_content_type`."""
    plain = name.partition(";")[0].strip().lower()
    plain = "image/jpeg" if plain == "image/jpg" else plain
    if plain not in CONTENT_TYPES:
        raise BadRecord(
            "unknown_content_type", f"content-type {_shown(name)} is none of {', '.join(sorted(CONTENT_TYPES))}"
        )
    return plain


class Checks:
    """The rules that need settings (clock limits) or the plan (which lines, stations and cameras there are)."""

    def __init__(self, settings: Settings, plan: Plan | None) -> None:
        try:
            self.earliest_ms = int(Instant.parse(settings.clock_earliest))
        except ValueError as error:
            raise BadInput(f"QCFUSE_CLOCK_EARLIEST: {error}") from error
        self._ahead_ms = settings.clock_ahead_ms
        self.samples_max = settings.samples_per_record_max
        self.bytes_max = settings.record_bytes_max
        self.plan = plan
        lines = plan.lines if plan else ()
        self._stations = {line.line_id: frozenset(s.station_id for s in line.stations) for line in lines}
        self._cameras = {line.line_id: {c.camera_id: c.station_id for c in line.cameras} for line in lines}

    def clock(self, field: str, first_ms: float, last_ms: float, logged_at_ms: float) -> None:
        """Both times must lie in the sane range. Raises BadRecord `clock_out_of_range`."""
        if not first_ms >= self.earliest_ms:
            raise BadRecord("clock_out_of_range", f"{field} is before {Instant(self.earliest_ms).isoformat()}")
        if not last_ms <= logged_at_ms + self._ahead_ms:
            raise BadRecord("clock_out_of_range", f"{field} is more than {self._ahead_ms} ms ahead of the log")

    def place(self, line_id: str, station_id: str, camera_id: str = "") -> None:
        """Line, and station and camera where given, must be in the plan (when there is one)."""
        check_id("line_id", line_id)
        if station_id:
            check_id("station_id", station_id)
        if camera_id:
            check_id("camera_id", camera_id)
        if self.plan is None:
            return
        stations = self._stations.get(line_id)
        if stations is None:
            raise BadRecord("unknown_line", f"line '{line_id}' is not in the plan")
        if station_id and station_id not in stations:
            raise BadRecord("unknown_station", f"station '{station_id}' of line '{line_id}' is not in the plan")
        if camera_id and camera_id not in self._cameras[line_id]:
            raise BadRecord("unknown_camera", f"camera '{camera_id}' of line '{line_id}' is not in the plan")

    def camera_station(self, line_id: str, camera_id: str) -> str:
        """The station the plan puts this camera at, or empty."""
        return self._cameras.get(line_id, {}).get(camera_id, "")

    def visit(self, visit: Visit, logged_at_ms: float) -> Visit:
        """The visit, without attributes whose value is empty. Raises BadRecord."""
        check_id("part_id", visit.part_id)
        check_id("station_id", visit.station_id)
        self.place(visit.line_id, visit.station_id)
        check_text("batch_id", visit.batch_id)
        check_text("product", visit.product)
        first, last = sorted((visit.started_at, visit.ended_at))
        self.clock("the visit", first, last, logged_at_ms)
        if visit.ended_at < visit.started_at:
            times = f"ended_at {visit.ended_at.isoformat()} < started_at {visit.started_at.isoformat()}"
            raise BadRecord("ends_before_start", times)
        return self._attributes(visit)

    def _attributes(self, visit: Visit) -> Visit:
        attributes: Mapping[str, str] = visit.attributes
        if len(attributes) > ATTRIBUTES_MAX:
            raise BadRecord("bad_attribute", f"{len(attributes)} attributes; at most {ATTRIBUTES_MAX} are taken")
        empty = False
        for name, value in attributes.items():
            if not 0 < len(name) <= ID_CHARS_MAX or not name.isprintable():
                raise BadRecord("bad_attribute", f"attribute name {_shown(name)}")
            if len(value) > ID_CHARS_MAX or not value.isprintable():
                raise BadRecord("bad_attribute", f"{name} is {_shown(value)}")
            empty = empty or not value
        if not empty:
            return visit
        return msgspec.structs.replace(visit, attributes={n: v for n, v in attributes.items() if v})

    def defect(self, defect: Defect, logged_at_ms: float) -> Defect:
        check_id("part_id", defect.part_id)
        self.place(defect.line_id, "")
        self.clock("recorded_at", defect.recorded_at, defect.recorded_at, logged_at_ms)
        check_text("defect_code", defect.defect_code)
        check_text("cause_code", defect.cause_code, CODES_CHARS_MAX)
        check_text("recorded_by", defect.recorded_by)
        check_text("comment", defect.comment, TEXT_CHARS_MAX)
        check_taking_back(defect)
        check_marks(defect.drawn)
        return defect

    def findings(self, findings: Findings, logged_at_ms: float) -> Findings:
        check_id("part_id", findings.part_id)
        check_id("camera_id", findings.camera_id)
        check_text("frame_id", findings.frame_id, 2 * ID_CHARS_MAX)
        check_text("product", findings.product)
        self.place(findings.line_id, findings.station_id, findings.camera_id)
        self.clock("captured_at", findings.captured_at, findings.captured_at, logged_at_ms)
        self.clock("inspected_at", findings.inspected_at, findings.inspected_at, logged_at_ms)
        return findings

    def frame(self, frame: Frame, logged_at_ms: float) -> Frame:
        check_id("part_id", frame.part_id)
        check_id("camera_id", frame.camera_id)
        check_text("frame_id", frame.frame_id, 2 * ID_CHARS_MAX)
        check_text("ref", frame.ref, TEXT_CHARS_MAX)
        check_text("product", frame.product)
        self.place(frame.line_id, frame.station_id, frame.camera_id)
        self.clock("captured_at", frame.captured_at, frame.captured_at, logged_at_ms)
        if not frame.body and not frame.ref:
            raise BadRecord("empty_frame", "neither an image in the body nor a header `ref`")
        return frame

    def order(self, order: Order, logged_at_ms: float) -> Order:
        if order.line_id != "*":
            self.place(order.line_id, "")
        check_id("by", order.by)
        check_text("reason", order.reason, TEXT_CHARS_MAX)
        self.clock("at", order.at, order.at, logged_at_ms)
        return order
