"""Ways through this process: what a request has to wait for is only what goes the same way.

A route that asks the store is worked off in a thread. Threads of one process take turns (Python runs one at a time), so
a few are faster than many; but then something slow must not keep them from what is quick, nor anything from a stop.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import HTTPConnection

Way = Literal["stop", "door", "log_in", "decide", "slow", "usual"]

#: How many of each are worked on at one time.
THREADS: Mapping[Way, int] = {
    "stop": 2,  # the mode of a line, and whether all is well
    "door": 1,  # who asks? one statement for all who wait for it
    "log_in": 2,  # hashes a password for a tenth of a second
    "decide": 3,  # one records, the others read before and after it
    "slow": 2,  # reports, exports, lists without end
    "usual": 4,  # all else
}

Value = TypeVar("Value")


class Lanes:
    """The ways of one process."""

    def __init__(self, threads: Mapping[Way, int] = THREADS) -> None:
        self._limiters = {way: anyio.CapacityLimiter(count) for way, count in threads.items()}

    async def run(self, way: Way, work: Callable[[], Value]) -> Value:
        """Do it in a thread, as soon as this way has room."""
        return await anyio.to_thread.run_sync(work, limiter=self._limiters[way])


def through(way: Way) -> Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]:
    """Of a route: what it does goes this way, not the usual one."""

    def lead(route: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(route)
        async def led(*, request: HTTPConnection, **given: Any) -> Any:
            lanes: Lanes = request.app.state.installation.lanes
            return await lanes.run(way, functools.partial(route, request=request, **given))

        return led

    return lead


def at_once(quick: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Of a route, or of what one depends on, that asks nothing of anybody: it needs no thread."""

    @functools.wraps(quick)
    async def done(**given: Any) -> Any:
        return quick(**given)

    return done


def keep_to_usual() -> None:
    """Of every route that says nothing. Called within the event loop, once."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS["usual"]
