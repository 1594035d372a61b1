"""The plant for whoever looks after it: what gates promise and cannot see yet, what models judge, who is at work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.lanes import through
from api.installation import Installation, installation
from api.routes.models import models_of
from api.routes.plant import mode_now
from api.screens.front import page_of
from api.wording.phrases import say_sentence
from api.wording.words import say_certificate
from ingest.messages import Instant

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class GateLine:
    """How one gate stands. `certificate`: in words; `limits_told`: does a judge tell of its drift limits;
    `limits_parts`: on how many parts they rest, 0 where nobody tells; `limits_since`: when they tightened in service,
    None: they are those of training; `not_seen`: what its charts cannot show yet; `corrected`: how often its risks were
    recalibrated, None where nobody tells."""

    line_id: str
    gate_id: str
    mode: str
    certificate: str
    standing: str
    conflict: str
    limits_told: bool
    limits_parts: int
    limits_since: Instant | None
    not_seen: str
    corrected: int | None


@router.get("/plant")
@through("slow")
def plant_page(request: Request) -> Response:
    """Gates, models and roles."""
    person, here = require(request, "read"), installation(request)
    return page_of("plant.html", person, "plant", plant=here.plan.plant, gates=gate_lines(here), roles=here.roles(),
                   models=[one for one in models_of(here) if one.live or one.trouble], troubles=here.troubles(),
                   missing=here.model_missing(), stale_ms=here.settings.stale_ms)  # fmt: skip


def gate_lines(here: Installation) -> list[GateLine]:
    """Every gate of the plan, in its order."""
    modes = {line.line_id: line.mode for line in mode_now(here).lines}
    limits, corrections = by_gate(here.drift_limits()), here.corrections()
    return [
        _line(told, limits.get(_gate(told), {}), corrections.get(_gate(told)), modes) for told in here.certificates()
    ]


def by_gate(told: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What a heartbeat tells of gates, by gate; the last word on each."""
    return {_gate(one): one for one in told}


def _gate(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one.get("line_id", "")), str(one.get("gate_id", ""))


def _line(
    told: Mapping[str, Any], limits: Mapping[str, Any], corrected: int | None, modes: Mapping[str, str]
) -> GateLine:
    line_id, gate_id = _gate(told)
    grown_at = limits.get("grown_at")
    return GateLine(
        line_id=line_id,
        gate_id=gate_id,
        mode=modes.get(line_id, ""),
        certificate=say_certificate(told),
        standing=str(told.get("standing", "void")),
        conflict=say_sentence(str(told.get("conflict") or "")),
        limits_told=bool(limits),
        limits_parts=int(limits.get("parts") or 0),
        limits_since=Instant(grown_at) if isinstance(grown_at, int) and grown_at > 0 else None,
        not_seen=say_sentence(str(limits.get("what") or "")),
        corrected=corrected,
    )
