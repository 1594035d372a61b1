"""Exercises: now and then an inspector gets a part whose truth is known, shown as if it were new.

What is said of it is kept as an exercise (api/store/exercises.py) and nowhere else: it is published on no topic, so no
case, history, training or report can learn of it. Afterwards whoever said it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from api.agreement.blind import is_audited, key_of
from api.agreement.draw import CaseKey
from api.agreement.shown import exercise_on
from api.http.errors import ApiError
from api.http.schemas import ReviewRequest
from api.installation import Installation
from api.store.exercises import Exercise, ExerciseAnswer, KnownPart
from api.store.queue import QueueFilter
from api.store.rows import Case, Made, PartRecord, Person
from ingest.blobs import BlobGone
from ingest.messages import CONCLUSIVE, Defect, Instant, Verdict


@dataclass(frozen=True, slots=True)
class Next:
    """What a person gets to see next."""

    part_id: str
    gate_id: str


class Told(msgspec.Struct, frozen=True):
    """What whoever decided is told afterwards. Of a part that was shown `blind`: what the model had said. Of a `known`
    part: that it was an exercise, its `truth` and how that is known (`reason`). `causes`: those the model named."""

    kind: str
    part_id: str
    said: str
    model_said: str
    risk: float | None
    causes: list[str]
    truth: str = ""
    reason: str = ""


def next_part_for(here: Installation, person: Person, wanted: QueueFilter, behind: Sequence[str] = ()) -> Next | None:
    """The most urgent part that nobody else holds, held for this person; or the exercise that stands before it."""
    audited = is_audited(person)
    begun = here.exercises.exercise_of(person.name) if audited else None
    begun = exercise_on(here, person, begun.case[2]) if begun else None
    if begun is not None and begun.case[2] not in behind:
        return Next(begun.case[2], begun.case[1])
    waiting = here.queue.next_for(person.name, wanted, here.now(), behind)
    if waiting is None:
        return None
    if audited and here.draw.has_exercise_before(waiting.case):
        exercise = _begin(here, person, waiting.case, waiting.event_at)
        if exercise is not None and exercise.case[2] not in behind:
            here.queue.release(waiting.part_id, person.name)
            return Next(exercise.case[2], exercise.case[1])
    return Next(waiting.part_id, waiting.gate_id)


def _begin(here: Installation, person: Person, before: CaseKey, before_at: Instant) -> Exercise | None:
    """The exercise before this case, if this person has not had it and there is a known part that is new to him."""
    if here.exercises.has_answered_before(person.name, before[2]):
        return None
    new = sorted(
        here.exercises.unseen_by(person.name, before[0]), key=lambda known: here.draw.rank(person.name, known.case)
    )
    chosen = next((known for known in new if _can_be_shown(here, known)), None)
    if chosen is None:
        return None
    blind = here.draw.is_blind_exercise(person.name, chosen.case)
    return here.exercises.give(Exercise(person.name, chosen.case, before[2], before_at, blind, here.now()))


def _can_be_shown(here: Installation, known: KnownPart) -> bool:
    """Does the part not wait in earnest, and are its pictures still kept? Missing ones would give it away."""
    record = here.reader.part(known.case[2])
    if record is None or any(case.state == "open" for case in record.cases):
        return False
    try:
        for seen in record.findings:
            if seen.frame_ref:
                here.blobs.version(seen.frame_ref)
    except BlobGone:
        return False
    return True


def answer(
    here: Installation, person: Person, exercise: Exercise, answer_id: str, asked: ReviewRequest, made: Made
) -> ExerciseAnswer:
    """Record what a person said of a known part."""
    known = here.exercises.truth_of(exercise.case)
    recorded = ExerciseAnswer(
        answer_id=answer_id,
        case=exercise.case,
        before_part=exercise.before_part,
        truth=known.outcome if known else "",
        outcome="unsure" if asked.outcome == "wrong_part" else asked.outcome,
        defect_code=asked.defect_code,
        comment=asked.comment,
        recorded_by=person.name,
        recorded_at=here.now(),
        made=made,
    )
    here.exercises.answer(recorded)
    here.audit(person, "exercise", exercise.case[2])  # what was said is for QA leads, in figures
    return recorded


def tell_known(here: Installation, said: ExerciseAnswer, verdict: Verdict) -> Told:
    """What is told after an exercise."""
    known = here.exercises.truth_of(said.case)
    reason = known.reason if known else ""
    return msgspec.structs.replace(
        _told("known", said.case[2], said.outcome, verdict, said.made), truth=said.truth, reason=reason
    )


def tell_blind(part_id: str, outcome: str, verdict: Verdict, made: Made) -> Told | None:
    """What is told after a part that was shown blind."""
    return _told("blind", part_id, outcome, verdict, made) if made.blind and outcome in CONCLUSIVE else None


def _told(kind: str, part_id: str, said: str, verdict: Verdict, made: Made) -> Told:
    named = [one.cause for one in verdict.causes if one.cause != "unknown"]
    return Told(kind, part_id, said, made.model_said(), verdict.risk, named)


def known_part(here: Installation, person: Person, record: PartRecord, case: Case, reason: str) -> KnownPart:
    """A settled case made a known part. Raises ApiError 409 where its truth is not sure."""
    if case.state == "open":
        raise ApiError(409, f"{case.part_id} still waits for a decision: a known part is a finished one")
    sure = sure_truth(record, case)
    if sure is None:
        raise ApiError(
            409,
            f"nobody can be sure of {case.part_id} yet: it takes a record from elsewhere (end-of-line test, teardown, "
            "customer), or two people who agree",
        )
    return KnownPart(key_of(case), sure.outcome, sure.defect_code, reason, person.name, here.now())


def sure_truth(record: PartRecord, case: Case) -> Defect | None:
    """The record that says what the part is beyond doubt: the latest from elsewhere than a review, or the latest of two
    people who agree while nobody disagrees."""
    reviewed = [one.defect for one in record.reviews]
    elsewhere = [
        one for one in record.defects if one.outcome in CONCLUSIVE and one.source != "history" and one not in reviewed
    ]
    if elsewhere:
        return elsewhere[-1]
    undone = {one.undoes for one in record.reviews}
    here = [one for one in record.reviews if (one.gate_id, one.attempt) == (case.gate_id, case.attempt)]
    said = [one.defect for one in here if one.defect.outcome in CONCLUSIVE and one.review_id not in undone]
    agree = len({one.recorded_by for one in said}) > 1 and len({one.outcome for one in said}) == 1
    return said[-1] if agree else None
