#!/usr/bin/env python3
"""How long the store takes to answer with many parts in it: the queue's pages, its counts, one batch.

    python tests/bench/bench_store.py [--waiting N] [--passed N] [--store URL] [--print]

Verdicts go in as the collector writes them. `--store`: an empty PostgreSQL (postgresql+psycopg://…); else SQLite in a
folder of its own. Rewrites the README's table unless `--print`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from api.store import migrate  # noqa: E402
from api.store_queue import QueueFilter, QueueStore  # noqa: E402
from api.store_read import StoreReader  # noqa: E402
from api.store_rows import Harvest, VerdictFilter  # noqa: E402
from api.store_write import StoreWriter  # noqa: E402
from ingest.messages import Instant, encode  # noqa: E402
from tests.api.factory import make_pass, make_verdict, now  # noqa: E402
from tests.bench.readme_table import machine, markdown_table, write_table  # noqa: E402

WRITTEN_AT_ONCE, BATCH_PARTS, PAGE, TURNS = 2000, 500, 100, 15


def fill(url: str, waiting: int, passed: int) -> float:
    """So many verdicts; seconds it took."""
    migrate(url)
    writer = StoreWriter(url, holder="bench")
    rng, began = np.random.default_rng(0), time.perf_counter()
    for first in range(0, waiting + passed, WRITTEN_AT_ONCE):
        made = []
        for number in range(first, min(first + WRITTEN_AT_ONCE, waiting + passed)):
            make = make_verdict if number < waiting else make_pass
            risk = float(rng.random())
            verdict = make(f"P{number}", batch_id=f"B{number // BATCH_PARTS}", risk=risk, line_id=f"L{number % 4}")
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


def rows(url: str, waiting: int, passed: int) -> list[list[str]]:
    """One row a question."""
    queue, reader, everything = QueueStore(url), StoreReader(url), QueueFilter()
    place, at = None, now()
    for _ in range(max(1, waiting // 2 // 1000)):  # the middle of the queue
        page = queue.page(everything, at, 1000, place)
        place = page[-1].place if page else place
    batch = f"B{(waiting + passed) // 2 // BATCH_PARTS}"
    asked: dict[str, Callable[[], object]] = {
        "first page of the queue": lambda: queue.page(everything, at, PAGE),
        "a page in its middle": lambda: queue.page(everything, at, PAGE, place),
        "first page of one line": lambda: queue.page(QueueFilter(line_id="L3"), at, PAGE),
        "first page of one cause": lambda: queue.page(QueueFilter(cause="tool_id=T7"), at, PAGE),
        "how many wait": lambda: queue.count(everything),
        "decided today": lambda: queue.decided("anna", Instant(at - 1)),
        "one batch, every verdict": lambda: reader.batch_verdicts(batch),
        "one batch, the list": lambda: reader.verdicts(VerdictFilter(batch_id=batch), PAGE),
    }
    told = [[name, *(f"{ms:.1f}" for ms in median_ms(ask))] for name, ask in asked.items()]
    queue.close()
    reader.close()
    return told


def main() -> int:
    """Fill, ask, print, write. Returns the exit status."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--waiting", type=int, default=100_000)
    asked.add_argument("--passed", type=int, default=100_000)
    asked.add_argument("--store")
    asked.add_argument("--print", action="store_true", dest="only_print")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-store-") as folder:
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
