"""Which visits were exposed to a cause: one attribute value, or two that act together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from api.store_tables import visits
from ingest.messages import Instant

PAIR = " & "  # CONTRACT section 2: the two of a combination


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
