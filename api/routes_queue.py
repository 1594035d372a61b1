"""The queue over HTTP: what waits, the next part for me, holds, and the views that people named."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response

from api.errors import ApiError, not_found
from api.gatekeeper import require
from api.installation import Installation, installation
from api.queries import read_decisions, read_place, write_place
from api.schemas import Incoming
from api.store_queue import VIEWS_MAX, QueueFilter, View, Waiting
from api.views import json_response, list_response
from ingest.messages import Instant, encode

router = APIRouter(tags=["queue"])

SHIFT_MS = 12 * 3_600_000  # decisions of the last twelve hours are told: a shift and its handover


class QueueItem(msgspec.Struct, frozen=True):
    """A verdict's body as it stands on `qc.verdicts`, and who holds the part."""

    verdict: msgspec.Raw
    held_by: str
    held_since: Instant | None


class QueueCounts(msgspec.Struct, frozen=True):
    """Parts that wait within the filter; parts decided in the last twelve hours by me and by all."""

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


class ViewAnswer(msgspec.Struct, frozen=True):
    """A named filter of the queue."""

    name: str
    query: str


class ViewRequest(Incoming):
    """`query`: what stands behind the `?` of the queue's address."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]
    query: Annotated[str, StringConstraints(max_length=1000)]


def read_filter(
    line_id: str = "", product: str = "", batch_id: str = "", decision: str = "", cause: str = ""
) -> QueueFilter:
    """Which waiting parts are meant. `decision` may name several, separated by commas."""
    return QueueFilter(line_id, product, batch_id, read_decisions(decision), cause)


Filter = Annotated[QueueFilter, Depends(read_filter)]


@router.get("/api/queue")
def queue(
    request: Request, wanted: Filter, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str = ""
) -> Response:
    """What waits for a person, the most urgent first: by the expected loss of letting it go."""
    person = require(request, "read")
    here = installation(request)
    found = here.queue.page(wanted, here.now(), limit + 1, read_place(cursor))
    following = write_place(found[limit - 1].place) if len(found) > limit else None
    mine, every = here.queue.decided(person.name, Instant(here.now() - SHIFT_MS))
    counts = QueueCounts(here.queue.count(wanted), mine, every)
    return json_response(encode(QueuePage([_item(one) for one in found[:limit]], following, counts)))


def _item(waiting: Waiting) -> QueueItem:
    return QueueItem(msgspec.Raw(waiting.body), waiting.held_by, waiting.held_since)


@router.get("/api/next")
def next_part(request: Request, wanted: Filter, behind: str = "") -> Response:
    """The next part for me, held for me: the most urgent that nobody else holds, not the one of `behind`."""
    person = require(request, "review")
    here = installation(request)
    found = here.queue.next_for(person.name, wanted, here.now(), [behind] if behind else [])
    answer = NextAnswer(found.part_id, found.gate_id) if found else NextAnswer(None, None)
    return json_response(encode(answer))


@router.post("/api/parts/{part_id:path}/hold")
def hold(request: Request, part_id: str, take: bool = False) -> Response:
    """Hold a part for five minutes, or renew the hold; of one that another holds it says who, unless `take=1`."""
    person = require(request, "review")
    here = installation(request)
    _known(here, part_id)
    before = here.queue.hold(part_id, person.name, here.now(), take)
    if take:
        here.audit(person, "take over", part_id)
    return json_response(encode(HoldAnswer(before.held_by, before.since, before.until, before.held_by == person.name)))


@router.delete("/api/parts/{part_id:path}/hold", status_code=204)
def release(request: Request, part_id: str) -> Response:
    """Let go of a part."""
    person = require(request, "review")
    here = installation(request)
    here.queue.release(part_id, person.name)
    here.queue.forget_holds(here.now())
    return Response(status_code=204)


def _known(here: Installation, part_id: str) -> None:
    if here.reader.part(part_id) is None:
        raise not_found(f"part {part_id} is not known")


@router.get("/api/views")
def views(request: Request) -> Response:
    """The views I named."""
    person = require(request, "read")
    kept = installation(request).queue.views(person.name)
    return list_response([encode(ViewAnswer(one.name, one.query)) for one in kept], None)


@router.post("/api/views", status_code=201)
def keep_view(request: Request, asked: ViewRequest) -> Response:
    """Keep a filter of the queue under a name, in place of an earlier one of that name."""
    person = require(request, "read")
    if not installation(request).queue.keep_view(person.name, View(asked.name, asked.query)):
        raise ApiError(409, f"you have {VIEWS_MAX} views already: forget one first")
    return json_response(encode(ViewAnswer(asked.name, asked.query)), 201)


@router.delete("/api/views/{name:path}", status_code=204)
def drop_view(request: Request, name: str) -> Response:
    """Forget a view."""
    person = require(request, "read")
    installation(request).queue.drop_view(person.name, name)
    return Response(status_code=204)
