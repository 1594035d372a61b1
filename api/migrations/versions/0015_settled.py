"""What is settled has an index of its own: flagged cases that wait no more lie scattered among all that passed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_SETTLED = sa.text("state = 'done' AND decision <> 'pass'")


def upgrade() -> None:
    """Worked out from what there is."""
    op.create_index("cases_settled", "cases", ["row_id"], postgresql_where=_SETTLED, sqlite_where=_SETTLED)


def downgrade() -> None:
    """What can be worked out again goes."""
    op.drop_index("cases_settled", "cases")
