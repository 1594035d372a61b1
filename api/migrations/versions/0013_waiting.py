"""What waits has indices of its own, what was booked can be looked up by cause, cases are counted as they come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_WAITS_FOR = ["row_id", "urgency", "line_id", "product", "decision", "batch_id", "event_at", "cameras", "blind",
              "people_said", "pressing", "moves_on_at", "part_id", "gate_id", "attempt", "state"]  # fmt: skip
_WAITING = {
    "cases_urgency": ["urgency"],
    "cases_line": ["line_id", "urgency"],
    "cases_product": ["product", "urgency"],
    "cases_open": ["row_id"],
    "cases_waits": ["part_id", "line_id"],
}
_OPEN = "state = 'open'"
_BEFORE = {
    "cases_state": ["state", "row_id"],
    "cases_urgency": ["state", "urgency", "row_id"],
    "cases_pressing": ["state", "pressing", "row_id", "moves_on_at"],
    "cases_event": ["state", "event_at"],
    "cases_cameras": ["state", "cameras"],
    "cases_said": ["state", "people_said"],
    "cases_waits": ["state", "part_id", "line_id"],
}
_LISTED = {"verdicts_line": ["line_id", "row_id"], "verdicts_product": ["product", "row_id"],
           "verdicts_decided": ["decided_at"]}  # fmt: skip


def upgrade() -> None:
    """All that is new is worked out from what there is."""
    for name in _BEFORE:
        op.drop_index(name, "cases")
    for name, leading in _WAITING.items():
        _index(name, leading + [column for column in _WAITS_FOR if column not in leading], _OPEN)
    _index("cases_pressing", ["pressing", "row_id", "moves_on_at"], f"{_OPEN} AND pressing IS NOT NULL")
    _index("cases_said", ["people_said"], f"{_OPEN} AND people_said > 0")
    for name, columns in _LISTED.items():
        op.create_index(name, "verdicts", columns)
    op.create_table(
        "case_counts",
        sa.Column("decision", sa.Text(), primary_key=True),
        sa.Column("cases", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO case_counts (decision, cases) SELECT decision, count(*) FROM cases GROUP BY decision")
    _expose()


def _index(name: str, columns: list[str], rows: str) -> None:
    op.create_index(name, "cases", columns, postgresql_where=sa.text(rows), sqlite_where=sa.text(rows))


def _expose() -> None:
    op.create_table(
        "exposures",
        sa.Column("cause", sa.Text(), primary_key=True),
        sa.Column("started_at", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("line_id", sa.Text(), primary_key=True),
        sa.Column("part_id", sa.Text(), primary_key=True),
        sa.Column("station_id", sa.Text(), primary_key=True),
        sqlite_with_rowid=False,
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    booked = "json_each(visits.attributes)" if sqlite else "jsonb_each_text(visits.attributes::jsonb)"
    op.execute(
        "INSERT INTO exposures (cause, started_at, line_id, part_id, station_id) SELECT "
        f"booked.key || '=' || booked.value, started_at, line_id, part_id, station_id FROM visits, {booked} booked"
    )


def downgrade() -> None:
    """What can be worked out again goes."""
    op.drop_table("exposures")
    op.drop_table("case_counts")
    for name in _LISTED:
        op.drop_index(name, "verdicts")
    for name in (*_WAITING, "cases_pressing", "cases_said"):
        op.drop_index(name, "cases")
    for name, columns in _BEFORE.items():
        op.create_index(name, "cases", columns)
