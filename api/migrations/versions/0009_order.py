"""What the order of the queue is made of, cameras to filter it by, and views that are shared."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Of the cases there are nobody knows when they move on: they stand by their risk, as before."""
    op.add_column("cases", sa.Column("moves_on_at", sa.BigInteger()))
    op.add_column("cases", sa.Column("pressing", sa.Float()))
    op.add_column("cases", sa.Column("cameras", sa.Text(), nullable=False, server_default=""))
    _name_cameras()
    op.create_index("cases_pressing", "cases", ["state", "pressing", "row_id", "moves_on_at"])
    op.create_index("cases_event", "cases", ["state", "event_at"])
    op.create_index("cases_cameras", "cases", ["state", "cameras"])
    op.add_column("views", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false()))


def _name_cameras() -> None:
    """Of what waits: the cameras that evidence or causes name, read from the verdicts' bodies."""
    connection = op.get_bind()
    waiting = sa.text(
        "SELECT cases.row_id, verdicts.body FROM cases JOIN verdicts ON verdicts.row_id = cases.row_id "
        "WHERE cases.state = 'open'"
    )
    name = sa.text("UPDATE cases SET cameras = :cameras WHERE row_id = :row_id")
    for row_id, body in connection.execute(waiting).all():
        if cameras := _cameras(json.loads(body)):
            connection.execute(name, {"cameras": cameras, "row_id": row_id})


def _cameras(verdict: dict[str, Any]) -> str:
    sources = [one for sources in verdict["evidence"].values() if isinstance(sources, list) for one in sources]
    sources += [side for cause in verdict["causes"] for side in cause["cause"].split(" & ")]
    found = {source.removeprefix("camera:") for source in sources if source.startswith("camera:")}
    return "".join(f"|{name}" for name in sorted(found)) + "|" if found else ""


def downgrade() -> None:
    """Shared views are their owners' own again."""
    op.drop_column("views", "shared")
    op.drop_index("cases_cameras", "cases")
    op.drop_index("cases_event", "cases")
    op.drop_index("cases_pressing", "cases")
    op.drop_column("cases", "cameras")
    op.drop_column("cases", "pressing")
    op.drop_column("cases", "moves_on_at")
