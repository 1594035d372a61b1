"""Good parts to hold beside a doubtful one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api.store_tables import cases, findings

LATEST = 60  # frames looked through: the same tools, light and lots as today


def good_frames(camera_id: str, product: str, part_id: str) -> sa.Select[Any]:
    """Bodies of the latest findings of a camera on parts of a product that passed and that nobody called defective."""
    good = sa.select(cases.c.part_id).where(
        cases.c.part_id == findings.c.part_id,
        cases.c.product == product,
        cases.c.decision == "pass",
        sa.or_(cases.c.outcome.is_(None), cases.c.outcome == "ok"),
    )
    bad = sa.select(cases.c.part_id).where(cases.c.part_id == findings.c.part_id, cases.c.outcome == "defect")
    return (
        sa.select(findings.c.body)
        .where(findings.c.camera_id == camera_id, findings.c.part_id != part_id, sa.exists(good), ~sa.exists(bad))
        .order_by(findings.c.captured_at.desc())
        .limit(LATEST)
    )
