"""The queue: which part next, and who holds it.

Parts are worked off by what a look at them is worth (api/urgency.py). Two indices give the order: of the parts that are
still at their gate, and of all others; a page is read from both. A hold is a promise among people, not a lock: it ends
by itself, and may be taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from api.agreement.draw import CaseKey
from api.store.database import TwoHands, insert_into, reaching_store
from api.store.examples import riskiest_with
from api.store.gates import Elsewhere, cases_waiting, counted_twice, parts_spoken, parts_still, waits_elsewhere
from api.store.order import Asked, Mark, Place, QueueFilter, Row, is_on_line, order, shape_of, values_of
from api.store.settled import SettledPart, read_settled
from api.store.shift import Said, read_said, said_by
from api.store.tables import cases, holds, reviews
from ingest.messages import CONCLUSIVE, Instant

__all__ = ["HOLD_MS", "Hold", "Mark", "Place", "QueueFilter", "QueueStore", "Standing", "Waiting"]

HOLD_MS = 300_000  # an open page renews its hold each minute; of one that was left, others get the part this soon
BEST_MS, BEST_KEPT = 10_000, 200  # how long, and of how many incidents, the part that shows them is remembered
NEXT_READ, NEXT_TRIED = 4, 50  # the first is nearly always free; races that one may lose to others who ask with one
UNSURE_MS = 8 * 3_600_000  # a shift: until then a part of which one was unsure is for somebody else first
READS_MAX = 4  # of one page, where much of what is read stands at another gate already; the page is then short


@dataclass(frozen=True, slots=True)
class Waiting:
    """One part that waits. `body`: its verdict's JSON; `held_by`: "" when nobody does; `moves_on_at`: when it leaves
    its gate, as `expected` or as seen; None: nobody knows. `also_at`: other gates of the line at which it waits, less
    urgently; `blind`: at one of its gates; `spoken`: somebody has said something of it at one of them."""

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
    also_at: tuple[str, ...] = ()
    spoken: bool = False


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


@dataclass(frozen=True, slots=True)
class Decided:
    """How many parts each person has decided, and how many all together: some were decided by several."""

    by_person: Mapping[str, int]
    by_all: int


class QueueStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._best: dict[tuple[str, Instant | None], tuple[Instant, str | None]] = {}

    def page(
        self, wanted: QueueFilter, now: Instant, limit: int, after: Place | None = None, free_for: str | None = None
    ) -> list[Waiting]:
        """What waits, the most urgent first, behind `after`. `free_for`: without what others than this person hold."""
        return self.read(wanted, now, limit, after, free_for)[0]

    def read(
        self, wanted: QueueFilter, now: Instant, limit: int, after: Place | None = None, free_for: str | None = None
    ) -> tuple[list[Waiting], Place | None]:
        """A page, each part once, and the place to go on from; None: nothing waits behind it."""
        place = after or Place(now)
        asked = Asked(wanted, now, free_for)
        waiting: list[Waiting] = []
        with reaching_store(), self._reading.connect() as connection:  # one look: what moves on meanwhile is not lost
            for _ in range(READS_MAX):
                both = asked.page(connection, place, limit + 1)
                found = sorted(both, key=lambda row: order(row, place.as_of))[: limit + 1]
                others = waits_elsewhere(connection, found, wanted, place.as_of)
                for read, row in enumerate(found):
                    if len(waiting) == limit:
                        return waiting, _behind(place, found[:read])
                    if not others[row.row_id].more_urgent:
                        waiting.append(_waiting_at(row, others[row.row_id]))
                if len(found) <= limit:
                    return waiting, None
                place = _behind(place, found)
        return waiting, place

    def standing(self, part_ids: Sequence[str], now: Instant) -> list[Standing]:
        """How the cases of some parts stand, and who holds the parts."""
        held = sa.and_(holds.c.part_id == cases.c.part_id, holds.c.until > int(now))
        columns = (cases.c.part_id, cases.c.gate_id, cases.c.attempt, cases.c.state, cases.c.outcome)
        statement = sa.select(*columns, sa.func.coalesce(holds.c.held_by, "")).outerjoin(holds, held)
        return [Standing(*row) for row in self._rows(statement.where(cases.c.part_id.in_(part_ids)))]

    def settled(
        self, wanted: QueueFilter, limit: int, before: int | None = None
    ) -> tuple[list[SettledPart], int | None]:
        """Parts that wait no more, each once, the one judged last first, below row `before`; and the row to go on
        below."""
        with reaching_store(), self._reading.connect() as connection:
            return read_settled(connection, wanted, limit, before)

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
        """How many parts wait. Those not for an inspector any more are counted by themselves: few, the rest many."""
        return self.count_fitting(wanted) - self.count_spoken(wanted)

    def count_fitting(self, wanted: QueueFilter) -> int:
        """How many parts wait within a filter, the same for every inspector."""
        shape, given = shape_of(wanted), values_of(wanted)
        told, twice = (int(self._rows(statement(shape), given)[0][0]) for statement in (cases_waiting, counted_twice))
        return told - twice

    def count_spoken(self, wanted: QueueFilter) -> int:
        """Of these parts those that are not for the filter's inspector any more."""
        if not wanted.inspector:
            return 0
        shape, given = shape_of(wanted), values_of(wanted)
        gone = {tuple(row) for row in self._rows(parts_spoken(shape), given)}
        if not gone:
            return 0
        asked = given | {"parts": [part_id for _, part_id in gone]}
        return len(gone - {tuple(row) for row in self._rows(parts_still(shape), asked)})

    def decided(self, since: Instant) -> Decided:
        """Parts decided since then."""
        undoing = reviews.alias()
        undone = sa.exists().where(undoing.c.part_id == reviews.c.part_id, undoing.c.undoes == reviews.c.review_id)
        meant = (reviews.c.recorded_at >= int(since), reviews.c.outcome.in_(CONCLUSIVE), ~undone)
        parts = sa.func.count(sa.distinct(reviews.c.part_id))
        by_person = sa.select(reviews.c.recorded_by, parts).where(*meant).group_by(reviews.c.recorded_by)
        counted = {name: int(number) for name, number in self._rows(by_person)}
        return Decided(counted, int(self._rows(sa.select(parts).where(*meant))[0][0]))

    def said_by(self, name: str, since: Instant) -> list[Said]:
        """This person's decisions since then that stand, the latest first."""
        found = (read_said(row) for row in self._rows(said_by(name, since)))
        return [one for one in found if one is not None]

    def hold(self, part_id: str, name: str, now: Instant, take: bool = False) -> Hold:
        """Hold a part, or renew one's hold. Who holds it afterwards: another, unless `take`."""
        with reaching_store(), self._engine.begin() as connection:
            row = {"part_id": part_id, "held_by": name, "since": int(now), "until": int(now) + HOLD_MS}
            connection.execute(_holding(insert_into(connection, holds), take), row)
            found = connection.execute(_HELD, {"part_id": part_id}).one()
        return Hold(found.held_by, Instant(found.since), Instant(found.until))

    def forget_holds(self, now: Instant) -> None:
        """Those that have ended. By themselves: beside another hold two could wait for each other."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(holds).where(holds.c.until <= int(now)))

    def release(self, part_id: str, name: str) -> None:
        """Let go of a part; another's hold stays."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(_RELEASED, {"part": part_id, "name": name})

    def next_for(self, name: str, wanted: QueueFilter, now: Instant, behind: Iterable[str] = ()) -> Waiting | None:
        """The most urgent part that nobody else holds, not one of `behind`; held for this person from now on. What this
        person was unsure of lately comes last: another may know better, and it would come back at once."""
        left = set(behind)
        doubted: list[Waiting] = []
        for read in (NEXT_READ, NEXT_TRIED):
            found, further = self.read(wanted, now, read + len(left), free_for=name)
            unsure = self._unsure_of(name, [one.part_id for one in found], now)
            doubted = [one for one in found if one.part_id in unsure]
            for waiting in (one for one in found if one.part_id not in unsure):
                if waiting.part_id not in left and self.hold(waiting.part_id, name, now).held_by == name:
                    return waiting
            if further is None:
                break
        free = (one for one in doubted if one.part_id not in left)
        return next((one for one in free if self.hold(one.part_id, name, now).held_by == name), None)

    def _unsure_of(self, name: str, parts: Sequence[str], now: Instant) -> set[str]:
        """Of these parts those that this person was unsure of lately, and did not take that back."""
        if not parts:
            return set()
        given = {"parts": list(parts), "name": name, "since": int(now) - UNSURE_MS}
        return {row[0] for row in self._rows(_UNSURE, given)}

    def _rows(self, statement: Any, given: dict[str, Any] | None = None) -> list[Row]:
        with reaching_store(), self._reading.connect() as connection:
            return list(connection.execute(statement, given or {}).all())


