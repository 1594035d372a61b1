"""A part as a person may see it: the record with whatever must not sway him left out, before any page is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import msgspec

from api.agreement.blind import EVERYTHING, Shown, is_audited, key_of, shown_to, without_the_model
from api.agreement.draw import CaseKey
from api.installation import Installation
from api.store.exercises import Exercise
from api.store.rows import Case, PartRecord, Person, StoredVerdict
from ingest.messages import Findings, Instant, Verdict, Visit, encode, json_decoder

_VERDICT = json_decoder(Verdict)


@dataclass(frozen=True, slots=True)
class Look:
    """A part as somebody sees it. `exercise`: what it is to him, if it is shown as one; nobody tells him before."""

    record: PartRecord
    shown: Shown = EVERYTHING
    exercise: Exercise | None = None


def look_at(here: Installation, person: Person, record: PartRecord) -> Look:
    """What this person sees of a part now."""
    if not is_audited(person) or not record.cases:
        return Look(record)
    exercise = exercise_on(here, person, record.cases[0].part_id)
    if exercise is not None:
        shown = Shown(risk=not exercise.blind, causes=not exercise.blind, people=False)
        return Look(_as_shown(_as_new(record, exercise), shown, nobody=True), shown, exercise)
    shown = reduce(Shown.also, (_shown_case(here, person, case) for case in record.cases), EVERYTHING)
    return Look(_as_shown(record, shown, person.name), shown)


def hides_model(here: Installation, person: Person, part_id: str) -> bool:
    """Is what the model says of this part left out for this person?"""
    if not is_audited(person):
        return False
    exercise = exercise_on(here, person, part_id)
    return exercise.blind if exercise else bool(here.quality.hidden_from(person.name, [part_id]))


def exercise_on(here: Installation, person: Person, part_id: str) -> Exercise | None:
    """The exercise this person is at, if it is this part. One whose part has come back and waits in earnest is over."""
    exercise = here.exercises.exercise_of(person.name)
    if exercise is None or exercise.case[2] != part_id:
        return None
    record = here.reader.part(part_id)
    if record is None or any(case.state == "open" for case in record.cases):
        here.exercises.cancel(person.name)
        return None
    return exercise


def bodies_for(here: Installation, person: Person, found: Sequence[StoredVerdict], narrowed: bool) -> list[bytes]:
    """Bodies of a list of verdicts, of blind parts without what the model says. `narrowed`: the list was asked for by
    what the model says, so that a blind part would tell by standing in it: it is left out. A part that is blind at one
    gate is so at all, as on its page: what another gate said, be it settled, would tell of this one."""
    if not is_audited(person):
        return [one.body for one in found]
    parts = [_case_of(one)[2] for one in found]
    hidden = {case[2] for case in here.quality.hidden_from(person.name, set(parts))}
    return [
        one.body if part_id not in hidden else without_the_model(one.body)
        for one, part_id in zip(found, parts, strict=True)
        if not (narrowed and part_id in hidden)
    ]


def _shown_case(here: Installation, person: Person, case: Case) -> Shown:
    shown = shown_to(person, case, decided=False)
    if shown == EVERYTHING or here.quality.has_decided(person.name, key_of(case)):
        return EVERYTHING
    return shown


def _as_shown(record: PartRecord, shown: Shown, name: str = "", nobody: bool = False) -> PartRecord:
    if not shown.model:
        record = replace(
            record,
            verdicts=tuple(
                replace(one, decision="review", body=without_the_model(one.body)) for one in record.verdicts
            ),
            cases=tuple(replace(case, decision="review", risk=None) for case in record.cases),
            findings=tuple(map(_as_it_came, record.findings)),
        )
    if not shown.people:
        own = () if nobody else tuple(one for one in record.reviews if one.defect.recorded_by == name)
        record = replace(record, reviews=own, defects=tuple(one.defect for one in own))
    return record


def _as_it_came(seen: Findings) -> Findings:
    """A frame before anybody has looked at it."""
    return msgspec.structs.replace(
        seen, score=None, threshold=None, boxes=[], scores={}, heatmap_ref="", model=None, fingerprint=""
    )


def _as_new(record: PartRecord, exercise: Exercise) -> PartRecord:
    """A known part as if it had come just before the part it stands before."""
    case = next((one for one in record.cases if key_of(one) == exercise.case), record.cases[0])
    shift = exercise.before_at - case.event_at
    meant = [one for one in record.verdicts if _case_of(one) == exercise.case]
    moves_on_at = None if case.moves_on_at is None else Instant(case.moves_on_at + shift)
    return replace(
        record,
        verdicts=tuple(_moved_verdict(one, shift) for one in meant),
        cases=(
            replace(case, state="open", outcome=None, event_at=Instant(case.event_at + shift), moves_on_at=moves_on_at),
        ),
        visits=tuple(_moved_visit(visit, shift) for visit in record.visits),
    )


def _moved_verdict(stored: StoredVerdict, shift: int) -> StoredVerdict:
    told = _VERDICT.decode(stored.body)
    times = {"event_at": Instant(told.event_at + shift), "decided_at": Instant(told.decided_at + shift)}
    return replace(stored, body=encode(msgspec.structs.replace(told, **times)))


def _moved_visit(visit: Visit, shift: int) -> Visit:
    times = {"started_at": Instant(visit.started_at + shift), "ended_at": Instant(visit.ended_at + shift)}
    return msgspec.structs.replace(visit, **times)


def _case_of(stored: StoredVerdict) -> CaseKey:
    told = _VERDICT.decode(stored.body)
    return told.line_id, told.gate_id, told.part_id, told.attempt
