"""Housekeeping of the embedded log: what may be deleted, and when producers must wait.

Nothing that some group has not committed is ever deleted. What every group of its topic has read goes after the
retention, and earlier, the oldest first, when the disk limit comes near. A topic without any group keeps everything,
unless its spec names a retention of its own (dead letters): those go by age, read or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingest.log.embedded_db import OFFSET_BITS, OFFSET_MASK, PARTITION_BITS, Cursor, Database
from ingest.log.embedded_records import wall_ms

DELETE_ROWS = 250  # in one transaction: about 5 ms of holding the file, also with frames of 54 kB
PRESSURE = 0.9  # of the disk limit: from here on read records go before their retention
RESERVE = 0.1  # of the limit, above it: consumers' commits go on, or nobody could ever free anything
RESERVE_BYTES_MIN = 64 * 1024 * 1024
RETENTION_STEPS = 12  # halvings of the retention under pressure: 24 h down to 20 s


@dataclass(frozen=True, slots=True)
class DiskLimit:
    limit_bytes: int
    retention_ms: int

    @property
    def reserve_bytes(self) -> int:
        """Where commits of lanes have to wait as well."""
        return self.limit_bytes + max(RESERVE_BYTES_MIN, int(self.limit_bytes * RESERVE))


def delete_superseded(database: Database, stopped: Callable[[], bool]) -> None:
    """Earlier records of a key in compacted topics, and tombstones, when their time has come."""
    while _delete_doomed(database) and not stopped():
        pass


def delete_read(database: Database, disk: DiskLimit, stopped: Callable[[], bool]) -> None:
    """What has been read and is older than the retention; under pressure younger records too."""
    _delete_aged(database, disk.retention_ms, stopped)
    age_ms = disk.retention_ms
    for step in range(RETENTION_STEPS + 1):
        if stopped() or not is_pressed(database, disk):
            return
        age_ms = age_ms // 2 if step < RETENTION_STEPS else 0
        _delete_aged(database, age_ms, stopped)


def is_pressed(database: Database, disk: DiskLimit) -> bool:
    return database.used_bytes() >= disk.limit_bytes * PRESSURE


def _delete_doomed(database: Database) -> bool:
    """Superseded records of compacted topics, and tombstones whose time has come. True when there may be more."""
    doomed = database.rows(
        "SELECT at, rid FROM doomed WHERE at <= ? ORDER BY at, rid LIMIT ?", (wall_ms(), DELETE_ROWS)
    )
    if not doomed:
        return False

    def delete(cursor: Cursor) -> None:
        rids = [(rid,) for _, rid in doomed]
        cursor.executemany("DELETE FROM doomed WHERE at = ? AND rid = ?", doomed)
        cursor.executemany(
            "DELETE FROM latest WHERE rid = ?1 AND lane = ?2 AND key = (SELECT key FROM records WHERE rid = ?1)",
            [(rid, rid >> OFFSET_BITS) for _, rid in doomed],
        )
        cursor.executemany("DELETE FROM records WHERE rid = ?", rids)

    database.write(delete)
    return len(doomed) == DELETE_ROWS


def _delete_aged(database: Database, age_ms: int, stopped: Callable[[], bool]) -> None:
    """Records of uncompacted topics that are older than their retention (at most `age_ms`) and that all have read."""
    now = wall_ms()
    topics = database.rows("SELECT topic_id, retention_ms FROM topics WHERE NOT compacted")
    for topic_id, retention_ms in topics:
        low, high = topic_id << PARTITION_BITS, (topic_id + 1) << PARTITION_BITS
        heads = database.rows("SELECT lane, first, next FROM heads WHERE lane >= ? AND lane < ?", (low, high))
        for lane, first, following in heads:
            if first == following:
                continue
            age = age_ms if retention_ms is None else min(age_ms, retention_ms)
            end = following if retention_ms is not None else min(following, _read_by_all(database, topic_id, lane))
            end = _older_than(database, lane, first, end, now - age)
            while first < end and not stopped():
                first = _delete_run(database, lane, first, min(end, first + DELETE_ROWS))


def _read_by_all(database: Database, topic_id: int, lane: int) -> int:
    """The offset up to which every group that ever joined for this topic has committed; 0 where there is none."""
    rows = database.rows(
        "SELECT COALESCE(offsets.next, 0) FROM group_topics LEFT JOIN offsets"
        " ON offsets.group_id = group_topics.group_id AND offsets.lane = ? WHERE group_topics.topic_id = ?",
        (lane, topic_id),
    )
    return min((row[0] for row in rows), default=0)


def _older_than(database: Database, lane: int, first: int, end: int, moment_ms: int) -> int:
    """First offset in [first, end) logged at or after a moment, else `end`: the log's times ascend, so by bisection."""
    low, high = first, end
    middle = first  # most often nothing is old enough, and one look says so
    while low < high:
        found = database.rows("SELECT logged_at FROM records WHERE rid = ?", (lane << OFFSET_BITS | middle,))
        if found and found[0][0] >= moment_ms:
            high = middle
        else:
            low = middle + 1
        middle = (low + high) // 2
    return low


def _delete_run(database: Database, lane: int, first: int, end: int) -> int:
    """Delete offsets [first, end) of a partition; returns the first one kept."""
    base = lane << OFFSET_BITS

    def delete(cursor: Cursor) -> None:
        cursor.execute("DELETE FROM records WHERE rid >= ? AND rid < ?", (base | first, base | end & OFFSET_MASK))
        cursor.execute("UPDATE heads SET first = ? WHERE lane = ? AND first < ?", (end, lane, end))

    database.write(delete)
    return end
