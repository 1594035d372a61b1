"""`marks.csv` and `masks/` of a replay folder: where people saw defects in frames, as boxes or as masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ingest.decode.checks import Checks, check_id, check_marks, check_text
from ingest.errors import BadRecord
from ingest.folder.rows import Row
from ingest.messages import Instant, Mark, MarkBox

MARK_COLUMNS = ("part_id", "line_id", "camera_id", "kind")
_BOX_COLUMNS = ("x", "y", "width", "height")


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A grey PNG as large as its frame, or of the same aspect: what is not zero is the defect."""

    kind: str
    path: Path
    bytes_max: int

    def load(self) -> bytes:
        """The encoded mask. Raises BadRecord `bad_mark` when it is gone, empty or too large."""
        try:
            with self.path.open("rb") as file:
                body = file.read(self.bytes_max + 1)
        except OSError as error:
            raise BadRecord("bad_mark", f"mask {self.path.name}: {error.strerror}") from error
        if not body or len(body) > self.bytes_max:
            raise BadRecord("bad_mark", f"mask {self.path.name} has {len(body)} bytes; 1 to {self.bytes_max} are taken")
        return body


@dataclass(frozen=True, slots=True)
class MarkRow:
    """One row. `captured_at` None: the mark is on every frame of this part and camera."""

    part_id: str
    line_id: str
    camera_id: str
    captured_at: Instant | None
    mark: Mark | MaskFile
    row: int


def read_mark(row: Row, checks: Checks, masks: Path) -> MarkRow:
    """Either `file` (below masks/) or the four columns of a box. Raises BadRecord."""
    cells = row.cells
    check_id("part_id", cells["part_id"])
    check_id("camera_id", cells["camera_id"])
    checks.place(cells["line_id"], "", cells["camera_id"])
    check_text("kind", cells["kind"])
    captured_at = row.instant("captured_at") if cells.get("captured_at") else None
    boxed = any(cells.get(column) for column in _BOX_COLUMNS)
    if boxed == bool(cells.get("file")):
        raise BadRecord("bad_mark", "a row of marks.csv wants either file or x, y, width and height")
    mark: Mark | MaskFile = _box(row) if boxed else _mask(row, masks, checks.bytes_max)
    return MarkRow(cells["part_id"], cells["line_id"], cells["camera_id"], captured_at, mark, row.number)


def _box(row: Row) -> Mark:
    box = MarkBox(**{column: _pixels(column, row.cells.get(column, "")) for column in _BOX_COLUMNS})
    mark = Mark(camera_id=row.cells["camera_id"], frame_id="", kind=row.cells["kind"], box=box)
    check_marks([mark])
    return mark


def _pixels(column: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadRecord("bad_mark", f"{column} wants whole pixels, got {text[:40]!a}") from error


def _mask(row: Row, masks: Path, bytes_max: int) -> MaskFile:
    name = row.cells["file"]
    inside = PurePosixPath(name)
    if not inside.name or inside.is_absolute() or ".." in inside.parts or not name.isprintable():
        raise BadRecord("bad_path", f"file {name[:80]!a} is not a path below masks/")
    if inside.suffix.lower() != ".png":
        raise BadRecord("unknown_content_type", f"{inside.name} is no PNG; a mask must keep its pixels")
    path = masks / inside
    if not path.is_file():
        raise BadRecord("picture_missing", f"masks/{inside} is not there")
    return MaskFile(row.cells["kind"], path, bytes_max)
