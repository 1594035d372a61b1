"""A part that waits at several gates of a line is one part in somebody's hand: it stands in the queue once.

Its place is that of its most urgent case within the filter; the others are named beside it, whatever the filter asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from api.store.order import (
    SHAPES_KEPT,
    QueueFilter,
    Row,
    Shape,
    fitting,
    is_for_inspector,
    order,
    shape_of,
    unindexed,
    values_of,
)
from api.store.tables import cases, is_open, is_spoken_of
from ingest.messages import Instant

_READ = (cases.c.line_id, cases.c.part_id, cases.c.gate_id, cases.c.row_id, cases.c.blind, cases.c.people_said,
         cases.c.urgency, cases.c.pressing, cases.c.moves_on_at)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where else a part waits. `more_urgent`: there, within the filter; `blind`: one of these is shown blind; `spoken`:
    somebody has said something there."""

    gates: tuple[str, ...] = ()
    more_urgent: bool = False
    blind: bool = False
    spoken: bool = False


NOWHERE = Elsewhere()


def waits_elsewhere(
    connection: sa.Connection, found: Sequence[Row], wanted: QueueFilter, as_of: Instant
) -> dict[int, Elsewhere]:
    """Row -> where else its part waits, of the rows whose part does."""
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in _others(connection, {row.part_id for row in found}, wanted):
        alike.setdefault((row.line_id, row.part_id), []).append(row)
    return {row.row_id: _elsewhere(row, alike.get((row.line_id, row.part_id), []), as_of) for row in found}


def _others(connection: sa.Connection, parts: set[str], wanted: QueueFilter) -> list[Row]:
    """The cases of these parts that wait for whoever asks, each with whether it fits the filter."""
    if not parts:
        return []
    return list(connection.execute(_of_parts(shape_of(wanted)), values_of(wanted) | {"parts": list(parts)}))


@lru_cache(maxsize=SHAPES_KEPT)
def _of_parts(shape: Shape) -> sa.Select[Any]:
    mine = [is_for_inspector()] if "inspector" in shape else []
    statement = sa.select(*_READ, sa.and_(*fitting(shape)).label("fits"))
    return statement.where(is_open, cases.c.part_id.in_(sa.bindparam("parts", expanding=True)), *mine)


def _elsewhere(row: Row, alike: list[Row], as_of: Instant) -> Elsewhere:
    others = [one for one in alike if one.gate_id != row.gate_id]
    if not others:
        return NOWHERE
    place = order(row, as_of)
    return Elsewhere(
        gates=tuple(dict.fromkeys(one.gate_id for one in sorted(others, key=lambda one: order(one, as_of)))),
        more_urgent=any(one.fits and order(one, as_of) < place for one in others),
        blind=any(one.blind for one in others),
        spoken=any(one.people_said for one in others),
    )


@lru_cache(maxsize=SHAPES_KEPT)
def cases_waiting(shape: Shape) -> sa.Select[Any]:
    """How many cases wait within a filter; an index knows."""
    return sa.select(sa.func.count()).select_from(cases).where(*fitting(shape))


@lru_cache(maxsize=SHAPES_KEPT)
def counted_twice(shape: Shape) -> sa.Select[Any]:
    """How many more these are than their parts: of parts that wait at several gates all but one. These are few, and
    found by an index; to tell all that wait apart would take a hundred times as long."""
    several = sa.select(cases.c.part_id).where(is_open).group_by(cases.c.part_id)
    part = cases.c.line_id + "|" + cases.c.part_id
    more = sa.func.count() - sa.func.count(sa.distinct(part))
    return sa.select(more).where(*fitting(shape), cases.c.part_id.in_(several.having(sa.func.count() > 1)))


@lru_cache(maxsize=SHAPES_KEPT)
def parts_spoken(shape: Shape) -> sa.Select[Any]:
    """Of these parts those that are not for this inspector any more, at one gate at least. An index knows these few."""
    return _parts(*fitting(shape, unindexed), is_spoken_of, ~is_for_inspector())


@lru_cache(maxsize=SHAPES_KEPT)
def parts_still(shape: Shape) -> sa.Select[Any]:
    """Of some `parts` those that are for this inspector still, at one gate at least. Asked for together with the other
    question, SQLite would go through everything that waits."""
    of_parts = cases.c.part_id.in_(sa.bindparam("parts", expanding=True))
    return _parts(*fitting(shape), of_parts, is_for_inspector())


def _parts(*meant: sa.ColumnElement[bool]) -> sa.Select[Any]:
    # One that stands at several gates comes several times: asked for once, an index of parts would be read through.
    return sa.select(cases.c.line_id, cases.c.part_id).where(*meant)
