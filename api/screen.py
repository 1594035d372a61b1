"""The screens at `/`: the queue of flagged parts, one part, the batches. The browser only keeps them live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.blind_views import hides_model, look_at
from api.curves import draw_curves
from api.errors import ApiError, not_found
from api.gatekeeper import person_of, require
from api.installation import Installation, installation
from api.log_in import begin_session
from api.pages import render
from api.queries import read_time
from api.road import verdicts_stopped
from api.routes_plant import ModeView, mode_now
from api.store_exposed import sides_of
from api.store_rows import Case, PartRecord, Person
from api.tokens import may
from api.views import json_response, read_exhibit, read_verdict
from api.words import say_certificate, say_evidence
from ingest.messages import Findings, Instant, Mark, Verdict, encode
from vision.marks import MARKS_TO_TEACH

router = APIRouter(include_in_schema=False)

EXPOSED_SHOWN = 500  # a page that a person reads
KINDS_SHOWN = 9  # kinds of defect to choose from, one a digit
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
    to judge with, where it has none."""

    mode: ModeView
    troubles: list[str]
    stopped_since: Instant | None
    model_missing: str
    notices: list[str]
    open: int
    waiting: list[str]
    waiting_is_all: bool
    certificates: list[PromiseLine]


@dataclass(frozen=True, slots=True)
class CauseLine:
    """One cause as the page shows it."""

    cause: str
    station_id: str
    share: float
    evidence: tuple[str, ...]


@router.get("/")
def queue(request: Request, token: str = "") -> Response:
    """The queue. With `?token=` a session begins and the token leaves the address line."""
    if token:
        answer = RedirectResponse("/", 303)
        if begin_session(request, token, answer) is None:
            refused = "This token is not good here. It may have ended or been revoked."
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
    waiting = here.reader.open_cases(QUEUE_CASES_MAX)
    open_cases = here.reader.count_open()
    return json_response(
        encode(
            Overview(
                mode=mode_now(here),
                troubles=here.troubles(),
                stopped_since=verdicts_stopped(here.roles(), here.now()),
                model_missing=here.model_missing(),
                notices=here.notices(),
                open=open_cases,
                waiting=[f"{case.part_id}|{case.gate_id}|{case.attempt}" for case in waiting],
                waiting_is_all=open_cases <= QUEUE_CASES_MAX,
                certificates=[_promise(told) for told in here.certificates()],
            )
        )
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


@router.get("/parts/{part_id:path}")
def part_page(request: Request, part_id: str, gate: str = "") -> Response:
    """One part at one gate: why it was flagged, and the buttons."""
    person = require(request, "read")
    here = installation(request)
    record = here.reader.part(part_id)
    if record is None:
        raise not_found(f"part {part_id} is not known")
    look = look_at(here, person, record)
    record = look.record
    case = next((case for case in record.cases if gate in ("", case.gate_id)), None)
    verdicts = [read_verdict(stored) for stored in record.verdicts]
    verdict = _verdict_of(case, record, verdicts)
    exhibit = read_exhibit(here.blobs, verdict.evidence_ref if verdict else "")
    causes = _causes(verdict)
    return page_of(
        "part.html",
        person,
        "part",
        plant=here.plan.plant,
        part_id=part_id,
        record=record,
        case=case,
        shown=look.shown,
        verdict=verdict,
        verdicts=verdicts,
        causes=causes,
        came_of=here.reader.came_of(causes[0].cause, part_id) if causes and causes[0].cause != "unknown" else {},
        codes=_codes(record, causes),
        kinds=here.reader.defect_codes(KINDS_SHOWN),
        frames=(frames := _frames(record)),
        examples=_examples(here, frames, verdict),
        recorded=_recorded_marks(record),
        marks_needed=MARKS_TO_TEACH,
        drawings=draw_curves(exhibit, frozenset(cause.cause for cause in causes)),
        sentences=say_evidence(verdict) if verdict else [],
        may_review=may(person, "review"),
        may_use=here.plan.may_use,  # what may be no cause (an operator) is nobody's business on this page
    )


def _verdict_of(case: Case | None, record: PartRecord, verdicts: list[Verdict]) -> Verdict | None:
    for stored, verdict in zip(record.verdicts, verdicts, strict=True):
        if case is not None and stored.row_id == case.row_id:
            return verdict
    return None


def _causes(verdict: Verdict | None) -> list[CauseLine]:
    if verdict is None:
        return []
    return [CauseLine(one.cause, one.station_id, one.share, tuple(one.evidence)) for one in verdict.causes]


def _codes(record: PartRecord, causes: list[CauseLine]) -> list[str]:
    """Cause codes to choose from: those the verdict names; an inspector may type another."""
    named = [one.cause for one in causes if one.cause != "unknown"]
    return named + [code for defect in record.defects for code in defect.causes if code not in named]


def _frames(record: PartRecord) -> list[Findings]:
    """The frames, the one to look at first in front: the highest score against its threshold."""

    def striking(seen: Findings) -> float:
        if seen.score is None:
            return -1.0
        return seen.score / seen.threshold if seen.threshold else seen.score

    return sorted(record.findings, key=striking, reverse=True)


def _examples(here: Installation, frames: list[Findings], verdict: Verdict | None) -> dict[str, Findings]:
    """Camera -> the frame of a good part of this product, where there is one."""
    if verdict is None:
        return {}
    cameras = dict.fromkeys(seen.camera_id for seen in frames)
    found = {camera: here.reader.good_example(camera, verdict.product, verdict.part_id) for camera in cameras}
    return {camera: seen for camera, seen in found.items() if seen is not None}


def _recorded_marks(record: PartRecord) -> dict[str, list[Mark]]:
    """Frame -> the marks people drew in it, of every frame that has been seen."""
    found: dict[str, list[Mark]] = {seen.frame_id: [] for seen in record.findings}
    for defect in record.defects:
        for mark in defect.drawn if defect.outcome == "defect" else ():
            found.setdefault(mark.frame_id, []).append(mark)
    return found


def page_of(template: str, person: Person, here: str, **values: object) -> Response:
    """One page for this person. `here`: which of the screens it is."""
    rights = {f"may_{right}": may(person, right) for right in ("stop", "resume", "people", "quality", "audit")}
    body = render(template, person=person, here=here, **rights, **values)
    return HTMLResponse(body, headers={"Cache-Control": "no-store"})


@router.get("/api/thumbnails/{part_id:path}")
def thumbnail(request: Request, part_id: str) -> Response:
    """The frame of a part that is worth a look first; 404 when it has none."""
    person = require(request, "read")
    here = installation(request)
    frames = here.reader.findings(part_id)
    if not hides_model(here, person, part_id):
        frames = _frames(PartRecord((), (), (), tuple(frames), (), ()))
    shown = next((seen for seen in frames if seen.frame_ref), None)
    if shown is None:
        raise not_found(f"part {part_id} has no picture")
    from api.routes_parts import send_picture

    return send_picture(request, shown.frame_ref, f"frame {shown.frame_id}")
