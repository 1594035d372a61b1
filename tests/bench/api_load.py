"""What two hundred inspectors ask of the API: open streams, and requests at a steady rate, each timed from the moment
it was due (an answer that is late makes the next ones late too, and that is counted).

Run by `bench_api.py` as a process of its own: reads what to do as JSON from stdin, writes what it found to stdout.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psutil

WARM_UP_S = 5.0  # first pages, caches, connections: not what a shift is like
PATIENCE_S = 30.0
TIMED_STREAMS = 20  # of these the lag is read from each event; of the others the events are counted
AT = b'"decided_at":"'


@dataclass
class Tally:
    """What came of the requests and of the streams."""

    took_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    events: Counter[int] = field(default_factory=Counter)
    lags_ms: list[float] = field(default_factory=list)
    breaks: int = 0


class Connection:
    """One kept-alive connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer."""
        try:
            head = await self._sent(request)
        except (asyncio.IncompleteReadError, ConnectionError):  # the server closed it, idle for five seconds
            self.drop()
            head = await self._sent(request)
        assert self._reader is not None
        status = int(head[9:12])
        low = head.lower()
        at = low.find(b"content-length:")
        body = b""
        if at >= 0 and status not in (204, 304):
            body = await self._reader.readexactly(int(low[at + 15 : low.index(b"\r\n", at)]))
        return status, head, body

    async def _sent(self, request: bytes) -> bytes:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._reader is not None
        self._writer.write(request)
        return await self._reader.readuntil(b"\r\n\r\n")

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def packed(method: str, path: str, token: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _token_of(request: bytes) -> str:
    at = request.index(b"Bearer ") + 7
    return request[at : request.index(b"\r\n", at)].decode()


class Shift:
    """Requests as a shift makes them. `parts`: those that have pictures; `waiting`: how many wait in all."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told, self._random, self._number = told, random.Random(7), itertools.count()
        self._tags: dict[str, str] = {}
        self._given: dict[str, str] = {}
        names = [name for name, share in told["shares"].items() for _ in range(share)]
        self._next_kind = lambda: self._random.choice(names)

    def request(self) -> tuple[str, str, bytes]:
        """Kind, path, and the bytes of the next request."""
        kind, number = self._next_kind(), next(self._number)
        token = self._told["tokens"][number % len(self._told["tokens"])]
        part = self._random.choice(self._told["parts"])
        if kind == "review":
            path = f"/api/parts/{self._given.pop(token, None) or self._untouched(number)}/reviews"
            asked = {"outcome": "ok", "took_ms": 1800, "shown": {"verdict_id": "", "risk_shown": True}}
            key = f"{self._told['run']}-{number}"
            return kind, path, packed("POST", path, token, json.dumps(asked).encode(), Idempotency_Key=key)
        paths = {
            "overview": "/api/overview",
            "queue": "/api/queue?limit=50",
            "queue, one line": f"/api/queue?limit=50&line_id=L{number % 4}",
            "next": "/api/next",
            "part page": f"/parts/{part}",
            "part": f"/api/parts/{part}",
            "picture": f"/api/parts/{part}/frames/f-{part}",
            "picture one has": f"/api/parts/{part}/frames/f-{part}",
            "page of the queue": "/",
        }
        path = paths[kind]
        if kind == "picture one has" and (tag := self._tags.get(path)):
            return kind, path, packed("GET", path, token, If_None_Match=tag)
        return kind.replace("picture one has", "picture"), path, packed("GET", path, token, Accept="text/html")

    def _untouched(self, number: int) -> str:
        return f"P{self._told['waiting'] - 1 - number}"

    def answered(self, kind: str, path: str, request: bytes, head: bytes, body: bytes) -> None:
        """Remember the tag of a picture, and the part that somebody was given: he decides on it next."""
        at = head.find(b"etag: ")
        if kind == "picture" and at >= 0:
            self._tags[path] = head[at + 6 : head.index(b"\r\n", at)].decode()
        if kind == "review" and head[9:12] == b"201":
            self._given[_token_of(request)] = json.loads(body)["next"]


async def drive(told: dict[str, Any], tally: Tally) -> None:
    """Requests at a steady rate until the time is over."""
    shift, idle = Shift(told), [Connection(told["port"]) for _ in range(told["streams"])]
    began, tasks = time.perf_counter(), set[asyncio.Task[None]]()
    for number in range(int(told["rate"] * (told["seconds"] + WARM_UP_S))):
        due = began + number / told["rate"]
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        connection = idle.pop() if idle else Connection(told["port"])
        counted = number / told["rate"] > WARM_UP_S
        task = asyncio.create_task(_ask(shift, connection, due, tally if counted else Tally(), idle))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


async def _ask(shift: Shift, connection: Connection, due: float, tally: Tally, idle: list[Connection]) -> None:
    kind, path, request = shift.request()
    try:
        status, head, body = await asyncio.wait_for(connection.ask(request), PATIENCE_S)
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as trouble:
        tally.errors[f"{kind}: {type(trouble).__name__}"] += 1
        connection.drop()
    else:
        tally.took_ms[kind].append(1000 * (time.perf_counter() - due))
        tally.statuses[f"{kind} {status}"] += 1
        shift.answered(kind, path, request, head, body)
    idle.append(connection)


async def listen(number: int, told: dict[str, Any], tally: Tally, until: float) -> None:
    """One open stream; it counts its events, and of some reads how old they are."""
    token = told["tokens"][number % len(told["tokens"])]
    request = packed("GET", "/api/verdicts/stream?decision=review,cannot_tell&corrections=true", token)
    while time.perf_counter() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", told["port"], limit=2**20)
        writer.write(request)
        try:
            while chunk := await asyncio.wait_for(reader.read(2**18), until - time.perf_counter()):
                tally.events[number] += chunk.count(b"\ndata: ")
                if number < TIMED_STREAMS:
                    tally.lags_ms += lags_ms(chunk)
        except TimeoutError:
            return
        finally:
            writer.close()
        tally.breaks += 1


def lags_ms(chunk: bytes) -> list[float]:
    """How long ago the verdicts of these events were decided, ms."""
    now, found = time.time(), []
    for told in chunk.split(AT)[1:]:
        decided = datetime.fromisoformat(told[: told.index(b'"')].decode().replace("Z", "+00:00"))
        found.append(1000 * (now - decided.timestamp()))
    return found


async def run(told: dict[str, Any]) -> Tally:
    """Streams first, then the requests beside them."""
    tally, until = Tally(), time.perf_counter() + told["seconds"] + WARM_UP_S + 3.0
    streams = [asyncio.create_task(listen(number, told, tally, until)) for number in range(told["streams"])]
    await asyncio.sleep(2.0)
    await drive(told, tally)
    await asyncio.gather(*streams)
    return tally


def main() -> int:
    """Returns the exit status."""
    told = json.load(sys.stdin)
    own, began = psutil.Process(), time.perf_counter()
    tally = asyncio.run(run(told))
    used = own.cpu_times()
    json.dump(
        {
            "took_ms": tally.took_ms,
            "statuses": tally.statuses,
            "errors": tally.errors,
            "events": list(tally.events.values()),
            "lags_ms": tally.lags_ms,
            "breaks": tally.breaks,
            "cpu": (used.user + used.system) / (time.perf_counter() - began),
        },
        sys.stdout,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
