"""Very many verdicts, put into a store by COPY or in bulk: rows as the collector writes them, in minutes, not hours."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import sqlalchemy as sa

from api.store.database import migrate, open_engine
from api.store.tables import batches, case_counts, cases, causes, findings, verdicts, visits
from api.store.tables_exposed import exposures
from ingest.messages import encode
from tests.api.factory import make_findings, make_pass, make_verdict, now

AT_ONCE = 2000
PART, BATCH, LINE, ID, PRODUCT = "PPPPPPPP", "BBBBBBBB", "LLLL", "IIII", "QQQQ"  # what differs in a body by row
COPIED = (verdicts, cases, causes, visits, exposures, batches, findings)
PACE_MS = 40  # from part to part: ten million in five days
SEEN_EVERY = 20  # parts of which one has findings here: pictures are not what is measured
TOOL_PARTS, TOOLS = 1000, 200  # parts that a tool makes at a stretch
IDLE_LINE, IDLE_PRODUCT = "L4", "C"  # a fifth and a third of all parts, of which none waits
CASE_COLUMNS = [
    "line_id", "gate_id", "part_id", "attempt", "row_id", "revision", "batch_id", "product", "decision", "risk",
    "event_at", "state", "urgency", "cameras",
]  # fmt: skip
EVICT = os.POSIX_FADV_DONTNEED


def copy_store(url: str, waiting: int, passed: int, batch_parts: int) -> None:
    """A migrated store with so many parts, each with one verdict, one case and one visit. Those that wait are of all
    times; of one line and one product, none waits."""
    migrate(url)
    every = waiting + passed
    lines = _Lines(every, max(1, every // max(1, waiting)), batch_parts)  # parts that wait are spread evenly
    engine = open_engine(url, writing=True)
    indices = [index for table in COPIED for index in table.indexes]
    for index in indices:
        index.drop(engine)
    put = _insert if engine.dialect.name == "sqlite" else _copy
    for table in COPIED:
        with engine.begin() as connection:
            put(connection, table, lines, every)
    for index in indices:
        index.create(engine)
    with engine.begin() as connection:
        counted = sa.select(cases.c.decision, sa.func.count()).group_by(cases.c.decision)
        connection.execute(sa.insert(case_counts).from_select(["decision", "cases"], counted))
    if engine.dialect.name != "sqlite":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM (ANALYZE)"))
    engine.dispose()


def _copy(connection: sa.Connection, table: sa.Table, lines: _Lines, every: int) -> None:
    cursor = cast(psycopg.Cursor[Any], connection.connection.cursor())
    with cursor.copy(f"COPY {table.name} ({', '.join(lines.columns(table))}) FROM STDIN".encode()) as copy:
        for numbers in _in_parts(table, every):
            copy.write("".join(lines.of(table, numbers)))


def _insert(connection: sa.Connection, table: sa.Table, lines: _Lines, every: int) -> None:
    names = lines.columns(table)
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    for numbers in _in_parts(table, every):
        written = "".join(lines.of(table, numbers)).replace("\\\\", "\\")
        rows = [tuple(line.split("\t")) for line in written.splitlines()]
        if rows:
            connection.exec_driver_sql(statement, rows)


def _in_parts(table: sa.Table, every: int) -> Iterator[range]:
    for first in range(0, every, AT_ONCE):
        yield range(first, min(first + AT_ONCE, every))
        print(f"{table.name}: {first} of {every}   ", end="\r", file=sys.stderr, flush=True)


class _Lines:
    """Rows of each table as COPY reads them."""

    def __init__(self, every: int, step: int, batch_parts: int) -> None:
        self._every, self._step, self._batch_parts, self._ends_at = every, step, batch_parts, int(now())
        fields = {"batch_id": BATCH, "line_id": LINE, "verdict_id": ID, "product": PRODUCT}
        self._waits = encode(make_verdict(PART, **fields)).decode()
        self._passes = encode(make_pass(PART, **fields)).decode()
        self._attributes = '{"supplier_lot":"S31","tool_id":"T%d"}'
        seen = make_findings(PART, line_id=LINE, frame_ref="ab" * 32 + ".png", heatmap_ref="cd" * 32 + ".png")
        self._seen = encode(seen).decode()
        self._made: dict[sa.Table, Callable[[int], str | None]] = {
            verdicts: self._verdict, cases: self._case, causes: self._cause, visits: self._visit, batches: self._batch,
            exposures: self._exposure, findings: self._findings,
        }  # fmt: skip

    def columns(self, table: sa.Table) -> list[str]:
        """The columns that are given; others have their defaults."""
        return CASE_COLUMNS if table is cases else [column.name for column in table.columns]

    def of(self, table: sa.Table, numbers: range) -> Iterator[str]:
        made = self._made[table]
        return (line for number in numbers if (line := made(number)) is not None)

    def _names(self, number: int) -> tuple[str, str, str, str, int]:
        """part, batch, line, product, time"""
        place = number // self._step
        if self._waiting(number):
            line, product = f"L{place % 4}", "AB"[place % 2]
        else:
            line, product = f"L{number % 5}", "ABC"[number % 3]
        return (
            f"P{number:08d}",
            f"B{number // self._batch_parts:06d}",
            line,
            product,
            self._ends_at - PACE_MS * (self._every - number),
        )

    def _waiting(self, number: int) -> bool:
        return number % self._step == 0

    def _verdict(self, number: int) -> str:
        part, batch, line, product, at = self._names(number)
        verdict_id, waits = f"{line}/EOL/{part}/1/1", self._waiting(number)
        body = self._waits if waits else self._passes
        body = body.replace(PART, part).replace(BATCH, batch).replace(LINE, line).replace(ID, verdict_id)
        body = body.replace(PRODUCT, product).replace("\\", "\\\\")
        said = "review" if waits else "pass"
        keys = (number + 1, verdict_id, line, "EOL", part, 1, 1, number, batch, product, said, at)
        return "\t".join(map(str, keys)) + f"\t{body}\n"

    def _case(self, number: int) -> str:
        part, batch, line, product, at = self._names(number)
        said, state, cameras = ("review", "open", "|top|") if self._waiting(number) else ("pass", "done", "")
        risk = number * 0.6180339887 % 1.0  # every value about as often, each once
        keys = (line, "EOL", part, 1, number + 1, 1, batch, product, said, risk, at, state, risk, cameras)
        return "\t".join(map(str, keys)) + "\n"

    def _cause(self, number: int) -> str | None:
        if not self._waiting(number):
            return None
        return f"{number + 1}\t0\ttool_id=T7\t0.61\n{number + 1}\t1\tOP20.spindle_current_a\t0.22\n"

    def _visit(self, number: int) -> str:
        part, batch, line, product, at = self._names(number)
        attributes = self._attributes % _tool(number)
        return "\t".join(map(str, (line, part, "OP20", at, at + 2000, batch, product, attributes))) + "\n"

    def _exposure(self, number: int) -> str:
        part, _, line, _, at = self._names(number)
        place = f"{at}\t{line}\t{part}\tOP20\n"
        return f"supplier_lot=S31\t{place}tool_id=T{_tool(number)}\t{place}"

    def _findings(self, number: int) -> str | None:
        if number % SEEN_EVERY:
            return None
        part, _, line, _, at = self._names(number)
        body = self._seen.replace(PART, part).replace(LINE, line)
        return f"{part}\ttop@{at}\ttop\t{at}\t{at + 20}\tpicture\theat\t{body}\n"

    def _batch(self, number: int) -> str | None:
        if number % self._batch_parts != self._batch_parts - 1:
            return None
        return f"{self._names(number)[1]}\t{number + 1}\n"


def _tool(number: int) -> int:
    return number // TOOL_PARTS % TOOLS


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
