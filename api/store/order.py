"""The order of the queue in SQL: which cases are meant, and the two indices that a page is read from.

Of two parts that are still at their gate the order never changes, nor of two that are not. Between one of each it does:
there it is that of one instant (api/urgency.py, deploy/decisions/0031).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from api.store.rank import camera_pattern
from api.store.rows import Case
from api.store.tables import cases, causes, holds, is_open, reviews, verdicts
from api.urgency import pressing_bound, weight_elsewhere, weight_on_line
from ingest.messages import CONCLUSIVE, Instant

Row = sa.Row[*tuple[Any, ...]]

_SAME = ("line_id", "product", "batch_id", "part_id")
SHAPES_KEPT = 300  # filters differ in which fields they fill: of nine that people combine, some dozens


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which waiting parts are meant; empty means any. `camera`: named by evidence or cause; `since`, `until`: when the
    part was at its gate; `inspector`: as this person may see it, empty: as it is; `part_id`: this one alone."""

    line_id: str = ""
    product: str = ""
    batch_id: str = ""
    decision: tuple[str, ...] = ()
    cause: str = ""
    camera: str = ""
    since: Instant | None = None
    until: Instant | None = None
    inspector: str = ""
    part_id: str = ""


Shape = frozenset[str]  # the fields of a filter that are filled: filters of one shape share their statements
Mark = tuple[float, int]  # how far one index was read: a value, and the row that holds it


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue as it stood at `as_of`: how far its two indices were read; None: not yet. What comes or
    moves on meanwhile changes nothing of what is behind it."""

    as_of: Instant
    on_line: Mark | None = None
    elsewhere: Mark | None = None


def shape_of(wanted: QueueFilter) -> Shape:
    """Which statement a filter takes."""
    return frozenset(field.name for field in fields(wanted) if getattr(wanted, field.name) not in ("", (), None))


def values_of(wanted: QueueFilter) -> dict[str, Any]:
    """What the statement of this filter's shape is executed with."""
    given = {name: getattr(wanted, name) for name in shape_of(wanted)}
    for moment in given.keys() & {"since", "until"}:
        given[moment] = int(given[moment])
    if "camera" in given:
        given["camera"] = camera_pattern(wanted.camera)
    if "decision" in given:
        given["decision"] = list(wanted.decision)
    return given


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page of the queue is asked for. `free_for`: without what others than this person hold."""

    wanted: QueueFilter
    now: Instant
    free_for: str | None = None

    def page(self, connection: sa.Connection, place: Place, limit: int) -> list[Row]:
        """Rows behind a place, of each index so many, in no order yet."""
        given = values_of(self.wanted) | {"now": int(self.now), "as_of": int(place.as_of), "rows": limit}
        given |= {"free_for": self.free_for} if self.free_for is not None else {}
        found: list[Row] = []
        for build, mark in ((_on_line, place.on_line), (_elsewhere, place.elsewhere)):
            statement = build(shape_of(self.wanted), self.free_for is not None, mark is not None)
            marked = {"mark": mark[0], "mark_row": mark[1]} if mark else {}
            bound = {"bound": pressing_bound(place.as_of)} if build is _on_line else {}
            found += connection.execute(statement, given | marked | bound).all()
        return found


Same = Callable[[sa.Column[Any]], sa.ColumnElement[Any]]


def bare(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The column as it is."""
    return column


