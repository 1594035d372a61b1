"""A waiting room: parts and labels of one line that are not counted yet, let in by event time.

What waits is let in only when a part of a later block is judged, in the order of its own times. So what is counted does
not depend on the order of judging, which a crash, a pause or a rebalance changes.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import msgspec

BLOCK_MS = 30_000  # a part sees what happened 30 to 60 s before it: longer than any order of judging is disturbed by a
# restart, and nothing beside a half-life of 3000 parts
WAITING_MAX = 20_000  # parts and labels of one line that wait; beyond it the oldest are let in early
_KEY = "w:"


def block_before(event_at: int) -> int:
    """The end of what a part of this moment may see: what happened in blocks before the one before its own."""
    return (event_at // BLOCK_MS - 1) * BLOCK_MS


class Entry(Protocol):
    """A part (`label` -1) or a label of event time `at`; entries order by time, a part before its label."""

    @property
    def at(self) -> int: ...

    @property
    def label(self) -> int: ...

    @property
    def part_id(self) -> str: ...

    def __lt__(self, other: Any, /) -> bool: ...


E = TypeVar("E", bound=Entry)


class WaitingRoom(Generic[E]):
    """Of one line. `kind`: the msgspec struct of its entries."""

    def __init__(self, kind: type[E]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._waiting: dict[str, E] = {}
        self._changed: dict[str, None] = {}
        self._let_in_to = 0

    def wait(self, entry: E) -> list[E]:
        """One more; those that must be counted now because the room is full."""
        key = _key_of(entry)
        self._waiting[key] = entry
        self._changed[key] = None
        self._let_in_to = min(self._let_in_to, entry.at)  # or a restart, which does not know it, would let it in sooner
        if len(self._waiting) <= WAITING_MAX:
            return []
        return [self._leave(min(self._waiting, key=lambda key: self._waiting[key]))]

    def amend(self, entry: E) -> bool:
        """Put in the place of what waits of this part and moment; False when that was let in, or never came."""
        key = _key_of(entry)
        if key not in self._waiting:
            return False
        self._waiting[key] = entry
        self._changed[key] = None
        return True

    def let_in(self, until: int) -> list[E]:
        """All that waits from before `until` (ms since 1970), in the order of time."""
        if until <= self._let_in_to:
            return []
        self._let_in_to = until
        due = sorted((entry, key) for key, entry in self._waiting.items() if entry.at < until)
        return [self._leave(key) for _, key in due]

    def _leave(self, key: str) -> E:
        self._changed[key] = None
        return self._waiting.pop(key)

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Changelog since the last call: (key, value), None for what has left."""
        out = [(key, _PACK.encode(self._waiting[key]) if key in self._waiting else None) for key in self._changed]
        self._changed.clear()
        return out

    def restore(self, key: str, value: bytes | None) -> bool:
        """Put one changelog entry back; False when it is none of the room's."""
        if not key.startswith(_KEY):
            return False
        if value is None:
            self._waiting.pop(key, None)
        else:
            self._waiting[key] = self._decoder.decode(value)
        return True


def _key_of(entry: Entry) -> str:
    return f"{_KEY}{entry.at}:{entry.label}:{entry.part_id}"


_PACK = msgspec.msgpack.Encoder()
