"""Who did what: the audit trail for a person to look through, and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from api.access.gatekeeper import require
from api.http.errors import ApiError
from api.http.lanes import through
from api.http.queries import read_cursor
from api.installation import Installation, installation
from api.reports import cell
from api.screens.front import page_of
from api.store.audit import AuditWanted
from api.store.rows import AuditEntry
from api.wording.vocabulary import ACTIONS
from ingest.messages import Instant

router = APIRouter(include_in_schema=False)

LINES_SHOWN = 100
CSV_LINES_MAX = 1_000_000  # as many as a spreadsheet opens; older ones by `until`
_LINES_AT_ONCE = 1000
_COLUMNS = ("at", "by", "role", "action", "subject", "detail")

Word = Annotated[str, Query(max_length=200)]


@router.get("/audit")
@through("slow")
def audit_page(
    request: Request, by: Word = "", action: Word = "", since: Word = "", until: Word = "", cursor: Word = ""
) -> Response:
    """The trail, newest first, a page at a time."""
    person, here = require(request, "audit"), installation(request)
    wanted = _wanted(here, by, action, since, until)
    lines = here.reader.audit(LINES_SHOWN + 1, read_cursor(cursor), wanted)
    asked = {name: text for name, text in
             (("by", by), ("action", action), ("since", since), ("until", until)) if text}  # fmt: skip
    older = urlencode({**asked, "cursor": lines[LINES_SHOWN - 1].audit_id}) if len(lines) > LINES_SHOWN else ""
    return page_of("audit.html", person, "audit", plant=here.plan.plant, lines=lines[:LINES_SHOWN], asked=asked,
                   actions=sorted(ACTIONS), older=older, query=urlencode(asked), first=not cursor)  # fmt: skip


@router.get("/audit.csv")
@through("slow")
def audit_csv(request: Request, by: Word = "", action: Word = "", since: Word = "", until: Word = "") -> Response:
    """The same lines as a file, times in UTC."""
    require(request, "audit")
    here = installation(request)
    body = _as_csv(here, _wanted(here, by, action, since, until))
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(body, media_type="text/csv; charset=utf-8", headers=headers)


def _wanted(here: Installation, by: str, action: str, since: str, until: str) -> AuditWanted:
    return AuditWanted(by, action, _moment("since", since, here.zone), _moment("until", until, here.zone))


def _moment(name: str, text: str, zone: ZoneInfo) -> Instant | None:
    """What a field for date and time says, by the plant's clock: `2026-11-25T09:26`."""
    if not text:
        return None
    try:
        told = datetime.fromisoformat(text)
        return Instant((told if told.tzinfo else told.replace(tzinfo=zone)).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise ApiError(422, f"{name}: {text!r} is no date and time; write it like 2026-11-25T09:26") from error


def _as_csv(here: Installation, wanted: AuditWanted) -> Iterator[str]:
    yield _rows([_COLUMNS])
    before: int | None = None
    for _ in range(CSV_LINES_MAX // _LINES_AT_ONCE):
        lines = here.reader.audit(_LINES_AT_ONCE, before, wanted)
        if not lines:
            return
        yield _rows(map(_cells, lines))
        before = lines[-1].audit_id


def _cells(line: AuditEntry) -> tuple[str, ...]:
    return tuple(cell(getattr(line, name)) for name in _COLUMNS)


def _rows(rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)  # RFC 4180
    return out.getvalue()
