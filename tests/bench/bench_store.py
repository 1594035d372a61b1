#!/usr/bin/env python3
"""How long the store takes to answer with many parts in it: the queue's pages, its counts, one batch.

    python tests/bench/bench_store.py [--waiting N] [--passed N] [--store URL] [--print]
    python tests/bench/bench_store.py --copied [--waiting N] [--passed N] [--folder DIR]

Verdicts go in as the collector writes them. `--store`: an empty PostgreSQL (postgresql+psycopg://…); else SQLite in a
folder of its own. Rewrites the README's table unless `--print`.

`--copied`: a PostgreSQL of its own is started and filled by COPY, for many millions; each question is asked cold too,
of a server just started whose files the system has forgotten. Prints only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from api.store.database import migrate  # noqa: E402
from api.store.queue import Place, QueueFilter, QueueStore  # noqa: E402
from api.store.read import StoreReader  # noqa: E402
from api.store.rows import Harvest, VerdictFilter  # noqa: E402
from api.store.write import StoreWriter  # noqa: E402
from api.urgency import Ranking  # noqa: E402
from ingest.messages import Instant, encode  # noqa: E402
from ingest.plan import Plan  # noqa: E402
from ingest.plan_file import load_plan  # noqa: E402
from tests.api.factory import PLAN, make_pass, make_verdict, now  # noqa: E402
from tests.api.postgres import make_cluster, postgres_programs, served_cluster  # noqa: E402
from tests.bench.readme_table import machine, markdown_table, write_table  # noqa: E402
from tests.bench.store_copied import copy_store, evict  # noqa: E402

DAY_MS = 86_400_000
WRITTEN_AT_ONCE, BATCH_PARTS, PAGE, TURNS = 2000, 500, 100, 15
ANY = QueueFilter()
FILLING = ("wal_level=minimal", "max_wal_senders=0", "max_wal_size=8GB", "maintenance_work_mem=1GB", "autovacuum=off")


def plan() -> Plan:
    """Four lines whose parts stay ten minutes at the gate: of a day's some hundreds are still there."""
    gate = "{gate_id: EOL, after: OP40, deadline_ms: 500, moves_on_ms: 600000}"
    lines = [f"  - {{line_id: L{n}, stations: [{{station_id: OP40}}], gates: [{gate}]}}\n" for n in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(PLAN.partition("lines:")[0] + "lines:\n" + "".join(lines))
        return load_plan(path)


def fill(url: str, waiting: int, passed: int) -> float:
    """So many verdicts; seconds it took."""
    migrate(url)
    writer = StoreWriter(url, holder="bench", ranking=Ranking(plan()))
    at, rng, began = now(), np.random.default_rng(0), time.perf_counter()
    for first in range(0, waiting + passed, WRITTEN_AT_ONCE):
        made = []
        for number in range(first, min(first + WRITTEN_AT_ONCE, waiting + passed)):
            make = make_verdict if number < waiting else make_pass
            risk, event_at = float(rng.random()), Instant(at - rng.random() * DAY_MS)
            batch, line = f"B{number // BATCH_PARTS}", f"L{number % 4}"
            verdict = make(f"P{number}", batch_id=batch, risk=risk, line_id=line, event_at=event_at)
            made.append((verdict, encode(verdict).decode()))
        writer.apply(Harvest(verdicts=tuple(made)), now())
        print(f"{first + len(made)} of {waiting + passed}", end="\r", file=sys.stderr, flush=True)
    writer.close()
    return time.perf_counter() - began


def median_ms(ask: Callable[[], object]) -> tuple[float, float]:
    """First answer and the median of the others, ms."""
    took = []
    for _ in range(TURNS):
        began = time.perf_counter()
        ask()
        took.append(1000.0 * (time.perf_counter() - began))
    return took[0], float(np.median(took[1:]))


@dataclass(frozen=True)
class Known:
    """What is asked about: a place in the middle of the queue, a batch, a part, a verdict in the middle of the list."""

    at: Instant
    place: Place | None
    batch: str
    part: str
    row_id: int


def look(queue: QueueStore, reader: StoreReader, waiting: int, passed: int) -> Known:
    """Find something to ask about."""
    place, at, page = None, now(), []
    for _ in range(max(1, waiting // 2 // 1000)):
        page, place = queue.read(ANY, at, 1000, place)
    middle = reader.verdicts(VerdictFilter(), 1, (waiting + passed) // 2)
    return Known(at, place, reader.batches(1)[0].batch_id, page[0].part_id, middle[0].row_id)


def questions(queue: QueueStore, reader: StoreReader, known: Known) -> dict[str, Callable[[], object]]:
    """What the screens ask."""
    at, batch, hour = known.at, known.batch, Instant(known.at - 3_600_000)
    return {
        "first page of the queue": lambda: queue.page(ANY, at, PAGE),
        "a page in its middle": lambda: queue.page(ANY, at, PAGE, known.place),
        "first page of one line": lambda: queue.page(QueueFilter(line_id="L3"), at, PAGE),
        "first page of one camera": lambda: queue.page(QueueFilter(camera="top"), at, PAGE),
        "first page of the last hour": lambda: queue.page(QueueFilter(since=hour), at, PAGE),
        "first page of what is older": lambda: queue.page(QueueFilter(until=hour), at, PAGE),
        "how many one camera has": lambda: queue.count(QueueFilter(camera="top")),
        "first page of one cause": lambda: queue.page(QueueFilter(cause="tool_id=T7"), at, PAGE),
        "how many wait": lambda: queue.count(ANY),
        "decided today": lambda: queue.decided(Instant(at - 1)),
        "one part": lambda: reader.part(known.part),
        "one batch, every verdict": lambda: reader.batch_verdicts(batch),
        "one batch, the list": lambda: reader.verdicts(VerdictFilter(batch_id=batch), PAGE),
        "100 batches in figures": lambda: reader.batches(PAGE),
        "100 batches from the middle": lambda: reader.batches(PAGE, known.row_id),
        "exposed to a tool in an hour": lambda: reader.exposed("tool_id=T7", hour, PAGE),
        "all verdicts, the newest": lambda: reader.verdicts(VerdictFilter(), PAGE),
    }


def rows(url: str, waiting: int, passed: int) -> list[list[str]]:
    """One row a question."""
    queue, reader = QueueStore(url), StoreReader(url)
    asked = questions(queue, reader, look(queue, reader, waiting, passed))
    told = [[name, *(f"{ms:.1f}" for ms in median_ms(ask))] for name, ask in asked.items()]
    queue.close()
    reader.close()
    return told


def copied(waiting: int, passed: int, folder: Path) -> int:
    """Fill a PostgreSQL of one's own below `folder`, ask, print. Returns the exit status."""
    programs = postgres_programs()
    if programs is None:
        print("no PostgreSQL here: apt-get install postgresql", file=sys.stderr)
        return 1
    base, began = make_cluster(programs, folder), time.perf_counter()
    with served_cluster(programs, base, *FILLING) as server:
        copy_store(f"{server}/postgres", waiting, passed, BATCH_PARTS)
    size_gib = sum(path.stat().st_size for path in base.rglob("*") if path.is_file()) / 2**30
    print(f"{waiting + passed} verdicts copied in {time.perf_counter() - began:.0f} s, {size_gib:.1f} GiB")
    with served_cluster(programs, base) as server:
        url = f"{server}/postgres"
        queue, reader = QueueStore(url), StoreReader(url)
        known = look(queue, reader, waiting, passed)
        queue.close()
        reader.close()
        warm = rows(url, waiting, passed)
    told = [[name, f"{_cold_ms(programs, base, known, name):.1f}", median] for name, _, median in warm]
    print(markdown_table(("question", "cold, ms", "warm, median, ms"), told))
    print(f"\npostgresql: {waiting} parts wait, {passed} passed, {BATCH_PARTS} a batch. Measured on {machine()}.")
    return 0


def _cold_ms(programs: Path, base: Path, known: Known, name: str) -> float:
    """The first answer of a server just started, whose files the system has forgotten; connecting to it is in it."""
    evict(base)
    with served_cluster(programs, base) as server:
        queue, reader = QueueStore(f"{server}/postgres"), StoreReader(f"{server}/postgres")
        ask, began = questions(queue, reader, known)[name], time.perf_counter()
        ask()
        took_ms = 1000.0 * (time.perf_counter() - began)
        queue.close()
        reader.close()
    return took_ms


def main() -> int:
    """Fill, ask, print, write. Returns the exit status."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--waiting", type=int, default=100_000)
    asked.add_argument("--passed", type=int, default=100_000)
    asked.add_argument("--store")
    asked.add_argument("--print", action="store_true", dest="only_print")
    asked.add_argument("--copied", action="store_true")
    asked.add_argument("--folder", help="where the copied store is kept for the while; else the system's")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-store-", dir=given.folder) as folder:
        if given.copied:
            return copied(given.waiting, given.passed, Path(folder))
        url = given.store or f"sqlite:///{folder}/store.db"
        took_s = fill(url, given.waiting, given.passed)
        table = markdown_table(("question", "first, ms", "median, ms"), rows(url, given.waiting, given.passed))
        written = (given.waiting + given.passed) / took_s
        note = (
            f"{url.partition(':')[0]}: {given.waiting} parts wait, {given.passed} passed, {BATCH_PARTS} a batch; "
            f"written at {written:.0f} verdicts/s. Measured on {machine()}."
        )
        print(f"{table}\n\n{note}")
        if not given.only_print:
            write_table("bench-store", f"{table}\n\n{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
