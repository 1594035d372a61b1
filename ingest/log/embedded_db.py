"""The SQLite file under the embedded log: connections, transactions that wait for their turn, the schema.

Nothing else in qcfuse touches `sqlite3`. A transaction is a function of a `Cursor`, run again from the start when the
file was busy or the disk was full, until `wait_s` has gone; then `LogUnavailable`, and nothing happened.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ingest.errors import LogUnavailable

T = TypeVar("T")
Cursor = sqlite3.Cursor
Params = Sequence[Any]

SCHEMA_VERSION = 1
PAGE_BYTES = 8192  # a 54 kB frame is 7 pages instead of 14; small records still share one
CACHE_KIB = 8192  # per connection: the right edges of all partitions' trees stay in memory
WAL_PAGES_MAX = 16_000  # safety net (128 MiB) where no caretaker checkpoints (`embedded_care.py`)
BUSY_PAUSE_S = 0.0003  # a commit holds the file for about this long; SQLite's own waiting starts at 1 ms and grows
BUSY_PAUSE_MAX_S = 0.002
FULL_PAUSE_S = 0.1

#: `rid` of a record is `lane << 40 | offset`, `lane` is `topic_id << 12 | partition`: a partition is one contiguous
#: run of one tree, found without an index. Room for 2047 topics, 4096 partitions, 10^12 records each.
OFFSET_BITS = 40
PARTITION_BITS = 12
OFFSET_MASK = (1 << OFFSET_BITS) - 1
PARTITION_MASK = (1 << PARTITION_BITS) - 1

_SCHEMA = """
CREATE TABLE topics (topic_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
  compacted INTEGER NOT NULL, retention_ms INTEGER, record_bytes_max INTEGER NOT NULL);
CREATE TABLE heads (lane INTEGER PRIMARY KEY, first INTEGER NOT NULL, next INTEGER NOT NULL,
  logged_at INTEGER NOT NULL);
CREATE TABLE records (rid INTEGER PRIMARY KEY, logged_at INTEGER NOT NULL, key BLOB, headers BLOB, body BLOB);
CREATE TABLE latest (lane INTEGER NOT NULL, key BLOB NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (lane, key))
  WITHOUT ROWID;
CREATE TABLE doomed (at INTEGER NOT NULL, rid INTEGER NOT NULL, PRIMARY KEY (at, rid)) WITHOUT ROWID;
CREATE TABLE groups (group_id TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE group_topics (group_id TEXT NOT NULL, topic_id INTEGER NOT NULL, PRIMARY KEY (group_id, topic_id))
  WITHOUT ROWID;
CREATE TABLE members (member INTEGER PRIMARY KEY AUTOINCREMENT, group_id TEXT NOT NULL, token TEXT NOT NULL,
  beat INTEGER NOT NULL);
CREATE TABLE owners (group_id TEXT NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL, member INTEGER,
  PRIMARY KEY (group_id, partition)) WITHOUT ROWID;
CREATE TABLE offsets (group_id TEXT NOT NULL, lane INTEGER NOT NULL, next INTEGER NOT NULL,
  PRIMARY KEY (group_id, lane)) WITHOUT ROWID;
"""


def _is_busy(error: sqlite3.Error) -> bool:
    return (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


def _is_damaged(error: sqlite3.Error) -> bool:
    return (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_world(error: sqlite3.Error) -> bool:
    """Trouble of the disk, not of our SQL."""
    return (error.sqlite_errorcode & 0xFF) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    )


class Database:
    """One connection to the log's file. Used by one thread at a time."""

    def __init__(self, path: Path, wait_s: float) -> None:
        self._path = path
        self._wait_s = wait_s
        self._connection = self._until_free(self._open, time.monotonic() + wait_s)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # deploy/decisions/0001-embedded-log.md
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES_MAX}")
            _create_schema(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, params: Params = ()) -> list[Any]:
        """All rows of a short read, from one consistent view of the committed log."""
        return self._until_free(
            lambda: self._connection.execute(sql, params).fetchall(), time.monotonic() + self._wait_s
        )

    def scan(self, sql: str, params: Params = ()) -> Iterator[Any]:
        """Rows one by one, so that the reader may stop when it has enough; holds a view of the file until then."""
        cursor = self._until_free(lambda: self._connection.execute(sql, params), time.monotonic() + self._wait_s)
        try:
            yield from cursor
        finally:
            cursor.close()

    def version(self) -> int:
        """Changes whenever another connection has committed; costs a few microseconds."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def used_bytes(self) -> int:
        """Bytes that hold something: free pages inside the file are used again before it grows."""
        pages, free = self.rows("SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count")[0]
        return int(pages - free) * PAGE_BYTES

    def write(self, work: Callable[[Cursor], T], wait_s: float | None = None) -> T:
        """Run `work` in one transaction, durable when this returns. Raises what `work` raises, or LogUnavailable."""
        deadline = time.monotonic() + (self._wait_s if wait_s is None else wait_s)
        while True:
            try:
                return self._write_once(work, deadline)
            except sqlite3.Error as error:
                if _is_damaged(error) or (_is_world(error) and time.monotonic() >= deadline):
                    raise self._unavailable(error) from error
                if not _is_world(error):
                    raise
            time.sleep(FULL_PAUSE_S)

    def _write_once(self, work: Callable[[Cursor], T], deadline: float) -> T:
        cursor = self._until_free(lambda: self._connection.execute("BEGIN IMMEDIATE"), deadline)
        try:
            result = work(cursor)
            self._until_free(lambda: self._connection.execute("COMMIT"), deadline)
        except BaseException:
            if self._connection.in_transaction:  # a full disk may have rolled it back already
                self._connection.execute("ROLLBACK")
            raise
        return result

    def checkpoint(self, mode: str) -> tuple[bool, int]:
        """Copy the write-ahead log into the file. Returns (something was in the way, pages in the write-ahead log)."""
        try:
            busy, pages, _ = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            if not (_is_busy(error) or _is_world(error)):
                raise
            return True, 0
        return bool(busy), int(pages)

    def _until_free(self, step: Callable[[], T], deadline: float) -> T:
        pause = BUSY_PAUSE_S
        while True:
            try:
                return step()
            except sqlite3.DatabaseError as error:
                if not _is_busy(error):
                    if (_is_world(error) or _is_damaged(error)) and not self._in_transaction():
                        raise self._unavailable(error) from error
                    raise
                if time.monotonic() >= deadline:
                    raise self._unavailable(error) from error
            time.sleep(pause)
            pause = min(pause * 1.5, BUSY_PAUSE_MAX_S)

    def _in_transaction(self) -> bool:
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        return connection is not None and connection.in_transaction

    def _unavailable(self, error: sqlite3.Error) -> LogUnavailable:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return LogUnavailable(f"{self._path}: the disk of the log is full; free space on it, nothing was lost")
        if _is_damaged(error):
            return LogUnavailable(f"{self._path}: not a log of qcfuse, or damaged ({error}); bring it back from a copy")
        if _is_busy(error):
            return LogUnavailable(f"{self._path}: another process has held the log for {self._wait_s:g} s")
        return LogUnavailable(f"{self._path}: the disk of the log does not work ({error}); nothing was lost")


def _create_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file, once, whoever comes first."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise LogUnavailable(f"{path}: written by another version of qcfuse (schema {version}, not {SCHEMA_VERSION})")
