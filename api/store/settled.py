"""What is settled: each flagged part once, the one judged last first, with what was said of it and by whom.

A part that still waits at some gate is not settled yet: it stands in the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from api.store.order import SHAPES_KEPT, QueueFilter, Row, Shape, shape_of, values_of
from api.store.tables import cases, causes, is_settled, reviews, verdicts
from ingest.messages import CONCLUSIVE, Instant

READS_MAX = 4  # of one page, where much of what is read stands elsewhere
_SAME = ("line_id", "product", "batch_id")
_CASE = ("line_id", "gate_id", "part_id", "attempt")
_PARTS: sa.BindParameter[Any] = sa.bindparam("parts", expanding=True)


@dataclass(frozen=True, slots=True)
class SettledPart:
    """`outcome` of its last flagged case: `defect`, `ok`, or `superseded` by a later attempt; `said_by`, `said_at`:
    whose word that was, "" and None where a record from elsewhere or a correction settled it. `also`: its other gates,
    each with its outcome."""

    row_id: int
    part_id: str
    body: bytes
    outcome: str
    said_by: str
    said_at: Instant | None
    also: tuple[tuple[str, str], ...] = ()


def read_settled(
    connection: sa.Connection, wanted: QueueFilter, limit: int, before: int | None
) -> tuple[list[SettledPart], int | None]:
    """Parts that are settled within a filter, below row `before`; and the row to go on below, None: there are no more.
    Where much of what is read waits elsewhere, or is told by a later row, the page is short."""
    found: list[SettledPart] = []
    for _ in range(READS_MAX):
        rows = _read(connection, wanted, limit + 1, before)
        alike = _alike(connection, wanted, rows)
        told = [row for row in rows if _speaks(row, alike[_part(row)])]
        said = _said(connection, told)
        for row in told:
            if len(found) == limit:
                return found, found[-1].row_id
            found.append(_settled_part(row, said.get(_case(row)), alike[_part(row)]))
        if len(rows) <= limit:
            return found, None
        before = rows[-1].row_id
    return found, before


def _read(connection: sa.Connection, wanted: QueueFilter, limit: int, before: int | None) -> list[Row]:
    given = values_of(wanted) | {"rows": limit} | ({} if before is None else {"before": before})
    return list(connection.execute(_settled(shape_of(wanted), before is not None), given))


def _alike(connection: sa.Connection, wanted: QueueFilter, rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """All flagged cases of these rows' parts, the last revision last, each with whether it fits the filter."""
    found: dict[tuple[str, str], list[Row]] = {}
    given = values_of(wanted) | {"parts": list({row.part_id for row in rows})}
    for row in connection.execute(_of_parts(shape_of(wanted)), given):
        found.setdefault(_part(row), []).append(row)
    return found


def _said(connection: sa.Connection, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Of each case the last word that stands."""
    return {_case(row): row for row in connection.execute(_SAID, {"parts": [row.part_id for row in rows]})}


def _speaks(row: Row, alike: list[Row]) -> bool:
    """Does this row stand for its part? Not where the part waits still, nor where a later one does."""
    return not any(one.state == "open" or (one.fits and one.row_id > row.row_id) for one in alike)


def _settled_part(row: Row, said: Row | None, alike: list[Row]) -> SettledPart:
    own = said is not None and said.outcome == row.outcome
    also = {one.gate_id: one.outcome or "" for one in alike if one.gate_id != row.gate_id}  # of each gate the last
    return SettledPart(
        row_id=row.row_id,
        part_id=row.part_id,
        body=row.body.encode(),
        outcome=row.outcome or "",
        said_by=said.recorded_by if said is not None and own else "",
        said_at=Instant(said.recorded_at) if said is not None and own else None,
        also=tuple(sorted(also.items())),
    )


@lru_cache(maxsize=SHAPES_KEPT)
def _settled(shape: Shape, further: bool) -> sa.Select[Any]:
    statement = sa.select(cases, verdicts.c.body).join(verdicts, verdicts.c.row_id == cases.c.row_id)
    leading: sa.ColumnElement[int] = cases.c.row_id
    if "cause" in shape:  # what had the cause is found by it
        leading = causes.c.row_id
        statement = statement.join(causes, causes.c.row_id == cases.c.row_id)
        statement = statement.where(causes.c.cause == sa.bindparam("cause"))
    if further:
        statement = statement.where(leading < sa.bindparam("before"))
    return statement.where(*_fitting(shape)).order_by(leading.desc()).limit(sa.bindparam("rows"))


@lru_cache(maxsize=SHAPES_KEPT)
def _of_parts(shape: Shape) -> sa.Select[Any]:
    named: sa.ColumnElement[bool] = sa.literal(True)
    if "cause" in shape:
        named = sa.exists().where(causes.c.row_id == cases.c.row_id, causes.c.cause == sa.bindparam("cause"))
    columns = (*(cases.c[name] for name in _CASE), cases.c.row_id, cases.c.state, cases.c.outcome)
    statement = sa.select(*columns, sa.and_(*_fitting(shape), named).label("fits"))
    return statement.where(cases.c.part_id.in_(_PARTS), cases.c.decision != "pass").order_by(cases.c.row_id)


def _fitting(shape: Shape) -> list[sa.ColumnElement[bool]]:
    """Flagged cases that are settled, within a filter but for its cause."""
    meant: list[sa.ColumnElement[bool]] = [is_settled]
    meant += [cases.c[name] == sa.bindparam(name) for name in _SAME if name in shape]
    if "decision" in shape:
        meant.append(cases.c.decision.in_(sa.bindparam("decision", expanding=True)))
    if "since" in shape:
        meant.append(cases.c.event_at >= sa.bindparam("since"))
    if "until" in shape:
        meant.append(cases.c.event_at < sa.bindparam("until"))
    if "camera" in shape:
        meant.append(cases.c.cameras.like(sa.bindparam("camera"), escape="\\"))
    return meant


_undoing = reviews.alias()
_SAID = (
    sa.select(*(reviews.c[name] for name in _CASE), reviews.c.outcome, reviews.c.recorded_by, reviews.c.recorded_at)
    .where(reviews.c.part_id.in_(_PARTS), reviews.c.outcome.in_(CONCLUSIVE))
    .where(~sa.exists().where(_undoing.c.part_id == reviews.c.part_id, _undoing.c.undoes == reviews.c.review_id))
    .order_by(reviews.c.recorded_at, reviews.c.review_id)
)


def _case(row: Row) -> tuple[Any, ...]:
    return tuple(row._mapping[name] for name in _CASE)


def _part(row: Row) -> tuple[str, str]:
    return row.line_id, row.part_id
