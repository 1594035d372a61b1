"""What stands in a replay folder, row by row, and how each becomes an arrival."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from ingest.decode.checks import Checks, check_id
from ingest.errors import BadRecord
from ingest.folder.rows import Row
from ingest.messages import Defect, Frame, Instant, SensorRecord, Visit

VISIT_COLUMNS = ("part_id", "line_id", "station_id", "started_at", "ended_at", "batch_id", "product")
FRAME_COLUMNS = ("part_id", "line_id", "station_id", "camera_id", "captured_at", "file")
DEFECT_COLUMNS = ("part_id", "line_id", "recorded_at", "source", "outcome", "defect_code", "cause_code")
DEFECT_IDS = ("record_id", "undoes")  # optional columns; an empty cell is an absent field
TRUTH_COLUMNS = ("part_id", "line_id", "batch_id", "defect", "mechanism", "cause")
CONTENT_TYPE_OF_SUFFIX = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
}
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record as it came in. `where`: file and line; `part_id`: whose it is, unnamed samples too ("" nobody's)."""

    received_at: Instant
    message: Frame | Visit | SensorRecord | Defect
    where: str
    part_id: str


class Item(Protocol):
    """A row, or a stretch of rows, that arrives as one record."""

    @property
    def received_at(self) -> Instant: ...

    @property
    def part_id(self) -> str: ...

    @property
    def moment_ms(self) -> float:
        """When what it describes began, in ms since 1970."""

    def arrival(self) -> Arrival:
        """Raises BadRecord when it cannot be read after all."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part as production booked it first."""

    part_id: str
    line_id: str
    started_at: Instant
    batch_id: str
    product: str


@dataclass(frozen=True, slots=True)
class VisitRow:
    received_at: Instant
    visit: Visit
    row: int

    @property
    def part_id(self) -> str:
        return self.visit.part_id

    @property
    def moment_ms(self) -> float:
        return float(self.visit.started_at)

    def arrival(self) -> Arrival:
        return Arrival(self.received_at, self.visit, f"production.csv:{self.row}", self.part_id)


@dataclass(frozen=True, slots=True)
class DefectRow:
    received_at: Instant
    defect: Defect
    row: int

    @property
    def part_id(self) -> str:
        return self.defect.part_id

    @property
    def moment_ms(self) -> float:
        return float(self.defect.recorded_at)

    def arrival(self) -> Arrival:
        return Arrival(self.received_at, self.defect, f"defects.csv:{self.row}", self.part_id)


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One frame whose picture is still on disk (`frame.body` is empty)."""

    received_at: Instant
    frame: Frame
    path: Path
    row: int
    bytes_max: int

    @property
    def part_id(self) -> str:
        return self.frame.part_id

    @property
    def moment_ms(self) -> float:
        return float(self.frame.captured_at)

    def load(self) -> bytes:
        """The encoded picture. Raises BadRecord `picture_missing`, `empty_frame` or `record_too_large`."""
        try:
            with self.path.open("rb") as file:
                body = file.read(self.bytes_max + 1)
        except OSError as error:
            raise BadRecord("picture_missing", f"{self.path.name}: {error.strerror}") from error
        if not body:
            raise BadRecord("empty_frame", f"{self.path.name} is empty")
        if len(body) > self.bytes_max:
            raise BadRecord("record_too_large", f"{self.path.name} has more than {self.bytes_max} bytes")
        return body

    def arrival(self) -> Arrival:
        frame = dataclasses.replace(self.frame, body=self.load())
        return Arrival(self.received_at, frame, f"frames.csv:{self.row}", self.part_id)


@dataclass(frozen=True, slots=True)
class Truth:
    """What a simulated plant did to a part (`truth.csv`)."""

    part_id: str
    line_id: str
    batch_id: str
    defect: bool
    mechanism: str
    cause: str


def read_visit(row: Row, checks: Checks) -> VisitRow:
    """Every column besides the contract's own is an attribute; an empty cell is an absent one."""
    cells = row.cells
    attributes = {
        name: value for name, value in cells.items() if value and name not in VISIT_COLUMNS and name != "received_at"
    }
    visit = Visit(
        part_id=cells["part_id"],
        line_id=cells["line_id"],
        station_id=cells["station_id"],
        started_at=row.instant("started_at"),
        ended_at=row.instant("ended_at"),
        batch_id=cells["batch_id"],
        product=cells["product"],
        attributes=attributes,
    )
    received_at = row.received_at(visit.ended_at)
    return VisitRow(received_at, checks.visit(visit, received_at), row.number)


def read_defect(row: Row, checks: Checks) -> DefectRow:
    cells = {name: row.cells.get(name, "") for name in (*DEFECT_COLUMNS, "recorded_by", "comment")}
    cells |= {name: row.cells[name] for name in DEFECT_IDS if row.cells.get(name)}
    try:
        defect = msgspec.convert(cells | {"recorded_at": row.instant("recorded_at")}, Defect, dec_hook=_as_is)
    except msgspec.ValidationError as error:
        raise BadRecord("bad_field", str(error)) from error
    received_at = row.received_at(defect.recorded_at)
    return DefectRow(received_at, checks.defect(defect, received_at), row.number)


def _as_is(kind: type, value: object) -> object:
    if isinstance(value, kind):
        return value
    raise NotImplementedError(kind)


def read_frame(row: Row, checks: Checks, pictures: Path, booked: Callable[[str, Instant], str]) -> FrameRow:
    """`booked`: what a part was booked as by then. It stands in where the file has no column `product`; an empty cell
    of that column says that the frame did not tell."""
    cells = row.cells
    inside = PurePosixPath(cells["file"])
    if not inside.name or inside.is_absolute() or ".." in inside.parts or not cells["file"].isprintable():
        raise BadRecord("bad_path", f"file {cells['file'][:80]!a} is not a path below frames/")
    content_type = CONTENT_TYPE_OF_SUFFIX.get(inside.suffix.lower())
    if content_type is None:
        raise BadRecord("unknown_content_type", f"{inside.name} is none of {', '.join(CONTENT_TYPE_OF_SUFFIX)}")
    captured_at = row.instant("captured_at")
    received_at = row.received_at(captured_at)
    check_id("station_id", cells["station_id"])
    frame = Frame(
        part_id=cells["part_id"],
        line_id=cells["line_id"],
        camera_id=cells["camera_id"],
        captured_at=captured_at,
        content_type=content_type,
        body=b"",
        station_id=cells["station_id"],
        frame_id=cells.get("frame_id") or f"{cells['camera_id']}@{captured_at.isoformat()}",
        ref=cells["file"],  # stands in for the body until it is read: a frame must have one of them
        product=cells["product"] if "product" in cells else booked(cells["part_id"], received_at),
    )
    frame = dataclasses.replace(checks.frame(frame, received_at), ref="")
    path = pictures / inside
    if not path.is_file():
        raise BadRecord("picture_missing", f"frames/{inside} is not there")
    return FrameRow(received_at, frame, path, row.number, checks.bytes_max)


def read_truth(row: Row) -> Truth:
    cells = row.cells
    told = cells["defect"].strip().lower()
    if told not in _TRUE + _FALSE:
        raise BadRecord("bad_field", f"defect wants 0 or 1, got {told[:40]!a}")
    check_id("part_id", cells["part_id"])
    return Truth(
        cells["part_id"], cells["line_id"], cells["batch_id"], told in _TRUE, cells["mechanism"], cells["cause"]
    )
