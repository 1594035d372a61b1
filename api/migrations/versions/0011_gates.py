"""An index by which parts that wait at several gates are told from those that wait at one."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_index("cases_waits", "cases", ["state", "part_id", "line_id"])


def downgrade() -> None:
    op.drop_index("cases_waits", "cases")
