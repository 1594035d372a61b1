"""What accounts carry besides a role: what people call them, their group, their language, who they are in the plant's
own directory; and when each session was last used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

CARRIED = ("display_name", "group_name", "language", "directory_id")


def upgrade() -> None:
    """Earlier accounts carry nothing more; whoever is logged in keeps the session as if used just at its end."""
    for name in CARRIED:
        op.add_column("accounts", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.create_index("accounts_directory", "accounts", ["directory_id"])
    op.add_column("sessions", sa.Column("seen_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE sessions SET seen_at = ends_at")


def downgrade() -> None:
    """The columns go; accounts of the directory go with them, as they have no password to log in with."""
    op.drop_column("sessions", "seen_at")
    op.execute("DELETE FROM sessions WHERE account IN (SELECT name FROM accounts WHERE directory_id <> '')")
    op.execute("DELETE FROM accounts WHERE directory_id <> ''")
    op.drop_index("accounts_directory", "accounts")
    for name in reversed(CARRIED):
        op.drop_column("accounts", name)
