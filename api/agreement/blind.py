"""What of a part is left out for whom: what the model says of a blind part, what another person said of one shown to
two. Left out on the server, until whoever looks has decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from api.access.tokens import may
from api.agreement.draw import CaseKey
from api.store.rows import Case, Person

_HIDDEN: dict[str, Any] = {
    "decision": "review",
    "risk": None,
    "risk_low": None,
    "risk_high": None,
    "threshold": None,
    "reasons": [],
    "remarks": [],
    "causes": [],
    "model": None,
    "audit": False,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person gets to see of a part: the model's `risk` (with decision, boxes and heat), its `causes`, and what
    other `people` found."""

    risk: bool = True
    causes: bool = True
    people: bool = True

    @property
    def model(self) -> bool:
        """Is what the model says shown?"""
        return self.risk and self.causes

    def also(self, other: Shown) -> Shown:
        """What both show."""
        return Shown(self.risk and other.risk, self.causes and other.causes, self.people and other.people)


EVERYTHING = Shown()


def is_audited(person: Person) -> bool:
    """Is it somebody whose own judgement is measured? Those who read the figures see all; machines decide nothing."""
    return may(person, "review") and not may(person, "quality")


def shown_to(person: Person, case: Case | None, decided: bool) -> Shown:
    """What this person sees of a case. `decided`: he has said `defect` or `ok` of it already, be it taken back."""
    if case is None or case.state != "open" or decided or not is_audited(person):
        return EVERYTHING
    return Shown(risk=not case.blind, causes=not case.blind, people=not case.blind and case.people_wanted == 1)


def without_the_model(body: bytes, **more: object) -> bytes:
    """A verdict's body with nothing of what the model says. Evidence that is missing or late is a fact: it stays.
    `more`: keys to add, `blind` for the screen."""
    told: dict[str, Any] = msgspec.json.decode(body)
    return msgspec.json.encode(told | _HIDDEN | more)


def key_of(case: Case) -> CaseKey:
    """What names a case."""
    return case.line_id, case.gate_id, case.part_id, case.attempt
