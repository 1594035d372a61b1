"""The screens at `/`: the queue of flagged parts, the batches, the exposed. The browser only keeps them live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.access.gatekeeper import person_of, require
from api.access.log_in import begin_session
from api.access.tokens import may
from api.http.errors import ApiError
from api.http.queries import read_time
from api.http.views import json_response
from api.installation import Installation, installation
from api.road import verdicts_stopped
from api.routes.plant import ModeView, mode_now
from api.screens.pages import render
from api.store.exposed import sides_of
from api.store.rows import Person
from api.wording.reader import reader, say
from api.wording.words import say_certificate
from ingest.messages import Instant, encode

router = APIRouter(include_in_schema=False)

EXPOSED_SHOWN = 500  # a page that a person reads
QUEUE_CASES_MAX = 200  # what a page shows; nobody works through more without looking up


class PromiseLine(msgspec.Struct, frozen=True):
    """How the escape certificate of a gate stands, in words. `since`: when it became void."""

    line_id: str
    gate_id: str
    standing: str
    said: str
    since: str | None = None
    conflict: str = ""


class Overview(msgspec.Struct, frozen=True):
    """What the screen asks every few seconds. `waiting`: keys of the newest open cases, `part|gate|attempt`;
    `stopped_since`: when the judge gave its last sign of life, where it is silent; `model_missing`: why it has no model
    to judge with, where it has none; `going_wrong`: those of `notices` that are incidents (more: `/api/incidents`)."""

    mode: ModeView
    troubles: list[str]
    stopped_since: Instant | None
    model_missing: str
    notices: list[str]
    going_wrong: list[str]
    open: int
    waiting: list[str]
    waiting_is_all: bool
    certificates: list[PromiseLine]


@router.get("/")
def queue(request: Request, token: str = "") -> Response:
    """The queue. With `?token=` a session begins and the token leaves the address line."""
    if token:
        answer = RedirectResponse("/", 303)
        if begin_session(request, token, answer) is None:
            refused = say("This token is not good here. It may have ended or been revoked.")
            return HTMLResponse(render("login.html", refused=refused, name="", token_refused=True), 401)
        return answer
    person = person_of(request)
    here = installation(request)
    begins = here.views.begins_with(person.name)
    if begins and not request.url.query:
        return RedirectResponse(f"/?{begins}", 303)
    cameras = dict.fromkeys(camera.camera_id for line in here.plan.lines for camera in line.cameras)
    lines = [line.line_id for line in here.plan.lines]
    return page_of("queue.html", person, "queue", plant=here.plan.plant, lines=lines, cameras=list(cameras),
                   begins=begins, may_share=may(person, "audit"))  # fmt: skip


@router.get("/batches")
def batches_page(request: Request) -> Response:
    """The batches in figures, each with its report."""
    person = require(request, "read")
    here = installation(request)
    return page_of("batches.html", person, "batches", plant=here.plan.plant, batches=here.reader.batches(200))


@router.get("/exposed")
def exposed_page(
    request: Request, cause: Annotated[str, Query(min_length=3, max_length=500, pattern="=")], since: str = ""
) -> Response:
    """Every part exposed to a cause, the latest first."""
    person = require(request, "read")
    here = installation(request)
    for side in sides_of(cause):
        if not here.plan.may_use(attribute := side.partition("=")[0]):
            raise ApiError(403, f"the plan does not allow {attribute} as a cause")
    begun = read_time("since", since)
    visits = here.reader.exposed(cause, begun, EXPOSED_SHOWN + 1)
    return page_of("exposed.html", person, "queue", plant=here.plan.plant, cause=cause, since=since, begun=begun,
                   parts=here.reader.count_exposed(cause, begun), visits=visits[:EXPOSED_SHOWN],
                   more=len(visits) > EXPOSED_SHOWN)  # fmt: skip


@router.get("/api/overview")
def overview(request: Request) -> Response:
    """Mode, troubles of the road, and what waits."""
    require(request, "read")
    here = installation(request)
    said_in = reader().language.code
    return json_response(here.kept.get(("overview", said_in), lambda: encode(_overview(here))))


def _overview(here: Installation) -> Overview:
    waiting = here.reader.open_cases(QUEUE_CASES_MAX)
    open_cases = here.reader.count_open()
    return Overview(
        mode=mode_now(here),
        troubles=here.troubles(),
        stopped_since=verdicts_stopped(here.roles(), here.now()),
        model_missing=here.model_missing(),
        notices=here.notices(),
        going_wrong=here.going_wrong(),
        open=open_cases,
        waiting=[f"{case.part_id}|{case.gate_id}|{case.attempt}" for case in waiting],
        waiting_is_all=open_cases <= QUEUE_CASES_MAX,
        certificates=[_promise(told) for told in here.certificates()],
    )


def _promise(told: Mapping[str, Any]) -> PromiseLine:
    return PromiseLine(
        line_id=str(told.get("line_id", "")),
        gate_id=str(told.get("gate_id", "")),
        standing=str(told.get("standing", "void")),
        said=say_certificate(told),
        since=since if isinstance(since := told.get("since"), str) else None,
        conflict=str(told.get("conflict") or ""),
    )


def page_of(template: str, person: Person, here: str, **values: object) -> Response:
    """One page for this person. `here`: which of the screens it is."""
    rights = {f"may_{right}": may(person, right) for right in ("stop", "resume", "people", "quality", "audit")}
    body = render(template, person=person, here=here, **rights, **values)
    return HTMLResponse(body, headers={"Cache-Control": "no-store"})
