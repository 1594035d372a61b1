"""What whoever asks has decided today: what an empty queue shows, and a hand-over begins with."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.views import json_response, read_verdict
from api.installation import installation
from api.store.rows import VerdictFilter
from api.store.shift import Said
from api.wording.clock import day_start
from ingest.messages import Instant, encode

router = APIRouter(tags=["queue"])


class DecidedItem(msgspec.Struct, frozen=True):
    """One decision of mine that stands. `also_at`: other gates of the part that it settled too."""

    review_id: str
    part_id: str
    gate_id: str
    outcome: str
    defect_code: str
    recorded_at: Instant
    also_at: list[str]


class ShiftView(msgspec.Struct, frozen=True):
    """My decisions of the plant's day: how many of each outcome, and the latest of them. When the latest part of all
    was judged: where nothing waits, that tells whether anything comes."""

    defect: int
    ok: int
    unsure: int
    items: list[DecidedItem]
    latest_judged_at: Instant | None


@router.get("/api/queue/mine")
def mine(request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Response:
    """What I decided on the plant's day and did not take back, the latest first. Exercises are not among it."""
    person, here = require(request, "read"), installation(request)
    said = here.queue.said_by(person.name, Instant(day_start(here.now(), here.zone)))
    counted = Counter(one.defect.outcome for one in said)
    items = [_item(one) for one in said[:limit]]
    latest = [read_verdict(one).decided_at for one in here.reader.verdicts(VerdictFilter(), 1)]
    shift = ShiftView(counted["defect"], counted["ok"], counted["unsure"], items, latest[0] if latest else None)
    return json_response(encode(shift))


def _item(said: Said) -> DecidedItem:
    told = said.defect
    return DecidedItem(said.review_id, told.part_id, said.gate_id, told.outcome, told.defect_code, told.recorded_at,
                       list(said.also_at))  # fmt: skip
