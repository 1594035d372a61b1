"""Which visits were exposed to a cause: one attribute value, or two that act together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from api.store.tables import visits
from ingest.messages import Instant, Visit

PAIR = " & "  # CONTRACT section 2: the two of a combination


@dataclass(frozen=True, slots=True)
class VisitPlace:
    """A place in the list of exposed visits, newest first."""

    started_at: int
    line_id: str
    part_id: str
    station_id: str


_ORDER = (visits.c.started_at, visits.c.line_id, visits.c.part_id, visits.c.station_id)


def exposed_visits(cause: str, since: Instant | None, after: VisitPlace | None) -> sa.Select[Any]:
    """Visits exposed to a cause, the newest first, behind `after`: in the order of an index, so that a page costs what
    it shows."""
    statement: sa.Select[Any] = holding(sa.select(visits), cause, since).order_by(*(one.desc() for one in _ORDER))
    return statement if after is None else statement.where(sa.tuple_(*_ORDER) < astuple(after))


def place_of(visit: Visit) -> VisitPlace:
    """Where a visit stands in the list."""
    return VisitPlace(int(visit.started_at), visit.line_id, visit.part_id, visit.station_id)


def sides_of(cause: str) -> Sequence[str]:
    """`a=1` as it is, `a=1 & b=2` as its two sides; a value that holds an ampersand of its own stays whole."""
    sides = cause.split(PAIR)
    return sides if all("=" in side for side in sides) else [cause]


def holding(statement: Any, cause: str, since: Instant | None) -> Any:
    """Of a statement over visits, those that hold a side of the cause, of parts that hold all of its sides."""
    sides = sides_of(cause)
    held = statement.where(sa.or_(*(_holds(visits, side) for side in sides)))
    if len(sides) > 1:
        part = sa.tuple_(visits.c.line_id, visits.c.part_id)
        held = held.where(*(part.in_(_parts_with(side)) for side in sides))
    return held if since is None else held.where(visits.c.started_at >= int(since))


def _parts_with(side: str) -> Any:
    other = visits.alias()
    return sa.select(other.c.line_id, other.c.part_id).where(_holds(other, side))


def _holds(table: Any, side: str) -> Any:
    name, _, value = side.partition("=")
    pair = f"{msgspec.json.encode(name).decode()}:{msgspec.json.encode(value).decode()}"
    escaped = pair.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return table.c.attributes.like(f"%{escaped}%", escape="\\")
