"""One part: everything known of it, its pictures, and who else was exposed to what it met.

Part and frame ids are other people's text and may hold slashes, so the longer routes stand first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.agreement.shown import hides_model, look_at
from api.http.cursors import read_stands, write_stands
from api.http.errors import ApiError, not_found
from api.http.lanes import through
from api.http.queries import read_time
from api.http.views import json_response, view_part
from api.installation import Installation, installation
from api.store.exposed import VisitPlace, place_of, sides_of
from ingest.blobs import BlobGone
from ingest.messages import Findings, Visit, encode

router = APIRouter(tags=["parts"])

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
)
FRAMES_FOR_S = 3600  # a frame never changes; an hour keeps a shift's worth in the browser


@router.head("/api/parts/{part_id:path}/frames/{frame_id:path}/heatmap", include_in_schema=False)
@router.get("/api/parts/{part_id:path}/frames/{frame_id:path}/heatmap")
def heatmap(request: Request, part_id: str, frame_id: str) -> Response:
    """Where vision saw something, as a PNG over the frame."""
    person = require(request, "read")
    here = installation(request)
    if hides_model(here, person, part_id):
        raise not_found(f"heatmap of frame {frame_id}: shown when you have decided")
    return send_picture(request, _findings(here, part_id, frame_id).heatmap_ref, f"heatmap of frame {frame_id}")


@router.head("/api/parts/{part_id:path}/frames/{frame_id:path}", include_in_schema=False)
@router.get("/api/parts/{part_id:path}/frames/{frame_id:path}")
def frame(request: Request, part_id: str, frame_id: str) -> Response:
    """The frame as it came."""
    require(request, "read")
    here = installation(request)
    return send_picture(request, _findings(here, part_id, frame_id).frame_ref, f"frame {frame_id}")


@router.head("/api/thumbnails/{part_id:path}", include_in_schema=False)
@router.get("/api/thumbnails/{part_id:path}")
def thumbnail(request: Request, part_id: str) -> Response:
    """The frame of a part that is worth a look first; 404 when it has none."""
    person = require(request, "read")
    here = installation(request)
    frames = here.reader.findings(part_id)
    if not hides_model(here, person, part_id):
        frames = striking_first(frames)
    shown = next((seen for seen in frames if seen.frame_ref), None)
    if shown is None:
        raise not_found(f"part {part_id} has no picture")
    return send_picture(request, shown.frame_ref, f"frame {shown.frame_id}")


def striking_first(frames: Iterable[Findings]) -> list[Findings]:
    """The frames, the one to look at first in front: the highest score against its threshold."""

    def striking(seen: Findings) -> float:
        if seen.score is None:
            return -1.0
        return seen.score / seen.threshold if seen.threshold else seen.score

    return sorted(frames, key=striking, reverse=True)


def _findings(here: Installation, part_id: str, frame_id: str) -> Findings:
    for seen in here.reader.findings(part_id):
        if seen.frame_id == frame_id:
            return seen
    raise not_found(f"part {part_id} has no frame {frame_id}")


def send_picture(request: Request, ref: str, what: str) -> Response:
    """A picture of the blob store, its type told from its first bytes; to a browser that has it 304, for which nothing
    is read. Raises ApiError 404 when none was kept, 410 when it is no longer."""
    if not ref:
        raise not_found(f"{what}: none was kept")
    here = installation(request)
    try:
        tag = f'"{hashlib.sha256(here.blobs.version(ref).encode()).hexdigest()[:32]}"'
        headers = {"Cache-Control": f"private, max-age={FRAMES_FOR_S}", "ETag": tag}
        if has_it(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        body = here.blobs.get(ref)
    except BlobGone as error:
        days = here.plan.grants.retention_days
        raise ApiError(410, f"{what}: no longer kept; the plan keeps evidence for {days:g} days") from error
    kind = next((kind for magic, kind in _MAGIC if body.startswith(magic)), "application/octet-stream")
    return Response(body, media_type=kind, headers=headers)


def has_it(if_none_match: str, tag: str) -> bool:
    """Does a browser that says this have the bytes of this tag? (RFC 9110, 13.1.2: `*`, or a list, compared weakly.)"""
    told = if_none_match.strip()
    return told == "*" or tag in (one.strip().removeprefix("W/") for one in told.split(","))


@router.get("/api/parts/{part_id:path}")
def part(request: Request, part_id: str) -> Response:
    """All evidence, verdicts, causes and reviews of one part."""
    person = require(request, "read")
    here = installation(request)
    record = here.reader.part(part_id)
    if record is None:
        raise not_found(f"part {part_id} is not known")
    look = look_at(here, person, record)
    return json_response(encode(view_part(part_id, look.record, here.blobs, look.shown)))


@router.get("/api/containment")
@through("slow")
def containment(
    request: Request,
    cause: Annotated[str, Query(min_length=3, max_length=500, pattern="=")],
    since: str = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    cursor: str = "",
) -> Response:
    """The visits that booked a cause (`tool_id=T7`; of a pair, either side of parts that booked both), newest first;
    `parts` counts all the parts exposed to it."""
    require(request, "read")
    for side in sides_of(cause):
        attribute = side.partition("=")[0]
        if not installation(request).plan.may_use(attribute):
            raise ApiError(403, f"the plan does not allow {attribute} as a cause", {"attribute": attribute})
    reader, begun = installation(request).reader, read_time("since", since)
    visits = reader.exposed(cause, begun, limit + 1, read_stands(VisitPlace, cursor))
    following = write_stands(place_of(visits[limit - 1])) if len(visits) > limit else None
    return json_response(encode(Exposure(cause, reader.count_exposed(cause, begun), visits[:limit], following)))


class Exposure(msgspec.Struct, frozen=True):
    """The visits at which a cause was present."""

    cause: str
    parts: int
    items: list[Visit]
    next: str | None
