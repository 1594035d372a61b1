"""People who log in with a name and a password, and their sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Accounts; a session is begun with a token or by an account."""
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
    )
    op.add_column("sessions", sa.Column("account", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """The accounts go, and the sessions they began."""
    op.execute("DELETE FROM sessions WHERE account <> ''")
    op.drop_column("sessions", "account")
    op.drop_table("accounts")
