"""Named filters of the queue over HTTP: one's own, those that a QA lead shares with everybody, what one begins with."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Request
from pydantic import StringConstraints
from starlette.responses import Response

from api.access.gatekeeper import require
from api.access.tokens import may
from api.http.errors import ApiError
from api.http.schemas import Incoming
from api.http.views import json_response, list_response
from api.installation import Installation, installation
from api.routes.queue import read_filter
from api.store.queue import QueueFilter
from api.store.rows import Person
from api.store.views import BEGIN_WITH, VIEWS_MAX, View
from ingest.messages import encode

router = APIRouter(tags=["queue"])

_FIELDS = frozenset(("line_id", "product", "batch_id", "decision", "cause", "camera", "age"))

Queries = Annotated[str, StringConstraints(max_length=1000)]


class ViewAnswer(msgspec.Struct, frozen=True):
    """A named filter of the queue. `waiting`: how many parts wait within it, None where its filter is no longer one;
    `mine`: may be changed by whoever asks; `begins`: the queue begins with it."""

    name: str
    query: str
    owner: str
    shared: bool
    mine: bool
    begins: bool
    waiting: int | None


class ViewRequest(Incoming):
    """`query`: what stands behind the `?` of the queue's address; `shared`: for everybody (takes the right to read the
    audit)."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]
    query: Queries
    shared: bool = False


class BeginRequest(Incoming):
    """`query` None: the queue begins with everything."""

    query: Queries | None


@router.get("/api/views")
def views(request: Request) -> Response:
    """The views I named and those that are shared, each with how many parts wait within it."""
    person = require(request, "read")
    here = installation(request)
    begins = here.views.begins_with(person.name)
    found = [_answer(request, here, person, one, begins) for one in here.views.views(person.name)]
    return list_response([encode(one) for one in found], None)


def _answer(request: Request, here: Installation, person: Person, view: View, begins: str | None) -> ViewAnswer:
    mine = view.owner == person.name
    meant = _filter_of(request, view.query)
    waiting = None if meant is None else here.views.counted(meant, here.now(), here.queue.count)
    return ViewAnswer(view.name, view.query, view.owner, view.shared, mine, view.query == begins, waiting)


def _filter_of(request: Request, query: str) -> QueueFilter | None:
    told = {name: values[-1] for name, values in parse_qs(query).items() if name in _FIELDS}
    try:
        return read_filter(request, **told)
    except ApiError:
        return None


@router.post("/api/views", status_code=201)
def keep_view(request: Request, asked: ViewRequest) -> Response:
    """Keep a filter of the queue under a name, in place of an earlier one of that name."""
    person = require(request, "read")
    here = installation(request)
    if asked.shared and not may(person, "audit"):
        raise ApiError(403, "a view for everybody is a QA lead's to make")
    view = View(asked.name, asked.query, person.name, asked.shared)
    if not here.views.keep_view(person.name, view):
        raise ApiError(409, f"you have {VIEWS_MAX} views already: forget one first")
    if asked.shared:
        here.audit(person, "share view", asked.name, asked.query)
    return json_response(encode(_answer(request, here, person, view, here.views.begins_with(person.name))), 201)


@router.post("/api/queue/begin")
def begin_with(request: Request, asked: BeginRequest) -> Response:
    """What my queue begins with when its address names no filter."""
    person = require(request, "read")
    store = installation(request).views
    if asked.query is None:
        store.drop_view(person.name, BEGIN_WITH)
    else:
        store.keep_view(person.name, View(BEGIN_WITH, asked.query))
    return json_response(msgspec.json.encode({"query": asked.query}))


@router.delete("/api/views/{name:path}", status_code=204)
def drop_view(request: Request, name: str, owner: str = "") -> Response:
    """Forget a view; one that another shares (`owner`) takes the right to share."""
    person = require(request, "read")
    here = installation(request)
    if owner not in ("", person.name):
        if not may(person, "audit"):
            raise ApiError(403, f"{owner} shares this view: only a QA lead can withdraw it")
        if not any((one.name, one.owner) == (name, owner) for one in here.views.views(person.name)):
            return Response(status_code=204)  # none that is shared
        here.audit(person, "withdraw view", name, owner)
    here.views.drop_view(owner or person.name, name)
    return Response(status_code=204)
