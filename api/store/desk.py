"""Tokens, reviews and the audit trail: what people are, what they did. Secrets are kept only as hashes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from api.store.cases import settle_cases
from api.store.database import TwoHands, insert_new, reaching_store
from api.store.marks import add_defects
from api.store.people import is_account, lock_names
from api.store.reviews import review_rows
from api.store.rows import AuditEntry, Harvest, Person, Review
from api.store.tables import audit, reviews, tokens
from ingest.messages import Instant


class Desk(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def add_token(self, token_sha256: str, person: Person, made_at: Instant, ends_at: Instant | None) -> bool:
        """Keep a new token of a person; earlier ones of the same name stay good until they end or are revoked. False:
        an account has this name, and the two would count as one author."""
        with reaching_store(), self._engine.begin() as connection:
            lock_names(connection)
            if is_account(connection, person.name):
                return False
            connection.execute(
                sa.insert(tokens).values(
                    token_sha256=token_sha256,
                    name=person.name,
                    role=person.role,
                    made_at=int(made_at),
                    ends_at=None if ends_at is None else int(ends_at),
                    revoked=False,
                )
            )
        return True

    def revoke_tokens(self, name: str) -> int:
        """Make every token of this name worthless, and the sessions begun with them. Returns how many there were."""
        with reaching_store(), self._engine.begin() as connection:
            good = sa.and_(tokens.c.name == name, tokens.c.revoked.is_(False))
            return int(connection.execute(sa.update(tokens).where(good).values(revoked=True)).rowcount)

    def person_of_token(self, token_sha256: str, now: Instant) -> Person | None:
        """Whose token this is, if it is good now."""
        return self.people_of_tokens([token_sha256], now).get(token_sha256)

    def people_of_tokens(self, digests: Collection[str], now: Instant) -> dict[str, Person]:
        """Of some tokens those that are good now, and whose they are."""
        with reaching_store(), self._reading.connect() as connection:
            rows = connection.execute(_GOOD_TOKENS, {"digests": list(digests), "now": int(now)}).all()
        return {row[0]: Person(row[1], row[2]) for row in rows}

    def add_review(self, review: Review, entry: AuditEntry) -> None:
        """Show a review at once, with its line in the audit trail; the collector finds it again on the log and changes
        nothing."""
        harvest = Harvest(defects=(review.defect,), reviews=(review,))
        with reaching_store(), self._engine.begin() as connection:
            add_defects(connection, [review.defect], [review])
            insert_new(connection, reviews, review_rows(review))
            settle_cases(connection, harvest)
            connection.execute(_AUDITED, _audit_row(entry))

    def write_audit(self, entry: AuditEntry) -> None:
        """Add one line to the audit trail; there is no way to change or remove one."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(_AUDITED, _audit_row(entry))


_GOOD_TOKENS = sa.select(tokens.c.token_sha256, tokens.c.name, tokens.c.role).where(
    tokens.c.token_sha256.in_(sa.bindparam("digests", expanding=True)),
    tokens.c.revoked.is_(False),
    sa.or_(tokens.c.ends_at.is_(None), tokens.c.ends_at > sa.bindparam("now")),
)
_AUDITED = sa.insert(audit)


def _audit_row(entry: AuditEntry) -> dict[str, Any]:
    said = {name: getattr(entry, name) for name in ("by", "role", "action", "subject", "detail")}
    return {"at": int(entry.at), **said}
