"""Answers to requests that came with a key, kept for a day: sent again, a request is answered and not done again."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from api.store.database import TwoHands, insert_new, reaching_store
from api.store.tables import repeats
from ingest.messages import Instant

KEPT_MS = 86_400_000  # whoever sends again does so within a shift


@dataclass(frozen=True, slots=True)
class Answered:
    """What somebody's request of this key asked (its digest) and was answered."""

    request_sha256: str
    status: int
    body: bytes


class RepeatStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def answer(self, name: str, key: str) -> Answered | None:
        """What this person's request with this key was answered, if there was one."""
        statement = sa.select(repeats).where(repeats.c.name == name, repeats.c.key == key)
        with reaching_store(), self._reading.connect() as connection:
            row = connection.execute(statement).first()
        return None if row is None else Answered(row.request_sha256, row.status, row.body.encode())

    def keep(self, name: str, key: str, answered: Answered, now: Instant) -> None:
        """Keep an answer in place of an earlier one, and forget those that are old."""
        row = {
            "name": name, "key": key, "request_sha256": answered.request_sha256, "status": answered.status,
            "body": answered.body.decode(), "at": int(now),
        }  # fmt: skip
        same = sa.and_(repeats.c.name == name, repeats.c.key == key)
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(repeats).where(sa.or_(same, repeats.c.at < int(now) - KEPT_MS)))
            insert_new(connection, repeats, [row])
