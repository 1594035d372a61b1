"""What is settled, over HTTP: the other half of the queue."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.agreement.blind import is_audited
from api.http.lanes import through
from api.http.queries import read_cursor
from api.http.views import list_response
from api.installation import Installation, installation
from api.routes.queue import Filter
from api.store.rows import Person
from api.store.settled import SettledPart
from ingest.messages import Instant, encode

router = APIRouter(tags=["queue"])


class SettledAt(msgspec.Struct, frozen=True):
    """Another gate of a settled part, and what became of it there."""

    gate_id: str
    outcome: str


class SettledItem(msgspec.Struct, frozen=True):
    """A part that waits no more. `verdict`: the last body of its last flagged gate; `outcome`: `defect`, `ok`,
    `superseded` by a later attempt, or "" where a correction passed it; `said_by`, `said_at`: whose word settled it, ""
    and null where a record from elsewhere did; `also`: its other flagged gates."""

    verdict: msgspec.Raw
    outcome: str
    said_by: str
    said_at: Instant | None
    also: list[SettledAt]


@router.get("/api/queue/settled")
@through("slow")
def settled(
    request: Request, wanted: Filter, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str = ""
) -> Response:
    """Parts that were flagged and wait at no gate any more, each once, the one judged last first, with what was said of
    it. `decision`: `review`, `cannot_tell`; what passed is not among them."""
    person = require(request, "read")
    here = installation(request)
    found, below = here.queue.settled(wanted, limit, read_cursor(cursor))
    hidden = _exercise_of(here, person)
    items = [encode(_item(one)) for one in found if one.part_id != hidden]
    return list_response(items, None if below is None else str(below))


def _exercise_of(here: Installation, person: Person) -> str:
    """The finished part that this person has before him as if it were new: here he would read what it is."""
    exercise = here.exercises.exercise_of(person.name) if is_audited(person) else None
    return exercise.case[2] if exercise else ""


def _item(part: SettledPart) -> SettledItem:
    also = [SettledAt(gate_id, outcome) for gate_id, outcome in part.also]
    return SettledItem(msgspec.Raw(part.body), part.outcome, part.said_by, part.said_at, also)
