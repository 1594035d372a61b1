"""Who may log in: accounts made, changed and shut by an admin, each with a line in the audit trail."""

from __future__ import annotations

import time

from api.passwords import hash_password, one_time_secret
from api.store import migrate
from api.store_desk import Desk
from api.store_people import Account, PeopleStore
from api.store_rows import AuditEntry
from api.tokens import NAME_CHARACTERS_MAX
from ingest.errors import BadInput
from ingest.messages import Instant
from ingest.settings import Settings

HUMAN_ROLES = ("inspector", "qa", "engineer", "admin")  # machines have tokens
FIRST_ADMIN = "admin"


def new_account(name: str, role: str, now: Instant) -> tuple[Account, str]:
    """An account with a one-time secret, and that secret. Raises BadInput."""
    if role not in HUMAN_ROLES:
        raise BadInput(f"{role}: no role of a person; there are {', '.join(HUMAN_ROLES)}")
    if not name.strip() or name != name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadInput(f"a person's name has 1 to {NAME_CHARACTERS_MAX} printable characters, none at its ends a blank")
    secret = one_time_secret()
    return Account(name, role, hash_password(secret), must_change=True, disabled=False, made_at=now), secret


def add_person(settings: Settings, name: str, role: str, by: str) -> str:
    """Make an account of this installation; returns its one-time secret. Raises BadInput, StoreUnavailable."""
    now = Instant(time.time() * 1000)
    account, secret = new_account(name, role, now)
    migrate(settings.store)
    people, desk = PeopleStore(settings.store), Desk(settings.store)
    try:
        if not people.add(account):
            raise BadInput(f"person: there is a {name} already")
        desk.write_audit(AuditEntry(now, by, "", "person_added", name, f"role {role}"))
    finally:
        people.close()
        desk.close()
    return secret


def first_admin(settings: Settings) -> str | None:
    """On the first start, with neither account nor token: make one admin; returns the one-time secret, else None."""
    now = Instant(time.time() * 1000)
    account, secret = new_account(FIRST_ADMIN, "admin", now)
    migrate(settings.store)
    people, desk = PeopleStore(settings.store), Desk(settings.store)
    try:
        if not people.add_first(account):
            return None
        desk.write_audit(AuditEntry(now, "first start", "", "person_added", FIRST_ADMIN, "role admin"))
    finally:
        people.close()
        desk.close()
    return secret
