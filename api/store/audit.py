"""Looking through the audit trail: by who, by what was done, by when; newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.store.tables import audit
from ingest.messages import Instant


@dataclass(frozen=True, slots=True)
class AuditWanted:
    """What to look for; empty: anything. `since` is within, `until` is not."""

    by: str = ""
    action: str = ""
    since: Instant | None = None
    until: Instant | None = None


ANY_LINE = AuditWanted()


def audit_lines(wanted: AuditWanted, before: int | None) -> sa.Select[Any]:
    """Lines of the trail, newest first, older than line `before`."""
    asked = [
        audit.c.audit_id < before if before is not None else None,
        audit.c.by == wanted.by if wanted.by else None,
        audit.c.action == wanted.action if wanted.action else None,
        audit.c.at >= int(wanted.since) if wanted.since is not None else None,
        audit.c.at < int(wanted.until) if wanted.until is not None else None,
    ]
    conditions = [one for one in asked if one is not None]
    return sa.select(audit).where(*conditions).order_by(audit.c.audit_id.desc())
