"""From the service to the eye: what people marked on the screen, written as a replay folder to teach from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.http.views import read_verdict
from api.store.database import migrate
from api.store.read import StoreReader
from api.store.rows import PartRecord, StoredMark
from fusion.labels import standing
from ingest.blobs import BlobGone, Blobs
from ingest.errors import BadInput, BadRecord
from ingest.folder.items import CONTENT_TYPE_OF_SUFFIX, DEFECT_COLUMNS, FRAME_COLUMNS, VISIT_COLUMNS
from ingest.folder.marks import MARK_COLUMNS
from ingest.messages import Defect, Findings, Mark, Visit
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from ingest.settings import Settings
from ingest.simulate.tables import write_csv
from vision.header import ImageHeader, read_header
from vision.image import encode_png
from vision.marks import drawn

_PAGE = 500  # marks read at a time
_MARK_COLUMNS = (*MARK_COLUMNS, "captured_at", "file", "x", "y", "width", "height")
_SUFFIX_OF_KIND = {kind.removeprefix("image/"): suffix for suffix, kind in reversed(CONTENT_TYPE_OF_SUFFIX.items())}

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `gone`: marks whose picture is not kept any more, or cannot be read."""

    marks: int
    frames: int
    parts: int
    gone: int


@dataclass(slots=True)
class _Tables:
    """The rows of the folder as they come together."""

    frames: list[Row] = field(default_factory=list)
    marks: list[Row] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    masks: int = 0
    gone: int = 0


def export_marks(settings: Settings, camera_id: str, out: Path, progress: Callable[[str], None]) -> Exported:
    """Write every mark (of one camera, or "" of all) with its frame to the folder `out`, which must be new or empty.

    The parts' visits and defect records come with them. Raises BadInput (no marks, unknown camera, folder in use).
    """
    plan = load_plan(settings.plan)
    cameras = [camera.camera_id for line in plan.lines for camera in line.cameras]
    if camera_id and camera_id not in cameras:
        raise BadInput(f"--camera {camera_id}: not in the plan; it has {', '.join(cameras) or 'no camera'}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: not empty; name a new folder")
    migrate(settings.store)
    reader = StoreReader(settings.store)
    try:
        by_part = _by_part(reader, camera_id)
        if not by_part:
            where = f"camera {camera_id}" if camera_id else "any camera"
            raise BadInput(f"{settings.store}: nothing is marked on {where}; draw on a part's picture first")
        tables = _gather(reader, by_part, Blobs(settings.blobs), out)
    finally:
        reader.close()
    _write(tables, plan, Path(settings.plan), out)
    parts = len({row[0] for row in tables.frames})
    progress(f"{out}: marks {len(tables.marks)}, frames {len(tables.frames)}, parts {parts}")
    if tables.gone:
        progress(f"marks left out {tables.gone}: their pictures are no longer kept, or cannot be read")
    return Exported(len(tables.marks), len(tables.frames), parts, tables.gone)


def _by_part(reader: StoreReader, camera_id: str) -> Mapping[str, list[StoredMark]]:
    """Marks whose record was taken back are left out."""
    found: dict[str, list[StoredMark]] = {}
    for stored in _all_marks(reader, camera_id):
        found.setdefault(stored.part_id, []).append(stored)
    return {part_id: kept for part_id, marks in found.items() if (kept := _that_stand(reader, part_id, marks))}


def _that_stand(reader: StoreReader, part_id: str, marks: Sequence[StoredMark]) -> list[StoredMark]:
    record = reader.part(part_id)
    records = standing(record.defects if record is not None else (), lambda defect: defect)
    said = {(defect.recorded_at, defect.recorded_by) for defect in records if defect.outcome == "defect"}
    return [mark for mark in marks if (mark.recorded_at, mark.recorded_by) in said]


def _all_marks(reader: StoreReader, camera_id: str) -> Iterator[StoredMark]:
    behind = None
    while page := reader.marks(camera_id, "", _PAGE, behind):
        yield from page
        behind = page[-1].stands


