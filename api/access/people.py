"""Who may log in: accounts made, changed and shut by an admin, each with a line in the audit trail."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from api.access.passwords import hash_password, one_time_secret
from api.access.tokens import NAME_CHARACTERS_MAX
from api.store.database import migrate
from api.store.desk import Desk
from api.store.people import NEXT_OF_NAME, Account, PeopleStore
from api.store.rows import AuditEntry
from ingest.errors import BadInput
from ingest.messages import Instant
from ingest.settings import Settings

HUMAN_ROLES = ("inspector", "qa", "engineer", "admin")  # machines have tokens
FIRST_ADMIN = "admin"
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|")  # RFC 5646, as far as names of files go

_TAKEN = {
    "account": "there is a {name} already",
    "token": "there was a token of the name {name}; give the person another name, so that what both did is told apart",
}


class Refused(BadInput):
    """What is asked for is understood, but cannot be with the accounts and tokens that are there."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be of an account; None: as it is. `reset`: give it a one-time password; `by_directory`: from now on it
    is whoever of the plant's directory has its name and logs in next, and has no password here."""

    role: str | None = None
    disabled: bool | None = None
    reset: bool = False
    display_name: str | None = None
    group_name: str | None = None
    language: str | None = None
    by_directory: bool = False

    def checked(self) -> dict[str, Any]:
        """The columns to change. Raises BadInput."""
        if self.role is not None and self.role not in HUMAN_ROLES:
            raise BadInput(f"role: {self.role[:40]!r} is no role of a person; there are {', '.join(HUMAN_ROLES)}")
        for what, text in (("display_name", self.display_name), ("group", self.group_name)):
            if text is not None and (len(text) > NAME_CHARACTERS_MAX or not text.isprintable() or text != text.strip()):
                raise BadInput(f"{what}: at most {NAME_CHARACTERS_MAX} printable characters, none at its ends a blank")
        if self.language is not None and not LANGUAGE.fullmatch(self.language):
            raise BadInput("language: a tag like `de`, or nothing for the browser's own")
        columns = ("role", "disabled", "display_name", "group_name", "language")
        return {name: value for name in columns if (value := getattr(self, name)) is not None}


def new_account(name: str, now: Instant, wish: Wish) -> tuple[Account, str]:
    """An account with a one-time secret, and that secret. Raises BadInput."""
    name = checked_name(name)
    columns = wish.checked()
    if wish.role is None:
        raise BadInput(f"role: a person has one of {', '.join(HUMAN_ROLES)}")
    secret = one_time_secret()
    account = Account(name, wish.role, hash_password(secret), must_change=True, disabled=bool(wish.disabled),
                      made_at=now, display_name=str(columns.get("display_name", "")),
                      group_name=str(columns.get("group_name", "")),
                      language=str(columns.get("language", "")))  # fmt: skip
    return account, secret


def checked_name(name: str) -> str:
    """A name as it is kept: the same letters are the same characters however they were typed. Raises BadInput."""
    name = unicodedata.normalize("NFC", name)
    if not name.strip() or name != name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadInput(f"a person's name has 1 to {NAME_CHARACTERS_MAX} printable characters, none at its ends a blank")
    return name


def add(people: PeopleStore, account: Account) -> None:
    """Keep a new account. Raises Refused when its name cannot be had."""
    if (had_by := people.add(account)) != "added":
        raise Refused(_TAKEN[had_by].format(name=account.name))


def change(people: PeopleStore, account: Account, wish: Wish) -> tuple[str, str | None]:
    """Change an account; its sessions end where that matters. Returns what was done, for the audit, and the one-time
    password if it was given one. Raises BadInput, Refused."""
    columns, secret = wish.checked(), None
    said = [f"{what} {value}" for what, value in columns.items()]
    if wish.reset:
        if account.directory_id or wish.by_directory:
            raise Refused(f"{account.name} logs in by the plant's directory, which keeps the password")
        secret = one_time_secret()
        columns |= {"password_hash": hash_password(secret), "must_change": True}
        said.append("one-time password")
    if wish.by_directory:
        columns |= {"password_hash": "", "must_change": False, "directory_id": NEXT_OF_NAME}
        said.append("by the directory")
    if not columns:
        raise BadInput("nothing is to change: give role, disabled, display_name, group, language or reset")
    if people.change(account.name, **columns) == "last_admin":
        raise Refused(f"{account.name} is the last admin: make another one first")
    return ", ".join(said), secret


def add_person(settings: Settings, name: str, role: str, by: str, wish: Wish | None = None) -> str:
    """Make an account of this installation; returns its one-time secret. Raises BadInput, StoreUnavailable."""
    now = Instant(time.time() * 1000)
    account, secret = new_account(name, now, wish or Wish(role))
    with _opened(settings) as (people, desk):
        add(people, account)
        desk.write_audit(AuditEntry(now, by, "", "person_added", account.name, said_of(account)))
    return secret


def change_person(settings: Settings, name: str, by: str, wish: Wish) -> str | None:
    """Change an account of this installation; returns its one-time secret if it was given one. Raises BadInput,
    StoreUnavailable."""
    with _opened(settings) as (people, desk):
        account = people.account(unicodedata.normalize("NFC", name))
        if account is None:
            raise BadInput(f"person: there is no {name}")
        said, secret = change(people, account, wish)
        desk.write_audit(AuditEntry(Instant(time.time() * 1000), by, "", "person_changed", account.name, said))
    return secret


def first_admin(settings: Settings) -> str | None:
    """On the first start, with neither account nor token: make one admin; returns the one-time secret, else None."""
    now = Instant(time.time() * 1000)
    account, secret = new_account(FIRST_ADMIN, now, Wish("admin"))
    with _opened(settings) as (people, desk):
        if not people.add_first(account):
            return None
        desk.write_audit(AuditEntry(now, "first start", "", "person_added", FIRST_ADMIN, "role admin"))
    return secret


def said_of(account: Account) -> str:
    """A new account in the words of the audit."""
    return f"role {account.role}" + (f", group {account.group_name}" if account.group_name else "")


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[PeopleStore, Desk]]:
    migrate(settings.store)
    people, desk = PeopleStore(settings.store), Desk(settings.store)
    try:
        yield people, desk
    finally:
        people.close()
        desk.close()
