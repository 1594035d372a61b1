"""What the part page says to QA leads of known parts: is this one, could it be one, and why not."""

from __future__ import annotations

from dataclasses import dataclass

from api.access.tokens import may
from api.agreement.blind import key_of
from api.agreement.exercises import sure_truth
from api.installation import Installation
from api.store.exercises import KnownPart
from api.store.rows import Case, PartRecord, Person
from ingest.messages import Defect


@dataclass(frozen=True, slots=True)
class KnownLine:
    """`known`: what it is used as; `sure`: the record by which it could be. Neither: nobody can be sure of it."""

    known: KnownPart | None
    sure: Defect | None


def known_line(here: Installation, person: Person, record: PartRecord, case: Case | None) -> KnownLine | None:
    """None: it is not this person's to say, or the part still waits."""
    if case is None or case.state == "open" or not may(person, "quality"):
        return None
    known = next((one for one in here.exercises.known() if one.case == key_of(case)), None)
    return KnownLine(known, sure_truth(record, case))
