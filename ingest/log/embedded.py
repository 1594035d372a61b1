"""The embedded log: `ingest.log.seam` for one machine, in one SQLite file, for several processes at once.

Same meaning as Apache Kafka with transactions and read_committed: a record is there, durable, when its transaction is;
partitions, offsets and compaction as there. What differs is told in deploy/decisions/0001-embedded-log.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingest.errors import BadInput, LogUnavailable
from ingest.log.embedded_care import Caretaker
from ingest.log.embedded_db import PARTITION_MASK, Cursor, Database
from ingest.log.embedded_house import DiskLimit
from ingest.log.embedded_member import EmbeddedMember, WakeUp
from ingest.log.embedded_records import Positions, Row, Topic, Topics, append_rows, create_topic, heads_of
from ingest.log.seam import Outgoing, Record, TopicSpec

FILE_NAME = "log.db"
BATCH_ROWS = (
    500  # a transaction of a producer: large enough to share the cost of a flush, short enough to hold the file
)
BATCH_BYTES = 4 * 1024 * 1024
LINGER_S = 0.005  # an appended record is on the log this soon even if nobody flushes
FULL_PAUSE_S = 0.05
DRAIN_S = 2.0  # closing a producer waits this long for what is still queued, then says so


class EmbeddedLog:
    """See `ingest.log.seam.Log`. `wait_s`: how long anything waits for room or for others before LogUnavailable."""

    def __init__(self, folder: Path, *, wait_s: float, session_timeout_ms: int, disk: DiskLimit) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._wait_s = wait_s
        self._disk = disk
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{folder}: cannot make the folder of the log ({error.strerror})") from error
        self._database = Database(self._path, wait_s)
        self._topics = Topics(self._database)
        self._caretaker = Caretaker(self._path, wait_s, session_timeout_ms, disk)

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        def create(cursor: Cursor) -> list[str]:
            return [spec.name for spec in specs if create_topic(cursor, spec)]

        return self._database.write(create)

    def partitions(self, topic: str) -> int:
        found = self._topics.find(topic)
        return 0 if found is None else found.partitions

    def producer(self) -> EmbeddedProducer:
        self._caretaker.start()
        database = Database(self._path, self._wait_s)
        return EmbeddedProducer(database, Topics(database), self._disk, self._wait_s)

    def reader(self, topics: Sequence[str], start: str | Mapping[tuple[str, int], int]) -> EmbeddedReader:
        database = Database(self._path, self._wait_s)
        known = Topics(database)
        try:
            return EmbeddedReader(database, known, [known.get(name) for name in topics], start)
        except BaseException:
            database.close()
            raise

    def member(self, group: str, topics: Sequence[str]) -> EmbeddedMember:
        found = [self._topics.get(name) for name in topics]
        if len({topic.partitions for topic in found}) != 1:
            counts = ", ".join(f"{topic.name}: {topic.partitions}" for topic in found)
            raise BadInput(f"the topics of group {group!r} must have the same number of partitions ({counts})")
        database = Database(self._path, self._wait_s)
        room = Room(database, self._disk.reserve_bytes, self._wait_s)
        return EmbeddedMember(database, self._folder, group, found, Topics(database), self._caretaker, room.wait)

    def close(self) -> None:
        """Members, readers and producers are closed by whoever opened them, before."""
        self._caretaker.close()
        self._database.close()


class Room:
    """Waits while the log's file is at its limit."""

    def __init__(self, database: Database, limit_bytes: int, wait_s: float) -> None:
        self._database = database
        self._limit_bytes = limit_bytes
        self._wait_s = wait_s

    def wait(self) -> None:
        """Raises LogUnavailable when consumers have not made room in time."""
        if self._database.used_bytes() < self._limit_bytes:
            return
        deadline = time.monotonic() + self._wait_s
        while self._database.used_bytes() >= self._limit_bytes:
            if time.monotonic() >= deadline:
                raise LogUnavailable(
                    f"the log has reached its limit of {self._limit_bytes / 2**30:.3g} GiB and no"
                    f" consumer made room for {self._wait_s:g} s: start the consumers, or raise QCFUSE_LOG_DISK_GIB_MAX"
                )
            time.sleep(FULL_PAUSE_S)


class EmbeddedProducer:
    """See `ingest.log.seam.Producer`. May be used by several threads."""

    def __init__(self, database: Database, topics: Topics, disk: DiskLimit, wait_s: float) -> None:
        self._database = database
        self._topics = topics
        self._room = Room(database, disk.limit_bytes, wait_s)
        self._queue: list[Row] = []
        self._queued_bytes = 0
        self._guard = threading.RLock()
        self._waiting = threading.Event()
        self._closed = False
        self._linger = threading.Thread(target=self._run, name="log-producer", daemon=True)
        self._linger.start()

    def append(self, record: Outgoing) -> None:
        """Raises BadRecord for a record over its topic's limit, BadInput for an unknown topic, LogUnavailable."""
        with self._guard:
            row = self._topics.row(record)
            if len(self._queue) >= BATCH_ROWS or self._queued_bytes >= BATCH_BYTES:
                self.flush()
            self._queue.append(row)
            self._queued_bytes += row.bytes
        self._waiting.set()

    def flush(self) -> None:
        """What could not be written stays queued; call again when the log is back."""
        with self._guard:
            if self._queue:
                self._room.wait()
                rows = self._queue
                self._database.write(lambda cursor: append_rows(cursor, rows))
                self._queue = []
                self._queued_bytes = 0

    def _run(self) -> None:
        while not self._closed:
            self._waiting.wait()
            self._waiting.clear()
            time.sleep(LINGER_S)
            try:
                self.flush()
            except LogUnavailable:
                self._waiting.set()  # tried again; whoever appends or flushes next hears of the same trouble

    def close(self) -> None:
        """Flushes. Raises LogUnavailable when something could not be written: it is lost then."""
        try:
            self.flush()
        finally:
            self._closed = True
            self._waiting.set()
            self._linger.join(DRAIN_S)
            self._database.close()


class EmbeddedReader:
    """See `ingest.log.seam.Reader`."""

    def __init__(
        self,
        database: Database,
        known: Topics,
        topics: Sequence[Topic],
        start: str | Mapping[tuple[str, int], int],
    ) -> None:
        self._database = database
        self._known = known
        self._positions = Positions(database, known)
        self._wake = WakeUp(database)
        lanes = {topic.lane(partition): (topic, partition) for topic in topics for partition in range(topic.partitions)}
        for lane, (first, following) in heads_of(database, lanes).items():
            topic, partition = lanes[lane]
            if isinstance(start, str):
                offset = {"beginning": first, "end": following}[start]
            else:
                offset = max(first, start.get((topic.name, partition), first))
            self._positions.place(lane, offset)

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        while True:
            if self._wake.is_due():
                records = self._positions.read(records_max)
                if records:
                    self._wake.found()
                    return records
            if not self._wake.wait(deadline):
                return []

    def positions(self) -> dict[tuple[str, int], int]:
        return {self._name(lane): offset for lane, offset in self._positions.lanes().items()}

    def ends(self) -> dict[tuple[str, int], int]:
        heads = heads_of(self._database, self._positions.lanes())
        return {self._name(lane): following for lane, (_, following) in heads.items()}

    def _name(self, lane: int) -> tuple[str, int]:
        return self._known.of_lane(lane).name, lane & PARTITION_MASK

    def close(self) -> None:
        self._database.close()
