"""What people said, to be measured: decisions with how they were made, what the truth was, where two disagree."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from api.agreement.draw import CaseKey
from api.store.database import TwoHands, reaching_store
from api.store.rows import Made
from api.store.tables import accounts, cases, defects, reviews
from api.store.tables_quality import exercise_answers
from ingest.messages import CONCLUSIVE, Instant, json_decoder

_MADE = json_decoder(Made)
Row = sa.Row[*tuple[Any, ...]]
_NOT_SAID = Made()


class Decided(msgspec.Struct, frozen=True, gc=False):
    """What one person said of one case and did not take back. `truth`: of a known part, else ""."""

    case: CaseKey
    by: str
    at: Instant
    outcome: str
    made: Made
    truth: str = ""


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
        # `state` is looked at here: asked for, SQLite would go through everything that waits by an index of it.
        found = sa.select(*_key(cases), cases.c.state).where(cases.c.part_id.in_(part_ids), cases.c.blind)
        return {_case(row) for row in self._rows(found.where(~_has_said(name))) if row.state == "open"}

    def has_decided(self, name: str, case: CaseKey) -> bool:
        """Has this person said `defect` or `ok` of this case, be it taken back since?"""
        same = [column == value for column, value in zip(_key(reviews), case, strict=True)]
        said = (reviews.c.recorded_by == name, reviews.c.outcome.in_(CONCLUSIVE))
        return bool(self._rows(sa.select(reviews.c.review_id).where(*same, *said).limit(1)))

    def decisions(self, since: Instant, until: Instant, line_id: str = "") -> list[Decided]:
        """Decisions recorded in [since, until) that stand, in their order; exercises among them. One that settled
        several cases of a part is one."""
        taken_back = sa.select(reviews.c.undoes).where(reviews.c.recorded_at >= int(since), reviews.c.undoes != "")
        undone = {row[0] for row in self._rows(taken_back)}
        told = self._said(reviews, reviews.c.review_id, since, until, line_id)
        found = [one for row in told if row[0] not in undone and not (one := _decided(row, "")).made.with_gate]
        exercises = self._said(exercise_answers, exercise_answers.c.truth, since, until, line_id)
        found += [_decided(row, row[0]) for row in exercises]
        found.sort(key=attrgetter("at"))
        return found

    def _said(self, table: sa.Table, first: Any, since: Instant, until: Instant, line_id: str) -> list[Row]:
        """Rows of `first`, then what `_decided` reads."""
        columns = (first, *_key(table), table.c.recorded_by, table.c.recorded_at, table.c.outcome, table.c.made)
        meant = [table.c.recorded_at >= int(since), table.c.recorded_at < int(until), table.c.outcome.in_(CONCLUSIVE)]
        meant += [table.c.line_id == line_id] if line_id else []
        return self._rows(sa.select(*columns).where(*meant).order_by(table.c.recorded_at, table.c.recorded_by))

    def truths(self, since: Instant, until: Instant) -> dict[str, tuple[Instant, str]]:
        """Part -> when it was said, and what: by the latest record of a part decided in [since, until) that came after
        the decision and from elsewhere than a review (a teardown, the end-of-line test, a customer)."""
        other = reviews.alias()
        is_review = sa.exists().where(
            other.c.part_id == defects.c.part_id,
            other.c.recorded_at == defects.c.recorded_at,
            other.c.outcome == defects.c.outcome,
        )
        told = sa.select(defects.c.part_id, defects.c.recorded_at, defects.c.outcome).join(
            reviews, sa.and_(reviews.c.part_id == defects.c.part_id, reviews.c.recorded_at < defects.c.recorded_at)
        )
        told = told.where(reviews.c.recorded_at >= int(since), reviews.c.recorded_at < int(until), ~is_review)
        told = told.where(defects.c.outcome.in_(CONCLUSIVE), defects.c.source != "history")
        rows = self._rows(told.order_by(defects.c.recorded_at))
        return {row[0]: (Instant(row[1]), row[2]) for row in rows}

    def disagreements(self, limit: int) -> list[Disagreement]:
        """What waits for a QA lead's word, the oldest first."""
        meant = (cases.c.state == "open", cases.c.people_said > 1)
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

    def _rows(self, statement: Any) -> list[Row]:
        with reaching_store(), self._reading.connect() as connection:
            return list(connection.execute(statement).all())


def _gathered(rows: Iterable[Row]) -> list[Disagreement]:
    found: dict[CaseKey, tuple[Instant, tuple[str, ...]]] = {}
    for row in rows:
        since, said = found.get(_case(row), (Instant(row.recorded_at), ()))
        found[_case(row)] = (since, (*said, row.outcome))
    return [Disagreement(case, since, said) for case, (since, said) in found.items()]


def _decided(row: Row, truth: str) -> Decided:
    _, line_id, gate_id, part_id, attempt, by, at, outcome, made = row
    told = _MADE.decode(made) if made else _NOT_SAID
    return Decided((line_id, gate_id, part_id, attempt), by, Instant(at), outcome, told, truth)


def _has_said(name: str) -> sa.ColumnElement[bool]:
    same = (a == b for a, b in zip(_key(cases), _key(reviews), strict=True))
    return sa.exists().where(*same, reviews.c.recorded_by == name, reviews.c.outcome.in_(CONCLUSIVE))


def _key(table: Any) -> tuple[Any, ...]:
    return table.c.line_id, table.c.gate_id, table.c.part_id, table.c.attempt


def _case(row: Row) -> CaseKey:
    return row.line_id, row.gate_id, row.part_id, row.attempt
