#!/usr/bin/env python3
"""How long the store takes to answer with millions of parts in it, in PostgreSQL and in SQLite, cold and warm.

    python tests/bench/bench_store_large.py [--waiting N] [--passed N] [--sqlite-passed N] [--folder DIR] [--only NAME]

Both are filled in bulk, by themselves one after the other: ten million verdicts take some 30 GB and a quarter of an
hour. Cold: the first answer of a server just started, or a file just opened, of which the system has forgotten all;
connecting is in it. Warm: the median of the answers that follow.
Rewrites its table in deploy/measured.md, unless `--only` one of them is asked (postgresql, sqlite): that is printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.api.postgres import make_cluster, postgres_programs, served_cluster  # noqa: E402
from tests.bench.bench_store import BATCH_PARTS, median_ms  # noqa: E402
from tests.bench.store_copied import copy_store, evict  # noqa: E402
from tests.bench.store_questions import Known, look, opened, questions  # noqa: E402
from tests.bench.written_table import machine, markdown_table, write_table  # noqa: E402

FILLING = ("wal_level=minimal", "max_wal_senders=0", "max_wal_size=8GB", "maintenance_work_mem=1GB", "autovacuum=off")

Serving = Callable[[], AbstractContextManager[str]]  # the store's URL for a while
Told = dict[str, tuple[float, float]]  # question -> cold, warm ms


def asked(serving: Serving, files: Path, waiting: int, every: int) -> Told:
    """Every question warm, then each cold."""
    with serving() as url, opened(url) as stores:
        known = look(stores, waiting, every)
        warm = {name: median_ms(ask)[1] for name, ask in questions(stores, known).items()}
    return {name: (_cold_ms(serving, files, known, name), ms) for name, ms in warm.items()}


def _cold_ms(serving: Serving, files: Path, known: Known, name: str) -> float:
    evict(files)
    with serving() as url, opened(url) as stores:
        ask, began = questions(stores, known)[name], time.perf_counter()
        ask()
        return 1000.0 * (time.perf_counter() - began)


def of_postgres(folder: Path, waiting: int, passed: int) -> Told | None:
    """A PostgreSQL of one's own below `folder`; None where none is installed."""
    programs = postgres_programs()
    if programs is None:
        print("no PostgreSQL here: apt-get install postgresql", file=sys.stderr)
        return None
    base = make_cluster(programs, folder)
    with served_cluster(programs, base, *FILLING) as server:
        copy_store(f"{server}/postgres", waiting, passed, BATCH_PARTS)

    @contextmanager
    def serve() -> Iterator[str]:
        with served_cluster(programs, base) as server:
            yield f"{server}/postgres"

    told = asked(serve, base, waiting, waiting + passed)
    shutil.rmtree(base)
    return told


def of_sqlite(folder: Path, waiting: int, passed: int) -> Told:
    """A file below `folder`."""
    url = f"sqlite:///{folder / 'store.db'}"
    copy_store(url, waiting, passed, BATCH_PARTS)

    @contextmanager
    def serve() -> Iterator[str]:
        yield url

    return asked(serve, folder, waiting, waiting + passed)


def main() -> int:
    """Fill, ask, print, write. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--passed", type=int, default=9_900_000)
    parser.add_argument("--sqlite-passed", type=int, default=1_900_000)
    parser.add_argument("--folder", help="where the stores are kept for the while; else the system's")
    parser.add_argument("--only", choices=["postgresql", "sqlite"], default="")
    given = parser.parse_args()
    columns: dict[str, Told] = {}
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-store-", dir=given.folder) as folder:
        if given.only != "sqlite":
            told = of_postgres(Path(folder), given.waiting, given.passed)
            columns |= {f"PostgreSQL, {(given.waiting + given.passed) / 1e6:g} M": told} if told is not None else {}
        if given.only != "postgresql":
            told = of_sqlite(Path(folder), given.waiting, given.sqlite_passed)
            columns[f"SQLite, {(given.waiting + given.sqlite_passed) / 1e6:g} M"] = told
    head = ["question", *(f"{name}: {what}, ms" for name in columns for what in ("cold", "warm"))]
    asked_for = next(iter(columns.values()), {})
    rows = [[question, *(f"{ms:.1f}" for told in columns.values() for ms in told[question])] for question in asked_for]
    note = f"{given.waiting} parts wait, of all times; {BATCH_PARTS} parts a batch. Measured on {machine()}."
    table = f"{markdown_table(head, rows)}\n\n{note}"
    print(table)
    if not given.only:
        write_table("bench-store-large", table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
