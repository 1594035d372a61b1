"""Everything a route may need, made once at start and handed down: `installation(request)`."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import HTTPConnection

from api.access.oidc import Directory
from api.access.passwords import FREE_FAILURES_ADDRESS, Patience, Strangers
from api.agreement.draw import Draw
from api.certificates import capacity_told, certificates_now
from api.collect import Collector, wall_clock
from api.http.kept import Kept, Lately
from api.http.lanes import Lanes
from api.metrics import Metrics
from api.publish import Publisher
from api.road import (
    Heartbeat,
    RoleHealth,
    heartbeats,
    incidents_told,
    model_missing,
    notices_of_roles,
    role_health,
    told_of_gates,
    troubles_of_roles,
)
from api.store.desk import Desk
from api.store.exercises import ExerciseStore
from api.store.people import PeopleStore
from api.store.quality import QualityStore
from api.store.queue import QueueStore
from api.store.read import StoreReader
from api.store.repeats import RepeatStore
from api.store.rows import AuditEntry, Person
from api.store.views import ViewStore
from api.stream import Broadcaster
from api.wording.clock import UNIVERSAL
from api.wording.languages import SPEAKS_ENGLISH, Languages
from api.wording.phrases import say_sentence
from api.wording.reader import say
from api.wording.words import say_age, say_capacity
from ingest.blobs import Blobs
from ingest.messages import Instant
from ingest.plan.plan import Plan
from ingest.settings import Settings

LIMIT_COUNTS = ("verdicts_late", "held_for_capacity")
LAG_RECORDS_MAX = 20_000  # about ten seconds of a fast plant: what is shown is older than that


@dataclass(frozen=True, slots=True)
class Installation:
    """One API process."""

    settings: Settings
    plan: Plan
    reader: StoreReader
    desk: Desk
    blobs: Blobs
    publisher: Publisher
    queue: QueueStore
    views: ViewStore
    repeats: RepeatStore
    people: PeopleStore
    collector: Collector
    broadcaster: Broadcaster
    quality: QualityStore
    exercises: ExerciseStore
    draw: Draw
    metrics: Metrics
    patience: Patience = field(default_factory=Patience)  # with names
    addresses: Patience = field(default_factory=lambda: Patience(FREE_FAILURES_ADDRESS))
    strangers: Strangers = field(default_factory=Strangers)
    directory: Directory | None = None
    languages: Languages = SPEAKS_ENGLISH
    zone: ZoneInfo = UNIVERSAL
    kept: Kept = field(default_factory=Kept)
    lately: Lately = field(default_factory=Lately)  # decided, held, let go
    lanes: Lanes = field(default_factory=Lanes)
    one_decision: threading.Lock = field(default_factory=threading.Lock)  # looked up and recorded, one at a time

    @property
    def shelf(self) -> Path:
        return Path(self.settings.shelf)

    def now(self) -> Instant:
        return wall_clock()

    def audit(self, person: Person, action: str, subject: str, detail: str = "") -> None:
        """Write down what a person did."""
        self.desk.write_audit(self.audit_line(person, action, subject, detail))

    def audit_line(self, person: Person, action: str, subject: str, detail: str = "") -> AuditEntry:
        """What a person does now, to be written down with it."""
        return AuditEntry(self.now(), person.name, person.role, action, subject, detail)

    def roles(self) -> list[RoleHealth]:
        """The roles that gave a sign of life in this home."""
        return role_health(heartbeats(self.settings), self.now(), self.settings.stale_ms)

    def troubles(self) -> list[str]:
        """What keeps the road from working, in sentences; empty when every part of it has fresh evidence."""
        troubles = troubles_of_roles(self.roles(), self._needed_roles())
        state = self.collector.state
        age_ms = self.now() - state.polled_at
        if state.trouble:
            troubles.append(f"collector: {say_sentence(state.trouble)}")
        elif age_ms > self.settings.stale_ms:
            troubles.append(say("{role}: silent for {age}", role="collector", age=say_age(age_ms)))
        elif state.lag_records > LAG_RECORDS_MAX:
            troubles.append(say("collector: {records} records behind", records=state.lag_records))
        return troubles

    def notices(self) -> list[str]:
        """What the roles at work say is wrong, in sentences: they go on, but not as well as they could."""
        beats = self._fresh_beats()
        told = [*notices_of_roles(beats), *filter(None, map(say_capacity, capacity_told(beats)))]
        return told + self.going_wrong()

    def going_wrong(self) -> list[str]:
        """The open incidents, in sentences."""
        return [what for one in self.incidents() if isinstance(what := one.get("what"), str)]

    def model_missing(self) -> str:
        """Why no model judges, in a sentence; empty where one does."""
        return model_missing(self._fresh_beats())

    def incidents(self) -> list[dict[str, Any]]:
        """What is going wrong now, as the judges at work tell it."""
        return [
            one | {"what": say_sentence(what)} if isinstance(what := one.get("what"), str) else one
            for one in incidents_told(self._fresh_beats())
        ]

    def certificates(self) -> list[dict[str, Any]]:
        """How every gate's escape certificate stands; one that no judge at work speaks for is void."""
        return certificates_now(self._fresh_beats(), self.plan)

    def capacity(self) -> list[dict[str, Any]]:
        """How much inspectors have before them, of lines whose plan says what they can clear."""
        return capacity_told(self._fresh_beats())

    def drift_limits(self) -> list[dict[str, Any]]:
        """On what each gate's drift limits rest, since when they have tightened, and what they cannot show yet."""
        told = told_of_gates(self._fresh_beats(), "drift_limits")
        return list({(one.get("line_id"), one.get("gate_id")): one for one in told}.values())

    def corrections(self) -> dict[tuple[str, str], int]:
        """(line, gate) -> how often the risks of the live model were recalibrated, of gates a judge tells of;
        0: they stand as trained."""
        told = told_of_gates(self._fresh_beats(), "calibration")
        return {
            (str(one.get("line_id")), str(one.get("gate_id"))): (
                0 if one.get("correction") is None else int(one.get("changes") or 0)
            )
            for one in told
        }

    def limits_counted(self) -> dict[str, int]:
        """What the judges at work counted of the plan's limits: verdicts that came late, parts held for capacity."""
        counts: Counter[str] = Counter()
        for beat in self._fresh_beats():
            told = beat.state.get("counts")
            if isinstance(told, dict):
                counts.update({name: int(told.get(name) or 0) for name in LIMIT_COUNTS})
        return {name: counts[name] for name in LIMIT_COUNTS}

    def _fresh_beats(self) -> list[Heartbeat]:
        return [beat for beat in heartbeats(self.settings) if self.now() - beat.at <= self.settings.stale_ms]

    def _needed_roles(self) -> list[str]:
        """On one machine every role must show itself; roles on other machines keep their heartbeats there."""
        if not self.settings.log.startswith("embedded:"):
            return []
        return ["fusion", "vision"] if any(line.cameras for line in self.plan.lines) else ["fusion"]


def installation(request: HTTPConnection) -> Installation:
    """The installation this request came to."""
    found = request.app.state.installation
    assert isinstance(found, Installation)
    return found
