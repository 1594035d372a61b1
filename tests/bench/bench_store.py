#!/usr/bin/env python3
"""How long the store takes to answer with many parts in it: the queue's pages, its counts, one batch.

    python tests/bench/bench_store.py [--waiting N] [--passed N] [--store URL] [--print]

Verdicts go in as the collector writes them. `--store`: an empty PostgreSQL (postgresql+psycopg://…); else SQLite in a
folder of its own. Rewrites its table in deploy/measured.md unless `--print`. Of many millions: bench_store_large.py.
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

from api.store.database import migrate  # noqa: E402
from api.store.rows import Harvest  # noqa: E402
from api.store.write import StoreWriter  # noqa: E402
from api.urgency import Ranking  # noqa: E402
from ingest.messages import Instant, encode  # noqa: E402
from ingest.plan.file import load_plan  # noqa: E402
from ingest.plan.plan import Plan  # noqa: E402
from tests.api.factory import PLAN, make_pass, make_verdict, now  # noqa: E402
from tests.bench.store_questions import look, opened, questions  # noqa: E402
from tests.bench.written_table import machine, markdown_table, write_table  # noqa: E402

DAY_MS = 86_400_000
WRITTEN_AT_ONCE, BATCH_PARTS, TURNS = 2000, 500, 15


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


def asked(url: str, waiting: int, every: int) -> dict[str, tuple[float, float]]:
    """Question -> the first answer, and the median of the others, ms."""
    with opened(url) as stores:
        return {name: median_ms(ask) for name, ask in questions(stores, look(stores, waiting, every)).items()}


def main() -> int:
    """Fill, ask, print, write. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--passed", type=int, default=100_000)
    parser.add_argument("--store")
    parser.add_argument("--print", action="store_true", dest="only_print")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-store-") as folder:
        url = given.store or f"sqlite:///{folder}/store.db"
        took_s = fill(url, given.waiting, given.passed)
        told = asked(url, given.waiting, given.waiting + given.passed)
        rows = [[name, *(f"{ms:.1f}" for ms in one)] for name, one in told.items()]
        table = markdown_table(("question", "first, ms", "median, ms"), rows)
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
