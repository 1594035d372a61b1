"""How the escape certificates stand, as the judges at work tell it: for the screen, the API and the batch report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from api.road import Heartbeat, heartbeats
from api.wording.reader import say
from api.wording.words import say_certificate
from ingest.messages import Instant, Verdict
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from ingest.settings import Settings


def certificates_told(beats: Iterable[Heartbeat]) -> dict[tuple[str, str], dict[str, Any]]:
    """How the judges say that each gate's escape certificate stands, (line, gate) -> the newest word on it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for beat in sorted(beats, key=lambda beat: beat.at):
        told = beat.state.get("certificates")
        for one in told if isinstance(told, list) else []:
            if isinstance(one, dict):
                found[str(one.get("line_id", "")), str(one.get("gate_id", ""))] = one
    return found


def certificates_now(beats: Iterable[Heartbeat], plan: Plan) -> list[dict[str, Any]]:
    """How every gate's escape certificate stands; one that no judge at work speaks for is void. `beats`: fresh ones."""
    told = certificates_told(beats)
    silent = {"standing": "void", "promise": None, "why": say("no judge at work speaks for it"), "since": None}
    return [
        told.get((line.line_id, gate.gate_id)) or {"line_id": line.line_id, "gate_id": gate.gate_id, **silent}
        for line in plan.lines
        for gate in line.gates
    ]


def capacity_told(beats: Iterable[Heartbeat]) -> list[dict[str, Any]]:
    """How much the inspectors of each line with a capacity have before them, as the newest word on it has it."""
    found: dict[str, dict[str, Any]] = {}
    for beat in sorted(beats, key=lambda beat: beat.at):
        told = beat.state.get("capacity")
        found |= (
            {str(one.get("line_id", "")): one for one in told if isinstance(one, dict)}
            if isinstance(told, list)
            else {}
        )
    return [found[line_id] for line_id in sorted(found)]


@dataclass(frozen=True, slots=True)
class Standings:
    """What a report takes from the judges at work and from the plan. `certificates`: as a heartbeat tells them."""

    certificates: Sequence[Mapping[str, Any]] = ()
    latency_ms_max: float = math.inf


NO_STANDINGS = Standings()


def standings_now(settings: Settings, now: Instant) -> Standings:
    """Of this home; none where it has no plan (a store alone)."""
    if not Path(settings.plan).is_file():
        return NO_STANDINGS
    plan = load_plan(Path(settings.plan))
    fresh = [beat for beat in heartbeats(settings) if now - beat.at <= settings.stale_ms]
    return Standings(certificates_now(fresh, plan), plan.constraints.latency_ms_max)


class Promise(msgspec.Struct, frozen=True):
    """How the escape certificate of one gate stands when the report is made, and what of it concerns this batch."""

    line_id: str
    gate_id: str
    standing: str
    said: str
    since: Instant | None
    here: str


def promises_of(verdicts: Sequence[Verdict], certificates: Iterable[Mapping[str, Any]]) -> list[Promise]:
    """The certificates of the gates that judged this batch."""
    found = []
    for told in certificates:
        line_id, gate_id = str(told.get("line_id", "")), str(told.get("gate_id", ""))
        mine = [verdict for verdict in verdicts if (verdict.line_id, verdict.gate_id) == (line_id, gate_id)]
        if mine:
            since = Instant.parse(told["since"]) if isinstance(told.get("since"), str) else None
            standing, said = str(told.get("standing", "")), say_certificate(told)
            found.append(Promise(line_id, gate_id, standing, said, since, _here(mine, told)))
    return found


def _voids(verdicts: Sequence[Verdict], told: Mapping[str, Any]) -> Iterator[str]:
    """The spans in which a certificate was void while parts of a batch were judged."""
    first, last = min(v.event_at for v in verdicts), max(v.decided_at for v in verdicts)
    spans = [span for span in told.get("voids") or () if isinstance(span, dict)]
    for span in spans:
        since = Instant.parse(str(span["since"]))
        until = Instant.parse(str(span["until"])) if span.get("until") else None
        if since <= last and (until is None or until >= first):
            values = {"since": since.isoformat(), "why": span.get("why", "")}
            if until is None:
                yield say("void from {since} ({why})", **values)
            else:
                yield say("void from {since} to {until} ({why})", until=until.isoformat(), **values)
    if told.get("voids_cut") and spans and first < Instant.parse(str(spans[0]["since"])):
        yield say("judged before what is remembered of this certificate")
    if told.get("standing") == "void" and not spans:
        yield say("void now ({why}), and nobody knows since when", why=told.get("why", ""))


def _here(verdicts: Sequence[Verdict], told: Mapping[str, Any]) -> str:
    """What keeps a promise from covering this batch, as far as its verdicts and the judges tell; "" where nothing
    does."""
    doubts = list(_voids(verdicts, told))
    if manual := sum(verdict.mode == "manual" for verdict in verdicts):
        doubts.append(say("{number} of its verdicts in manual mode", number=manual))
    if len(models := {verdict.model.sha256 for verdict in verdicts if verdict.model}) > 1:
        doubts.append(say("judged by {number} models", number=len(models)))
    if len(plans := {verdict.plan_sha256 for verdict in verdicts}) > 1:
        doubts.append(say("judged by {number} plans", number=len(plans)))
    return "; ".join(doubts)
