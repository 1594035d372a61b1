"""The rank of the cases that wait, brought up to date with what was just collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from api.store.rows import Harvest, read_visit
from api.store.tables import cases, is_open, visits
from api.urgency import Ranking
from ingest.messages import Instant, Verdict, Visit

PACE_FROM = 2000  # the latest visits: some hours of a line, the shift's own pace
PACE_EVERY_MS = 60_000
_KEY = (cases.c.line_id, cases.c.gate_id, cases.c.part_id, cases.c.attempt)
_RANKED = sa.update(cases).where(
    *(column == sa.bindparam(name) for column, name in zip(_KEY, ("line", "gate", "part", "try"), strict=True))
)


def latest_visits(connection: sa.Connection) -> list[Visit]:
    """What the lines' pace is learned from."""
    return [
        read_visit(row) for row in connection.execute(_visits().order_by(visits.c.started_at.desc()).limit(PACE_FROM))
    ]


def rank_cases(connection: sa.Connection, harvest: Harvest, ranking: Ranking) -> None:
    """Of the cases that wait: those with a new revision, and those of parts that were seen again."""
    flagged = {verdict.part_id for verdict, _ in harvest.verdicts if verdict.decision != "pass"}
    parts = flagged | {visit.part_id for visit in harvest.visits}
    if not parts:
        return
    of_parts = sa.select(*_KEY, cases.c.revision, cases.c.product, cases.c.risk, cases.c.blind, cases.c.event_at,
                         cases.c.urgency, cases.c.moves_on_at, cases.c.pressing,
                         cases.c.cameras).where(is_open, cases.c.part_id.in_(parts))  # fmt: skip
    open_cases = connection.execute(of_parts).all()
    if not open_cases:
        return
    changed = []
    seen = _visits_of(connection, {case.part_id for case in open_cases})
    named = {_revision_of(verdict): cameras_of(verdict) for verdict, _ in harvest.verdicts}
    for case in open_cases:
        where, event_at = (case.line_id, case.gate_id), Instant(case.event_at)
        risk = None if case.blind else case.risk  # the place of a blind part must not tell its risk
        urgency = ranking.urgency(*where, case.product, risk)
        rank = ranking.rank(urgency, *where, event_at, ranking.moved_on(*where, event_at, seen.get(case.part_id, [])))
        cameras = named.get((*where, case.part_id, case.attempt, case.revision), case.cameras)
        moves_on_at = None if rank.moves_on_at is None else int(rank.moves_on_at)
        ranked = {"urgency": urgency, "moves_on_at": moves_on_at, "pressing": rank.pressing, "cameras": cameras}
        if ranked != {name: case._mapping[name] for name in ranked}:
            key = {"line": case.line_id, "gate": case.gate_id, "part": case.part_id, "try": case.attempt}
            changed.append(ranked | key)
    if changed:
        connection.execute(_RANKED, changed)


def cameras_of(verdict: Verdict) -> str:
    """The cameras that a verdict's evidence or causes name, each between bars: `|side|top|`."""
    evidence = verdict.evidence
    sources = [*evidence.present, *evidence.missing, *evidence.late, *evidence.unfit]
    sources += [side for cause in verdict.causes for side in cause.cause.split(" & ")]
    found = {source.removeprefix("camera:") for source in sources if source.startswith("camera:")}
    return "".join(f"|{name}" for name in sorted(found)) + "|" if found else ""


def camera_pattern(camera_id: str) -> str:
    """What the cameras of a case are like when its last verdict names this one."""
    escaped = camera_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%|{escaped}|%"


def _revision_of(verdict: Verdict) -> tuple[str, str, str, int, int]:
    return verdict.line_id, verdict.gate_id, verdict.part_id, verdict.attempt, verdict.revision


def _visits_of(connection: sa.Connection, parts: Iterable[str]) -> dict[str, list[Visit]]:
    found: dict[str, list[Visit]] = {}
    for row in connection.execute(_visits().where(visits.c.part_id.in_(list(parts)))):
        found.setdefault(row.part_id, []).append(read_visit(row))
    return found


def _visits() -> sa.Select[Any]:
    return sa.select(visits)
