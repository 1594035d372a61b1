#!/usr/bin/env python3
"""The API under a shift: open streams and requests at a steady rate, while verdicts come in.

    python tests/bench/bench_api.py [--waiting 100000] [--streams 200] [--rate 300] [--seconds 60] [--write]

Three processes: the API as `qcfuse api` runs it, the makers of the load (`api_load.py`), and this one, which publishes
the verdicts. Prints a table of how long answers take, and one of the processor's time that each takes when it is asked
for alone: that hardly changes with what else the machine has to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from api.access.tokens import sha256_of  # noqa: E402
from api.store.desk import Desk  # noqa: E402
from api.store.rows import Harvest, Person  # noqa: E402
from api.store.write import StoreWriter  # noqa: E402
from ingest.log.opening import open_log  # noqa: E402
from ingest.log.seam import Log  # noqa: E402
from ingest.settings import Settings  # noqa: E402
from ingest.topics import create_topics  # noqa: E402
from tests.api.factory import (  # noqa: E402
    keep_evidence,
    make_findings,
    make_verdict,
    make_visit,
    now,
    publish,
    settings_at,
)
from tests.api.postgres import free_port  # noqa: E402
from tests.bench.api_load import Connection, Shift  # noqa: E402
from tests.bench.bench_store import fill  # noqa: E402
from tests.bench.written_table import machine, markdown_table, write_table  # noqa: E402

PEOPLE, PICTURED = 200, 300
ALONE = "What a request takes of the processor when it is asked for alone, with all that it sets off:"
VERDICTS_S = 20  # a fast line that flags every fifth part: 100 parts a second
#: Of a hundred requests: every open screen asks for the state of the road every two seconds.
SHARES = {
    "overview": 33, "queue": 9, "queue, one line": 5, "page of the queue": 3, "part page": 14, "part": 4,
    "picture": 10, "picture one has": 10, "next": 2, "review": 10,
}  # fmt: skip


def prepare(home: Path, waiting: int) -> tuple[Settings, list[str]]:
    """A home with so many waiting parts, pictures for some, and tokens."""
    prepared, tokens = (home / "store.db").exists(), [f"qcf_{number:064d}" for number in range(PEOPLE)]
    settings = settings_at(home, person_requests_s_max=1000.0)
    if prepared:
        return settings, tokens
    fill(settings.store, waiting, waiting // 10)
    writer = StoreWriter(settings.store, holder="bench")
    seen = []
    for number in range(PICTURED):
        frame_ref, heatmap_ref, _ = keep_evidence(settings, f"P{number}")
        seen.append(make_findings(f"P{number}", frame_id=f"f-P{number}", frame_ref=frame_ref, heatmap_ref=heatmap_ref))
    visits = tuple(make_visit(f"P{number}") for number in range(PICTURED))
    writer.apply(Harvest(findings=tuple(seen), visits=visits), now())
    writer.close()
    desk = Desk(settings.store)
    for number, token in enumerate(tokens):
        desk.add_token(sha256_of(token), Person(f"inspector-{number}", "inspector"), now(), None)
    desk.close()
    return settings, tokens


@contextmanager
def served(settings: Settings, port: int) -> Iterator[psutil.Process]:
    """`qcfuse api` in a process of its own."""
    env = {**os.environ, "QCFUSE_HOME": settings.home, "QCFUSE_PORT": str(port), "QCFUSE_PARTITIONS": "2"}
    command = [sys.executable, *os.environ.get("QCFUSE_BENCH_API", "-m api.cli api").split()]
    running = subprocess.Popen(command, cwd=ROOT, env=env)
    try:
        ends_at = time.monotonic() + 60
        while not _alive(port):
            assert time.monotonic() < ends_at, "the API did not start"
            time.sleep(0.2)
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait(30)


def _alive(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def publish_until(stop: threading.Event, log: Log, settings: Settings) -> None:
    """Verdicts at a steady rate, each with the moment it was published."""
    number, began = 0, time.perf_counter()
    while not stop.is_set():
        publish(log, settings, verdicts=[make_verdict(f"live-{time.time_ns()}", risk=number * 0.618 % 1.0)])
        number += 1
        stop.wait(max(0.0, began + number / VERDICTS_S - time.perf_counter()))


def load_of(tokens: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """What the makers of the load are told."""
    return {
        "tokens": tokens, "parts": [f"P{number}" for number in range(PICTURED)], "streams": given.streams,
        "rate": given.rate, "seconds": given.seconds, "waiting": given.waiting, "shares": SHARES,
        "run": str(time.time_ns()),
    }  # fmt: skip


def measure(settings: Settings, tokens: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """One run: what the load makers found, and what the server took."""
    port, log, stop = free_port(), open_log(settings), threading.Event()
    create_topics(log, settings)
    told = load_of(tokens, given) | {"port": port}
    with served(settings, port) as server:
        publishing = threading.Thread(target=publish_until, args=(stop, log, settings))
        publishing.start()
        before, began = server.cpu_times(), time.perf_counter()
        command = [sys.executable, str(ROOT / "tests" / "bench" / "api_load.py")]
        made = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, cwd=ROOT, check=False)
        after, took_s = server.cpu_times(), time.perf_counter() - began
        memory = server.memory_info().rss / 2**20
        stop.set()
        publishing.join()
    log.close()
    if made.returncode != 0:
        raise SystemExit(made.stderr)
    found: dict[str, Any] = json.loads(made.stdout)
    used_s = after.user + after.system - before.user - before.system
    return found | {"server_cpu": used_s / took_s, "server_mib": memory}


async def ask_alone(told: dict[str, Any], server: psutil.Process, each: int) -> dict[str, float]:
    """Milliseconds of the server's processor per request of each kind, one client, one request after the other. What a
    request sets off (a review is collected from the log) is in it."""
    connection, took = Connection(told["port"]), {}
    for kind in SHARES:
        shift = Shift(told | {"shares": {kind: 1}, "run": f"{told['run']} {kind}"})
        for number in range(each + each // 10):
            if number == each // 10:
                before = server.cpu_times()
            _, path, request = shift.request()
            status, head, body = await connection.ask(request)
            if status >= 400:
                raise SystemExit(f"{kind}: {status} {body[:200]!r}")
            shift.answered("picture" if kind == "picture one has" else kind, path, request, head, body)
        after = server.cpu_times()
        took[kind] = 1000 * (after.user + after.system - before.user - before.system) / each
    return took


def measure_alone(settings: Settings, tokens: list[str], given: argparse.Namespace) -> dict[str, float]:
    """`ask_alone` of an API that does nothing else."""
    told = load_of(tokens, given) | {"port": free_port(), "waiting": given.waiting // 2}
    with served(settings, told["port"]) as server:
        return asyncio.run(ask_alone(told, server, given.each))


def table_alone(took: dict[str, float]) -> str:
    """A row a kind of request, and what a request of this mix takes."""
    rows = [[kind, str(SHARES[kind]), f"{ms:.1f}"] for kind, ms in took.items()]
    mixed = sum(SHARES[kind] * ms for kind, ms in took.items()) / sum(SHARES.values())
    rows.append(["**all**", "100", f"{mixed:.1f}"])
    return markdown_table(("request", "of a hundred", "processor, ms"), rows)


def table(found: dict[str, Any], seconds: float) -> str:
    """A row a kind of request."""
    rows = []
    for kind, took in sorted(found["took_ms"].items(), key=lambda one: -len(one[1])):
        p50, p95, p99 = (f"{ms:.0f}" for ms in np.percentile(took, (50, 95, 99)))
        wrong = sum(n for said, n in found["statuses"].items() if said.startswith(kind + " ") and int(said[-3:]) >= 400)
        rows.append([kind, f"{len(took) / seconds:.0f}", p50, p95, p99, str(wrong)])
    every = [ms for took in found["took_ms"].values() for ms in took]
    p50, p95, p99 = (f"{ms:.0f}" for ms in np.percentile(every, (50, 95, 99)))
    rows.append(["**all**", f"{len(every) / seconds:.0f}", p50, p95, p99, str(sum(found["errors"].values()))])
    return markdown_table(("request", "a second", "p50, ms", "p95, ms", "p99, ms", "refused"), rows)


def main() -> int:
    """Prepare, load, print, write. Returns the exit status."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--waiting", type=int, default=100_000)
    asked.add_argument("--streams", type=int, default=200)
    asked.add_argument("--rate", type=float, default=300.0)
    asked.add_argument("--seconds", type=float, default=60.0)
    asked.add_argument("--each", type=int, default=300, help="requests of each kind that are asked for alone")
    asked.add_argument("--write", action="store_true", help="also into deploy/measured.md")
    asked.add_argument("--home", help="an empty folder to prepare and to keep, or one that an earlier run prepared")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-api-") as folder:
        settings, tokens = prepare(Path(given.home or folder) / "home", given.waiting)
        alone = measure_alone(settings, tokens, given)
        found = measure(settings, tokens, given)
    lag_p50, lag_p99 = np.percentile(found["lags_ms"] or [float("nan")], (50, 99))
    note = (
        f"{given.streams} open streams of {VERDICTS_S} verdicts a second: an event is there {lag_p50:.0f} ms (p99 "
        f"{lag_p99:.0f} ms) after it was published, every stream got {min(found['events'], default=0)} to "
        f"{max(found['events'], default=0)} of them, {found['breaks']} broke. {given.waiting} parts wait. The API took "
        f"{100 * found['server_cpu']:.0f} % of a core and {found['server_mib']:.0f} MiB, the makers of the load "
        f"{100 * found['cpu']:.0f} % of another. Measured on {machine()}."
    )
    shown = f"{table(found, given.seconds)}\n\n{note}\n\n{ALONE}\n\n{table_alone(alone)}"
    print(shown)
    if given.write:
        write_table("bench-api", shown)
    for told in ("errors", "statuses"):
        print(f"{told}: {found[told]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
