"""Which visits were exposed to a cause: one attribute value, or two that act together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from api.store.tables import visits
from api.store.tables_exposed import exposures
from ingest.messages import Instant, Visit

SIDE_READ = 20_000  # of each side of a pair, to tell which has fewer; of more than that both are slow
PAIR = " & "  # CONTRACT section 2: the two of a combination


@dataclass(frozen=True, slots=True)
class VisitPlace:
    """A place in the list of exposed visits, newest first."""

    started_at: int
    line_id: str
    part_id: str
    station_id: str


_PLACE = ("started_at", "line_id", "part_id", "station_id")
_ORDER = tuple(exposures.c[name] for name in _PLACE)


def exposed_visits(sides: Sequence[str], since: Instant | None, after: VisitPlace | None, limit: int) -> sa.Select[Any]:
    """Visits exposed to a cause, the newest first, behind `after`: in the order of an index, so that a page costs what
    it shows. Of a pair, visits with either side, of parts with both; that costs what the first side has."""
    if len(sides) == 1:
        places = sa.select(*_ORDER).where(exposures.c.cause == sides[0], *_since(exposures, since))
        if after is not None:
            places = places.where(sa.tuple_(*_ORDER) < astuple(after))
        page = places.order_by(*(one.desc() for one in _ORDER)).limit(limit).subquery()
        statement = sa.select(visits).join(page, sa.and_(*(visits.c[name] == page.c[name] for name in _PLACE)))
    else:
        statement = sa.select(visits).where(*_of_pair(sides, since))
        if after is not None:
            statement = statement.where(sa.tuple_(*(visits.c[name] for name in _PLACE)) < astuple(after))
    return statement.order_by(*(visits.c[name].desc() for name in _PLACE)).limit(limit)


def exposed_parts(sides: Sequence[str], since: Instant | None) -> sa.Select[Any]:
    """How many parts are exposed to a cause."""
    if len(sides) == 1:
        parts = sa.select(exposures.c.part_id).where(exposures.c.cause == sides[0], *_since(exposures, since))
    else:
        parts = sa.select(visits.c.part_id).where(*_of_pair(sides, since))
    return sa.select(sa.func.count()).select_from(parts.distinct().subquery())


def counted_exposures(side: str) -> sa.Select[Any]:
    """How many visits are exposed to a side of a cause, of SIDE_READ at most."""
    some = sa.select(exposures.c.started_at).where(exposures.c.cause == side).limit(SIDE_READ)
    return sa.select(sa.func.count()).select_from(some.subquery())


def exposure_rows(visit: Visit) -> list[dict[str, Any]]:
    """The rows of a visit: one for each attribute that it booked."""
    place = dict(zip(_PLACE, astuple(place_of(visit)), strict=True))
    return [{"cause": f"{name}={value}"} | place for name, value in visit.attributes.items()]


def place_of(visit: Visit) -> VisitPlace:
    """Where a visit stands in the list."""
    return VisitPlace(int(visit.started_at), visit.line_id, visit.part_id, visit.station_id)


def sides_of(cause: str) -> Sequence[str]:
    """`a=1` as it is, `a=1 & b=2` as its two sides; a value that holds an ampersand of its own stays whole."""
    sides = cause.split(PAIR)
    return sides if all("=" in side for side in sides) else [cause]


def _since(table: sa.Table, since: Instant | None) -> list[sa.ColumnElement[bool]]:
    return [] if since is None else [table.c.started_at >= int(since)]


def _of_pair(sides: Sequence[str], since: Instant | None) -> list[sa.ColumnElement[bool]]:
    """Visits that hold a side, of parts that hold both: of the parts that the first side has, each is asked for the
    second. As a number, not as `EXISTS`: that PostgreSQL would make a join of, with every visit there is."""
    first, second = sides
    other = visits.alias()
    mine = (other.c.line_id == exposures.c.line_id, other.c.part_id == exposures.c.part_id)
    also = sa.select(sa.func.count()).where(*mine, _holds(other, second)).scalar_subquery() > 0
    parts = sa.select(exposures.c.line_id, exposures.c.part_id).where(exposures.c.cause == first, also)
    held = sa.or_(*(_holds(visits, side) for side in sides))
    return [sa.tuple_(visits.c.line_id, visits.c.part_id).in_(parts), held, *_since(visits, since)]


def _holds(table: Any, side: str) -> Any:
    name, _, value = side.partition("=")
    pair = f"{msgspec.json.encode(name).decode()}:{msgspec.json.encode(value).decode()}"
    escaped = pair.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return table.c.attributes.like(f"%{escaped}%", escape="\\")
