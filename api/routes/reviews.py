"""What a person decides about a part: recorded, shown at once, and published for the system to learn from.

A decision is known by the key its screen gave it: sent again after a lost connection, it is found and not recorded
twice. Its author may take it back for a while; that is one more record, and the case is open again.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.access.tokens import may
from api.agreement.blind import Shown, is_audited
from api.agreement.exercises import Next, Told, answer, next_part_for, tell_blind, tell_known
from api.agreement.shown import look_at
from api.http.errors import ApiError, not_found
from api.http.lanes import through
from api.http.schemas import ReviewRequest
from api.http.views import ReviewView, json_response, read_verdict, view_review
from api.installation import Installation, installation
from api.routes.marks import read_marks
from api.routes.queue import Filter
from api.store.exercises import Exercise, ExerciseAnswer
from api.store.queue import QueueFilter
from api.store.rows import Case, Made, PartRecord, Person, Review
from ingest.messages import CONCLUSIVE, Defect, Mark, Verdict, encode

router = APIRouter(tags=["parts"])

UNDO_MS = 600_000  # a slip of the finger is noticed within minutes; later it is another decision
KEY_CHARACTERS_MAX = 200
WRONG_PART, UNDONE = "not the part shown", "undone"  # comments of records that say no outcome

Key = Annotated[str, Header(alias="Idempotency-Key", max_length=KEY_CHARACTERS_MAX)]


class ReviewAnswer(msgspec.Struct, frozen=True):
    """The review as it was recorded, and the part that waits next within the filter, held for its author. `told`: what
    was not shown before, of a part that was blind or an exercise."""

    review: ReviewView
    next: str | None
    told: Told | None = None


@router.post("/api/parts/{part_id:path}/reviews", status_code=201)
@through("decide")
def review(request: Request, part_id: str, asked: ReviewRequest, wanted: Filter, key: Key = "") -> Response:
    """Record what a person decided; it is also published on `qc.defects`, where the system learns from it.

    With an `Idempotency-Key` the same request gives the same answer again; another with that key is refused (409)."""
    person = require(request, "review")
    here = installation(request)
    record = here.reader.part(part_id)
    if record is None:
        raise not_found(f"part {part_id} is not known")
    review_id = _review_id(person, key)
    with here.one_decision:
        known = here.reader.review(review_id)
        look = look_at(here, person, record)
        done = here.exercises.answered(review_id)
        if known is None and (look.exercise is not None or done is not None):
            recorded, told = _exercise(here, person, record, look.exercise, done, review_id, asked)
        else:
            recorded, told = _decision(here, person, record, look.shown, known, review_id, asked)
    here.queue.release(part_id, person.name)
    following = _in_hand(here, person, record, asked) or next_part_for(here, person, wanted, [part_id])
    return json_response(encode(ReviewAnswer(recorded, following.part_id if following else None, told)), 201)


def _in_hand(here: Installation, person: Person, record: PartRecord, asked: ReviewRequest) -> Next | None:
    """The same part, where it waits for a word on another gate still: whoever decides gate by gate has it in hand."""
    if asked.outcome not in CONCLUSIVE or sum(case.state == "open" for case in record.cases) < 2:
        return None
    part_id = record.cases[0].part_id
    here_too = QueueFilter(part_id=part_id, inspector=person.name if is_audited(person) else "")
    found = here.queue.next_for(person.name, here_too, here.now())
    return Next(found.part_id, found.gate_id) if found else None


def _decision(
    here: Installation, person: Person, record: PartRecord, shown: Shown, known: Review | None, review_id: str,
    asked: ReviewRequest,
) -> tuple[ReviewView, Told | None]:  # fmt: skip
    """Of a part: recorded and published, unless that has been done already."""
    case, verdict = _case_of(record, asked.gate_id)
    made = known.made if known else _made(here, person, record, verdict, shown, asked)
    if known is None:
        made = msgspec.structs.replace(made, also=_settled_too(record, case, asked))
    recorded = known or _record(here, review_id, person, case, verdict, asked, made)
    if known is None:
        _publish(here, person, recorded, "review", _audited(recorded, asked))
        here.metrics.reviews.labels(outcome=asked.outcome).inc()
    elif not _is_repeat(known, case.part_id, asked):
        raise _used(review_id)
    return view_review(recorded), tell_blind(case.part_id, recorded.defect.outcome, verdict, made)


def _audited(recorded: Review, asked: ReviewRequest) -> str:
    """What the audit trail says of a decision."""
    gates = " and ".join((recorded.gate_id, *(gate_id for gate_id, _ in recorded.made.also)))
    marked = f", {len(asked.marks)} marks" if asked.marks else ""
    return f"{asked.outcome} at {gates}, attempt {recorded.attempt}{marked}"


def _exercise(
    here: Installation, person: Person, record: PartRecord, exercise: Exercise | None, done: ExerciseAnswer | None,
    review_id: str, asked: ReviewRequest,
) -> tuple[ReviewView, Told | None]:  # fmt: skip
    """On a part whose truth is known: kept as such, published nowhere."""
    gate_id = done.case[1] if done else exercise.case[1] if exercise else ""
    _, verdict = _case_of(record, gate_id)
    if done is None:
        assert exercise is not None
        _marks_of(here, record.cases[0].part_id, asked)  # a wrong one is refused as of any part; none is kept
        shown = Shown(risk=not exercise.blind, causes=not exercise.blind)
        made = msgspec.structs.replace(_made(here, person, record, verdict, shown, asked), seeded=True)
        done = answer(here, person, exercise, review_id, asked, made)
    elif (done.case[2], done.outcome) != (verdict.part_id, _said(asked)[0]):
        raise _used(review_id)
    return _view_exercise(done), tell_known(here, done, verdict)


def _view_exercise(done: ExerciseAnswer) -> ReviewView:
    return ReviewView(
        review_id=done.answer_id,
        gate_id=done.case[1],
        attempt=done.case[3],
        outcome=done.outcome,
        defect_code=done.defect_code,
        cause_code="",
        comment=done.comment,
        source="challenge",
        recorded_by=done.recorded_by,
        recorded_at=done.recorded_at,
        marks=[],
    )


def _used(review_id: str) -> ApiError:
    return ApiError(409, "this Idempotency-Key was used for another decision", {"review_id": review_id})


@router.post("/api/reviews/{review_id}/undo", status_code=201)
@through("decide")
def undo(request: Request, review_id: str) -> Response:
    """Take back one's own decision of the last ten minutes. The case is open again, and a record on `qc.defects` says
    `unsure`. Asked again it gives the same answer."""
    person = require(request, "review")
    here = installation(request)
    with here.one_decision:
        taken = here.reader.review(review_id)
        if taken is None or taken.undoes:
            raise not_found(f"there is no decision {review_id}")
        if taken.made.with_gate:
            raise ApiError(409, f"decided with gate {taken.made.with_gate}: take that decision back")
        if taken.defect.recorded_by != person.name:
            raise ApiError(403, f"{taken.defect.recorded_by} decided this: only its author may take a decision back")
        again = here.reader.review(_undo_id(review_id))
        if again is None:
            age_ms = here.now() - taken.defect.recorded_at
            if age_ms > UNDO_MS:
                raise ApiError(409, f"decided {age_ms // 60_000} minutes ago: open the part and decide again instead")
            again = _undoing(here, taken)
            _publish(here, person, again, "undo", f"{taken.defect.outcome} at {taken.gate_id}")
    return json_response(encode(ReviewAnswer(view_review(again), taken.defect.part_id)), 201)


def _publish(here: Installation, person: Person, recorded: Review, action: str, said: str) -> None:
    here.publisher.review(recorded)
    here.desk.add_review(recorded, here.audit_line(person, action, recorded.defect.part_id, said))
    here.lately.note(person.name)


def _review_id(person: Person, key: str) -> str:
    """Of a decision: the same for the same key of the same person, whatever crashed in between."""
    if not key:
        return secrets.token_hex(16)
    return hashlib.sha256(f"{person.name}\0{key}".encode()).hexdigest()[:32]


def _undo_id(review_id: str) -> str:
    return hashlib.sha256(f"undo\0{review_id}".encode()).hexdigest()[:32]


def _is_repeat(known: Review, part_id: str, asked: ReviewRequest) -> bool:
    told = known.defect
    outcome, comment = _said(asked)
    said = (part_id, outcome, asked.defect_code, asked.cause_code, comment)
    return said == (told.part_id, told.outcome, told.defect_code, told.cause_code, told.comment)


def _said(asked: ReviewRequest) -> tuple[str, str]:
    """Outcome and comment as they are recorded."""
    if asked.outcome != "wrong_part":
        return asked.outcome, asked.comment
    return "unsure", ": ".join(filter(None, (WRONG_PART, asked.comment)))


def _case_of(record: PartRecord, gate_id: str) -> tuple[Case, Verdict]:
    """The newest attempt of the part at this gate (or at any), with its last verdict."""
    for case in sorted(record.cases, key=lambda case: (case.row_id, case.attempt), reverse=True):
        if gate_id in ("", case.gate_id):
            stored = next(stored for stored in record.verdicts if stored.row_id == case.row_id)
            return case, read_verdict(stored)
    raise not_found(f"this part has no verdict at gate {gate_id}")


def _settled_too(record: PartRecord, case: Case, asked: ReviewRequest) -> tuple[tuple[str, int], ...]:
    """(gate, attempt) of the other cases that a decision settles: those it names, as far as they wait still."""
    if asked.outcome not in CONCLUSIVE:
        return ()
    on_line = [one for one in record.cases if one.line_id == case.line_id and one.gate_id != case.gate_id]
    for gate_id in asked.closes:
        if gate_id != case.gate_id and gate_id not in {one.gate_id for one in on_line}:
            raise not_found(f"this part has no verdict at gate {gate_id} of line {case.line_id}")
    return tuple((one.gate_id, one.attempt) for one in on_line if one.state == "open" and one.gate_id in asked.closes)


def _record(
    here: Installation, review_id: str, person: Person, case: Case, verdict: Verdict, asked: ReviewRequest, made: Made
) -> Review:
    marks = _marks_of(here, case.part_id, asked)
    outcome, comment = _said(asked)
    defect = Defect(
        part_id=case.part_id,
        line_id=case.line_id,
        recorded_at=here.now(),
        source="audit" if verdict.audit else "inspector",
        outcome=outcome,  # type: ignore[arg-type]
        defect_code=asked.defect_code,
        cause_code=asked.cause_code,
        recorded_by=person.name,
        comment=comment,
        marks=marks or msgspec.UNSET,
        record_id=review_id,
    )
    return Review(review_id, case.gate_id, case.attempt, defect, made)


def _marks_of(here: Installation, part_id: str, asked: ReviewRequest) -> list[Mark]:
    """The marks of a decision. Raises ApiError 422 where one cannot be meant."""
    if asked.marks and asked.outcome != "defect":
        raise ApiError(422, f"marks: they show where a defect is; this review says {asked.outcome}")
    return read_marks(asked.marks, lambda: here.reader.findings(part_id), here.blobs)


def _made(
    here: Installation, person: Person, record: PartRecord, last: Verdict, seen: Shown, asked: ReviewRequest
) -> Made:
    """Of the revision that was on the screen, which need not be the last one any more. What the server left out was not
    shown, whatever the screen says."""
    shown, verdict = asked.shown, last
    if shown is not None and shown.verdict_id != last.verdict_id:
        revisions = (read_verdict(stored) for stored in record.verdicts)
        verdict = next((one for one in revisions if one.verdict_id == shown.verdict_id), last)
    return Made(
        verdict_id=shown.verdict_id if shown else "",
        model=f"{verdict.model.name} {verdict.model.version}" if verdict.model else "",
        threshold=verdict.threshold,
        risk_shown=(shown.risk_shown if shown else None) if seen.model else False,
        took_ms=asked.took_ms,
        risk=verdict.risk,
        plan_sha256=here.plan.sha256,
        blind=not seen.model,
        final=may(person, "quality"),
        unaware=not seen.people,
    )


def _undoing(here: Installation, taken: Review) -> Review:
    told, undo_id = taken.defect, _undo_id(taken.review_id)
    defect = Defect(
        part_id=told.part_id,
        line_id=told.line_id,
        recorded_at=here.now(),
        source=told.source,
        outcome="unsure",
        recorded_by=told.recorded_by,
        comment=UNDONE,
        record_id=undo_id,
        undoes=taken.review_id,
    )
    return Review(undo_id, taken.gate_id, taken.attempt, defect, Made(also=taken.made.also), taken.review_id)
