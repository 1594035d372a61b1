"""The screens of `/quality`, for QA leads, and of `/rules`, for everybody: how parts are shown, and why."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.errors import ApiError
from api.http.lanes import through
from api.installation import installation
from api.routes.quality import quality_of, view_known
from api.screens.front import page_of
from api.wording.clock import local
from ingest.messages import Instant

router = APIRouter(include_in_schema=False)


@router.get("/quality")
@through("slow")
def quality_page(request: Request, to: str = "", line: str = "") -> Response:
    """The figures on people's judgement, what waits for a word, and the known parts."""
    person, here = require(request, "quality"), installation(request)
    refused = ""

    def day(at: Instant) -> str:
        return local(at, here.zone).date().isoformat()

    try:
        found = quality_of(here, request.query_params.get("from", ""), to, line)
    except ApiError as error:
        refused, found = error.message, quality_of(here, "", "", line)
    return page_of(
        "quality.html",
        person,
        "quality",
        plant=here.plan.plant,
        found=found,
        figures=found.figures,
        refused=refused,
        days=(day(found.since), day(Instant(found.until - 1)) if to else ""),
        lines=[one.line_id for one in here.plan.lines],
        known=[view_known(one) for one in here.exercises.known()],
    )


@router.get("/rules")
def rules_page(request: Request) -> Response:
    """How parts are shown and what is measured: nobody is tricked about that, only about which part it is."""
    person, here = require(request, "read"), installation(request)
    return page_of("rules.html", person, "rules", plant=here.plan.plant, shares=here.draw.shares)
