"""Tokens: who may do what. A token is shown once, when it is made; the store keeps its SHA-256.

A token is 256 random bits, so a fast hash is enough: there is nothing in it to guess.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Literal, get_args

from api.store.database import migrate
from api.store.desk import Desk
from api.store.rows import AuditEntry, Person
from ingest.errors import BadInput
from ingest.messages import Instant
from ingest.settings import Settings

Role = Literal["inspector", "qa", "engineer", "machine", "admin"]
Right = Literal["read", "review", "stop", "resume", "promote", "audit", "people", "quality"]

ROLES: tuple[str, ...] = get_args(Role)

#: Anyone who works at the line may stop the system; starting it again is for those who answer for quality.
RIGHTS: dict[str, frozenset[Right]] = {
    "inspector": frozenset({"read", "review", "stop"}),
    "qa": frozenset({"read", "review", "stop", "resume", "audit", "quality"}),
    "engineer": frozenset({"read", "stop", "promote", "audit"}),
    "machine": frozenset({"read"}),
    "admin": frozenset({"read", "review", "stop", "resume", "promote", "audit", "people", "quality"}),
}

NAME_CHARACTERS_MAX = 80
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def sha256_of(secret: str) -> str:
    """What the store keeps of a token or a session."""
    return hashlib.sha256(secret.encode()).hexdigest()


def may(person: Person, right: Right) -> bool:
    """Has this person this right?"""
    return right in RIGHTS.get(person.role, frozenset())


def issue_token(settings: Settings, name: str, role: str, by: str = "cli", days: float | None = None) -> str:
    """Make a token of this installation and return it. Raises BadInput, StoreUnavailable."""
    if role not in ROLES:
        raise BadInput(f"{role}: no such role; there are {', '.join(ROLES)}")
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadInput(f"a token's name has 1 to {NAME_CHARACTERS_MAX} printable characters")
    migrate(settings.store)
    token = f"qcf_{secrets.token_hex(32)}"
    now = Instant(time.time() * 1000)
    desk = Desk(settings.store)
    try:
        ends_at = None if days is None else Instant(now + days * DAY_MS)
        if not desk.add_token(sha256_of(token), Person(name, role), now, ends_at):
            raise BadInput(f"token: {name} is somebody's account; give the token another name, so that what both do is "
                           "told apart")  # fmt: skip
        desk.write_audit(AuditEntry(now, by, "", "token_made", name, f"role {role}"))
    finally:
        desk.close()
    return token


def revoke_tokens(settings: Settings, name: str, by: str) -> int:
    """Make every token of this name worthless; how many there were. Raises BadInput when there was none."""
    migrate(settings.store)
    desk = Desk(settings.store)
    try:
        revoked = desk.revoke_tokens(name)
        desk.write_audit(AuditEntry(Instant(time.time() * 1000), by, "", "token_revoked", name, f"{revoked} tokens"))
    finally:
        desk.close()
    if not revoked:
        raise BadInput(f"token: there is no good token of {name}")
    return revoked
