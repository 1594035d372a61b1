"""What the order of the queue is made of, cameras to filter it by, and views that are shared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Of the cases there are nobody knows when they move on: they stand by their risk, as before."""
    op.add_column("cases", sa.Column("moves_on_at", sa.BigInteger()))
    op.add_column("cases", sa.Column("pressing", sa.Float()))
    op.add_column("cases", sa.Column("cameras", sa.Text(), nullable=False, server_default=""))
    op.create_index("cases_pressing", "cases", ["state", "pressing", "row_id"])
    op.create_index("cases_event", "cases", ["state", "event_at"])
    op.add_column("views", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Shared views are their owners' own again."""
    op.drop_column("views", "shared")
    op.drop_index("cases_event", "cases")
    op.drop_index("cases_pressing", "cases")
    op.drop_column("cases", "cameras")
    op.drop_column("cases", "pressing")
    op.drop_column("cases", "moves_on_at")
