"""How a decision was made: what was on the screen, how long it took, and which earlier decision it takes back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two columns of the reviews, of which earlier ones say nothing; kinds of defect are looked up by time."""
    op.add_column("reviews", sa.Column("undoes", sa.Text(), nullable=False, server_default=""))
    op.add_column("reviews", sa.Column("made", sa.Text(), nullable=False, server_default=""))
    op.create_index("defects_recorded", "defects", ["outcome", "recorded_at"])


def downgrade() -> None:
    """The columns go; the header `review` of each record on the log still says it."""
    op.drop_index("defects_recorded", "defects")
    op.drop_column("reviews", "made")
    op.drop_column("reviews", "undoes")
