"""What a person decides about a part: recorded, shown at once, and published for the system to learn from."""

from __future__ import annotations

import secrets

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.errors import ApiError, not_found
from api.gatekeeper import require
from api.installation import Installation, installation
from api.routes_marks import read_marks
from api.schemas import ReviewRequest
from api.store_rows import Case, Person, Review
from api.views import ReviewView, json_response, read_verdict, view_review
from ingest.messages import Defect, Verdict, encode

router = APIRouter(tags=["parts"])


class ReviewAnswer(msgspec.Struct, frozen=True):
    """The review as it was recorded, and the part that waits next."""

    review: ReviewView
    next: str | None


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
