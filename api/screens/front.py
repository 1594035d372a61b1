"""The screens at `/`: the queue of flagged parts, the batches, the exposed. The browser only keeps them live."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.access.gatekeeper import person_of, require
from api.access.log_in import begin_session
from api.access.tokens import may
from api.http.errors import ApiError
from api.http.lanes import through
from api.http.queries import read_time
from api.installation import installation
from api.screens.pages import render
from api.store.exposed import sides_of
from api.store.rows import Person
from api.wording.reader import say

router = APIRouter(include_in_schema=False)

EXPOSED_SHOWN = 500  # a page that a person reads


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
@through("slow")
def batches_page(request: Request) -> Response:
    """The batches in figures, each with its report."""
    person = require(request, "read")
    here = installation(request)
    return page_of("batches.html", person, "batches", plant=here.plan.plant, batches=here.reader.batches(200))


@router.get("/exposed")
@through("slow")
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


def page_of(template: str, person: Person, here: str, **values: object) -> Response:
    """One page for this person. `here`: which of the screens it is."""
    rights = {f"may_{right}": may(person, right) for right in ("stop", "resume", "people", "quality", "audit")}
    body = render(template, person=person, here=here, **rights, **values)
    return HTMLResponse(body, headers={"Cache-Control": "no-store"})
