"""What people said, to be measured: decisions with how they were made, what the truth was, where two disagree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.agreement.draw import CaseKey
from api.store.database import TwoHands, reaching_store
from api.store.decisions import ROWS_AT_ONCE, Decisions, Gathering, Said
from api.store.tables import accounts, cases, defects, is_open, is_spoken_of, reviews
from api.store.tables_quality import exercise_answers
from ingest.messages import CONCLUSIVE, Instant

HEARD_MAX = 100_000  # records read at once; where there are more, only those of parts that were decided on
Row = sa.Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A case that waits for a QA lead: two people have said different things of it."""

    case: CaseKey
    since: Instant
    said: tuple[str, ...]


class QualityStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def hidden_from(self, name: str, part_ids: Collection[str]) -> set[CaseKey]:
        """Blind cases of these parts that wait, and of which this person has not said `defect` or `ok` yet."""
        if not part_ids:
            return set()
        found = sa.select(*_key(cases)).where(is_open, cases.c.part_id.in_(part_ids), cases.c.blind)
        return {_case(row) for row in self._rows(found.where(~_has_said(name)))}

    def has_decided(self, name: str, case: CaseKey) -> bool:
        """Has this person said `defect` or `ok` of this case, be it taken back since?"""
        same = [column == value for column, value in zip(_key(reviews), case, strict=True)]
        said = (reviews.c.recorded_by == name, reviews.c.outcome.in_(CONCLUSIVE))
        return bool(self._rows(sa.select(reviews.c.review_id).where(*same, *said).limit(1)))

    def decisions(self, since: Instant, until: Instant, line_id: str = "") -> Decisions:
        """Decisions recorded in [since, until) that stand, in their order; exercises among them. One that settled
        several cases of a part is one."""
        # `> ''`, not `!= ''`: so the index of `undoes` is read from the first that takes something back.
        undone = sa.select(reviews.c.undoes).where(reviews.c.undoes > "", reviews.c.recorded_at >= int(since))
        stands = reviews.c.review_id.not_in(undone)
        alone = reviews.c.said.op("&")(int(Said.WITH_ANOTHER)) == 0
        gathering = Gathering()
        with self._reading_raw() as connection:
            meant = _said(reviews, sa.literal_column("''"), since, until, line_id)
            for rows in _raw(connection, meant.where(stands, alone)):
                gathering.take(rows, of_known=False)
            meant = _said(exercise_answers, exercise_answers.c.truth, since, until, line_id)
            for rows in _raw(connection, meant):
                gathering.take(rows, of_known=True)
        return gathering.decisions()

    def truths(self, since: Instant, until: Instant) -> dict[str, tuple[int, str]]:
        """Part -> when it was said, and what, by the latest record that came after `since` and from elsewhere than a
        review (a teardown, the end-of-line test, a customer): of every part decided in [since, until), of others too
        where that is less to read."""
        told = sa.select(defects.c.part_id, defects.c.recorded_at, defects.c.outcome)
        told = told.where(defects.c.heard, defects.c.recorded_at > int(since)).order_by(defects.c.recorded_at)
        decided = sa.select(reviews.c.part_id).where(*_recorded(reviews, since, until))
        found: list[tuple[str, int, str]] = []
        with self._reading_raw() as connection:
            for rows in _raw(connection, told.limit(HEARD_MAX + 1)):
                found += rows
            if len(found) > HEARD_MAX:
                found = []
                for rows in _raw(connection, told.where(defects.c.part_id.in_(decided))):
                    found += rows
        return {part_id: (at, outcome) for part_id, at, outcome in found}

    def disagreements(self, limit: int) -> list[Disagreement]:
        """What waits for a QA lead's word, the oldest first."""
        meant = (is_open, is_spoken_of, cases.c.people_said > 1)
        same = sa.and_(*(a == b for a, b in zip(_key(cases), _key(reviews), strict=True)))
        undoing = reviews.alias()
        undone = sa.exists().where(undoing.c.part_id == reviews.c.part_id, undoing.c.undoes == reviews.c.review_id)
        rows = self._rows(
            sa.select(*_key(cases), reviews.c.recorded_at, reviews.c.outcome)
            .join(reviews, same)
            .where(*meant, reviews.c.outcome.in_(CONCLUSIVE), ~undone)
            .order_by(cases.c.row_id, reviews.c.recorded_at)
        )
        return _gathered(rows)[:limit]

    def groups(self) -> dict[str, str]:
        """Account -> its group; who comes with a token has none."""
        return {row[0]: row[1] for row in self._rows(sa.select(accounts.c.name, accounts.c.group_name))}

    @contextmanager
    def _reading_raw(self) -> Iterator[sa.Connection]:
        with reaching_store(), self._reading.connect() as connection:
            yield connection

    def _rows(self, statement: Any) -> list[Row]:
        with reaching_store(), self._reading.connect() as connection:
            return list(connection.execute(statement).all())


def _gathered(rows: Iterable[Row]) -> list[Disagreement]:
    found: dict[CaseKey, tuple[Instant, tuple[str, ...]]] = {}
    for row in rows:
        since, said = found.get(_case(row), (Instant(row.recorded_at), ()))
        found[_case(row)] = (since, (*said, row.outcome))
    return [Disagreement(case, since, said) for case, (since, said) in found.items()]


def _said(table: sa.Table, truth: Any, since: Instant, until: Instant, line_id: str) -> sa.Select[Any]:
    """What `Gathering` takes."""
    columns = (*_key(table), table.c.recorded_by, table.c.recorded_at, table.c.said, table.c.took_ms, truth)
    meant = [*_recorded(table, since, until), table.c.outcome.in_(CONCLUSIVE)]
    return sa.select(*columns).where(*meant, *([table.c.line_id == line_id] if line_id else []))


def _recorded(table: sa.Table, since: Instant, until: Instant) -> list[sa.ColumnElement[bool]]:
    return [table.c.recorded_at >= int(since), table.c.recorded_at < int(until)]


def _raw(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[list[Any]]:
    """Rows as the driver gives them, some at a time: of a hundred thousand, to dress each one takes longer than to
    read it."""
    cursor = connection.execute(statement).cursor
    while cursor is not None and (rows := cursor.fetchmany(ROWS_AT_ONCE)):
        yield list(rows)


def _has_said(name: str) -> sa.ColumnElement[bool]:
    same = (a == b for a, b in zip(_key(cases), _key(reviews), strict=True))
    return sa.exists().where(*same, reviews.c.recorded_by == name, reviews.c.outcome.in_(CONCLUSIVE))


def _key(table: Any) -> tuple[Any, ...]:
    return table.c.line_id, table.c.gate_id, table.c.part_id, table.c.attempt


def _case(row: Row) -> CaseKey:
    return row.line_id, row.gate_id, row.part_id, row.attempt
