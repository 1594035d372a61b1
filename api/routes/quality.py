"""How well people judge, for those who answer for quality; and the known parts that this is measured with."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response

from api.access.gatekeeper import require
from api.access.tokens import DAY_MS
from api.agreement.exercises import known_part
from api.agreement.report import QualityReport, report
from api.http.errors import ApiError, not_found
from api.http.lanes import through
from api.http.queries import read_time
from api.http.schemas import Incoming, Name
from api.http.views import json_response, list_response
from api.installation import Installation, installation
from api.store.exercises import KNOWN_MAX, KnownPart
from api.store.quality import Disagreement
from ingest.messages import Instant, encode
from ingest.plan.plan import Reviews

router = APIRouter(tags=["quality"])

DAYS_SHOWN = 30  # when no time is asked for: long enough for figures, short enough to be about now
DAYS_MAX = 400  # as long as the record is kept (grants.retention_days)
DISAGREEMENTS_SHOWN = 100

Time = Annotated[str, Query(max_length=40)]


class DisagreementView(msgspec.Struct, frozen=True):
    """A case that waits for a QA lead: what was said of it, not by whom."""

    line_id: str
    gate_id: str
    part_id: str
    attempt: int
    since: Instant
    said: list[str]


class QualityView(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """`GET /api/quality`: the figures of decisions recorded in [from, to), the plan's shares, what waits for a word."""

    since: Instant
    until: Instant
    line: str
    shares: Reviews
    figures: QualityReport
    disagreements: list[DisagreementView]


class KnownView(msgspec.Struct, frozen=True):
    """A known part: what it is, and how that is known."""

    line_id: str
    gate_id: str
    part_id: str
    attempt: int
    outcome: str
    defect_code: str
    reason: str
    marked_by: str
    marked_at: Instant


class KnownRequest(Incoming):
    """A finished part whose truth is sure; `reason`: how it is known. `gate_id` may be left out: the newest case."""

    part_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    gate_id: Name = ""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


@router.get("/api/quality")
@through("slow")
def quality(
    request: Request, since: Annotated[Time, Query(alias="from")] = "", to: Time = "", line: Name = ""
) -> Response:
    """How people judge: agreement, automation bias, overkill and underkill by group; by default of the last 30 days.
    `from` and `to`: times, or days of the plant, both of which are meant whole."""
    require(request, "quality")
    return json_response(encode(quality_of(installation(request), since, to, line)))


def quality_of(here: Installation, since: str, to: str, line: str) -> QualityView:
    """The figures. Raises ApiError 422 for a span of time that is none."""
    until = _moment("to", to, here.zone, days_on=1) or here.now()
    begun = _moment("from", since, here.zone) or Instant(until - DAYS_SHOWN * DAY_MS)
    if not begun < until <= begun + DAYS_MAX * DAY_MS:
        raise ApiError(422, f"from, to: a span of time, of {DAYS_MAX} days at most")
    decided = here.quality.decisions(begun, until, line)
    figures = report(decided, here.quality.truths(begun, until), here.quality.groups())
    waiting = [_disagreement(one) for one in here.quality.disagreements(DISAGREEMENTS_SHOWN)]
    return QualityView(begun, until, line, here.draw.shares, figures, waiting)


def _moment(name: str, text: str, zone: ZoneInfo, days_on: int = 0) -> Instant | None:
    """A time; of a day (`2026-11-23`) its beginning by the plant's clock, or that of the day `days_on` later."""
    try:
        day = date.fromisoformat(text) if len(text) == len("2026-11-23") else None
    except ValueError:
        day = None
    if day is None:
        return read_time(name, text)
    begins = datetime.combine(day + timedelta(days=days_on), time(), zone)
    return Instant(begins.timestamp() * 1000)


@router.get("/api/known")
def known(request: Request) -> Response:
    """The known parts, the one marked last first."""
    require(request, "quality")
    return list_response([encode(view_known(one)) for one in installation(request).exercises.known()], None)


@router.post("/api/known", status_code=201)
def keep_known(request: Request, asked: KnownRequest) -> Response:
    """Make a finished part a known one, to be shown to inspectors as an exercise. Its truth must be sure: by a record
    from elsewhere (end-of-line test, teardown, customer), or by two people who agree; else 409."""
    person = require(request, "quality")
    here = installation(request)
    record = here.reader.part(asked.part_id)
    case = next((one for one in record.cases if asked.gate_id in ("", one.gate_id)), None) if record else None
    if record is None or case is None:
        raise not_found(f"part {asked.part_id} is not known, or has no verdict at that gate")
    kept = known_part(here, person, record, case, asked.reason)
    if not here.exercises.keep_known(kept):
        raise ApiError(409, f"there are {KNOWN_MAX} known parts already: take one away first")
    here.audit(person, "known_part", asked.part_id, f"{kept.outcome}: {asked.reason}")
    return json_response(encode(view_known(kept)), 201)


@router.delete("/api/known/{part_id:path}", status_code=204)
def drop_known(request: Request, part_id: str) -> Response:
    """Show a part as an exercise no more. What was said of it stays in the figures."""
    person = require(request, "quality")
    here = installation(request)
    dropped = [one.case for one in here.exercises.known() if one.case[2] == part_id]
    for case in dropped:
        here.exercises.drop_known(case)
    if not dropped:
        raise not_found(f"{part_id} is no known part")
    here.audit(person, "known_part_dropped", part_id)
    return Response(status_code=204)


def view_known(known: KnownPart) -> KnownView:
    """A known part as it is shown."""
    return KnownView(*known.case, known.outcome, known.defect_code, known.reason, known.marked_by, known.marked_at)


def _disagreement(one: Disagreement) -> DisagreementView:
    return DisagreementView(*one.case, one.since, list(one.said))
