"""Which parts are shown blind, which cases to two people, or behind an exercise.

Drawn by a keyed hash of the part or the case, never by what the model thinks of it: an audit that followed the risk
would audit the risk. The same for everybody and after a restart; without the installation's key nobody can work it out.
The plan's bytes are not hashed with it: a comment changed there would draw anew what people have seen already.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

import msgspec

from ingest.plan.plan import Reviews

CaseKey = tuple[str, str, str, int]  # line_id, gate_id, part_id, attempt
NO_SHARES = Reviews()
_WHOLE = 2.0**64


@dataclass(frozen=True, slots=True)
class Draw:
    """The shares of the plan and the key they are drawn with. One that knows no share draws nothing."""

    key: bytes = field(default=b"", repr=False)
    shares: Reviews = NO_SHARES

    def is_blind(self, line_id: str, part_id: str) -> bool:
        """Is this part shown without risk and causes? At all of its gates: what one says would tell of another."""
        return self._falls("blind", self.shares.blind_share, line_id, part_id)

    def people_wanted(self, case: CaseKey) -> int:
        """To how many people is this case shown?"""
        return 2 if self._falls("second", self.shares.second_share, *case) else 1

    def has_exercise_before(self, case: CaseKey) -> bool:
        """Does a known part come before this one?"""
        return self._falls("known", self.shares.known_share, *case)

    def is_blind_exercise(self, name: str, case: CaseKey) -> bool:
        """Is this exercise of a person without risk and causes? One in two: both must be told apart in the figures."""
        return self._falls("blind exercise", 0.5, name, *case)

    def rank(self, name: str, case: CaseKey) -> float:
        """Where a known part stands among those that a person has not seen: in [0, 1), the lowest first."""
        return self._place("rank", name, *case)

    def _falls(self, purpose: str, share: float, *names: str | int) -> bool:
        return share > 0.0 and self._place(purpose, *names) < share

    def _place(self, purpose: str, *names: str | int) -> float:
        told = msgspec.json.encode([purpose, *names])  # an encoding without two readings, whatever the names hold
        return int.from_bytes(hmac.digest(self.key, told, "sha256")[:8], "big") / _WHOLE
