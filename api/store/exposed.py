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


def exposed_visits(cause: str, since: Instant | None, after: VisitPlace | None, limit: int) -> sa.Select[Any]:
    """Visits exposed to a cause, the newest first, behind `after`: in the order of an index, so that a page costs what
    it shows. Of a pair, visits with either side."""
    sides = []
    for side in sides_of(cause):
        held = _of_both(sa.select(*_ORDER), cause).where(exposures.c.cause == side, *_since(since))
        if after is not None:
            held = held.where(sa.tuple_(*_ORDER) < astuple(after))
        sides.append(held.order_by(*(one.desc() for one in _ORDER)).limit(limit).subquery())
    # A visit that booked both sides stands in both.
    page = sa.union(*(sa.select(side) for side in sides)).subquery()
    same = sa.and_(*(visits.c[name] == page.c[name] for name in _PLACE))
    newest = (visits.c[name].desc() for name in _PLACE)
    return sa.select(visits).join(page, same).order_by(*newest).limit(limit)


def exposed_parts(cause: str, since: Instant | None) -> sa.Select[Any]:
    """How many parts are exposed to a cause."""
    parts = _of_both(sa.select(exposures.c.part_id), cause).where(
        exposures.c.cause.in_(sides_of(cause)), *_since(since)
    )
    return sa.select(sa.func.count()).select_from(parts.distinct().subquery())


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


def _since(since: Instant | None) -> list[sa.ColumnElement[bool]]:
    return [] if since is None else [exposures.c.started_at >= int(since)]


def _of_both(statement: sa.Select[Any], cause: str) -> sa.Select[Any]:
    """Of parts that hold all sides of the cause: of a part's few visits one is asked after the other."""
    sides = sides_of(cause)
    if len(sides) == 1:
        return statement
    other = visits.alias()
    mine = (other.c.line_id == exposures.c.line_id, other.c.part_id == exposures.c.part_id)
    return statement.where(*(sa.exists().where(*mine, _holds(other, side)) for side in sides))


def _holds(table: Any, side: str) -> Any:
    name, _, value = side.partition("=")
    pair = f"{msgspec.json.encode(name).decode()}:{msgspec.json.encode(value).decode()}"
    escaped = pair.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return table.c.attributes.like(f"%{escaped}%", escape="\\")
