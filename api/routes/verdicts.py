"""The verdicts: a list with filters, and the live stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from api.access.gatekeeper import require, while_known
from api.agreement.blind import is_audited
from api.agreement.shown import bodies_for
from api.http.lanes import through
from api.http.queries import read_cursor, read_decisions, read_time
from api.http.views import list_response
from api.installation import installation
from api.store.rows import VerdictFilter
from api.stream import Wanted

router = APIRouter(tags=["verdicts"])


@router.get("/api/verdicts")
@through("slow")
def verdicts(
    request: Request,
    decision: str = "",
    line_id: str = "",
    batch_id: str = "",
    product: str = "",
    cause: str = "",
    since: str = "",
    state: Literal["", "open", "done"] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str = "",
) -> Response:
    """Bodies of verdicts, newest first. `decision` may name several, separated by commas; `since` compares with
    `decided_at`; with `state` only last revisions, of cases that wait for a person (`open`) or do not (`done`)."""
    person = require(request, "read")
    wanted = VerdictFilter(
        decision=read_decisions(decision),
        line_id=line_id,
        batch_id=batch_id,
        product=product,
        cause=cause,
        since=read_time("since", since),
        state=state,
    )
    found = installation(request).reader.verdicts(wanted, limit + 1, read_cursor(cursor))
    following = str(found[limit - 1].row_id) if len(found) > limit else None
    narrowed = bool(wanted.cause or wanted.decision)
    return list_response(bodies_for(installation(request), person, found[:limit], narrowed), following)


@router.get("/api/verdicts/stream")
async def stream(
    request: Request,
    decision: str = "",
    last_event_id: Annotated[str, Header()] = "",
    after: str = "",
    corrections: bool = False,
) -> Response:
    """Server-sent events, one a verdict record. Goes on after `Last-Event-ID` (or `?after=`), else from now.
    `decision` leaves out others; with `corrections` a revision comes whatever its decision."""
    person = require(request, "read")
    here = installation(request)
    wanted = Wanted(frozenset(read_decisions(decision)), corrections, blindfold=is_audited(person))
    events = here.broadcaster.events(read_cursor(last_event_id or after), wanted)

    async def counted() -> AsyncIterator[bytes]:
        with here.metrics.streams.track_inprogress():
            async for chunk in while_known(request, events):
                yield chunk

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(counted(), media_type="text/event-stream", headers=headers)
