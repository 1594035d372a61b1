"""What has to be quick waits for nothing that is slow: each goes its own way through the process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio.to_thread
import httpx
import pytest

from api.http.lanes import THREADS, Way
from tests.api.conftest import Live, until
from tests.api.factory import make_verdict, make_visit, publish

AT_ONCE_S = 5.0  # a tenth of a second on an idle machine; those who stand in the way would stand there for ever


@pytest.fixture(scope="module")
def plant(live: Live) -> Live:
    publish(live.log, live.settings, verdicts=[make_verdict("P1"), make_verdict("P2")], production=[make_visit("P1")])
    live.collected(2)
    return live


@contextmanager
def full(plant: Live, *ways: Way) -> Iterator[None]:
    """Every thread of these ways is taken, and as many more wait for one."""
    here, stop, begun = plant.service.here, threading.Event(), threading.Semaphore(0)
    loop = here.broadcaster._loop
    assert loop is not None

    def stand() -> None:
        begun.release()
        stop.wait()

    async def taken() -> list[asyncio.Task[None]]:
        standing = []
        for way in ways:
            for _ in range(2 * THREADS[way]):
                begun_one = anyio.to_thread.run_sync(stand) if way == "usual" else here.lanes.run(way, stand)
                standing.append(asyncio.ensure_future(begun_one))
        return standing

    tasks = asyncio.run_coroutine_threadsafe(taken(), loop).result()
    for _ in range(sum(THREADS[way] for way in ways)):
        begun.acquire()
    try:
        yield
    finally:
        stop.set()
        until(lambda: all(task.done() for task in tasks), "the ways to be free")


def test_with_every_other_way_full_a_stop_is_answered_at_once(plant: Live) -> None:
    with plant.client("inspector") as client, full(plant, "slow", "usual", "decide", "log_in"):
        began = time.monotonic()
        stopped = client.post("/api/control/mode", json={"mode": "manual", "line_id": "*", "reason": "test"})
        assert stopped.status_code == 202
        assert client.get("/api/control/mode").status_code == 200
        for path in ("/healthz", "/readyz"):
            assert client.get(path).status_code in (200, 503)
        assert time.monotonic() - began < AT_ONCE_S


def test_reports_and_pages_keep_nobody_from_deciding(plant: Live) -> None:
    with plant.client("inspector") as client, full(plant, "slow", "usual", "log_in"):
        client.timeout = httpx.Timeout(AT_ONCE_S)
        assert client.get("/api/next").status_code == 200
        assert client.post("/api/parts/P1/hold").status_code == 200
        assert client.post("/api/parts/P1/reviews", json={"outcome": "ok"}).status_code == 201


def test_a_report_that_waits_for_its_turn_comes(plant: Live) -> None:
    with plant.client("qa") as client:
        with full(plant, "slow"), pytest.raises(httpx.ReadTimeout):
            client.get("/api/batches", timeout=0.5)
        assert client.get("/api/batches").status_code == 200


def test_verdicts_are_told_while_every_way_is_full(plant: Live) -> None:
    with (
        plant.client("inspector") as client,
        client.stream("GET", "/api/verdicts/stream") as stream,
        full(plant, "slow", "usual", "decide", "log_in"),
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        publish(plant.log, plant.settings, verdicts=[make_verdict("P3")])
        assert any('"P3"' in line for line in lines)