def unindexed(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The column as no index knows it; of one part there is little to read whichever way."""
    return column if column.name == "part_id" else column + ""


_HELD = sa.and_(holds.c.part_id == cases.c.part_id, holds.c.until > sa.bindparam("now"))


def _asked_for(shape: Shape, free: bool, same: Same = bare) -> sa.Select[Any]:
    """Rows of cases that are meant, in no order yet: nothing that an index of what waits would not tell by itself."""
    statement = sa.select(cases.c.row_id).where(*_waiting(shape, same)).limit(sa.bindparam("rows"))
    if not free:
        return statement
    mine = sa.or_(holds.c.held_by.is_(None), holds.c.held_by == sa.bindparam("free_for"))
    return statement.outerjoin_from(cases, holds, _HELD).where(mine)


def _read(asked: sa.Select[Any]) -> sa.Select[Any]:
    """What of these cases a page of the queue needs."""
    these = asked.subquery()
    statement = sa.select(cases, verdicts.c.body, holds.c.held_by, holds.c.since)
    statement = statement.join(these, these.c.row_id == cases.c.row_id)
    return statement.join(verdicts, verdicts.c.row_id == cases.c.row_id).outerjoin(holds, _HELD)


@lru_cache(maxsize=SHAPES_KEPT)
def _on_line(shape: Shape, free: bool, further: bool) -> sa.Select[Any]:
    """Parts that are still at their gate. The bound lets the index begin behind those that left long ago."""
    there = (cases.c.moves_on_at > sa.bindparam("as_of"), cases.c.pressing <= sa.bindparam("bound"))
    # Few parts are at their gate; SQLite would rather read through all that a line or a product ever had.
    statement = _asked_for(shape, free, unindexed).where(*there).order_by(cases.c.pressing.desc(), cases.c.row_id)
    return _read(statement.where(_behind(cases.c.pressing)) if further else statement)


@lru_cache(maxsize=SHAPES_KEPT)
def _elsewhere(shape: Shape, free: bool, further: bool) -> sa.Select[Any]:
    """Parts that have moved on, and those of which nobody knows when they do."""
    gone = sa.or_(cases.c.pressing.is_(None), cases.c.moves_on_at <= sa.bindparam("as_of"))
    statement = _asked_for(shape, free).where(gone).order_by(cases.c.urgency.desc(), cases.c.row_id)
    return _read(statement.where(_behind(cases.c.urgency)) if further else statement)


def _behind(value: sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    further = sa.or_(value < sa.bindparam("mark"), cases.c.row_id > sa.bindparam("mark_row"))
    return sa.and_(value <= sa.bindparam("mark"), further)


def is_on_line(row: Row | Case, as_of: Instant) -> bool:
    """Was the part still at its gate?"""
    return row.pressing is not None and row.moves_on_at is not None and row.moves_on_at > as_of


def order(row: Row | Case, as_of: Instant) -> tuple[float, float, int]:
    """Within each index the index's own order, to the last bit; between the two by weight."""
    if is_on_line(row, as_of) and (pressing := row.pressing) is not None:
        return -weight_on_line(pressing, as_of), -pressing, row.row_id
    return -weight_elsewhere(row.urgency), -row.urgency, row.row_id


def _waiting(shape: Shape, same: Same) -> list[sa.ColumnElement[bool]]:
    """Cases that fit, and that are for whoever asks."""
    return fitting(shape, same) + ([is_for_inspector()] if "inspector" in shape else [])


def is_for_inspector() -> sa.ColumnElement[bool]:
    """Of a case that several people are shown: have not all of them spoken, and this one not yet?"""
    return sa.or_(cases.c.people_said == 0, sa.and_(cases.c.people_said < 2, ~_has_said()))


def fitting(shape: Shape, same: Same = bare) -> list[sa.ColumnElement[bool]]:
    """Cases that wait within a filter. `same`: how a column is compared."""
    meant: list[sa.ColumnElement[bool]] = [is_open]
    meant += [same(cases.c[name]) == sa.bindparam(name) for name in _SAME if name in shape]
    if "since" in shape:
        meant.append(cases.c.event_at >= sa.bindparam("since"))
    if "until" in shape:
        meant.append(cases.c.event_at < sa.bindparam("until"))
    said_by_model: list[sa.ColumnElement[bool]] = []
    if "decision" in shape:
        said_by_model.append(cases.c.decision.in_(sa.bindparam("decision", expanding=True)))
    if "cause" in shape:
        named = sa.select(causes.c.row_id).where(causes.c.cause == sa.bindparam("cause"))
        # Asked of each case in its place: to begin at all that ever had the cause takes longer where many had it.
        said_by_model.append((cases.c.row_id + 0).in_(named))
    if "camera" in shape:
        said_by_model.append(cases.c.cameras.like(sa.bindparam("camera"), escape="\\"))
    if "inspector" not in shape:
        return meant + said_by_model
    # A blind part fits whatever the model is asked about it: by coming or staying away it would tell.
    return meant + [sa.or_(cases.c.blind, one) for one in said_by_model]


def _has_said() -> sa.ColumnElement[bool]:
    """Has this person said `defect` or `ok` of the case, and not taken it back?"""
    said, undoing = reviews.alias(), reviews.alias()
    undone = sa.exists().where(undoing.c.part_id == said.c.part_id, undoing.c.undoes == said.c.review_id)
    same = [said.c[key] == cases.c[key] for key in ("line_id", "gate_id", "part_id", "attempt")]
    by_inspector = said.c.recorded_by == sa.bindparam("inspector")
    return sa.exists().where(*same, by_inspector, said.c.outcome.in_(CONCLUSIVE), ~undone)
