"""The queue: which part next, and who holds it.

Parts are worked off by what a look at them is worth (api/urgency.py). Two indices give the order: of the parts that are
still at their gate, and of all others; a page is read from both. A hold is a promise among people, not a lock: it ends
by itself, and may be taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from api.blind_draw import CaseKey
from api.store import TwoHands, insert_into, reaching_store
from api.store_examples import riskiest_with
from api.store_rank import named_camera
from api.store_tables import cases, causes, holds, reviews, verdicts
from api.urgency import pressing_bound, weight_elsewhere, weight_on_line
from ingest.messages import Instant

Row = sa.Row[*tuple[Any, ...]]

HOLD_MS = 300_000  # an open page renews its hold each minute; of one that was left, others get the part this soon
CONCLUSIVE = ("defect", "ok")
BEST_MS, BEST_KEPT = 10_000, 200  # how long, and of how many incidents, the part that shows them is remembered
NEXT_TRIED = 50  # races that one may lose to others who ask at the same instant


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which waiting parts are meant; empty means any. `camera`: named by evidence or cause; `since`, `until`: when the
    part was at its gate; `inspector`: as this person may see it, empty: as it is."""

    line_id: str = ""
    product: str = ""
    batch_id: str = ""
    decision: tuple[str, ...] = ()
    cause: str = ""
    camera: str = ""
    since: Instant | None = None
    until: Instant | None = None
    inspector: str = ""


Mark = tuple[float, int]  # how far one index was read: a value, and the row that holds it


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue as it stood at `as_of`: how far its two indices were read; None: not yet. What comes or
    moves on meanwhile changes nothing of what is behind it."""

    as_of: Instant
    on_line: Mark | None = None
    elsewhere: Mark | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """One part that waits. `body`: its verdict's JSON; `held_by`: "" when nobody does; `moves_on_at`: when it leaves
    its gate, as `expected` or as seen; None: nobody knows."""

    place: Place
    part_id: str
    gate_id: str
    body: bytes
    held_by: str
    held_since: Instant | None
    moves_on_at: Instant | None
    expected: bool
    product: str
    case: CaseKey
    event_at: Instant
    blind: bool
    people_said: int  # how many have said `defect` or `ok` of it, where it is shown to several


@dataclass(frozen=True, slots=True)
class Standing:
    """How one case stands: `held_by` "" when nobody holds its part."""

    part_id: str
    gate_id: str
    attempt: int
    state: str
    outcome: str | None
    held_by: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a part, since and until when."""

    held_by: str
    since: Instant
    until: Instant


class QueueStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._best: dict[tuple[str, Instant | None], tuple[Instant, str | None]] = {}

    def page(
        self, wanted: QueueFilter, now: Instant, limit: int, after: Place | None = None, free_for: str | None = None
    ) -> list[Waiting]:
        """What waits, the most urgent first, behind `after`. `free_for`: without what others than this person hold."""
        place = after or Place(now)
        as_of = place.as_of
        asked = _asked(wanted, now, free_for).limit(limit)
        with reaching_store(), self._reading.connect() as connection:  # one look: what moves on meanwhile is not lost
            found = [*connection.execute(_on_line(asked, place)), *connection.execute(_elsewhere(asked, place))]
        waiting = []
        for row in sorted(found, key=lambda row: _order(row, as_of))[:limit]:
            if _is_on_line(row, as_of):
                place = replace(place, on_line=(row.pressing, row.row_id))
            else:
                place = replace(place, elsewhere=(row.urgency, row.row_id))
            waiting.append(_waiting_at(place, row))
        return waiting

    def standing(self, part_ids: Sequence[str], now: Instant) -> list[Standing]:
        """How the cases of some parts stand, and who holds the parts."""
        held = sa.and_(holds.c.part_id == cases.c.part_id, holds.c.until > int(now))
        columns = (cases.c.part_id, cases.c.gate_id, cases.c.attempt, cases.c.state, cases.c.outcome)
        statement = sa.select(*columns, sa.func.coalesce(holds.c.held_by, "")).outerjoin(holds, held)
        return [Standing(*row) for row in self._rows(statement.where(cases.c.part_id.in_(part_ids)))]

    def shows_best(self, cause: str, since: Instant | None, now: Instant) -> str | None:
        """The part that shows best what goes wrong; looked up again after BEST_MS, for every screen asks."""
        known = self._best.get((cause, since))
        if known is not None and now - known[0] < BEST_MS:
            return known[1]
        rows = self._rows(riskiest_with(cause, since))
        if len(self._best) >= BEST_KEPT:
            self._best.clear()
        self._best[(cause, since)] = (now, found := str(rows[0][0]) if rows else None)
        return found

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

    def _rows(self, statement: Any) -> list[Row]:
        with reaching_store(), self._reading.connect() as connection:
            return list(connection.execute(statement).all())


