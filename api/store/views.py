"""Filters of the queue under names: one's own, those shared with everybody, and what one's queue begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from api.store.database import TwoHands, insert_into, reaching_store
from api.store.queue import QueueFilter
from api.store.tables import views
from ingest.messages import Instant

VIEWS_MAX = 50  # of one person
COUNTED_FOR_MS = 5000  # many people look at the same shared views
COUNTS_KEPT = 500
BEGIN_WITH = ""  # the name of the view that its owner's queue begins with


@dataclass(frozen=True, slots=True)
class View:
    """A named filter of the queue: the part of the address behind `?`. `shared`: everybody sees it."""

    name: str
    query: str
    owner: str = ""
    shared: bool = False


class ViewStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._counts: dict[QueueFilter, tuple[Instant, int]] = {}

    def views(self, name: str) -> list[View]:
        """The views a person named, and those that others share, by name."""
        meant = sa.and_(views.c.name != BEGIN_WITH, sa.or_(views.c.owner == name, views.c.shared))
        statement = sa.select(views).where(meant).order_by(views.c.name, views.c.owner)
        return [View(row.name, row.query, row.owner, row.shared) for row in self._rows(statement)]

    def begins_with(self, name: str) -> str | None:
        """The query that a person's queue begins with; None: everything."""
        mine = sa.and_(views.c.owner == name, views.c.name == BEGIN_WITH)
        rows = self._rows(sa.select(views.c.query).where(mine))
        return str(rows[0][0]) if rows else None

    def keep_view(self, name: str, view: View) -> bool:
        """Keep a view under its name, in place of an earlier one. False when the person has VIEWS_MAX others."""
        with reaching_store(), self._engine.begin() as connection:
            others = sa.select(sa.func.count()).where(views.c.owner == name, views.c.name != view.name)
            if connection.execute(others).scalar_one() >= VIEWS_MAX:
                return False
            row = {"owner": name, "name": view.name, "query": view.query, "shared": view.shared}
            statement = insert_into(connection, views).values(row)
            changed = {"query": view.query, "shared": view.shared}
            connection.execute(statement.on_conflict_do_update(index_elements=["owner", "name"], set_=changed))
        return True

    def drop_view(self, name: str, view_name: str) -> None:
        """Forget a view."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(views).where(views.c.owner == name, views.c.name == view_name))

    def counted(self, wanted: QueueFilter, now: Instant, count: Callable[[QueueFilter], int]) -> int:
        """How many wait within a filter, counted anew when the last count is COUNTED_FOR_MS old."""
        key = replace(wanted, since=_minute(wanted.since), until=_minute(wanted.until))
        known = self._counts.get(key)
        if known is not None and now - known[0] < COUNTED_FOR_MS:
            return known[1]
        if len(self._counts) >= COUNTS_KEPT:
            self._counts.clear()
        self._counts[key] = (now, waiting := count(wanted))
        return waiting

    def _rows(self, statement: Any) -> list[sa.Row[Any]]:
        with reaching_store(), self._reading.connect() as connection:
            return list(connection.execute(statement).all())


def _minute(at: Instant | None) -> Instant | None:
    return None if at is None else Instant(int(at) // 60_000 * 60_000)
