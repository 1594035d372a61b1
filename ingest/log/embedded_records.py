"""Topics and records of the embedded log: appending inside a transaction, reading runs of a partition."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ingest.errors import BadInput, BadRecord
from ingest.log.embedded_db import OFFSET_BITS, OFFSET_MASK, PARTITION_BITS, PARTITION_MASK, Cursor, Database
from ingest.log.seam import Headers, Outgoing, Record, TopicSpec
from ingest.partition import partition_of

#: A superseded record of a compacted topic stays this long, so that a reader at its heels sees every order
#: and not only the last; a tombstone stays long enough for a state reader to have seen it.
SUPERSEDED_KEEP_MS = 10_000
TOMBSTONE_KEEP_MS = 3_600_000

POLL_BYTES_MAX = 32 * 1024 * 1024  # one poll's bodies: 500 records of the largest size would be 8 GB
STATE_ROWS = 1000  # rows of state read at once: a short view of the file, so that the write-ahead log can be recycled

_HEADERS = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


@dataclass(frozen=True, slots=True)
class Topic:
    topic_id: int
    name: str
    partitions: int
    compacted: bool
    record_bytes_max: int

    def lane(self, partition: int) -> int:
        return self.topic_id << PARTITION_BITS | partition


@dataclass(frozen=True, slots=True)
class Row:
    """One record ready to be appended: everything costly is done before the file is locked."""

    lane: int
    compacted: bool
    key: bytes | None
    headers: bytes | None
    body: bytes | None

    @property
    def bytes(self) -> int:
        return len(self.body or b"") + len(self.key or b"") + len(self.headers or b"") + 64


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Topics:
    """What topics there are, remembered: they are never removed or changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[int, Topic] = {}

    def find(self, name: str) -> Topic | None:
        if name not in self._by_name:
            self._load()
        return self._by_name.get(name)

    def get(self, name: str) -> Topic:
        """Raises BadInput when there is no such topic."""
        topic = self.find(name)
        if topic is None:
            raise BadInput(f"there is no topic {name!r} on the log; `qcfuse topics` creates them")
        return topic

    def of_lane(self, lane: int) -> Topic:
        topic_id = lane >> PARTITION_BITS
        if topic_id not in self._by_id:
            self._load()
        return self._by_id[topic_id]

    def _load(self) -> None:
        for row in self._database.rows("SELECT topic_id, name, partitions, compacted, record_bytes_max FROM topics"):
            topic = Topic(row[0], row[1], row[2], bool(row[3]), row[4])
            self._by_name[topic.name] = self._by_id[topic.topic_id] = topic

    def row(self, record: Outgoing) -> Row:
        """Raises BadInput for an unknown topic or partition, BadRecord for a record over the topic's limit."""
        topic = self.get(record.topic)
        if record.partition is not None:
            partition = record.partition
        elif record.key is not None:
            partition = partition_of(record.key, topic.partitions)
        else:
            partition = random.randrange(topic.partitions)
        if not 0 <= partition < topic.partitions:
            raise BadInput(f"topic {topic.name!r} has no partition {partition}, it has {topic.partitions}")
        if topic.compacted and record.key is None:
            raise BadRecord("no_key", f"a record of the compacted topic {topic.name!r} needs a key")
        headers = msgspec.msgpack.encode(record.headers) if record.headers else None
        row = Row(topic.lane(partition), topic.compacted, record.key, headers, record.body)
        if row.bytes > topic.record_bytes_max:
            raise BadRecord(
                "record_too_large", f"{row.bytes} bytes, topic {topic.name!r} takes {topic.record_bytes_max}"
            )
        return row


def create_topic(cursor: Cursor, spec: TopicSpec) -> bool:
    """True when it was missing. Raises BadInput when it is there with another number of partitions."""
    if not 0 < spec.partitions <= PARTITION_MASK:
        raise BadInput(f"topic {spec.name!r}: {spec.partitions} partitions; 1 to {PARTITION_MASK} are possible")
    found = cursor.execute("SELECT partitions FROM topics WHERE name = ?", (spec.name,)).fetchone()
    if found is not None:
        if found[0] != spec.partitions:
            raise BadInput(f"topic {spec.name!r} is there with {found[0]} partitions, {spec.partitions} are wanted")
        return False
    cursor.execute(
        "INSERT INTO topics (name, partitions, compacted, retention_ms, record_bytes_max) VALUES (?, ?, ?, ?, ?)",
        (spec.name, spec.partitions, spec.compacted, spec.retention_ms, spec.record_bytes_max),
    )
    lanes = [(cursor.lastrowid or 0) << PARTITION_BITS | partition for partition in range(spec.partitions)]
    cursor.executemany("INSERT INTO heads (lane, first, next, logged_at) VALUES (?, 0, 0, 0)", [(n,) for n in lanes])
    return True


