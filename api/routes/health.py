"""Is it alive, is it ready, how is it doing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.lanes import through
from api.http.views import json_response
from api.installation import installation

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Response:
    """This process answers."""
    return json_response(b'{"alive":true}')


@router.get("/readyz")
@through("stop")
def readyz(request: Request) -> Response:
    """Every part of the road has fresh evidence of working: yes (200) or no (503). Why is told in `/metrics`."""
    if installation(request).troubles():
        return json_response(b'{"ready":false}', 503)
    return json_response(b'{"ready":true}')


@router.get("/metrics")
@through("stop")
def metrics(request: Request) -> Response:
    """Prometheus' exposition format."""
    require(request, "read")
    return Response(installation(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
