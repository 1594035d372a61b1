"""Accounts and the sessions they begin. Of a password only its hash is kept."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from api.store import TwoHands, insert_into, reaching_store
from api.store_rows import Person
from api.store_tables import accounts, sessions, tokens
from ingest.messages import Instant


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in. `must_change`: the password is a one-time secret that somebody else has seen."""

    name: str
    role: str
    password_hash: str
    must_change: bool
    disabled: bool
    made_at: Instant


class PeopleStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def add(self, account: Account) -> bool:
        """A new account; False when there is one of this name."""
        with reaching_store(), self._engine.begin() as connection:
            return _insert(connection, account)

    def add_first(self, account: Account) -> bool:
        """The first account of an installation; False where there is any account or token already."""
        with reaching_store(), self._engine.begin() as connection:
            for names in (accounts.c.name, tokens.c.name):
                if connection.execute(sa.select(names).limit(1)).first():
                    return False
            return _insert(connection, account)

    def account(self, name: str) -> Account | None:
        found = self._accounts(sa.select(accounts).where(accounts.c.name == name))
        return found[0] if found else None

    def every(self) -> list[Account]:
        """All accounts by name."""
        return self._accounts(sa.select(accounts).order_by(accounts.c.name))

    def change(self, name: str, **changes: object) -> bool:
        """Change columns of an account; whoever is logged in as it is logged out. False: there is no such account."""
        with reaching_store(), self._engine.begin() as connection:
            changed = connection.execute(sa.update(accounts).where(accounts.c.name == name).values(**changes)).rowcount
            connection.execute(sa.delete(sessions).where(sessions.c.account == name))
        return bool(changed)

    def begin_session(self, session_sha256: str, name: str, ends_at: Instant, now: Instant) -> None:
        """Keep a session of an account, and forget those that have ended."""
        row = {"session_sha256": session_sha256, "token_sha256": "", "account": name, "ends_at": int(ends_at)}
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.ends_at <= int(now)))
            connection.execute(sa.insert(sessions).values(**row))

    def person_of_session(self, session_sha256: str, now: Instant) -> Person | None:
        """Whose session this is, if it was begun by an account that is good now."""
        statement = (
            sa.select(accounts)
            .join(sessions, sessions.c.account == accounts.c.name)
            .where(
                sessions.c.session_sha256 == session_sha256,
                sessions.c.ends_at > int(now),
                accounts.c.disabled.is_(False),
            )
        )
        found = self._accounts(statement)
        return Person(found[0].name, found[0].role, found[0].must_change) if found else None

    def _accounts(self, statement: sa.Select[*tuple[object, ...]]) -> list[Account]:
        with reaching_store(), self._reading.connect() as connection:
            rows = connection.execute(statement).all()
        return [
            Account(row.name, row.role, row.password_hash, row.must_change, row.disabled, Instant(row.made_at))
            for row in rows
        ]


def _insert(connection: sa.Connection, account: Account) -> bool:
    """False when somebody of this name is there, perhaps since a moment ago."""
    statement = insert_into(connection, accounts).values(_row(account)).on_conflict_do_nothing()
    return connection.execute(statement.returning(accounts.c.name)).first() is not None


def _row(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "role": account.role,
        "password_hash": account.password_hash,
        "must_change": account.must_change,
        "disabled": account.disabled,
        "made_at": int(account.made_at),
    }
