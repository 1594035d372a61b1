"""What is counted of decisions, as columns: to read it from the records anew took longer than to count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_SAID_IN = {"reviews": "review_id", "exercise_answers": "answer_id"}
_AT_ONCE = 1000


def upgrade() -> None:
    """The columns, filled from the records there are."""
    for table, key in _SAID_IN.items():
        op.add_column(table, sa.Column("said", sa.Integer(), nullable=False, server_default="0"))
        op.add_column(table, sa.Column("took_ms", sa.BigInteger(), nullable=False, server_default="0"))
        with _may_change(table):
            _count(table, key)
    op.add_column("defects", sa.Column("heard", sa.Boolean(), nullable=False, server_default=sa.false()))
    with _may_change("defects"):
        op.execute(
            "UPDATE defects SET heard = true WHERE outcome IN ('defect', 'ok') AND source <> 'history' AND NOT EXISTS "
            "(SELECT 1 FROM reviews WHERE reviews.part_id = defects.part_id AND reviews.body = defects.body)"
        )
    op.create_index("defects_heard", "defects", ["heard", "recorded_at", "part_id", "outcome"])
    op.create_index("reviews_undoes", "reviews", ["undoes", "recorded_at"])


@contextmanager
def _may_change(table: str) -> Iterator[None]:
    """The record itself stays as it is: only what is worked out from it is written beside it."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_kept")
        yield
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_kept")
        return
    op.execute(f"DROP TRIGGER {table}_no_update")
    yield
    op.execute(
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'the record is only added to'); END"
    )


def _count(table: str, key: str) -> None:
    connection = op.get_bind()
    rest = sa.text(
        f"SELECT {key} AS name, outcome, made FROM {table} WHERE {key} > :after ORDER BY {key} LIMIT {_AT_ONCE}"
    )
    keep = sa.text(f"UPDATE {table} SET said = :said, took_ms = :took_ms WHERE {key} = :name")
    after = ""
    while found := connection.execute(rest, {"after": after}).all():
        connection.execute(keep, [{"name": row.name} | _counted(row.outcome, row.made) for row in found])
        after = found[-1].name


def _counted(outcome: str, record: str) -> dict[str, int]:
    made: dict[str, Any] = json.loads(record) if record else {}
    risk, threshold, shown = made.get("risk"), made.get("threshold"), made.get("risk_shown")
    flags = (
        outcome == "defect",
        risk is not None and threshold is not None,
        risk is not None and threshold is not None and risk >= threshold,
        shown is not None,
        bool(shown),
        *(bool(made.get(name)) for name in ("blind", "final", "unaware", "seeded", "with_gate")),
    )
    return {"said": sum(1 << place for place, holds in enumerate(flags) if holds), "took_ms": made.get("took_ms") or 0}


def downgrade() -> None:
    """What can be worked out again goes."""
    op.drop_index("reviews_undoes", "reviews")
    op.drop_index("defects_heard", "defects")
    op.drop_column("defects", "heard")
    for table in _SAID_IN:
        op.drop_column(table, "took_ms")
        op.drop_column(table, "said")