def _gather(reader: StoreReader, by_part: Mapping[str, list[StoredMark]], blobs: Blobs, out: Path) -> _Tables:
    """Read what belongs to the marks; pictures and masks are written as they come."""
    tables = _Tables()
    for folder in ("frames", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for part_id, stored in sorted(by_part.items()):
        record = reader.part(part_id)
        assert record is not None  # a mark came with a defect record of this part
        seen_of = {seen.frame_id: seen for seen in record.findings}
        shown: list[Findings] = []
        for frame_id in dict.fromkeys(one.mark.frame_id for one in stored):
            of_frame = [one.mark for one in stored if one.mark.frame_id == frame_id]
            seen = seen_of.get(frame_id)
            header = _keep_frame(seen, blobs, out, tables) if seen else None
            if seen is None or header is None:
                tables.gone += len(of_frame)
                continue
            shown.append(seen)
            tables.marks += [_mark_row(seen, mark, header, out, tables) for mark in of_frame]
        if shown:
            tables.visits += record.visits or [_stand_in(shown[0], record)]
            tables.defects += standing(record.defects, lambda defect: defect)
    return tables


def _keep_frame(seen: Findings, blobs: Blobs, out: Path, tables: _Tables) -> ImageHeader | None:
    """Write the picture and its row; None when it is gone."""
    try:
        body = blobs.get(seen.frame_ref) if seen.frame_ref else b""
        header = read_header(body)
    except (BlobGone, BadRecord):
        return None  # counted by the caller and told at the end
    name = f"{len(tables.frames) + 1:06d}{_SUFFIX_OF_KIND[header.kind]}"
    (out / "frames" / name).write_bytes(body)
    times = seen.captured_at.isoformat()
    tables.frames.append(
        (seen.part_id, seen.line_id, seen.station_id, seen.camera_id, times, name, seen.frame_id, seen.product),
    )
    return header


def _mark_row(seen: Findings, mark: Mark, header: ImageHeader, out: Path, tables: _Tables) -> Row:
    """A box as its four numbers, a stroke as a mask of the frame's size."""
    first = (seen.part_id, seen.line_id, seen.camera_id, mark.kind, seen.captured_at.isoformat())
    if mark.box is not None:
        box = mark.box
        return (*first, "", str(box.x), str(box.y), str(box.width), str(box.height))
    tables.masks += 1
    name = f"{tables.masks:06d}.png"
    (out / "masks" / name).write_bytes(encode_png(drawn(mark, header.width, header.height)))
    return (*first, name, "", "", "", "")


def _stand_in(seen: Findings, record: PartRecord) -> Visit:
    """A part that no station booked has the moment of its frame for its visit: training knows no part without one."""
    verdict = read_verdict(record.verdicts[0]) if record.verdicts else None
    return Visit(
        part_id=seen.part_id,
        line_id=seen.line_id,
        station_id=seen.station_id,
        started_at=seen.captured_at,
        ended_at=seen.captured_at,
        batch_id=verdict.batch_id if verdict else "",
        product=verdict.product if verdict else "",
    )


def _write(tables: _Tables, plan: Plan, plan_path: Path, out: Path) -> None:
    attributes = sorted({name for visit in tables.visits for name in visit.attributes if plan.may_use(name)})
    write_csv(out / "production.csv", (*VISIT_COLUMNS, *attributes), _visit_rows(tables.visits, attributes))
    write_csv(out / "frames.csv", (*FRAME_COLUMNS, "frame_id", "product"), tables.frames)
    write_csv(out / "marks.csv", _MARK_COLUMNS, tables.marks)
    write_csv(out / "defects.csv", DEFECT_COLUMNS, _defect_rows(tables.defects))
    (out / "plan.yaml").write_bytes(plan_path.read_bytes())


def _visit_rows(visits: Iterable[Visit], attributes: list[str]) -> Iterator[Row]:
    for visit in visits:
        yield (
            visit.part_id,
            visit.line_id,
            visit.station_id,
            visit.started_at.isoformat(),
            visit.ended_at.isoformat(),
            visit.batch_id,
            visit.product,
            *(visit.attributes.get(name, "") for name in attributes),
        )


def _defect_rows(defects: Iterable[Defect]) -> Iterator[Row]:
    for defect in defects:
        yield (
            defect.part_id,
            defect.line_id,
            defect.recorded_at.isoformat(),
            defect.source,
            defect.outcome,
            defect.defect_code,
            defect.cause_code,
        )
