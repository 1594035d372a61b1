"""A part that waits blind at one gate is blind at all of them: its place there told what was hidden here."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

# Its place as of a part of which nobody knows the risk (api/urgency.py: log2(1) - moves_on_at / HALF_MS); a cost of its
# own is counted again when it is next seen.
_BLIND = """
UPDATE cases SET blind = true, urgency = 1,
    pressing = CASE WHEN pressing IS NULL THEN NULL ELSE -(moves_on_at / 120000.0) END
WHERE state = 'open' AND NOT blind AND EXISTS (
    SELECT 1 FROM cases other WHERE other.part_id = cases.part_id AND other.line_id = cases.line_id
        AND other.state = 'open' AND other.blind
)
"""


def upgrade() -> None:
    """What waits, as if it had been drawn so."""
    op.execute(_BLIND)


def downgrade() -> None:
    """What was shown blind stays so."""
