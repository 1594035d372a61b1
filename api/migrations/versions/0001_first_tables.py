"""The first tables, and the triggers that keep the record: what is written there is never changed or deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_KEPT = ("verdicts", "causes", "defects", "reviews", "audit")


def upgrade() -> None:
    """Make every table of the first version."""
    _verdicts()
    _evidence()
    _collector()
    _people()
    _keep_the_record()


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("row_id", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("verdict_id", sa.Text(), nullable=False, unique=True),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("gate_id", sa.Text(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("verdicts_batch", "verdicts", ["batch_id", "row_id"])
    op.create_index("verdicts_decision", "verdicts", ["decision", "row_id"])
    op.create_index("verdicts_part", "verdicts", ["part_id", "row_id"])
    op.create_table(
        "causes",
        sa.Column("row_id", _ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
    )
    op.create_index("causes_cause", "causes", ["cause", "row_id"])
    op.create_table(
        "cases",
        sa.Column("line_id", sa.Text(), primary_key=True),
        sa.Column("gate_id", sa.Text(), primary_key=True),
        sa.Column("part_id", sa.Text(), primary_key=True),
        sa.Column("attempt", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("row_id", _ROW_ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("risk", sa.Float()),
        sa.Column("event_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text()),
    )
    op.create_index("cases_batch", "cases", ["batch_id", "row_id"])
    op.create_index("cases_part", "cases", ["part_id"])
    op.create_index("cases_state", "cases", ["state", "row_id"])


def _evidence() -> None:
    op.create_table(
        "visits",
        sa.Column("line_id", sa.Text(), primary_key=True),
        sa.Column("part_id", sa.Text(), primary_key=True),
        sa.Column("station_id", sa.Text(), primary_key=True),
        sa.Column("started_at", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
    )
    op.create_index("visits_batch", "visits", ["batch_id"])
    op.create_index("visits_part", "visits", ["part_id"])
    op.create_index("visits_started", "visits", ["started_at"])
    op.create_table(
        "findings",
        sa.Column("part_id", sa.Text(), primary_key=True),
        sa.Column("frame_id", sa.Text(), primary_key=True),
        sa.Column("camera_id", sa.Text(), nullable=False),
        sa.Column("captured_at", sa.BigInteger(), nullable=False),
        sa.Column("inspected_at", sa.BigInteger(), nullable=False),
        sa.Column("frame_ref", sa.Text(), nullable=False),
        sa.Column("heatmap_ref", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_table(
        "defects",
        sa.Column("record_sha256", sa.Text(), primary_key=True),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("defects_part", "defects", ["part_id"])
    op.create_table(
        "reviews",
        sa.Column("review_id", sa.Text(), primary_key=True),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("gate_id", sa.Text(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("reviews_part", "reviews", ["part_id"])


def _collector() -> None:
    op.create_table(
        "orders",
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("offset", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("logged_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_table(
        "offsets",
        sa.Column("topic", sa.Text(), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )


def _people() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_sha256", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger()),
        sa.Column("revoked", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("session_sha256", sa.Text(), primary_key=True),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("audit_id", _ROW_ID, primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
    )


def _keep_the_record() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in _KEPT:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'the record is only added to'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION keep_the_record() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the record is only added to'; END $$"
    )
    for table in _KEPT:
        op.execute(
            f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION keep_the_record()"
        )
