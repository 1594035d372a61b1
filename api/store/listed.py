"""The list of verdicts in SQL: of each filter the narrowest index leads, and gives the order."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api.store.rows import VerdictFilter
from api.store.tables import cases, causes, is_open, verdicts
from ingest.messages import Instant

BODY = (verdicts.c.row_id, verdicts.c.decision, verdicts.c.revision, verdicts.c.body)
FEW = 2000  # what is found by its time must be sorted; where more was decided, going back from the newest fills a page


def listed_verdicts(wanted: VerdictFilter, limit: int, before: int | None, few_since: bool) -> sa.Select[Any]:
    """Verdict records, newest first, below row `before`: no list is built of what is not shown. `few_since`: at most
    FEW were decided since `wanted.since`."""
    statement: sa.Select[Any] = sa.select(*BODY)
    table: sa.Table = verdicts
    leading: sa.ColumnElement[int] = verdicts.c.row_id
    if wanted.state:
        statement = statement.join(cases, cases.c.row_id == verdicts.c.row_id)
        statement = statement.where(is_open if wanted.state == "open" else cases.c.state == wanted.state)
        table, leading = cases, cases.c.row_id  # a case says the same of itself as its last revision
    if wanted.cause:
        statement = statement.join(causes, causes.c.row_id == verdicts.c.row_id)
        statement = statement.where(causes.c.cause == wanted.cause)
        leading = causes.c.row_id
    # An expression of the column is answered by no index: what is few is found by its time, and sorted.
    leading = leading + 0 if few_since else leading
    statement = statement.order_by(leading.desc()).limit(limit)
    if before is not None:
        statement = statement.where(leading < before)
    if wanted.decision:
        statement = statement.where(table.c.decision.in_(wanted.decision))
    if wanted.since is not None:
        decided_at = verdicts.c.decided_at if few_since else verdicts.c.decided_at + 0
        statement = statement.where(decided_at >= int(wanted.since))
    same = {name: value for name in ("line_id", "batch_id", "product") if (value := getattr(wanted, name))}
    return statement.where(*(table.c[name] == value for name, value in same.items()))


def decided_since(since: Instant, limit: int) -> sa.Select[Any]:
    """Of the verdicts decided since then so many at most."""
    return sa.select(verdicts.c.row_id).where(verdicts.c.decided_at >= int(since)).limit(limit)
