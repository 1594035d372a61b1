"""Good parts to hold beside a doubtful one, and the part that shows best what is going wrong."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api.store.tables import cases, causes, findings, verdicts
from ingest.messages import Instant

CASES_LOOKED_THROUGH = 500  # the latest with a cause: what is going wrong goes wrong now
LATEST = 200  # verdicts of a product looked through: the same tools, light and lots as today


def good_frames(camera_id: str, product: str) -> sa.Select[Any]:
    """Bodies of a camera's findings on the latest parts of a product that passed, that nobody called defective and that
    wait at no other gate: what is doubted itself shows nobody what a good part looks like."""
    latest = sa.select(verdicts.c.part_id, verdicts.c.decision).where(verdicts.c.product == product)
    latest_told = latest.order_by(verdicts.c.row_id.desc()).limit(LATEST).subquery()
    passed = sa.select(latest_told.c.part_id).where(latest_told.c.decision == "pass")
    good = sa.select(cases.c.part_id).where(
        cases.c.part_id == findings.c.part_id,
        cases.c.product == product,
        cases.c.decision == "pass",
        sa.or_(cases.c.outcome.is_(None), cases.c.outcome == "ok"),
    )
    doubted = sa.or_(cases.c.outcome == "defect", sa.and_(cases.c.decision != "pass", cases.c.outcome.is_(None)))
    bad = sa.select(cases.c.part_id).where(cases.c.part_id == findings.c.part_id, doubted)
    # By these parts, not by all that the camera ever saw: as an expression the camera is answered by no index.
    seen = (findings.c.camera_id + "" == camera_id, findings.c.part_id.in_(passed))
    statement = sa.select(findings.c.body).where(*seen)
    return statement.where(sa.exists(good), ~sa.exists(bad)).order_by(findings.c.captured_at.desc())


def riskiest_with(cause: str, since: Instant | None) -> sa.Select[Any]:
    """Of the latest cases with this cause, the parts that have a picture, the riskiest first. A part that waits to be
    judged by eyes alone is not among them: its place here would tell its risk."""
    named = sa.select(causes.c.row_id).where(causes.c.cause == cause).order_by(causes.c.row_id.desc())
    latest = named.limit(CASES_LOOKED_THROUGH).subquery()
    seen = sa.exists().where(findings.c.part_id == cases.c.part_id, findings.c.frame_ref != "")
    told = sa.or_(~cases.c.blind, cases.c.state != "open")
    statement = sa.select(cases.c.part_id).join(latest, latest.c.row_id == cases.c.row_id).where(seen, told)
    if since is not None:
        statement = statement.where(cases.c.event_at >= int(since))
    return statement.order_by(sa.func.coalesce(cases.c.risk, 0.0).desc(), cases.c.row_id).limit(1)
