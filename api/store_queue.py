"""The queue: which part next, who holds it, and the views that people named.

Parts are worked off by urgency, the expected loss of letting them go: the risk, for one escape costs what another does
in a plan; 1 where no risk is known. A hold is a promise among people, not a lock: it ends by itself, and may be taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.store import TwoHands, insert_into, reaching_store
from api.store_tables import cases, causes, holds, reviews, verdicts, views
from ingest.messages import Instant

Row = sa.Row[*tuple[Any, ...]]

HOLD_MS = 300_000  # an open page renews its hold each minute; of one that was left, others get the part this soon
CONCLUSIVE = ("defect", "ok")
NEXT_TRIED = 50  # races that one may lose to others who ask at the same instant
VIEWS_MAX = 50  # of one person


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which waiting parts are meant; empty means any."""

    line_id: str = ""
    product: str = ""
    batch_id: str = ""
    decision: tuple[str, ...] = ()
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue: what stands behind it is less urgent, or as urgent and newer."""

    urgency: float
    row_id: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One part that waits. `body`: its verdict's JSON; `held_by`: "" when nobody does."""

    place: Place
    part_id: str
    gate_id: str
    body: bytes
    held_by: str
    held_since: Instant | None


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a part, since and until when."""

    held_by: str
    since: Instant
    until: Instant


@dataclass(frozen=True, slots=True)
class View:
    """A named filter of the queue: the part of the address behind `?`."""

    name: str
    query: str


class QueueStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def page(
        self, wanted: QueueFilter, now: Instant, limit: int, after: Place | None = None, free_for: str | None = None
    ) -> list[Waiting]:
        """What waits, the most urgent first, behind `after`. `free_for`: without what others than this person hold."""
        held = sa.and_(holds.c.part_id == cases.c.part_id, holds.c.until > int(now))
        statement = (
            sa.select(cases.c.urgency, cases.c.row_id, cases.c.part_id, cases.c.gate_id, verdicts.c.body,
                      holds.c.held_by, holds.c.since)
            .join(verdicts, verdicts.c.row_id == cases.c.row_id)
            .outerjoin(holds, held)
            .where(*_waiting(wanted))
            .order_by(cases.c.urgency.desc(), cases.c.row_id)
            .limit(limit)
        )  # fmt: skip
        if free_for is not None:
            statement = statement.where(sa.or_(holds.c.held_by.is_(None), holds.c.held_by == free_for))
        if after is not None:
            same = sa.and_(cases.c.urgency == after.urgency, cases.c.row_id > after.row_id)
            statement = statement.where(sa.or_(cases.c.urgency < after.urgency, same))
        return [
            Waiting(
                Place(row.urgency, row.row_id), row.part_id, row.gate_id, row.body.encode(), row.held_by or "",
                None if row.since is None else Instant(row.since),
            )
            for row in self._rows(statement)
        ]  # fmt: skip

    def count(self, wanted: QueueFilter) -> int:
        """How many wait."""
        return int(self._rows(sa.select(sa.func.count()).select_from(cases).where(*_waiting(wanted)))[0][0])

    def decided(self, name: str, since: Instant) -> tuple[int, int]:
        """Parts decided since then: by this person, by all."""
        mine = sa.func.count(sa.distinct(sa.case((reviews.c.recorded_by == name, reviews.c.part_id))))
        undoing = reviews.alias()
        undone = sa.exists().where(undoing.c.part_id == reviews.c.part_id, undoing.c.undoes == reviews.c.review_id)
        statement = sa.select(mine, sa.func.count(sa.distinct(reviews.c.part_id))).where(
            reviews.c.recorded_at >= int(since), reviews.c.outcome.in_(CONCLUSIVE), ~undone
        )
        row = self._rows(statement)[0]
        return int(row[0]), int(row[1])

    def hold(self, part_id: str, name: str, now: Instant, take: bool = False) -> Hold:
        """Hold a part, or renew one's hold. Who holds it afterwards: another, unless `take`."""
        with reaching_store(), self._engine.begin() as connection:
            row = {"part_id": part_id, "held_by": name, "since": int(now), "until": int(now) + HOLD_MS}
            statement = insert_into(connection, holds).values(row)
            own = holds.c.held_by == name
            begun = sa.case((sa.and_(own, holds.c.until > int(now)), holds.c.since), else_=int(now))
            free = sa.true() if take else sa.or_(own, holds.c.until <= int(now))
            statement = statement.on_conflict_do_update(
                index_elements=["part_id"], set_={**row, "since": begun}, where=free
            )
            connection.execute(statement)
            found = connection.execute(sa.select(holds).where(holds.c.part_id == part_id)).one()
        return Hold(found.held_by, Instant(found.since), Instant(found.until))

    def forget_holds(self, now: Instant) -> None:
        """Those that have ended. By themselves: beside another hold two could wait for each other."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(holds).where(holds.c.until <= int(now)))

    def release(self, part_id: str, name: str) -> None:
        """Let go of a part; another's hold stays."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(holds).where(holds.c.part_id == part_id, holds.c.held_by == name))

    def next_for(self, name: str, wanted: QueueFilter, now: Instant, behind: Iterable[str] = ()) -> Waiting | None:
        """The most urgent part that nobody else holds, not one of `behind`; held for this person from now on."""
        left = set(behind)
        for waiting in self.page(wanted, now, NEXT_TRIED + len(left), free_for=name):
            if waiting.part_id in left:
                continue
            if self.hold(waiting.part_id, name, now).held_by == name:  # two may ask at the same instant
                return waiting
        return None

    def views(self, name: str) -> list[View]:
        """The views a person named, by name."""
        rows = self._rows(sa.select(views).where(views.c.owner == name).order_by(views.c.name))
        return [View(row.name, row.query) for row in rows]

    def keep_view(self, name: str, view: View) -> bool:
        """Keep a view under its name, in place of an earlier one. False when the person has VIEWS_MAX others."""
        with reaching_store(), self._engine.begin() as connection:
            others = sa.select(sa.func.count()).where(views.c.owner == name, views.c.name != view.name)
            if connection.execute(others).scalar_one() >= VIEWS_MAX:
                return False
            row = {"owner": name, "name": view.name, "query": view.query}
            statement = insert_into(connection, views).values(row)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["owner", "name"], set_={"query": view.query})
            )
        return True

    def drop_view(self, name: str, view_name: str) -> None:
        """Forget a view."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(views).where(views.c.owner == name, views.c.name == view_name))

    def _rows(self, statement: Any) -> list[Row]:
        with reaching_store(), self._reading.connect() as connection:
            return list(connection.execute(statement).all())


def _waiting(wanted: QueueFilter) -> list[sa.ColumnElement[bool]]:
    meant: list[sa.ColumnElement[bool]] = [cases.c.state == "open"]
    meant += [cases.c[name] == value for name in ("line_id", "product", "batch_id") if (value := getattr(wanted, name))]
    if wanted.decision:
        meant.append(cases.c.decision.in_(wanted.decision))
    if wanted.cause:
        named = sa.select(causes.c.row_id).where(causes.c.cause == wanted.cause)
        meant.append(cases.c.row_id.in_(named))
    return meant
