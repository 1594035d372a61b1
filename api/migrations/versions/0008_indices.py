"""Indices by which long lists are paged, of every batch the newest row, answers to requests that came with a key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Batches are found in the cases there are."""
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.Text(), primary_key=True),
        sa.Column("last_row", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
    )
    op.execute("INSERT INTO batches (batch_id, last_row) SELECT batch_id, max(row_id) FROM cases GROUP BY batch_id")
    op.create_index("batches_last", "batches", ["last_row"])
    op.create_index("marks_recorded", "marks", ["recorded_at", "record_sha256", "place"])
    op.create_index("cases_row", "cases", ["row_id"])
    op.drop_index("visits_started", "visits")
    op.create_index("visits_order", "visits", ["started_at", "line_id", "part_id", "station_id"])
    op.create_table(
        "repeats",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """What can be worked out again goes, and the answers of the last day."""
    op.drop_table("repeats")
    op.drop_index("visits_order", "visits")
    op.create_index("visits_started", "visits", ["started_at"])
    op.drop_index("cases_row", "cases")
    op.drop_index("marks_recorded", "marks")
    op.drop_table("batches")
