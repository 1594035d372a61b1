"""Indices by which the audit trail is looked through: by who, and by what was done."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Newest first within each."""
    op.create_index("audit_by", "audit", ["by", "audit_id"])
    op.create_index("audit_action", "audit", ["action", "audit_id"])
    op.create_index("audit_at", "audit", ["at"])


def downgrade() -> None:
    """The trail itself stays."""
    op.drop_index("audit_at", "audit")
    op.drop_index("audit_action", "audit")
    op.drop_index("audit_by", "audit")