def append_rows(cursor: Cursor, rows: Sequence[Row]) -> None:
    """Append inside a transaction; the log's time never goes back within a partition."""
    now = wall_ms()
    heads: dict[int, tuple[int, int]] = {}
    inserts = []
    for row in rows:
        head = heads.get(row.lane)
        if head is None:
            head = cursor.execute("SELECT next, logged_at FROM heads WHERE lane = ?", (row.lane,)).fetchone()
        offset, logged_at = head[0], max(now, head[1])
        heads[row.lane] = (offset + 1, logged_at)
        rid = row.lane << OFFSET_BITS | offset
        if row.compacted:
            _supersede(cursor, row, rid, now)
        inserts.append((rid, logged_at, row.key, row.headers, row.body))
    cursor.executemany("INSERT INTO records (rid, logged_at, key, headers, body) VALUES (?, ?, ?, ?, ?)", inserts)
    cursor.executemany(
        "UPDATE heads SET next = ?, logged_at = ? WHERE lane = ?", [(n, at, lane) for lane, (n, at) in heads.items()]
    )


def _supersede(cursor: Cursor, row: Row, rid: int, now: int) -> None:
    old = cursor.execute("SELECT rid FROM latest WHERE lane = ? AND key = ?", (row.lane, row.key)).fetchone()
    if old is not None:
        cursor.execute("INSERT OR IGNORE INTO doomed (at, rid) VALUES (?, ?)", (now + SUPERSEDED_KEEP_MS, old[0]))
    if row.body is None:
        cursor.execute("INSERT OR IGNORE INTO doomed (at, rid) VALUES (?, ?)", (now + TOMBSTONE_KEEP_MS, rid))
    cursor.execute("INSERT OR REPLACE INTO latest (lane, key, rid) VALUES (?, ?, ?)", (row.lane, row.key, rid))


def heads_of(database: Database, lanes: Iterable[int]) -> dict[int, tuple[int, int]]:
    """lane -> (first kept offset, next offset), of one moment."""
    wanted = ",".join(str(int(lane)) for lane in lanes)  # our own integers; too many for bound parameters
    return {
        row[0]: (row[1], row[2])
        for row in database.rows(f"SELECT lane, first, next FROM heads WHERE lane IN ({wanted})")
    }


def read_run(database: Database, topic: Topic, lane: int, start: int, end: int, records_max: int) -> Iterator[Record]:
    """Records of one partition with start <= offset < end, in order; offsets of compacted records are not there."""
    base = lane << OFFSET_BITS
    found = database.scan(
        "SELECT rid, logged_at, key, headers, body FROM records WHERE rid >= ? AND rid < ? ORDER BY rid LIMIT ?",
        (base | start, base | end, records_max),
    )
    partition = lane & PARTITION_MASK
    for rid, logged_at, key, packed, body in found:
        headers: Headers = _HEADERS.decode(packed) if packed else ()
        yield Record(topic.name, partition, rid & OFFSET_MASK, key, body, headers, logged_at)


class Positions:
    """Where one reader stands in some partitions, and the records that lie ahead of it."""

    def __init__(self, database: Database, topics: Topics) -> None:
        self._database = database
        self._topics = topics
        self._next: dict[int, int] = {}
        self._first_lane = 0  # rotates, so that a full partition cannot starve the others

    def place(self, lane: int, offset: int) -> None:
        self._next[lane] = offset

    def drop(self, lane: int) -> None:
        self._next.pop(lane, None)

    def lanes(self) -> dict[int, int]:
        """lane -> offset of the next record to return."""
        return dict(self._next)

    def read(self, records_max: int) -> list[Record]:
        """The next records, at most `records_max` and about POLL_BYTES_MAX, in offset order per partition."""
        heads = heads_of(self._database, self._next)
        behind = [lane for lane, offset in self._next.items() if lane in heads and heads[lane][1] > offset]
        self._first_lane += 1
        turn = self._first_lane % len(behind) if behind else 0
        records: list[Record] = []
        room = POLL_BYTES_MAX
        for at, lane in enumerate(behind[turn:] + behind[:turn]):
            share = max(1, (records_max - len(records)) // (len(behind) - at))
            if len(records) >= records_max or room <= 0:
                break
            room = self._read_lane(lane, heads[lane], share, room, records)
        return records

    def _read_lane(self, lane: int, head: tuple[int, int], share: int, room: int, records: list[Record]) -> int:
        start, seen = max(self._next[lane], head[0]), 0
        run = read_run(self._database, self._topics.of_lane(lane), lane, start, head[1], share)
        for record in run:
            records.append(record)
            seen += 1
            self._next[lane] = record.offset + 1
            room -= len(record.body or b"")
            if room <= 0:
                run.close()  # type: ignore[attr-defined]  # a generator: lets go of its view of the file
                break
        if seen < share and room > 0:
            self._next[lane] = head[1]  # what lies between was compacted away
        return room
