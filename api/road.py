"""Is every part of the road at work? Fresh heartbeats of the roles, and a collector that reads.

Each role writes `<home>/run/<role>-<pid>.json` every second: {"role", "at", "state": {...}}.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from api.wording.phrases import say_sentence
from api.wording.reader import say
from api.wording.words import say_age
from ingest.messages import Instant, json_decoder
from ingest.settings import Settings

HEARTBEAT_BYTES_MAX = 65536
VERDICTS_COME_FROM = "fusion"


class Heartbeat(msgspec.Struct, frozen=True):
    """A role's last sign of life."""

    role: str
    at: Instant
    state: dict[str, Any] = {}
    pid: int = 0


_DECODER = json_decoder(Heartbeat)


@dataclass(frozen=True, slots=True)
class RoleHealth:
    """One role: how many of it are fresh, and how old its newest sign of life is."""

    role: str
    fresh: int
    age_ms: int


def heartbeats(settings: Settings) -> list[Heartbeat]:
    """The heartbeats in the home. One that is being written, or is none, is left out."""
    beats = []
    for path in sorted((Path(settings.home) / "run").glob("*-*.json")):
        try:
            if path.stat().st_size > HEARTBEAT_BYTES_MAX:
                continue
            beat = _DECODER.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        beats.append(beat)
    return beats


def role_health(beats: Iterable[Heartbeat], now: Instant, stale_ms: int) -> list[RoleHealth]:
    """One line a role that ever gave a sign of life here."""
    ages: dict[str, list[int]] = {}
    for beat in beats:
        ages.setdefault(beat.role, []).append(max(0, now - beat.at))
    return [RoleHealth(role, sum(age <= stale_ms for age in old), min(old)) for role, old in sorted(ages.items())]


def notices_of_roles(beats: Iterable[Heartbeat]) -> list[str]:
    """What living roles say is wrong with what they were given (a model that does not open ...), each once."""
    return sorted(
        say("No model is ready: every part goes to a person") + f" ({problem})"
        if role == VERDICTS_COME_FROM
        else f"{role}: {problem}"
        for role, problem in _problems(beats)
    )


def model_missing(beats: Iterable[Heartbeat]) -> str:
    """Why the judge has no model to judge with, its only problem; empty where it has one."""
    return next((problem for role, problem in sorted(_problems(beats)) if role == VERDICTS_COME_FROM), "")


def _problems(beats: Iterable[Heartbeat]) -> set[tuple[str, str]]:
    told = ((beat.role, beat.state.get("problem")) for beat in beats)
    return {
        (role, say_sentence(without_path(problem))) for role, problem in told if isinstance(problem, str) and problem
    }


def without_path(problem: str) -> str:
    """`/srv/shelf/fusion/live: no live version …` without the path, which means nothing to who works at the line."""
    before, found, rest = problem.partition(": ")
    return rest if found and before.startswith("/") else problem


def told_of_gates(beats: Iterable[Heartbeat], name: str) -> list[dict[str, Any]]:
    """What the judges say of each gate under this name, the newest word last."""
    told = (beat.state.get(name) for beat in sorted(beats, key=lambda beat: beat.at))
    return [one for list_of in told if isinstance(list_of, list) for one in list_of if isinstance(one, dict)]


def incidents_told(beats: Iterable[Heartbeat]) -> list[dict[str, Any]]:
    """What the judges say is going wrong, the oldest first; one that two still tell of, once."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for beat in sorted(beats, key=lambda beat: beat.at):
        told = beat.state.get("incidents")
        for incident in told if isinstance(told, list) else []:
            if isinstance(incident, dict):
                key = tuple(str(incident.get(name, "")) for name in ("line_id", "camera_id", "incident", "cause"))
                found[key] = incident
    return sorted(found.values(), key=lambda incident: str(incident.get("since", "")))


def verdicts_stopped(roles: Iterable[RoleHealth], now: Instant) -> Instant | None:
    """When the judge gave its last sign of life, where it is silent now: since then no new verdict has come."""
    for role in roles:
        if role.role == VERDICTS_COME_FROM and not role.fresh:
            return Instant(now - role.age_ms)
    return None


def troubles_of_roles(roles: Iterable[RoleHealth], needed: Iterable[str]) -> list[str]:
    """Sentences about roles that are needed, or were here before, and are silent now."""
    known = {role.role: role for role in roles}
    never = [say("{role}: no sign of life", role=name) for name in needed if name not in known]
    return never + [
        say("{role}: silent for {age}", role=role.role, age=say_age(role.age_ms))
        for role in known.values()
        if not role.fresh
    ]
