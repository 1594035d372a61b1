"""Consumer groups of the embedded log: who is alive, who owns which partition number, and fencing.

A member holds a lock on a file of its own (the kernel lets go of it when the process dies) and moves its `beat`.
It is dead when the lock is free, or when its beat has stood still for the session timeout of whoever watches it.
Each (group, partition) has an epoch that rises with every takeover; a commit names the epoch it was given.
No clock is compared between processes: a step of the wall clock cannot take a lease away.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import Fenced
from ingest.log.embedded_db import Cursor, Database
from ingest.log.embedded_records import Topic, heads_of


@dataclass(frozen=True, slots=True)
class Seat:
    """A member's place in its group: its row, and the lock that says its process lives."""

    group: str
    member: int
    token: str
    lock: int


@dataclass(frozen=True, slots=True)
class Grant:
    """One partition number given to a member, as found at that moment: topic name -> offset."""

    partition: int
    epoch: int
    committed: Mapping[str, int]
    ends: Mapping[str, int]


def _lock_path(folder: Path, token: str) -> Path:
    return folder / "members" / f"{token}.lock"


def take_seat(database: Database, folder: Path, group: str, topics: Sequence[Topic]) -> Seat:
    """Join a group. From now on nothing of these topics is deleted that this group has not read."""
    token = uuid.uuid4().hex
    path = _lock_path(folder, token)
    path.parent.mkdir(exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def join(cursor: Cursor) -> int:
        cursor.execute("INSERT OR IGNORE INTO groups (group_id, generation) VALUES (?, 0)", (group,))
        cursor.executemany(
            "INSERT OR IGNORE INTO group_topics (group_id, topic_id) VALUES (?, ?)",
            [(group, topic.topic_id) for topic in topics],
        )
        cursor.execute("INSERT INTO members (group_id, token, beat) VALUES (?, ?, 0)", (group, token))
        member = cursor.lastrowid or 0
        _bump(cursor, group)
        return member

    try:
        return Seat(group, database.write(join), token, lock)
    except BaseException:
        os.close(lock)
        path.unlink(missing_ok=True)
        raise


def leave_seat(database: Database, folder: Path, seat: Seat) -> None:
    """Leave at once: the partitions are free before this returns."""
    try:
        database.write(lambda cursor: expel(cursor, seat.group, seat.member))
    finally:
        os.close(seat.lock)
        _lock_path(folder, seat.token).unlink(missing_ok=True)


def is_abandoned(folder: Path, token: str) -> bool:
    """True when no living process holds that member's lock."""
    try:
        lock = os.open(_lock_path(folder, token), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def expel(cursor: Cursor, group: str, member: int) -> None:
    """Take a member out of its group; what it owned is free."""
    cursor.execute("DELETE FROM members WHERE member = ?", (member,))
    cursor.execute("UPDATE owners SET member = NULL WHERE group_id = ? AND member = ?", (group, member))
    _bump(cursor, group)


def generation(database: Database, group: str) -> int:
    """Rises whenever somebody joined, left, or gave a partition up."""
    return int(database.rows("SELECT generation FROM groups WHERE group_id = ?", (group,))[0][0])


def fair_share(members: Sequence[int], member: int, partitions: int) -> range:
    """Range assignment, as Kafka's: neighbours in number to members in order of joining."""
    each, extra = divmod(partitions, len(members))
    place = list(members).index(member)
    first = place * each + min(place, extra)
    return range(first, first + each + (1 if place < extra else 0))


def wanted_partitions(database: Database, seat: Seat, partitions: int) -> tuple[set[int], set[int]] | None:
    """(partition numbers this member should own, those of them that nobody else holds now).

    None when it was taken out of the group."""
    living = [
        row[0] for row in database.rows("SELECT member FROM members WHERE group_id = ? ORDER BY member", (seat.group,))
    ]
    if seat.member not in living:
        return None
    wanted = set(fair_share(living, seat.member, partitions))
    held = {
        row[0]
        for row in database.rows(
            "SELECT partition FROM owners WHERE group_id = ? AND member IS NOT NULL AND member != ?",
            (seat.group, seat.member),
        )
    }
    return wanted, wanted - held


def release(database: Database, seat: Seat, partitions: Sequence[int]) -> None:
    """Give partition numbers up, so that the member they are meant for can take them."""

    def give_up(cursor: Cursor) -> None:
        cursor.executemany(
            "UPDATE owners SET member = NULL WHERE group_id = ? AND partition = ? AND member = ?",
            [(seat.group, partition, seat.member) for partition in partitions],
        )
        _bump(cursor, seat.group)

    database.write(give_up)


def acquire(database: Database, seat: Seat, partitions: Sequence[int], topics: Sequence[Topic]) -> list[Grant]:
    """Take free partition numbers (or own ones afresh), fencing whoever had them. Somebody else's are left alone."""

    def take(cursor: Cursor) -> dict[int, int]:
        if cursor.execute("SELECT 1 FROM members WHERE member = ?", (seat.member,)).fetchone() is None:
            return {}
        epochs: dict[int, int] = {}
        for partition in partitions:
            row = cursor.execute(
                "SELECT epoch, member FROM owners WHERE group_id = ? AND partition = ?", (seat.group, partition)
            ).fetchone()
            if row is not None and row[1] not in (None, seat.member):
                continue
            epochs[partition] = (row[0] if row is not None else 0) + 1
            cursor.execute(
                "INSERT OR REPLACE INTO owners (group_id, partition, epoch, member) VALUES (?, ?, ?, ?)",
                (seat.group, partition, epochs[partition], seat.member),
            )
        return epochs

    epochs = database.write(take)  # first the fence, then what the predecessor has left
    return [_grant(database, seat.group, partition, epoch, topics) for partition, epoch in epochs.items()]


def _grant(database: Database, group: str, partition: int, epoch: int, topics: Sequence[Topic]) -> Grant:
    lanes = {topic.name: topic.lane(partition) for topic in topics}
    stored = dict(database.rows("SELECT lane, next FROM offsets WHERE group_id = ?", (group,)))
    heads = heads_of(database, lanes.values())
    committed = {name: max(stored.get(lane, 0), heads[lane][0]) for name, lane in lanes.items()}
    return Grant(partition, epoch, committed, {name: heads[lane][1] for name, lane in lanes.items()})


def check_fence(cursor: Cursor, seat: Seat, partition: int, epoch: int) -> None:
    """Inside a commit. Raises Fenced when the partition was taken over or given up since `epoch` was granted."""
    row = cursor.execute(
        "SELECT epoch, member FROM owners WHERE group_id = ? AND partition = ?", (seat.group, partition)
    ).fetchone()
    if row is None or (row[0], row[1]) != (epoch, seat.member):
        raise Fenced(f"partition {partition} of group {seat.group!r} was taken over by another worker")


def store_offsets(cursor: Cursor, group: str, offsets: Mapping[int, int]) -> None:
    """lane -> next offset to read."""
    cursor.executemany(
        "INSERT OR REPLACE INTO offsets (group_id, lane, next) VALUES (?, ?, ?)",
        [(group, lane, offset) for lane, offset in offsets.items()],
    )


def _bump(cursor: Cursor, group: str) -> None:
    cursor.execute("UPDATE groups SET generation = generation + 1 WHERE group_id = ?", (group,))
