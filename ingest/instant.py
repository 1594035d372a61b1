"""A moment, as every message holds it: whole milliseconds inside, RFC 3339 on the wire."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

DAY_MS = 86_400_000
EPOCH_DAY = date(1970, 1, 1).toordinal()


@lru_cache
def _day(days: int) -> str:
    """The date so many days after 1970-01-01; a plant's times fall on a few of them."""
    return date.fromordinal(EPOCH_DAY + days).isoformat()


class Instant(int):
    """A moment: whole milliseconds since 1970-01-01 UTC. Plain arithmetic gives plain milliseconds."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Instant:
        """Read an RFC 3339 time with a zone. Raises ValueError on anything else."""
        if not (len(text) >= 20 and text[10] in "Tt "):
            raise ValueError(f"not an RFC 3339 time: {text[:40]!r}")
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"time without a zone: {text[:40]!r}")
        return cls(round(moment.timestamp() * 1000))

    def isoformat(self) -> str:
        """RFC 3339 in UTC with milliseconds: `2026-11-23T08:26:00.125Z`."""
        days, ms = divmod(self, DAY_MS)
        minutes, ms = divmod(ms, 60_000)
        hour, minute = divmod(minutes, 60)
        return f"{_day(days)}T{hour:02d}:{minute:02d}:{ms // 1000:02d}.{ms % 1000:03d}Z"
