"""What one person has decided of late, the latest first: the plant's day as its inspector remembers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.store.rows import Made
from api.store.tables import reviews
from ingest.messages import Defect, Instant, json_decoder

DECIDED_MAX = 5000  # in a day: one each six seconds of a long shift
_MADE, _DEFECT = json_decoder(Made), json_decoder(Defect)


@dataclass(frozen=True, slots=True)
class Said:
    """One decision that stands. `also_at`: other gates of the part that it settled too."""

    review_id: str
    gate_id: str
    defect: Defect
    also_at: tuple[str, ...]


def said_by(name: str, since: Instant) -> sa.Select[Any]:
    """A person's decisions since then that were not taken back."""
    undoing = reviews.alias()
    undone = sa.exists().where(undoing.c.part_id == reviews.c.part_id, undoing.c.undoes == reviews.c.review_id)
    columns = (reviews.c.review_id, reviews.c.gate_id, reviews.c.body, reviews.c.made)
    meant = (reviews.c.recorded_at >= int(since), reviews.c.recorded_by == name, reviews.c.undoes == "", ~undone)
    return sa.select(*columns).where(*meant).order_by(reviews.c.recorded_at.desc()).limit(DECIDED_MAX)


def read_said(row: Any) -> Said | None:
    """One of them; None: the case of another gate that a decision settled too."""
    made = _MADE.decode(row.made) if row.made else Made()
    if made.with_gate:
        return None
    return Said(row.review_id, row.gate_id, _DEFECT.decode(row.body), tuple(gate_id for gate_id, _ in made.also))
