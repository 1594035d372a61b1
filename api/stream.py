"""The verdict stream: each verdict encoded once for all clients, resumed without a gap.

One task follows the store and keeps the last events in a ring. A client is only a row number: while it is behind the
ring it reads pages of the store, then it follows the ring. A slow client costs nobody anything, and queues nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from api.agreement.blind import without_the_model
from api.agreement.draw import Draw
from api.store.database import StoreUnavailable
from api.store.read import StoreReader
from api.store.rows import StoredVerdict

RING_EVENTS = 2000  # 4 MB: ten seconds of a fast plant
PAGE_EVENTS = 500
LOOK_S = 0.25  # when nobody wakes the broadcaster: another process may be the collector
TOGETHER_S = 0.1  # what comes within it is told together: two hundred clients are woken ten times a second at most
KEEP_ALIVE_S = 10.0
KEEP_ALIVE = b": still here\n\n"
RETRY_MS = 1000
THREADS = 2  # one follows the store, one reads for those who were away
NOTHING_DRAWN = Draw()

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Event:
    row_id: int
    decision: str
    revision: int
    encoded: bytes
    masked: bytes | None = None  # of a blind part: without what the model says


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client gets: these decisions (empty: all), and, if it keeps a list, corrections of any kind.
    `blindfold`: without what the model says of blind parts."""

    decisions: frozenset[str] = frozenset()
    corrections: bool = False
    blindfold: bool = False

    def holds(self, event: Event) -> bool:
        """Is this event one of them?"""
        if self.blindfold and event.masked is not None:
            return not self.decisions or "review" in self.decisions  # all that it says of itself
        if not self.decisions or event.decision in self.decisions:
            return True
        return self.corrections and event.revision > 1

    def told(self, event: Event) -> bytes:
        """The event as this client gets it."""
        return event.masked if self.blindfold and event.masked is not None else event.encoded


def encode_event(verdict: StoredVerdict, draw: Draw = NOTHING_DRAWN) -> Event:
    """One server-sent event: the id is the row number, the data the verdict's body (JSON has no line breaks)."""
    masked = None
    if draw.shares.blind_share > 0.0 and verdict.decision != "pass":
        part = _PART.decode(verdict.body)
        if draw.is_blind(part.line_id, part.part_id):
            masked = _encoded(verdict.row_id, without_the_model(verdict.body, blind=True))
    return Event(verdict.row_id, verdict.decision, verdict.revision, _encoded(verdict.row_id, verdict.body), masked)


def _encoded(row_id: int, body: bytes) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (row_id, body.replace(b"\r", b" ").replace(b"\n", b" "))


class _Part(msgspec.Struct, frozen=True):
    """Of a verdict's body, what names its part."""

    line_id: str
    part_id: str


_PART = msgspec.json.Decoder(_Part)


class Broadcaster:
    """Follows the store; `events` is what one client is sent."""

    def __init__(self, reader: StoreReader, draw: Draw = NOTHING_DRAWN) -> None:
        self._reader = reader
        self._draw = draw
        self._ring: deque[Event] = deque(maxlen=RING_EVENTS)
        self._last = 0
        self._woken = asyncio.Event()
        # of what comes next; each has its own, for clients that wait may leave at any time
        self._news = asyncio.Event()
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = anyio.CapacityLimiter(THREADS)

    @property
    def last(self) -> int:
        """The id of the newest event that clients have been sent."""
        return self._last

    async def _asked(self, question: Callable[..., Answer], *given: int) -> Answer:
        """Of the store, beside whatever else is asked of it."""
        return await anyio.to_thread.run_sync(question, *given, limiter=self._threads)

    async def run(self) -> None:
        """Follow the store until `close`."""
        self._last = await self._ask_last()
        while not self._closing:
            try:
                fresh = await self._asked(self._reader.verdicts_after, self._last, PAGE_EVENTS)
            except StoreUnavailable:
                fresh = []  # /readyz tells; clients wait and lose nothing
            if fresh:
                self._ring.extend(encode_event(verdict, self._draw) for verdict in fresh)
                self._last = fresh[-1].row_id
                self._tell()
            if len(fresh) < PAGE_EVENTS:
                await self._rest()

    async def _ask_last(self) -> int:
        while not self._closing:
            try:
                return await self._asked(self._reader.last_row_id)
            except StoreUnavailable:
                await asyncio.sleep(LOOK_S)
        return 0

    async def _rest(self) -> None:
        await asyncio.sleep(TOGETHER_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), LOOK_S - TOGETHER_S)
        self._woken.clear()

    def _tell(self) -> None:
        told, self._news = self._news, asyncio.Event()
        told.set()

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
        self._tell()

    async def events(self, after: int | None, wanted: Wanted) -> AsyncIterator[bytes]:
        """Events after row `after` (None: from now on)."""
        seen = self._last if after is None else after
        yield b"retry: %d\n\n" % RETRY_MS
        while not self._closing:
            batch = await self._after(seen)
            if batch:
                seen = batch[-1].row_id
                chunk = b"".join(wanted.told(event) for event in batch if wanted.holds(event))
                if chunk:
                    yield chunk
                continue
            if not await self._wait(seen):
                yield KEEP_ALIVE

    async def _after(self, seen: int) -> list[Event]:
        if seen >= self._last:
            return []
        if self._ring and self._ring[0].row_id <= seen + 1:
            newest_first = takewhile(lambda event: event.row_id > seen, reversed(self._ring))
            return list(newest_first)[::-1]
        try:
            page = await self._asked(self._reader.verdicts_after, seen, PAGE_EVENTS)
        except StoreUnavailable:
            await asyncio.sleep(LOOK_S)
            return []
        return [encode_event(verdict, self._draw) for verdict in page]

    async def _wait(self, seen: int) -> bool:
        """False when nothing came for as long as a silent connection is kept."""
        if self._closing or self._last > seen:
            return True
        try:
            await asyncio.wait_for(self._news.wait(), KEEP_ALIVE_S)
        except TimeoutError:
            return False
        return True
