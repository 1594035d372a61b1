"""What every open screen asks for again and again: the mode, what is wrong with the road, how certificates stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.views import json_response
from api.installation import Installation, installation
from api.road import verdicts_stopped
from api.routes.plant import ModeView, mode_now
from api.wording.phrases import say_sentence
from api.wording.reader import reader
from api.wording.words import say_certificate
from ingest.messages import Instant, encode

router = APIRouter(tags=["plant"])

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


@router.get("/api/overview")
async def overview(request: Request) -> Response:
    """Mode, troubles of the road, and what waits."""
    require(request, "read")
    here, question = installation(request), ("overview", reader().language.code)
    kept: bytes | None = here.kept.at_hand(
        question
    )  # every open screen asks: a thread for each would take longer than the answer
    if kept is None:
        kept = await run_in_threadpool(here.kept.get, question, lambda: encode(_overview(here)))
    return json_response(kept)


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
        conflict=say_sentence(str(told.get("conflict") or "")),
    )
