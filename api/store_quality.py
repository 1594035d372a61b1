"""What people said, to be measured: decisions with how they were made, what the truth was, where two disagree."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.blind_draw import CaseKey
from api.store import TwoHands, reaching_store
from api.store_rows import Made
from api.store_tables import accounts, cases, defects, exercise_answers, reviews
from ingest.messages import Instant, json_decoder

CONCLUSIVE = ("defect", "ok")
_MADE = json_decoder(Made)
Row = sa.Row[*tuple[Any, ...]]
_NOT_SAID = Made()


@dataclass(frozen=True, slots=True)
class Decided:
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
        meant = (cases.c.part_id.in_(part_ids), cases.c.blind, cases.c.state == "open")
        rows = self._rows(sa.select(*_key(cases)).where(*meant, ~_has_said(name)))
        return {_case(row) for row in rows}

    def has_decided(self, name: str, case: CaseKey) -> bool:
        """Has this person said `defect` or `ok` of this case, be it taken back since?"""
        same = [column == value for column, value in zip(_key(reviews), case, strict=True)]
        said = (reviews.c.recorded_by == name, reviews.c.outcome.in_(CONCLUSIVE))
        return bool(self._rows(sa.select(reviews.c.review_id).where(*same, *said).limit(1)))

    def decisions(self, since: Instant, until: Instant, line_id: str = "") -> list[Decided]:
        """Decisions recorded in [since, until) that stand, in their order; exercises among them."""
        undoing = reviews.alias()
        undone = sa.exists().where(undoing.c.part_id == reviews.c.part_id, undoing.c.undoes == reviews.c.review_id)
        found = self._said(reviews, since, until, line_id, ~undone)
        found += self._said(exercise_answers, since, until, line_id)
        found.sort(key=lambda one: (one.at, one.by))
        return found

    def _said(
        self, table: sa.Table, since: Instant, until: Instant, line_id: str, *more: sa.ColumnElement[bool]
    ) -> list[Decided]:
        truth = table.c.truth if "truth" in table.c else sa.literal("")
        columns = (*_key(table), table.c.recorded_by, table.c.recorded_at, table.c.outcome, table.c.made, truth)
        meant = [table.c.recorded_at >= int(since), table.c.recorded_at < int(until), table.c.outcome.in_(CONCLUSIVE)]
        meant += [table.c.line_id == line_id] if line_id else []
        rows = self._rows(sa.select(*columns).where(*meant, *more))
        return [Decided(tuple(row[:4]), row[4], Instant(row[5]), row[6], _made(row[7]), row[8]) for row in rows]

    def truths(self, since: Instant, until: Instant) -> dict[str, tuple[Instant, str]]:
        """Part -> when it was said, and what: by the latest record about a part decided in [since, until) that came
        from elsewhere than a review (a teardown, the end-of-line test, a customer)."""
        decided = sa.select(reviews.c.part_id).where(
            reviews.c.recorded_at >= int(since), reviews.c.recorded_at < int(until)
        )
        own = sa.exists().where(reviews.c.part_id == defects.c.part_id, reviews.c.body == defects.c.body)
        told = sa.select(defects.c.part_id, defects.c.recorded_at, defects.c.outcome).where(
            defects.c.part_id.in_(decided), defects.c.outcome.in_(CONCLUSIVE), defects.c.source != "history", ~own
        )
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


def _made(text: str) -> Made:
    return _MADE.decode(text) if text else _NOT_SAID


def _has_said(name: str) -> sa.ColumnElement[bool]:
    same = (a == b for a, b in zip(_key(cases), _key(reviews), strict=True))
    return sa.exists().where(*same, reviews.c.recorded_by == name, reviews.c.outcome.in_(CONCLUSIVE))


def _key(table: Any) -> tuple[Any, ...]:
    return table.c.line_id, table.c.gate_id, table.c.part_id, table.c.attempt


def _case(row: Row) -> CaseKey:
    return row.line_id, row.gate_id, row.part_id, row.attempt
