"""The verdict stream: each verdict encoded once for all clients, resumed without a gap.

One task follows the store and keeps the last events in a ring. A client is only a row number: while it is behind the
ring it reads pages of the store, then it follows the ring. A slow client costs nobody anything, and queues nowhere.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from api.store import StoreUnavailable
from api.store_read import StoreReader
from api.store_rows import StoredVerdict

RING_EVENTS = 2000  # 4 MB: ten seconds of a fast plant
PAGE_EVENTS = 500
LOOK_S = 0.25  # when nobody wakes the broadcaster: another process may be the collector
KEEP_ALIVE_S = 10.0
KEEP_ALIVE = b": still here\n\n"
RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class Event:
    row_id: int
    decision: str
    revision: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client gets: these decisions (empty: all), and, if it keeps a list, corrections of any kind."""

    decisions: frozenset[str] = frozenset()
    corrections: bool = False

    def holds(self, event: Event) -> bool:
        """Is this event one of them?"""
        if not self.decisions or event.decision in self.decisions:
            return True
        return self.corrections and event.revision > 1


def encode_event(verdict: StoredVerdict) -> Event:
    """One server-sent event: the id is the row number, the data the verdict's body (JSON has no line breaks)."""
    body = verdict.body.replace(b"\r", b" ").replace(b"\n", b" ")
    return Event(verdict.row_id, verdict.decision, verdict.revision, b"id: %d\ndata: %s\n\n" % (verdict.row_id, body))


class Broadcaster:
    """Follows the store; `events` is what one client is sent."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._ring: deque[Event] = deque(maxlen=RING_EVENTS)
        self._last = 0
        self._woken = asyncio.Event()
        self._news = asyncio.Condition()
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Follow the store until `close`."""
        self._last = await self._ask_last()
        while not self._closing:
            try:
                fresh = await run_in_threadpool(self._reader.verdicts_after, self._last, PAGE_EVENTS)
            except StoreUnavailable:
                fresh = []  # /readyz tells; clients wait and lose nothing
            if fresh:
                self._ring.extend(encode_event(verdict) for verdict in fresh)
                self._last = fresh[-1].row_id
                await self._tell()
            if len(fresh) < PAGE_EVENTS:
                await self._rest()

    async def _ask_last(self) -> int:
        while not self._closing:
            try:
                return await run_in_threadpool(self._reader.last_row_id)
            except StoreUnavailable:
                await asyncio.sleep(LOOK_S)
        return 0

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), LOOK_S)
        except TimeoutError:
            return
        self._woken.clear()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def live_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """The event loop that `run` runs in."""
        self._loop = loop

    def wake_from_thread(self) -> None:
        """There is something new in the store. For the collector's thread."""
        if self._loop is not None and not self._closing:
            self._loop.call_soon_threadsafe(self._woken.set)

    async def close(self) -> None:
        """Let every client go."""
        self._closing = True
        self._woken.set()
        await self._tell()

    async def events(self, after: int | None, wanted: Wanted) -> AsyncIterator[bytes]:
        """Events after row `after` (None: from now on)."""
        seen = self._last if after is None else after
        yield b"retry: %d\n\n" % RETRY_MS
        while not self._closing:
            batch = await self._after(seen)
            if batch:
                seen = batch[-1].row_id
                chunk = b"".join(event.encoded for event in batch if wanted.holds(event))
                if chunk:
                    yield chunk
                continue
            if not await self._wait(seen):
                yield KEEP_ALIVE

    async def _after(self, seen: int) -> list[Event]:
        if seen >= self._last:
            return []
        if self._ring and self._ring[0].row_id <= seen + 1:
            return [event for event in self._ring if event.row_id > seen]
        try:
            page = await run_in_threadpool(self._reader.verdicts_after, seen, PAGE_EVENTS)
        except StoreUnavailable:
            await asyncio.sleep(LOOK_S)
            return []
        return [encode_event(verdict) for verdict in page]

    async def _wait(self, seen: int) -> bool:
        """False when nothing came for as long as a silent connection is kept."""
        async with self._news:
            try:
                await asyncio.wait_for(
                    self._news.wait_for(lambda: self._closing or self._last > seen), timeout=KEEP_ALIVE_S
                )
            except TimeoutError:
                return False
        return True
