#!/usr/bin/env python3
"""How long the figures on people's judgement take with many decisions in the store.

    python tests/bench/bench_quality.py [--decisions N] [--store URL]

Decisions of twelve people on parts of which every third was later heard of from elsewhere, some taken back. `--store`:
an empty PostgreSQL; else SQLite in a folder of its own. Prints the first answer and the median of the others, ms.
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
from tests.bench.bench_store import median_ms  # noqa: E402

WRITTEN_AT_ONCE = 2000
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--store", default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = asked.store or f"sqlite:///{Path(folder) / 'store.db'}"
        began = time.perf_counter()
        fill(url, asked.decisions)
        print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        quality, queue = QualityStore(url), QueueStore(url)
        every = (Instant(0), Instant(2 * BEGAN))
        decided, truths = quality.decisions(*every), quality.truths(*every)
        questions: dict[str, Callable[[], object]] = {
            "decisions": lambda: quality.decisions(*every),
            "truths": lambda: quality.truths(*every),
            "figures": lambda: report(decided, truths, {}),
            "all three": lambda: report(quality.decisions(*every), quality.truths(*every), quality.groups()),
            "disagreements": lambda: quality.disagreements(100),
            "the queue as an inspector sees it": lambda: queue.page(QueueFilter(inspector="person 1"), now(), 100),
        }
        print(f"{len(decided)} decisions, {len(truths)} of them with a truth from elsewhere")
        for name, ask in questions.items():
            first, median = median_ms(ask)
            print(f"{name:36} first {first:8.1f} ms, then {median:8.1f} ms")
        quality.close()
        queue.close()


if __name__ == "__main__":
    main()
