"""A defect that somebody finds on a part which no gate has judged yet: it waits for no verdict to be said.

Of a part that was judged, passed or not, `POST /api/parts/{part_id}/reviews` says it.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from api.access.gatekeeper import require
from api.agreement.exercises import next_part_for
from api.http.errors import ApiError, not_found
from api.http.lanes import through
from api.http.schemas import DAY_MS, Codes, Incoming, MarkRequest, Name, Text
from api.http.views import json_response, view_review
from api.installation import Installation, installation
from api.routes.marks import read_marks
from api.routes.queue import Filter
from api.routes.reviews import Key, ReviewAnswer
from api.store.rows import Made, PartRecord, Person, Review
from ingest.decode.checks import MARKS_MAX
from ingest.messages import Defect, encode

router = APIRouter(tags=["parts"])

NO_GATE = ""  # of a review that is about the part, not about what a gate said of it


class MissedRequest(Incoming):
    """What is wrong with the part. `took_ms`: from the page's appearance to the key."""

    defect_code: Name = ""
    cause_code: Codes = ""
    comment: Text = ""
    marks: Annotated[list[MarkRequest], Field(max_length=MARKS_MAX, default_factory=list)]
    took_ms: Annotated[int, Field(ge=0, le=DAY_MS)] | None = None


@router.post("/api/parts/{part_id:path}/missed", status_code=201)
@through("decide")
def missed(request: Request, part_id: str, asked: MissedRequest, wanted: Filter, key: Key = "") -> Response:
    """Report a defect on a part that has been seen but that no gate has judged; published on `qc.defects` like a
    review. It settles what a gate says of the part, if that stood at the gate before it was reported.

    With an `Idempotency-Key` the same request gives the same answer again; another with that key is refused (409)."""
    person = require(request, "review")
    here = installation(request)
    record = here.reader.part(part_id)
    if record is None:
        raise not_found(f"part {part_id} is not known")
    report_id = _report_id(person, key)
    with here.one_decision:
        known = here.reader.review(report_id)
        if known is None:
            recorded = _record(here, report_id, person, part_id, record, asked)
            here.publisher.review(recorded)
            line = here.audit_line(person, "review", part_id, "defect, before any verdict")
            here.desk.add_review(recorded, line)
            here.metrics.reviews.labels(outcome="defect").inc()
        elif _said(known.defect) != (part_id, asked.defect_code, asked.cause_code, asked.comment):
            raise ApiError(409, "this Idempotency-Key was used for another report", {"review_id": report_id})
        else:
            recorded = known
    following = next_part_for(here, person, wanted, [part_id])
    answer = ReviewAnswer(view_review(recorded), following.part_id if following else None)
    return json_response(encode(answer), 201)


def _report_id(person: Person, key: str) -> str:
    if not key:
        return secrets.token_hex(16)
    return hashlib.sha256(f"missed\0{person.name}\0{key}".encode()).hexdigest()[:32]


def _said(told: Defect) -> tuple[str, str, str, str]:
    return told.part_id, told.defect_code, told.cause_code, told.comment


def _record(
    here: Installation, report_id: str, person: Person, part_id: str, record: PartRecord, asked: MissedRequest
) -> Review:
    if record.cases:
        raise ApiError(409, f"part {part_id} has been judged: decide on it by /api/parts/{part_id}/reviews")
    marks = read_marks(asked.marks, lambda: list(record.findings), here.blobs)
    defect = Defect(
        part_id=part_id,
        line_id=_line_of(record),
        recorded_at=here.now(),
        source="inspector",
        outcome="defect",
        defect_code=asked.defect_code,
        cause_code=asked.cause_code,
        recorded_by=person.name,
        comment=asked.comment,
        marks=marks or msgspec.UNSET,
        record_id=report_id,
    )
    return Review(report_id, NO_GATE, 1, defect, Made(took_ms=asked.took_ms, plan_sha256=here.plan.sha256))


def _line_of(record: PartRecord) -> str:
    return (record.visits or record.findings or record.defects)[0].line_id
