"""The plant as a whole: mode, batches, incidents, oversight."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.certificates import Standings
from api.http.errors import ApiError, not_found
from api.http.lanes import through
from api.http.queries import read_cursor
from api.http.repeats import Key, answer_and_keep, answered, once
from api.http.schemas import ModeRequest
from api.http.views import json_response, list_response
from api.installation import Installation, installation
from api.reports import format_report, report_batch
from api.store.database import StoreUnavailable
from api.store.rows import BatchCount
from ingest.messages import Instant, Order, encode

router = APIRouter(tags=["plant"])
MEDIA = {"html": "text/html; charset=utf-8", "json": "application/json", "csv": "text/csv; charset=utf-8"}


class LineMode(msgspec.Struct, frozen=True):
    """The mode of one line, and who ordered it."""

    line_id: str
    mode: str
    by: str = ""
    at: Instant | None = None
    reason: str = ""


class ModeView(msgspec.Struct, frozen=True):
    """`mode` is `manual` when any line is."""

    mode: str
    lines: list[LineMode]


def mode_now(here: Installation) -> ModeView:
    """The newest order that names a line, or every line, holds."""
    newest = here.reader.newest_orders()
    lines = []
    for line in here.plan.lines:
        orders = [order for key in (line.line_id, "*") if (order := newest.get(key)) is not None]
        if not orders:
            lines.append(LineMode(line.line_id, "auto"))
            continue
        held = max(orders, key=lambda logged: (logged.logged_at, logged.offset)).order
        lines.append(LineMode(line.line_id, held.mode, held.by, held.at, held.reason))
    return ModeView("manual" if any(line.mode == "manual" for line in lines) else "auto", lines)


@router.get("/api/control/mode")
@through("stop")
def get_mode(request: Request) -> Response:
    """The mode of every line."""
    require(request, "read")
    return json_response(encode(mode_now(installation(request))))


@router.post("/api/control/mode", status_code=202)
@through("stop")
def order_mode(request: Request, asked: ModeRequest, key: Key = "") -> Response:
    """Order the mode of a line or of all. Anyone at the line may stop; to go on takes the right to.

    With an `Idempotency-Key` an order sent again is answered as before; but a stop is carried out whatever its key was
    used for, unless it stands already."""
    person = require(request, "stop" if asked.mode == "manual" else "resume")
    here = installation(request)
    if asked.line_id != "*" and here.plan.line(asked.line_id) is None:
        raise not_found(f"line {asked.line_id} is not in the plan")

    def order() -> tuple[bytes, int]:
        ordered = Order(
            order="mode", mode=asked.mode, line_id=asked.line_id, by=person.name, reason=asked.reason, at=here.now()
        )
        here.publisher.order(ordered)
        here.audit(person, f"mode_{asked.mode}", asked.line_id, asked.reason)
        return encode(ordered), 202

    request_said = f"mode {asked.model_dump_json()}"
    if asked.mode == "auto":
        return once(here, person, key, request_said, order)
    with suppress(StoreUnavailable):  # a store that is away keeps nobody from stopping
        if key and _stopped(here, asked.line_id) and (known := answered(here, person, key, request_said)):
            return known
    return answer_and_keep(here, person, key, request_said, order)


def _stopped(here: Installation, line_id: str) -> bool:
    return all(line.mode == "manual" for line in mode_now(here).lines if line_id in ("*", line.line_id))


@router.get("/api/batches")
@through("slow")
def batches(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str = "") -> Response:
    """Batches in figures, the one judged last first."""
    require(request, "read")
    found = installation(request).reader.batches(limit + 1, read_cursor(cursor))
    following = str(found[limit - 1].last_row) if len(found) > limit else None
    return list_response([encode(_batch(batch)) for batch in found[:limit]], following)


def _batch(batch: BatchCount) -> BatchView:
    return BatchView(**{name: getattr(batch, name) for name in BatchView.__struct_fields__})


class BatchView(msgspec.Struct, frozen=True):
    """One batch in figures."""

    batch_id: str
    product: str
    parts_made: int
    parts_judged: int
    passed: int
    review: int
    cannot_tell: int
    open_cases: int
    last_event_at: Instant


@router.get("/api/batches/{batch_id:path}/report")
@through("slow")
def batch_report(
    request: Request,
    batch_id: str,
    report_format: Annotated[Literal["json", "html", "pdf", "xlsx", "csv"], Query(alias="format")] = "json",
) -> Response:
    """The batch report."""
    require(request, "read")
    if report_format not in MEDIA:
        raise ApiError(501, f"{report_format}: not there yet; html prints well on paper, csv opens in a spreadsheet")
    here = installation(request)
    standings = Standings(here.certificates(), here.plan.constraints.latency_ms_max)
    report = report_batch(here.reader, batch_id, here.now(), standings)
    if report is None:
        raise not_found(f"batch {batch_id} is not known")
    return Response(format_report(report, report_format), media_type=MEDIA[report_format])


@router.get("/api/incidents")
def incidents(request: Request, cursor: str = "") -> Response:
    """What is going wrong now: the road's own troubles, what roles take note of, and the incidents of
    cameras, channels, tools and lots."""
    require(request, "read")
    read_cursor(cursor)
    here = installation(request)
    told_by_judges = here.incidents()
    already = {one.get("what") for one in told_by_judges}
    told = [("road", what) for what in here.troubles()]
    told += [("notice", what) for what in here.notices() if what not in already]
    items: list[dict[str, Any]] = [{"kind": kind, "what": what} for kind, what in told]
    items += [
        {"kind": "camera" if one.get("camera_id") else "process", **one, **_exposed(one), **_shown_by(here, one)}
        for one in told_by_judges
    ]
    return list_response([msgspec.json.encode(item) for item in items], None)


def _shown_by(here: Installation, incident: dict[str, Any]) -> dict[str, str]:
    """The part that shows it best: of those with this cause since it began, the riskiest that has a picture."""
    camera_id, since = str(incident.get("camera_id") or ""), str(incident.get("since") or "")
    cause = f"camera:{camera_id}" if camera_id else str(incident.get("cause") or "")
    try:
        begun = Instant.parse(since) if since else None
    except ValueError:
        begun = None
    found = here.queue.shows_best(cause, begun, here.now()) if cause else None
    return {"shown_by": found} if found else {}


def _exposed(incident: dict[str, Any]) -> dict[str, str]:
    """Where the parts exposed to an incident's cause are listed; of a cause that no visit books, nowhere."""
    cause, since = str(incident.get("cause", "")), str(incident.get("since", ""))
    if "=" not in cause or cause.startswith("gate_id="):  # every part of the gate: no visit books that
        return {}
    return {"containment": f"/api/containment?{urlencode({'cause': cause, 'since': since})}"}