_undoing = reviews.alias()
_UNSURE = sa.select(reviews.c.part_id).where(
    reviews.c.part_id.in_(sa.bindparam("parts", expanding=True)),
    reviews.c.recorded_by == sa.bindparam("name"),
    reviews.c.recorded_at > sa.bindparam("since"),
    reviews.c.outcome == "unsure",
    reviews.c.undoes == "",
    ~sa.exists().where(_undoing.c.part_id == reviews.c.part_id, _undoing.c.undoes == reviews.c.review_id),
)
_HELD = sa.select(holds).where(holds.c.part_id == sa.bindparam("part_id"))
_RELEASED = sa.delete(holds).where(holds.c.part_id == sa.bindparam("part"), holds.c.held_by == sa.bindparam("name"))


@lru_cache(maxsize=4)
def _holding(insert: Any, take: bool) -> Any:
    """The statement by which somebody holds a part, or renews the hold."""
    new = insert.excluded  # `since` of a new hold is now
    own = holds.c.held_by == new.held_by
    begun = sa.case((sa.and_(own, holds.c.until > new.since), holds.c.since), else_=new.since)
    free = sa.true() if take else sa.or_(own, holds.c.until <= new.since)
    changed = {"held_by": new.held_by, "until": new.until, "since": begun}
    return insert.on_conflict_do_update(index_elements=["part_id"], set_=changed, where=free)


def _behind(place: Place, rows: Sequence[Row]) -> Place:
    """The place behind these rows, which stand in order behind another."""
    for on_line in (True, False):
        row = next((row for row in reversed(rows) if is_on_line(row, place.as_of) == on_line), None)
        if row is not None and on_line:
            place = replace(place, on_line=(row.pressing, row.row_id))
        elif row is not None:
            place = replace(place, elsewhere=(row.urgency, row.row_id))
    return place


def _waiting_at(row: Row, others: Elsewhere) -> Waiting:
    return Waiting(
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
        blind=row.blind or others.blind,
        people_said=row.people_said,
        also_at=others.gates,
        spoken=row.people_said > 0 or others.spoken,
    )
