"""The order in which parts are looked at, who holds which, who decided, and views that people named."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """`urgency` of the cases there are; of earlier reviews the author stands in the body alone."""
    op.add_column("cases", sa.Column("urgency", sa.Float(), nullable=False, server_default="1"))
    op.execute("UPDATE cases SET urgency = risk WHERE risk IS NOT NULL")
    op.create_index("cases_urgency", "cases", ["state", "urgency", "row_id"])
    op.add_column("reviews", sa.Column("recorded_by", sa.Text(), nullable=False, server_default=""))
    op.create_index("reviews_recorded", "reviews", ["recorded_at"])
    op.create_index("findings_camera", "findings", ["camera_id", "captured_at"])
    op.create_table(
        "holds",
        sa.Column("part_id", sa.Text(), primary_key=True),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "views",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("query", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Holds and views go, and what is worked out from other columns."""
    op.drop_table("views")
    op.drop_table("holds")
    op.drop_index("findings_camera", "findings")
    op.drop_index("reviews_recorded", "reviews")
    op.drop_column("reviews", "recorded_by")
    op.drop_index("cases_urgency", "cases")
    op.drop_column("cases", "urgency")
