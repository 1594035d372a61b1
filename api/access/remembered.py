"""Who a secret is, as the store said a moment ago.

Asked once a second for everybody who asks in it, in one statement. What this process itself changes counts at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

REMEMBER_S = 1.0  # what another process takes away (a command revokes a token) is worthless after this long
REMEMBERED_MAX = 1000

Value = TypeVar("Value")
LookUp = Callable[[Collection[str]], Awaitable[Mapping[str, Value]]]


@dataclass(slots=True)
class _Known(Generic[Value]):
    """What was found, when it was asked for, how many changes there had been; and whether somebody needed it since."""

    value: Value | None
    asked_s: float
    changes: int
    used: bool = False


class Remembered(Generic[Value]):
    """`look_up`: what the store says of some digests, those that mean nothing left out; `changes`: how often this
    process changed what that may be. For one event loop."""

    def __init__(
        self,
        look_up: LookUp[Value],
        changes: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._changes = changes
        self._clock_s = clock_s
        self._known: dict[str, _Known[Value]] = {}
        self._wanted: set[str] = set()
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def find(self, digest: str) -> Value | None:
        """What the store says of this digest. Raises StoreUnavailable."""
        known = self._known.get(digest)
        if known is None or not self._is_good(known):
            self._wanted.add(digest)
            if self._next is None:
                self._next = asyncio.create_task(self._ask(self._running))
                self._next.add_done_callback(lambda task: task.cancelled() or task.exception())  # told to who waits
            await asyncio.shield(self._next)
            known = self._known[digest]
        known.used = True
        return known.value

    def _is_good(self, known: _Known[Value]) -> bool:
        return self._clock_s() - known.asked_s < REMEMBER_S and known.changes == self._changes()

    async def _ask(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        wanted, self._wanted = self._wanted, set()
        asked_s, changes = self._clock_s(), self._changes()
        # Who was here in this second will be in the next: their turn would come by ones.
        wanted |= {digest for digest, known in self._known.items() if known.used}
        found = await self._look_up(wanted)
        if len(self._known) + len(wanted) > REMEMBERED_MAX:
            self._known.clear()
        for digest in wanted:
            self._known[digest] = _Known(found.get(digest), asked_s, changes)