@router.get("/api/oversight")
def oversight(request: Request) -> Response:
    """What the system was asked to do, by whom, what it may do, and whether the road works."""
    require(request, "read")
    here = installation(request)
    plan = here.plan
    return json_response(
        encode(
            OversightView(
                plan_sha256=plan.sha256,
                plant=plan.plant,
                owners=plan.owners,
                objective=plan.objective,
                constraints=plan.constraints,
                grants=plan.grants,
                audit=plan.audit,
                mode=mode_now(here),
                troubles=here.troubles(),
                cases={f"{state}:{decision}": n for (state, decision), n in here.reader.count_cases().items()},
                certificates=here.certificates(),
                judges=here.limits_counted(),
                capacity=here.capacity(),
                drift_limits=here.drift_limits(),
            )
        )
    )


class OversightView(msgspec.Struct, frozen=True):
    """The mandate and how it stands. `cases`: `<state>:<decision>` -> cases; `certificates`: how each gate's escape
    certificate stands; `judges`: what the judges at work counted that concerns the plan's limits; `capacity`: how much
    inspectors have before them, of lines whose plan says what they can clear; `drift_limits`: on how many parts each
    gate's limits rest, when they tightened (ms since 1970, 0: not yet), and what charts cannot show yet."""

    plan_sha256: str
    plant: str
    owners: Any
    objective: Any
    constraints: Any
    grants: Any
    audit: Any
    mode: ModeView
    troubles: list[str]
    cases: dict[str, int]
    certificates: list[dict[str, Any]] = []
    judges: dict[str, int] = {}
    capacity: list[dict[str, Any]] = []
    drift_limits: list[dict[str, Any]] = []
