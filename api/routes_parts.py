"""One part: everything known of it, its pictures, and what an inspector decides about it.

Part and frame ids are other people's text and may hold slashes, so the longer routes stand first.
"""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.errors import ApiError, not_found
from api.gatekeeper import require
from api.installation import Installation, installation
from api.queries import read_cursor, read_time
from api.routes_marks import read_marks
from api.schemas import ReviewRequest
from api.store_exposed import sides_of
from api.store_rows import Case, Person, Review
from api.views import ReviewView, json_response, read_verdict, view_part, view_review
from ingest.blobs import BlobGone
from ingest.messages import Defect, Findings, Verdict, Visit, encode

router = APIRouter(tags=["parts"])

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
)
FRAMES_FOR_S = 3600  # a frame never changes; an hour keeps a shift's worth in the browser


class ReviewAnswer(msgspec.Struct, frozen=True):
    """The review as it was recorded, and the part that waits next."""

    review: ReviewView
    next: str | None


@router.get("/api/parts/{part_id:path}/frames/{frame_id:path}/heatmap")
def heatmap(request: Request, part_id: str, frame_id: str) -> Response:
    """Where vision saw something, as a PNG over the frame."""
    require(request, "read")
    here = installation(request)
    return send_picture(here, _findings(here, part_id, frame_id).heatmap_ref, f"heatmap of frame {frame_id}")


@router.get("/api/parts/{part_id:path}/frames/{frame_id:path}")
def frame(request: Request, part_id: str, frame_id: str) -> Response:
    """The frame as it came."""
    require(request, "read")
    here = installation(request)
    return send_picture(here, _findings(here, part_id, frame_id).frame_ref, f"frame {frame_id}")


def _findings(here: Installation, part_id: str, frame_id: str) -> Findings:
    for seen in here.reader.findings(part_id):
        if seen.frame_id == frame_id:
            return seen
    raise not_found(f"part {part_id} has no frame {frame_id}")


def send_picture(here: Installation, ref: str, what: str) -> Response:
    """A picture of the blob store, its type told from its first bytes. Raises ApiError 404."""
    if not ref:
        raise not_found(f"{what}: none was kept")
    try:
        body = here.blobs.get(ref)
    except BlobGone as error:
        raise not_found(f"{what}: no longer kept") from error
    kind = next((kind for magic, kind in _MAGIC if body.startswith(magic)), "application/octet-stream")
    return Response(body, media_type=kind, headers={"Cache-Control": f"private, max-age={FRAMES_FOR_S}"})


@router.post("/api/parts/{part_id:path}/reviews", status_code=201)
def review(request: Request, part_id: str, asked: ReviewRequest) -> Response:
    """Record what a person decided; it is also published on `qc.defects`, where the system learns from it."""
    person = require(request, "review")
    here = installation(request)
    case, verdict = _case_of(here, part_id, asked.gate_id)
    recorded = _record(here, person, case, verdict, asked)
    here.publisher.review(recorded)
    here.desk.add_review(recorded)
    marked = f", {len(asked.marks)} marks" if asked.marks else ""
    here.audit(person, "review", part_id, f"{asked.outcome} at {case.gate_id}, attempt {case.attempt}{marked}")
    here.metrics.reviews.labels(outcome=asked.outcome).inc()
    following = here.reader.next_open(case.row_id)
    waiting = following.part_id if following and following.part_id != part_id else None
    return json_response(encode(ReviewAnswer(view_review(recorded), waiting)), 201)


def _case_of(here: Installation, part_id: str, gate_id: str) -> tuple[Case, Verdict]:
    """The newest attempt of the part at this gate (or at any), with its last verdict."""
    record = here.reader.part(part_id)
    if record is None:
        raise not_found(f"part {part_id} is not known")
    for case in sorted(record.cases, key=lambda case: (case.row_id, case.attempt), reverse=True):
        if gate_id in ("", case.gate_id):
            stored = next(stored for stored in record.verdicts if stored.row_id == case.row_id)
            return case, read_verdict(stored)
    raise not_found(f"part {part_id} has no verdict at gate {gate_id}")


def _record(here: Installation, person: Person, case: Case, verdict: Verdict, asked: ReviewRequest) -> Review:
    if asked.marks and asked.outcome != "defect":
        raise ApiError(422, f"marks: they show where a defect is; this review says {asked.outcome}")
    marks = read_marks(asked.marks, lambda: here.reader.findings(case.part_id), here.blobs)
    defect = Defect(
        part_id=case.part_id,
        line_id=case.line_id,
        recorded_at=here.now(),
        source="audit" if verdict.audit else "inspector",
        outcome=asked.outcome,
        defect_code=asked.defect_code,
        cause_code=asked.cause_code,
        recorded_by=person.name,
        comment=asked.comment,
        marks=marks or msgspec.UNSET,
    )
    return Review(secrets.token_hex(16), case.gate_id, case.attempt, defect)


@router.get("/api/parts/{part_id:path}")
def part(request: Request, part_id: str) -> Response:
    """All evidence, verdicts, causes and reviews of one part."""
    require(request, "read")
    here = installation(request)
    record = here.reader.part(part_id)
    if record is None:
        raise not_found(f"part {part_id} is not known")
    return json_response(encode(view_part(part_id, record, here.blobs)))


@router.get("/api/containment")
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
    reader, begun, skip = installation(request).reader, read_time("since", since), read_cursor(cursor) or 0
    visits = reader.exposed(cause, begun, limit + 1, skip)
    following = str(skip + limit) if len(visits) > limit else None
    return json_response(encode(Exposure(cause, reader.count_exposed(cause, begun), visits[:limit], following)))


class Exposure(msgspec.Struct, frozen=True):
    """The visits at which a cause was present."""

    cause: str
    parts: int
    items: list[Visit]
    next: str | None
