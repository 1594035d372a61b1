"""The order of the queue in SQL: which cases are meant, and the two indices that a page is read from.

Of two parts that are still at their gate the order never changes, nor of two that are not. Between one of each it does:
there it is that of one instant (api/urgency.py, deploy/decisions/0031).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.store.rank import named_camera
from api.store.rows import Case
from api.store.tables import cases, causes, holds, reviews, verdicts
from api.urgency import pressing_bound, weight_elsewhere, weight_on_line
from ingest.messages import CONCLUSIVE, Instant

Row = sa.Row[*tuple[Any, ...]]

_SAME = ("line_id", "product", "batch_id", "part_id")
RECENT_MS = 3_600_000  # what came within an hour is few enough to be sorted


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


Mark = tuple[float, int]  # how far one index was read: a value, and the row that holds it


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue as it stood at `as_of`: how far its two indices were read; None: not yet. What comes or
    moves on meanwhile changes nothing of what is behind it."""

    as_of: Instant
    on_line: Mark | None = None
    elsewhere: Mark | None = None


def asked_for(wanted: QueueFilter, now: Instant, free_for: str | None) -> sa.Select[Any]:
    """What of a case a page of the queue needs, in no order yet. `free_for`: without what others than this one hold."""
    held = sa.and_(holds.c.part_id == cases.c.part_id, holds.c.until > int(now))
    statement = sa.select(cases, verdicts.c.body, holds.c.held_by, holds.c.since)
    statement = statement.join(verdicts, verdicts.c.row_id == cases.c.row_id).outerjoin(holds, held)
    if free_for is not None:
        statement = statement.where(sa.or_(holds.c.held_by.is_(None), holds.c.held_by == free_for))
    # The index of times would give the wrong order; that is dear where a long time is most of what waits.
    recent = wanted.since is not None and now - wanted.since <= RECENT_MS
    return statement.where(*_waiting(wanted, cases.c.event_at if recent else cases.c.event_at + 0))


def on_line(asked: sa.Select[Any], place: Place) -> sa.Select[Any]:
    """Parts that are still at their gate. The bound lets the index begin behind those that left long ago."""
    bound, there = pressing_bound(place.as_of), cases.c.moves_on_at > int(place.as_of)
    statement = asked.where(there, cases.c.pressing <= bound).order_by(cases.c.pressing.desc(), cases.c.row_id)
    return statement.where(_behind(cases.c.pressing, place.on_line)) if place.on_line else statement


def elsewhere(asked: sa.Select[Any], place: Place) -> sa.Select[Any]:
    """Parts that have moved on, and those of which nobody knows when they do."""
    gone = sa.or_(cases.c.pressing.is_(None), cases.c.moves_on_at <= int(place.as_of))
    statement = asked.where(gone).order_by(cases.c.urgency.desc(), cases.c.row_id)
    return statement.where(_behind(cases.c.urgency, place.elsewhere)) if place.elsewhere else statement


def _behind(value: sa.ColumnElement[float], mark: Mark) -> sa.ColumnElement[bool]:
    return sa.and_(value <= mark[0], sa.or_(value < mark[0], cases.c.row_id > mark[1]))


def is_on_line(row: Row | Case, as_of: Instant) -> bool:
    """Was the part still at its gate?"""
    return row.pressing is not None and row.moves_on_at is not None and row.moves_on_at > as_of


def order(row: Row | Case, as_of: Instant) -> tuple[float, float, int]:
    """Within each index the index's own order, to the last bit; between the two by weight."""
    if is_on_line(row, as_of) and (pressing := row.pressing) is not None:
        return -weight_on_line(pressing, as_of), -pressing, row.row_id
    return -weight_elsewhere(row.urgency), -row.urgency, row.row_id


def _waiting(wanted: QueueFilter, event_at: sa.ColumnElement[int]) -> list[sa.ColumnElement[bool]]:
    """Cases that fit, and that are for whoever asks."""
    return fitting(wanted, event_at) + ([is_for(wanted.inspector)] if wanted.inspector else [])


def is_for(name: str) -> sa.ColumnElement[bool]:
    """Of a case that several people are shown: have not all of them spoken, and this one not yet?"""
    return sa.or_(cases.c.people_said == 0, sa.and_(cases.c.people_said < 2, ~_has_said(name)))


def fitting(wanted: QueueFilter, event_at: sa.ColumnElement[int] = cases.c.event_at) -> list[sa.ColumnElement[bool]]:
    """Cases that wait within a filter. `event_at`: the column, or an expression of it, which no index answers."""
    meant: list[sa.ColumnElement[bool]] = [cases.c.state == "open"]
    meant += [cases.c[name] == value for name in _SAME if (value := getattr(wanted, name))]
    if wanted.since is not None:
        meant.append(event_at >= int(wanted.since))
    if wanted.until is not None:
        meant.append(event_at < int(wanted.until))
    said_by_model: list[sa.ColumnElement[bool]] = []
    if wanted.decision:
        said_by_model.append(cases.c.decision.in_(wanted.decision))
    if wanted.cause:
        named = sa.select(causes.c.row_id).where(causes.c.cause == wanted.cause)
        said_by_model.append(cases.c.row_id.in_(named))
    if wanted.camera:
        said_by_model.append(named_camera(wanted.camera))
    if not wanted.inspector:
        return meant + said_by_model
    # A blind part fits whatever the model is asked about it: by coming or staying away it would tell.
    return meant + [sa.or_(cases.c.blind, one) for one in said_by_model]


def _has_said(name: str) -> sa.ColumnElement[bool]:
    """Has this person said `defect` or `ok` of the case, and not taken it back?"""
    said, undoing = reviews.alias(), reviews.alias()
    undone = sa.exists().where(undoing.c.part_id == said.c.part_id, undoing.c.undoes == said.c.review_id)
    same = (said.c[key] == cases.c[key] for key in ("line_id", "gate_id", "part_id", "attempt"))
    return sa.exists().where(*same, said.c.recorded_by == name, said.c.outcome.in_(CONCLUSIVE), ~undone)