def _asked(wanted: QueueFilter, now: Instant, free_for: str | None) -> sa.Select[Any]:
    held = sa.and_(holds.c.part_id == cases.c.part_id, holds.c.until > int(now))
    statement = sa.select(cases, verdicts.c.body, holds.c.held_by, holds.c.since)
    statement = statement.join(verdicts, verdicts.c.row_id == cases.c.row_id).outerjoin(holds, held)
    if free_for is not None:
        statement = statement.where(sa.or_(holds.c.held_by.is_(None), holds.c.held_by == free_for))
    return statement.where(*_waiting(wanted))


def _on_line(asked: sa.Select[Any], place: Place) -> sa.Select[Any]:
    """Parts that are still at their gate. The bound lets the index begin behind those that left long ago."""
    bound, there = pressing_bound(place.as_of), cases.c.moves_on_at > int(place.as_of)
    statement = asked.where(there, cases.c.pressing <= bound).order_by(cases.c.pressing.desc(), cases.c.row_id)
    return statement.where(_behind(cases.c.pressing, place.on_line)) if place.on_line else statement


def _elsewhere(asked: sa.Select[Any], place: Place) -> sa.Select[Any]:
    gone = sa.or_(cases.c.pressing.is_(None), cases.c.moves_on_at <= int(place.as_of))
    statement = asked.where(gone).order_by(cases.c.urgency.desc(), cases.c.row_id)
    return statement.where(_behind(cases.c.urgency, place.elsewhere)) if place.elsewhere else statement


def _behind(value: sa.ColumnElement[float], mark: Mark) -> sa.ColumnElement[bool]:
    return sa.and_(value <= mark[0], sa.or_(value < mark[0], cases.c.row_id > mark[1]))


def _is_on_line(row: Row, as_of: Instant) -> bool:
    return row.pressing is not None and row.moves_on_at > as_of


def _order(row: Row, as_of: Instant) -> tuple[float, float, int]:
    """Within each index the index's own order, to the last bit; between the two by weight."""
    if _is_on_line(row, as_of):
        return -weight_on_line(row.pressing, as_of), -row.pressing, row.row_id
    return -weight_elsewhere(row.urgency), -row.urgency, row.row_id


def _waiting_at(place: Place, row: Row) -> Waiting:
    return Waiting(
        place=place,
        part_id=row.part_id,
        gate_id=row.gate_id,
        body=row.body.encode(),
        held_by=row.held_by or "",
        held_since=None if row.since is None else Instant(row.since),
        moves_on_at=None if row.moves_on_at is None else Instant(row.moves_on_at),
        expected=row.pressing is not None,
        product=row.product,
        case=(row.line_id, row.gate_id, row.part_id, row.attempt),
        event_at=Instant(row.event_at),
        blind=row.blind,
        people_said=row.people_said,
    )


def _waiting(wanted: QueueFilter) -> list[sa.ColumnElement[bool]]:
    meant: list[sa.ColumnElement[bool]] = [cases.c.state == "open"]
    meant += [cases.c[name] == value for name in ("line_id", "product", "batch_id") if (value := getattr(wanted, name))]
    if wanted.since is not None:
        meant.append(cases.c.event_at >= int(wanted.since))
    if wanted.until is not None:
        meant.append(cases.c.event_at < int(wanted.until))
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
    meant += [sa.or_(cases.c.blind, one) for one in said_by_model]
    return [*meant, sa.or_(cases.c.people_wanted == 1, sa.and_(cases.c.people_said < 2, ~_has_said(wanted.inspector)))]


def _has_said(name: str) -> sa.ColumnElement[bool]:
    """Has this person said `defect` or `ok` of the case, and not taken it back?"""
    said, undoing = reviews.alias(), reviews.alias()
    undone = sa.exists().where(undoing.c.part_id == said.c.part_id, undoing.c.undoes == said.c.review_id)
    same = (said.c[key] == cases.c[key] for key in ("line_id", "gate_id", "part_id", "attempt"))
    return sa.exists().where(*same, said.c.recorded_by == name, said.c.outcome.in_(CONCLUSIVE), ~undone)
