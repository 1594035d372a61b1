"""Accounts and sessions. Of a password only its hash is kept, of a session's secret too.

A name stands for one author for good: an account and a token never have the same one, and the last admin stays one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal

import sqlalchemy as sa

from api.store.database import TwoHands, insert_into, reaching_store
from api.store.rows import Person
from api.store.tables import accounts, sessions, tokens
from ingest.messages import Instant

NAMES_LOCK = 0x7163666E  # "qcfn"; only on PostgreSQL: SQLite has one writer at a time

NEXT_OF_NAME = "next of this name"  # no issuer is called so: one is an address

Added = Literal["added", "account", "token"]
Changed = Literal["changed", "unknown", "last_admin"]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in. `must_change`: the password is a one-time secret that somebody else has seen;
    `directory_id`: issuer and subject of whoever logs in by the plant's own directory, NEXT_OF_NAME until that happens
    for the first time, else empty."""

    name: str
    role: str
    password_hash: str
    must_change: bool
    disabled: bool
    made_at: Instant
    display_name: str = ""
    group_name: str = ""
    language: str = ""
    directory_id: str = ""

    @property
    def person(self) -> Person:
        return Person(self.name, self.role, self.must_change, self.language, self.group_name)


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is good now: whose it is, and when it was last used."""

    person: Person
    seen_at: Instant


_FIELDS = tuple(field.name for field in fields(Account))


def lock_names(connection: sa.Connection) -> None:
    """Until the end of this transaction nobody else makes or changes a name."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(NAMES_LOCK)))


def is_account(connection: sa.Connection, name: str) -> bool:
    """Is there an account of this name, open or shut?"""
    return connection.execute(sa.select(accounts.c.name).where(accounts.c.name == name)).first() is not None


class PeopleStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away. `changes`: how often this process has changed what
    somebody may do; whoever remembers it looks again."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.changes = 0

    def add(self, account: Account) -> Added:
        """A new account; or what has had its name before, so that it cannot be taken."""
        with reaching_store(), self._engine.begin() as connection:
            lock_names(connection)
            if connection.execute(sa.select(tokens.c.name).where(tokens.c.name == account.name).limit(1)).first():
                return "token"
            return "added" if _insert(connection, account) else "account"

    def add_first(self, account: Account) -> bool:
        """The first account of an installation; False where there is any account or token already."""
        with reaching_store(), self._engine.begin() as connection:
            lock_names(connection)
            for names in (accounts.c.name, tokens.c.name):
                if connection.execute(sa.select(names).limit(1)).first():
                    return False
            return _insert(connection, account)

    def account(self, name: str) -> Account | None:
        found = self._accounts(sa.select(accounts).where(accounts.c.name == name))
        return found[0] if found else None

    def of_directory(self, directory_id: str) -> Account | None:
        """The account of somebody in the plant's own directory."""
        found = self._accounts(sa.select(accounts).where(accounts.c.directory_id == directory_id))
        return found[0] if found else None

    def bind(self, name: str, directory_id: str) -> bool:
        """Tie an account that waits for it to somebody of the directory, once."""
        waits = sa.and_(accounts.c.name == name, accounts.c.directory_id == NEXT_OF_NAME)
        with reaching_store(), self._engine.begin() as connection:
            bound = sa.update(accounts).where(waits).values(directory_id=directory_id)
            return bool(connection.execute(bound).rowcount)

    def every(self) -> list[Account]:
        """All accounts by name."""
        return self._accounts(sa.select(accounts).order_by(accounts.c.name))

    def change(self, name: str, *, keep_admin: bool = True, **changes: Any) -> Changed:
        """Change columns of an account; if they say what it may do or how it logs in, whoever is logged in as it is
        logged out. With `keep_admin` the last open admin is not shut and gets no other role."""
        with reaching_store(), self._engine.begin() as connection:
            lock_names(connection)
            if keep_admin and _takes_admin(changes) and _is_last_admin(connection, name):
                return "last_admin"
            changed = connection.execute(sa.update(accounts).where(accounts.c.name == name).values(**changes)).rowcount
            if changes.keys() & {"role", "disabled", "password_hash"}:
                connection.execute(sa.delete(sessions).where(sessions.c.account == name))
        self.changes += 1
        return "changed" if changed else "unknown"

    def rehash(self, name: str, was: str, password_hash: str) -> None:
        """Keep the same password by another hash, unless it has been changed meanwhile."""
        same = sa.and_(accounts.c.name == name, accounts.c.password_hash == was)
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.update(accounts).where(same).values(password_hash=password_hash))

    def begin_session(
        self, session_sha256: str, now: Instant, ends_at: Instant, *, account: str = "", token_sha256: str = ""
    ) -> None:
        """Keep a session, begun by an account or with a token, and forget those that have ended."""
        row = {"session_sha256": session_sha256, "token_sha256": token_sha256, "account": account}
        times = {"ends_at": int(ends_at), "seen_at": int(now)}
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.ends_at <= int(now)))
            connection.execute(sa.insert(sessions).values(**row, **times))

    def end_session(self, session_sha256: str) -> None:
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.session_sha256 == session_sha256))
        self.changes += 1

    def use_session(self, session_sha256: str, now: Instant) -> None:
        """Somebody has just done something with it."""
        used = sa.update(sessions).where(sessions.c.session_sha256 == session_sha256).values(seen_at=int(now))
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(used)

    def session(self, session_sha256: str, now: Instant, idle_ms: float) -> Session | None:
        """A session that is good now."""
        return self.sessions([session_sha256], now, idle_ms).get(session_sha256)

    def sessions(self, digests: Collection[str], now: Instant, idle_ms: float) -> dict[str, Session]:
        """Of some sessions those that have not ended and whose account or token is good now. Of an account it was used
        within `idle_ms`; a display on the wall, opened with a token, is used by looking at it."""
        in_use = sa.or_(sessions.c.account == "", sessions.c.seen_at > int(now - idle_ms))
        statement = (
            sa.select(sessions, accounts, tokens.c.name.label("token"), tokens.c.role.label("token_role"),
                      tokens.c.revoked, tokens.c.ends_at.label("token_ends_at"))
            .outerjoin(accounts, accounts.c.name == sessions.c.account)
            .outerjoin(tokens, tokens.c.token_sha256 == sessions.c.token_sha256)
            .where(sessions.c.session_sha256.in_(digests), sessions.c.ends_at > int(now), in_use)
        )  # fmt: skip
        with reaching_store(), self._reading.connect() as connection:
            rows = connection.execute(statement).all()
        found = {row.session_sha256: _session(row, now) for row in rows}
        return {digest: session for digest, session in found.items() if session is not None}

    def _accounts(self, statement: sa.Select[*tuple[object, ...]]) -> list[Account]:
        with reaching_store(), self._reading.connect() as connection:
            return [_account(row) for row in connection.execute(statement).all()]


def _takes_admin(changes: dict[str, Any]) -> bool:
    return changes.get("disabled") is True or changes.get("role", "admin") != "admin"


def _is_last_admin(connection: sa.Connection, name: str) -> bool:
    open_admins = sa.and_(accounts.c.role == "admin", accounts.c.disabled.is_(False))
    return connection.execute(sa.select(accounts.c.name).where(open_admins).limit(2)).scalars().all() == [name]


def _session(row: sa.Row[*tuple[object, ...]], now: Instant) -> Session | None:
    if row.name is not None:
        return None if row.disabled else Session(_account(row).person, Instant(row.seen_at))
    if row.token is None or row.revoked or (row.token_ends_at is not None and row.token_ends_at <= int(now)):
        return None
    return Session(Person(row.token, row.token_role), Instant(row.seen_at))


def _account(row: sa.Row[*tuple[object, ...]]) -> Account:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Account(**(values | {"made_at": Instant(values["made_at"])}))


def _insert(connection: sa.Connection, account: Account) -> bool:
    """False when somebody of this name is there, perhaps since a moment ago."""
    row = {name: getattr(account, name) for name in _FIELDS} | {"made_at": int(account.made_at)}
    statement = insert_into(connection, accounts).values(row).on_conflict_do_nothing()
    return connection.execute(statement.returning(accounts.c.name)).first() is not None
