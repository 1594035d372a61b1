"""Very many verdicts, put into PostgreSQL by COPY: rows as the collector writes them, in minutes and not hours."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import sqlalchemy as sa

from api.store.database import migrate, open_engine
from api.store.tables import batches, cases, causes, verdicts, visits
from ingest.messages import encode
from tests.api.factory import make_pass, make_verdict, make_visit, now

AT_ONCE = 2000
PART, BATCH, LINE, ID = "PPPPPPPP", "BBBBBBBB", "LLLL", "IIII"  # what differs from row to row in a body
COPIED = (verdicts, cases, causes, visits, batches)
CASE_COLUMNS = [
    "line_id", "gate_id", "part_id", "attempt", "row_id", "revision", "batch_id", "product", "decision", "risk",
    "event_at", "state", "urgency",
]  # fmt: skip
EVICT = os.POSIX_FADV_DONTNEED


def copy_store(url: str, waiting: int, passed: int, batch_parts: int) -> None:
    """A migrated store with so many parts, each with one verdict, one case and one visit."""
    migrate(url)
    every = waiting + passed
    step = max(1, every // max(1, waiting))  # parts that wait are spread evenly
    engine = open_engine(url, writing=True)
    indices = [index for table in COPIED for index in table.indexes]
    for index in indices:
        index.drop(engine)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        lines = _Lines(step, batch_parts)
        for table in COPIED:
            names = ", ".join(lines.columns(table))
            with connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN".encode()) as copy:
                for first in range(0, every, AT_ONCE):
                    copy.write("".join(lines.of(table, range(first, min(first + AT_ONCE, every)))))
                    print(f"{table.name}: {first} of {every}   ", end="\r", file=sys.stderr, flush=True)
            connection.commit()
    for index in indices:
        index.create(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM (ANALYZE)"))
    engine.dispose()


class _Lines:
    """Rows of each table as COPY reads them."""

    def __init__(self, step: int, batch_parts: int) -> None:
        self._step, self._batch_parts, self._at = step, batch_parts, int(now())
        fields = {"batch_id": BATCH, "line_id": LINE, "verdict_id": ID}
        self._waits = encode(make_verdict(PART, **fields)).decode()
        self._passes = encode(make_pass(PART, **fields)).decode()
        self._attributes = '{"supplier_lot":"S31","tool_id":"T%d"}'
        self._product = make_visit().product
        self._made: dict[sa.Table, Callable[[int], str | None]] = {
            verdicts: self._verdict, cases: self._case, causes: self._cause, visits: self._visit, batches: self._batch,
        }  # fmt: skip

    def columns(self, table: sa.Table) -> list[str]:
        """The columns that are given; others have their defaults."""
        return CASE_COLUMNS if table is cases else [column.name for column in table.columns]

    def of(self, table: sa.Table, numbers: range) -> Iterator[str]:
        made = self._made[table]
        return (line for number in numbers if (line := made(number)) is not None)

    def _names(self, number: int) -> tuple[str, str, str, int]:
        return f"P{number:08d}", f"B{number // self._batch_parts:06d}", f"L{number % 4}", self._at + number

    def _waiting(self, number: int) -> bool:
        return number % self._step == 0

    def _verdict(self, number: int) -> str:
        part, batch, line, at = self._names(number)
        verdict_id, waits = f"{line}/EOL/{part}/1/1", self._waiting(number)
        body = self._waits if waits else self._passes
        body = body.replace(PART, part).replace(BATCH, batch).replace(LINE, line).replace(ID, verdict_id)
        body = body.replace("\\", "\\\\")
        said = "review" if waits else "pass"
        keys = (number + 1, verdict_id, line, "EOL", part, 1, 1, number, batch, self._product, said, at)
        return "\t".join(map(str, keys)) + f"\t{body}\n"

    def _case(self, number: int) -> str:
        part, batch, line, at = self._names(number)
        said, state = ("review", "open") if self._waiting(number) else ("pass", "done")
        risk = number * 0.6180339887 % 1.0  # every value about as often, each once
        keys = (line, "EOL", part, 1, number + 1, 1, batch, self._product, said, risk, at, state, risk)
        return "\t".join(map(str, keys)) + "\n"

    def _cause(self, number: int) -> str | None:
        if not self._waiting(number):
            return None
        return f"{number + 1}\t0\ttool_id=T7\t0.61\n{number + 1}\t1\tOP20.spindle_current_a\t0.22\n"

    def _visit(self, number: int) -> str:
        part, batch, line, at = self._names(number)
        attributes = self._attributes % (number // 1000 % 200)
        return "\t".join(map(str, (line, part, "OP20", at, at + 2000, batch, self._product, attributes))) + "\n"

    def _batch(self, number: int) -> str | None:
        if number % self._batch_parts != self._batch_parts - 1:
            return None
        return f"{self._names(number)[1]}\t{number + 1}\n"


def evict(folder: Path) -> None:
    """Ask the system to forget what it keeps in memory of these files. The server must have stopped."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, EVICT)
            finally:
                os.close(handle)
