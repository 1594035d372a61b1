#!/usr/bin/env python3
"""How long the figures on people's judgement take with many decisions in the store.

    python tests/bench/bench_quality.py [--decisions N] [--print]

Decisions of twelve people on parts of which every third was later heard of from elsewhere, in SQLite and, where it is
installed, in a PostgreSQL started for it: the median of the answers, and of the CPU time that asking and counting took
in this process (SQLite works within it, PostgreSQL beside it).
Rewrites its table in deploy/measured.md unless `--print`.
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

from api.agreement.report import report  # noqa: E402
from api.store.database import migrate  # noqa: E402
from api.store.quality import QualityStore  # noqa: E402
from api.store.queue import QueueFilter, QueueStore  # noqa: E402
from api.store.rows import Harvest, Made, Review  # noqa: E402
from api.store.write import StoreWriter  # noqa: E402
from ingest.messages import Defect, Instant  # noqa: E402
from tests.api.factory import make_defect, now  # noqa: E402
from tests.api.postgres import make_cluster, postgres_programs, served_cluster  # noqa: E402
from tests.bench.written_table import machine, markdown_table, write_table  # noqa: E402

WRITTEN_AT_ONCE, TURNS = 2000, 9
BEGAN = 1_700_000_000_000
OUTCOMES = ("ok", "defect")


def made_up(number: int, rng: np.random.Generator) -> tuple[list[Review], list[Defect]]:
    """One part that one or two people decided on, and what was heard of it later."""
    part, at = f"P{number}", BEGAN + 60_000 * number
    truth = OUTCOMES[int(rng.random() < 0.3)]
    made = Made(
        f"L1/EOL/{part}/1/1", "fusion 3", 0.03, bool(rng.random() < 0.9), 8000, 0.5, "ab" * 32, unaware=number % 5 == 0
    )
    reviews = []
    for place in range(1 + (number % 5 == 0)):
        said = truth if rng.random() < 0.9 else OUTCOMES[truth == "ok"]
        told = make_defect(part, source="inspector", outcome=said, recorded_at=Instant(at + place),
                           recorded_by=f"person {(number + place) % 12}")  # fmt: skip
        reviews.append(Review(f"{part}-{place}", "EOL", 1, told, made))
    heard = [make_defect(part, outcome=truth, recorded_at=Instant(at + 3_600_000))] if number % 3 == 0 else []
    return reviews, heard


def fill(url: str, decisions: int) -> None:
    """So many decisions and more."""
    migrate(url)
    writer = StoreWriter(url, "bench")
    rng, number, written = np.random.default_rng(0), 0, 0
    while written < decisions:
        reviews: list[Review] = []
        defects: list[Defect] = []
        while len(reviews) < WRITTEN_AT_ONCE:
            said, heard = made_up(number, rng)
            reviews, defects, number = reviews + said, defects + heard + [one.defect for one in said], number + 1
        writer.apply(Harvest(reviews=tuple(reviews), defects=tuple(defects)), now())
        written += len(reviews)
        print(f"{written} of {decisions}", end="\r", file=sys.stderr, flush=True)
    writer.close()


def asked_of(url: str, decisions: int) -> dict[str, tuple[float, float]]:
    """Fill, then ask what `/quality` asks: question -> median ms, CPU ms."""
    fill(url, decisions)
    quality, queue = QualityStore(url), QueueStore(url)
    every = (Instant(0), Instant(2 * BEGAN))
    decided, truths = quality.decisions(*every), quality.truths(*every)
    questions: dict[str, Callable[[], object]] = {
        "the decisions": lambda: quality.decisions(*every),
        "the truths from elsewhere": lambda: quality.truths(*every),
        "the figures of both": lambda: report(decided, truths, {}),
        "all of it": lambda: report(quality.decisions(*every), quality.truths(*every), quality.groups()),
        "what two disagree about": lambda: quality.disagreements(100),
        "an inspector's page of the queue": lambda: queue.page(QueueFilter(inspector="person 1"), now(), 100),
    }
    told = {name: median_and_cpu_ms(ask) for name, ask in questions.items()}
    quality.close()
    queue.close()
    return told


def median_and_cpu_ms(ask: Callable[[], object]) -> tuple[float, float]:
    """Medians of the time it took and of the CPU time of this process, ms."""
    took = []
    for _ in range(TURNS):
        began, cpu = time.perf_counter(), time.process_time()
        ask()
        took.append((1000.0 * (time.perf_counter() - began), 1000.0 * (time.process_time() - cpu)))
    return float(np.median([one for one, _ in took])), float(np.median([cpu for _, cpu in took]))


def main() -> int:
    """Fill, ask, print, write. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--print", action="store_true", dest="only_print")
    asked = parser.parse_args()
    told: dict[str, dict[str, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-quality-") as folder:
        told["SQLite"] = asked_of(f"sqlite:///{Path(folder) / 'store.db'}", asked.decisions)
        if (programs := postgres_programs()) is not None:
            with served_cluster(programs, make_cluster(programs, Path(folder))) as server:
                told["PostgreSQL"] = asked_of(f"{server}/postgres", asked.decisions)
    head = ["question", *(f"{name}, {what}" for name in told for what in ("ms", "of it CPU here, ms"))]
    rows = [[question, *(f"{ms:.1f}" for name in told for ms in told[name][question])] for question in told["SQLite"]]
    table = f"{markdown_table(head, rows)}\n\n{asked.decisions} decisions of twelve people. Measured on {machine()}."
    print(table)
    if not asked.only_print:
        write_table("bench-quality", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
