"""What goes out over HTTP, as typed values; bodies from the log go through untouched."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.responses import Response

from api.agreement.blind import EVERYTHING, Shown
from api.store.rows import Case, PartRecord, Review, StoredVerdict
from ingest.blobs import BlobGone, Blobs
from ingest.messages import Defect, Findings, Instant, Mark, Verdict, Visit, encode, json_decoder

_logger = logging.getLogger("qcfuse.api")
_VERDICT = json_decoder(Verdict)


class Curve(msgspec.Struct, frozen=True):
    """One channel of one visit against the band of good parts. Lists are equally long; `t` in seconds."""

    curve: list[float | None] = []
    golden_low: list[float | None] | None = None
    golden_high: list[float | None] | None = None
    t: list[float] | None = None
    unit: str = ""
    lower: float | None = None
    upper: float | None = None


class Exhibit(msgspec.Struct, frozen=True):
    """What `evidence_ref` points at, as far as it is shown."""

    curves: dict[str, dict[str, Curve]] = {}
    features: dict[str, float | None] = {}


class FrameView(msgspec.Struct, frozen=True):
    """One frame with what vision saw in it."""

    frame_id: str
    camera_id: str
    findings: Findings
    has_picture: bool
    has_heatmap: bool


class ReviewView(msgspec.Struct, frozen=True):
    """One review: the case it settles and the record it became. `also_at`: other gates whose cases of the part it
    settles; `with_gate`: of such a case, the gate at which it was decided."""

    review_id: str
    gate_id: str
    attempt: int
    outcome: str
    defect_code: str
    cause_code: str
    comment: str
    source: str
    recorded_by: str
    recorded_at: Instant
    marks: list[Mark]
    also_at: list[str] = []
    with_gate: str = ""


class CaseView(msgspec.Struct, frozen=True):
    """The state of one (line, gate, attempt) of a part."""

    line_id: str
    gate_id: str
    attempt: int
    decision: str
    state: str
    outcome: str | None


class EvidenceView(msgspec.Struct, frozen=True):
    """All that is known of a part: what the last verdict had, and everything that came."""

    summary: msgspec.Raw
    visits: list[Visit]
    frames: list[FrameView]
    curves: dict[str, dict[str, Curve]]
    features: dict[str, float | None]
    defects: list[Defect]


class PartView(msgspec.Struct, frozen=True):
    """`GET /api/parts/{part_id}`. `verdicts`: last revision first; `causes`: of the last verdict."""

    part_id: str
    line_id: str
    batch_id: str
    product: str
    state: str
    cases: list[CaseView]
    verdicts: list[msgspec.Raw]
    causes: msgspec.Raw
    evidence: EvidenceView
    reviews: list[ReviewView]


def json_response(body: bytes, status: int = 200) -> Response:
    """A body that is encoded already."""
    return Response(body, status, media_type="application/json")


def list_response(items: Iterable[bytes], cursor: str | None) -> Response:
    """`{"items": [...], "next": ...}` of items that are encoded already."""
    following = msgspec.json.encode(cursor)
    return json_response(b'{"items":[' + b",".join(items) + b'],"next":' + following + b"}")


def read_verdict(stored: StoredVerdict) -> Verdict:
    """A verdict of the store as a typed value."""
    verdict: Verdict = _VERDICT.decode(stored.body)
    return verdict


def read_exhibit(blobs: Blobs, ref: str) -> Exhibit:
    """The curves and features behind a verdict; an empty one when they are gone or cannot be read."""
    if not ref:
        return Exhibit()
    try:
        return msgspec.json.decode(blobs.get(ref), type=Exhibit)
    except BlobGone:
        return Exhibit()
    except msgspec.MsgspecError as error:
        _logger.warning("evidence %s cannot be shown: %s", ref, error)
        return Exhibit()


def view_review(review: Review) -> ReviewView:
    """A review as it is shown."""
    told = review.defect
    return ReviewView(
        review_id=review.review_id,
        gate_id=review.gate_id,
        attempt=review.attempt,
        outcome=told.outcome,
        defect_code=told.defect_code,
        cause_code=told.cause_code,
        comment=told.comment,
        source=told.source,
        recorded_by=told.recorded_by,
        recorded_at=told.recorded_at,
        marks=list(told.drawn),
        also_at=[gate_id for gate_id, _ in review.made.also],
        with_gate=review.made.with_gate,
    )


def view_case(case: Case) -> CaseView:
    """A case as it is shown."""
    return CaseView(case.line_id, case.gate_id, case.attempt, case.decision, case.state, case.outcome)


def view_part(part_id: str, record: PartRecord, blobs: Blobs, shown: Shown = EVERYTHING) -> PartView:
    """All evidence, verdicts, causes and reviews of one part. Features tell what the eyes said: hidden with it."""
    last = read_verdict(record.verdicts[0]) if record.verdicts else None
    exhibit = read_exhibit(blobs, last.evidence_ref if last else "")
    named: Any = last or (record.visits or record.findings or record.defects)[0]
    return PartView(
        part_id=part_id,
        line_id=named.line_id,
        batch_id=getattr(named, "batch_id", ""),
        product=getattr(named, "product", ""),
        state="open" if any(case.state == "open" for case in record.cases) else "done",
        cases=[view_case(case) for case in record.cases],
        verdicts=[msgspec.Raw(stored.body) for stored in record.verdicts],
        causes=msgspec.Raw(msgspec.json.encode(last.causes if last else [])),
        evidence=EvidenceView(
            summary=msgspec.Raw(encode(last.evidence) if last else b"null"),
            visits=list(record.visits),
            frames=[_view_frame(seen) for seen in record.findings],
            curves=exhibit.curves,
            features=exhibit.features if shown.model else {},
            defects=list(record.defects),
        ),
        reviews=[view_review(review) for review in record.reviews],
    )


def _view_frame(seen: Findings) -> FrameView:
    return FrameView(seen.frame_id, seen.camera_id, seen, bool(seen.frame_ref), bool(seen.heatmap_ref))
