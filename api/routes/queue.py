"""The queue over HTTP: what waits, the next part for me, and holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.access.gatekeeper import person_of, require
from api.agreement.blind import is_audited, without_the_model
from api.agreement.exercises import next_part_for
from api.agreement.shown import exercise_on
from api.http.errors import not_found
from api.http.lanes import at_once, through
from api.http.queries import read_age, read_decisions, read_place, write_place
from api.http.views import json_response, list_response
from api.installation import Installation, installation
from api.store.queue import HOLD_MS, QueueFilter, Waiting
from api.store.rows import Person
from api.urgency import escape_cost
from api.wording.clock import day_start
from ingest.messages import Instant, encode
from ingest.plan.plan import Plan

router = APIRouter(tags=["queue"])

ANY_INSPECTOR = " "  # nobody is called so
STANDING_MAX = 200  # more than a screen holds
EVENT_ID_MAX = 2**53 - 1  # what a script counts exactly


class Why(msgspec.Struct, frozen=True):
    """What a part's place in the queue is made of, beside its risk. `moves_on_at`: when it leaves its gate;
    `known_from`: `plan` (stated), `line` (the line's own pace), `seen` (behind the gate), or "" when nobody knows."""

    escape_cost: float
    currency: str
    moves_on_at: Instant | None
    known_from: str


class QueueItem(msgspec.Struct, frozen=True):
    """A verdict's body as it stands on `qc.verdicts` (of a blind part without what the model says), who holds the part,
    and why it stands where it does. `disagree`: two people said different things of it, a QA lead's word settles it;
    `also_at`: other gates of the line at which the part waits, less urgently: it stands in the queue once."""

    verdict: msgspec.Raw
    held_by: str
    held_since: Instant | None
    why: Why
    disagree: bool = False
    also_at: tuple[str, ...] = ()


class QueueCounts(msgspec.Struct, frozen=True):
    """Parts that wait within the filter; parts decided on the plant's day by me and by all."""

    waiting: int
    done_by_me: int
    done_by_all: int


class QueuePage(msgspec.Struct, frozen=True):
    """Some of what waits, the most urgent first."""

    items: list[QueueItem]
    next: str | None
    counts: QueueCounts


class NextAnswer(msgspec.Struct, frozen=True):
    """The part to look at next, held for whoever asked; None when nothing waits that nobody else holds."""

    part_id: str | None
    gate_id: str | None


class HoldAnswer(msgspec.Struct, frozen=True):
    """Who holds the part now."""

    held_by: str
    since: Instant
    until: Instant
    mine: bool


def read_filter(
    request: Request,
    line_id: str = "",
    product: str = "",
    batch_id: str = "",
    decision: str = "",
    cause: str = "",
    camera: str = "",
    age: str = "",
) -> QueueFilter:
    """Which waiting parts are meant. `decision` may name several, separated by commas; `age`: `under:60` or `over:60`,
    minutes since the part was at its gate."""
    since, until = read_age(age, installation(request).now())
    person = person_of(request)
    return QueueFilter(
        line_id, product, batch_id, read_decisions(decision), cause, camera, since, until,
        inspector=person.name if is_audited(person) else "",
    )  # fmt: skip


Filter = Annotated[QueueFilter, Depends(at_once(read_filter))]


@router.get("/api/queue")
def queue(
    request: Request,
    wanted: Filter,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str = "",
    seen: Annotated[int, Query(ge=0, le=EVENT_ID_MAX)] = 0,
) -> Response:
    """What waits for a person, the most urgent first: by the expected loss of letting it go and the time left to stop
    it. A cursor goes on in the queue as it stood when the first page was asked for. `seen`: the newest event of the
    stream that whoever asks has had; the page is not older."""
    person = require(request, "read")
    here = installation(request)
    page = None
    if not (cursor or wanted.since or wanted.until or here.lately.did(person.name)):
        shared = _for_all(wanted)
        page = here.kept.get(
            ("page", shared, limit), lambda: _page(here, shared, limit), lambda kept: kept.event_id >= seen
        )
    if page is None or (page.is_spoken_of and wanted.inspector):
        page = _page(here, wanted, limit, cursor)
    return json_response(encode(_EncodedPage(page.items, page.next, _counts(here, person, wanted))))


class _EncodedPage(msgspec.Struct, frozen=True):
    """A `QueuePage` of which a part is encoded already."""

    items: msgspec.Raw
    next: str | None
    counts: QueueCounts


@dataclass(frozen=True, slots=True)
class _Page:
    """`is_spoken_of`: not every inspector sees it so, for some have said something of what stands on it. `event_id`: of
    the newest event of the stream that it is sure to know of."""

    items: msgspec.Raw
    next: str | None
    is_spoken_of: bool
    event_id: int


def _page(here: Installation, wanted: QueueFilter, limit: int, cursor: str = "") -> _Page:
    event_id = here.broadcaster.last  # before it is read
    found, behind = here.queue.read(wanted, here.now(), limit, read_place(cursor))
    items = b",".join(encode(_item(here.plan, one, wanted)) for one in found)
    return _Page(
        items=msgspec.Raw(b"[" + items + b"]"),
        next=write_place(behind) if behind else None,
        is_spoken_of=any(one.spoken for one in found),
        event_id=event_id,
    )


def _for_all(wanted: QueueFilter) -> QueueFilter:
    """The same filter for an inspector who has said nothing yet, as most have of most."""
    return replace(wanted, inspector=ANY_INSPECTOR) if wanted.inspector else wanted


def _counts(here: Installation, person: Person, wanted: QueueFilter) -> QueueCounts:
    """What takes long is counted for all who ask, not for each."""
    since = Instant(day_start(here.now(), here.zone))
    done = here.kept.get(("decided", since), lambda: here.queue.decided(since))
    shared = _for_all(wanted)
    waiting = here.kept.get(shared, lambda: here.queue.count_fitting(shared)) - here.queue.count_spoken(wanted)
    return QueueCounts(max(0, waiting), done.by_person.get(person.name, 0), done.by_all)


def _item(plan: Plan, waiting: Waiting, wanted: QueueFilter) -> QueueItem:
    hidden = waiting.blind and bool(wanted.inspector)
    body = without_the_model(waiting.body, blind=True) if hidden else waiting.body
    disagree = waiting.people_said > 1 and not wanted.inspector
    return QueueItem(msgspec.Raw(body), waiting.held_by, waiting.held_since, _why(plan, waiting), disagree,
                     waiting.also_at)  # fmt: skip


def _why(plan: Plan, waiting: Waiting) -> Why:
    line_id, gate_id = waiting.case[:2]
    gate = plan.gate(line_id, gate_id)
    if waiting.moves_on_at is None:
        known_from = ""
    elif not waiting.expected:
        known_from = "seen"
    else:
        known_from = "line" if gate is None or gate.moves_on_ms is None else "plan"
    cost = escape_cost(plan, line_id, gate_id, waiting.product)
    return Why(cost, plan.objective.currency, waiting.moves_on_at, known_from)


@router.get("/api/queue/standing")
def standing(request: Request, part_id: Annotated[list[str], Query(max_length=STANDING_MAX)]) -> Response:
    """How the cases of some parts stand now: what waits no longer, and who holds what."""
    require(request, "read")
    here = installation(request)
    found = here.queue.standing(part_id, here.now())
    return list_response([msgspec.json.encode(one) for one in found], None)


@router.get("/api/next")
@through("decide")
def next_part(request: Request, wanted: Filter, behind: str = "") -> Response:
    """The next part for me, held for me: the most urgent that nobody else holds, not the one of `behind`."""
    person = require(request, "review")
    here = installation(request)
    found = next_part_for(here, person, wanted, [behind] if behind else [])
    here.lately.note(person.name)
    answer = NextAnswer(found.part_id, found.gate_id) if found else NextAnswer(None, None)
    return json_response(encode(answer))


@router.post("/api/parts/{part_id:path}/hold")
@through("decide")
def hold(request: Request, part_id: str, take: bool = False) -> Response:
    """Hold a part for five minutes, or renew the hold; of one that another holds it says who, unless `take=1`."""
    person = require(request, "review")
    here = installation(request)
    _known(here, part_id)
    if exercise_on(here, person, part_id):  # holds nothing that another may need
        at = here.now()
        return json_response(encode(HoldAnswer(person.name, at, Instant(at + HOLD_MS), mine=True)))
    before = here.queue.hold(part_id, person.name, here.now(), take)
    here.lately.note(person.name)
    if take:
        here.audit(person, "take over", part_id)
    return json_response(encode(HoldAnswer(before.held_by, before.since, before.until, before.held_by == person.name)))


@router.delete("/api/parts/{part_id:path}/hold", status_code=204)
@through("decide")
def release(request: Request, part_id: str) -> Response:
    """Let go of a part."""
    person = require(request, "review")
    here = installation(request)
    here.queue.release(part_id, person.name)
    here.lately.note(person.name)
    here.queue.forget_holds(here.now())
    return Response(status_code=204)


def _known(here: Installation, part_id: str) -> None:
    if here.reader.part(part_id) is None:
        raise not_found(f"part {part_id} is not known")
