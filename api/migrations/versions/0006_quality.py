"""Which parts are shown blind or to two people, known parts, and what people said of them as an exercise."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_CASE = ("line_id", "gate_id", "part_id")


def upgrade() -> None:
    """Cases there are stay shown to one person with all that is known of them."""
    op.add_column("cases", sa.Column("blind", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("cases", sa.Column("people_wanted", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("cases", sa.Column("people_said", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("cases_said", "cases", ["state", "people_said"])
    _known_parts()
    _exercise_answers()


def _known_parts() -> None:
    op.create_table(
        "drawing_keys",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
    )
    op.create_table(
        "known_parts",
        *_case_key(primary_key=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("defect_code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("marked_by", sa.Text(), nullable=False),
        sa.Column("marked_at", sa.BigInteger(), nullable=False),
        sa.Column("in_use", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "exercises",
        sa.Column("name", sa.Text(), primary_key=True),
        *_case_key(primary_key=False),
        sa.Column("before_part", sa.Text(), nullable=False),
        sa.Column("before_at", sa.BigInteger(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
    )


def _exercise_answers() -> None:
    op.create_table(
        "exercise_answers",
        sa.Column("answer_id", sa.Text(), primary_key=True),
        *_case_key(primary_key=False),
        sa.Column("before_part", sa.Text(), nullable=False),
        sa.Column("truth", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("defect_code", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("made", sa.Text(), nullable=False),
    )
    op.create_index("exercise_answers_person", "exercise_answers", ["recorded_by", "part_id"])
    op.create_index("exercise_answers_recorded", "exercise_answers", ["recorded_at"])
    _forbid_changes("exercise_answers")


def _case_key(*, primary_key: bool) -> list[sa.Column[Any]]:
    texts = [sa.Column(name, sa.Text(), primary_key=primary_key, nullable=False) for name in _CASE]
    attempt = sa.Column("attempt", sa.Integer(), primary_key=primary_key, autoincrement=False, nullable=False)
    return [*texts, attempt]


def _forbid_changes(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'the record is only added to'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION keep_the_record()"
    )


def downgrade() -> None:
    """Known parts and exercises go; of what was drawn, the header `review` of each record on the log still tells."""
    for table in ("exercise_answers", "exercises", "known_parts", "drawing_keys"):
        op.drop_table(table)
    op.drop_index("cases_said", "cases")
    for column in ("people_said", "people_wanted", "blind"):
        op.drop_column("cases", column)
