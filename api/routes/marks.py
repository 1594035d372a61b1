"""Marks: where people saw defects in frames, and how many there are of each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.cursors import read_stands, write_stands
from api.http.errors import ApiError
from api.http.lanes import through
from api.http.schemas import MarkRequest
from api.http.views import json_response
from api.installation import installation
from api.store.rows import MarkCount, MarkPlace, StoredMark
from ingest.blobs import BlobGone, Blobs
from ingest.decode.checks import check_marks
from ingest.errors import BadRecord
from ingest.messages import Findings, Instant, Mark, encode
from vision.header import read_header
from vision.marks import MARKS_TO_TEACH, check_fits

router = APIRouter(tags=["marks"])


class MarkView(msgspec.Struct, frozen=True):
    """One mark: whose part, who drew it, when."""

    part_id: str
    line_id: str
    recorded_at: Instant
    recorded_by: str
    mark: Mark


class MarkCountView(msgspec.Struct, frozen=True):
    """Marks of one kind on one camera; `needed`: so many teach the eye."""

    camera_id: str
    kind: str
    marks: int
    parts: int
    needed: int


class MarkList(msgspec.Struct, frozen=True):
    """`counts` are of all marks of the camera and kind asked for, whatever the page shows."""

    items: list[MarkView]
    next: str | None
    counts: list[MarkCountView]


@router.get("/api/marks")
@through("slow")
def marks(
    request: Request,
    camera_id: Annotated[str, Query(max_length=200)] = "",
    kind: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str = "",
) -> Response:
    """Every mark, newest first, and how many there are by camera and kind."""
    require(request, "read")
    reader = installation(request).reader
    found = reader.marks(camera_id, kind, limit + 1, read_stands(MarkPlace, cursor))
    counts = [
        view_count(count)
        for count in reader.count_marks()
        if camera_id in ("", count.camera_id) and kind in ("", count.kind)
    ]
    following = write_stands(found[limit - 1].stands) if len(found) > limit else None
    return json_response(encode(MarkList([_view(one) for one in found[:limit]], following, counts)))


def view_count(count: MarkCount) -> MarkCountView:
    """A count as it is shown, with how many are needed."""
    return MarkCountView(count.camera_id, count.kind, count.marks, count.parts, MARKS_TO_TEACH)


def _view(stored: StoredMark) -> MarkView:
    return MarkView(stored.part_id, stored.line_id, stored.recorded_at, stored.recorded_by, stored.mark)


def read_marks(asked: Sequence[MarkRequest], findings: Callable[[], Sequence[Findings]], blobs: Blobs) -> list[Mark]:
    """The marks of a review, each within a frame of its part. Raises ApiError 422 naming the mark that is not.

    `findings`: what vision saw of the part, asked for only when there are marks.
    """
    if not asked:
        return []
    frames = {seen.frame_id: seen for seen in findings()}
    sizes: dict[str, tuple[int, int]] = {}
    found: list[Mark] = [msgspec.convert(one.model_dump(), Mark) for one in asked]
    try:
        check_marks(found)
    except BadRecord as trouble:
        raise ApiError(422, f"marks: {trouble.detail}") from trouble
    for number, mark in enumerate(found, start=1):
        seen = frames.get(mark.frame_id)
        if seen is None or seen.camera_id != mark.camera_id:
            raise ApiError(422, f"mark {number}: this part has no frame {mark.frame_id} of camera {mark.camera_id}")
        if mark.frame_id not in sizes:
            sizes[mark.frame_id] = _picture_size(seen, blobs, number)
        try:
            check_fits(mark, *sizes[mark.frame_id])
        except BadRecord as trouble:
            raise ApiError(422, f"mark {number}: {trouble.detail}") from trouble
    return found


def _picture_size(seen: Findings, blobs: Blobs, number: int) -> tuple[int, int]:
    try:
        header = read_header(blobs.get(seen.frame_ref) if seen.frame_ref else b"")
    except (BlobGone, BadRecord) as trouble:
        where = f"the picture of frame {seen.frame_id} is not kept, or cannot be read: it cannot be marked"
        raise ApiError(422, f"mark {number}: {where}") from trouble
    return header.width, header.height
