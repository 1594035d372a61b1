"""Marks: where people saw defects in frames, each beside the defect record it came with. A record, only added to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table. No earlier record holds marks, so there is nothing to fill in."""
    op.create_table(
        "marks",
        sa.Column("record_sha256", sa.Text(), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.Column("camera_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("marks_camera", "marks", ["camera_id", "kind", "recorded_at"])
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER marks_no_{change.lower()} BEFORE {change} ON marks "
                f"BEGIN SELECT RAISE(ABORT, 'the record is only added to'); END"
            )
        return
    op.execute(
        "CREATE TRIGGER marks_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON marks "
        "FOR EACH STATEMENT EXECUTE FUNCTION keep_the_record()"
    )


def downgrade() -> None:
    """The table and its triggers go; the marks still stand in the bodies of the defect records."""
    op.drop_table("marks")
