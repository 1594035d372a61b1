"""Batches in figures. `batches` keeps when each was judged last, so that the newest are found without counting all;
the figures themselves are counted anew for the few that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from api.store.database import insert_into
from api.store.rows import BatchCount
from api.store.tables import batches, cases, is_open, visits
from ingest.messages import Instant, Verdict

_DECISIONS = ("pass", "review", "cannot_tell")


def keep_batches(connection: sa.Connection, numbered: Sequence[tuple[int, Verdict, str]]) -> None:
    """Move each batch that these verdicts name to its newest row."""
    newest = {verdict.batch_id: row_id for row_id, verdict, _ in numbered}  # row numbers only rise
    statement = insert_into(connection, batches)
    statement = statement.on_conflict_do_update(
        index_elements=["batch_id"],
        set_={"last_row": statement.excluded.last_row},
        where=statement.excluded.last_row > batches.c.last_row,
    )
    connection.execute(statement, [{"batch_id": name, "last_row": row} for name, row in sorted(newest.items())])


def newest_batches(limit: int, before: int | None) -> sa.Select[Any]:
    """batch_id, last_row: the batch judged last first, of those judged last below row `before`."""
    statement = sa.select(batches.c.batch_id, batches.c.last_row).order_by(batches.c.last_row.desc()).limit(limit)
    return statement if before is None else statement.where(batches.c.last_row < before)


def counted_cases(batch_ids: Sequence[str]) -> sa.Select[Any]:
    """What was decided in these batches."""
    decided = (sa.func.count().filter(cases.c.decision == name).label(name) for name in _DECISIONS)
    return (
        sa.select(
            cases.c.batch_id,
            sa.func.max(cases.c.product).label("product"),
            sa.func.count(sa.distinct(cases.c.part_id)).label("parts_judged"),
            *decided,
            sa.func.count().filter(is_open).label("open"),
            sa.func.max(cases.c.event_at).label("last_event_at"),
        )
        .where(cases.c.batch_id.in_(batch_ids))
        .group_by(cases.c.batch_id)
    )


def counted_visits(batch_ids: Sequence[str]) -> sa.Select[Any]:
    """batch_id, parts that booked a visit."""
    statement = sa.select(visits.c.batch_id, sa.func.count(sa.distinct(visits.c.part_id)))
    return statement.where(visits.c.batch_id.in_(batch_ids)).group_by(visits.c.batch_id)


def read_batch(batch_id: str, last_row: int, counted: Any, parts_made: int) -> BatchCount:
    """A batch as a typed value. `counted`: its row of `counted_cases`, or None when its cases went to another batch."""
    if counted is None:
        return BatchCount(batch_id, "", parts_made, 0, 0, 0, 0, 0, Instant(0), last_row)
    return BatchCount(
        batch_id=batch_id,
        product=counted.product,
        parts_made=parts_made,
        parts_judged=counted.parts_judged,
        passed=getattr(counted, "pass"),
        review=counted.review,
        cannot_tell=counted.cannot_tell,
        open_cases=counted.open,
        last_event_at=Instant(counted.last_event_at),
        last_row=last_row,
    )
