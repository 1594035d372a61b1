"""Member and Lane of the embedded log (`ingest.log.seam`): one worker's share of the partitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ingest.errors import Fenced
from ingest.log import embedded_group as group_of
from ingest.log.embedded_care import Caretaker
from ingest.log.embedded_db import Cursor, Database
from ingest.log.embedded_group import Grant, Seat
from ingest.log.embedded_records import (
    STATE_ROWS,
    Positions,
    Topic,
    Topics,
    append_rows,
    heads_of,
    read_run,
)
from ingest.log.seam import Batch, Outgoing, Record

#: Waiting for other processes' commits: a look costs 7 µs, the sleep around it some 100 µs of CPU. Right after work it
#: looks each 0.5 ms; within 0.2 s of quiet the pause grows to 10 ms, where an idle worker costs 1 to 2 % of a core.
PAUSE_S = 0.0005
PAUSE_MAX_S = 0.010
PAUSE_GROWTH = 1.05


class WakeUp:
    """Waits until another connection has committed something, without holding the file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen = -1
        self._pause = PAUSE_S

    def forget(self) -> None:
        """Look at everything the next time: this connection's own commits do not change the version."""
        self._seen = -1

    def is_due(self) -> bool:
        version = self._database.version()
        due = version != self._seen
        self._seen = version
        return due

    def wait(self, deadline: float) -> bool:
        """Sleep a little. False when the deadline has passed."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(self._pause, left))
        self._pause = min(self._pause * PAUSE_GROWTH, PAUSE_MAX_S)
        return True

    def found(self) -> None:
        """Something came: more will probably follow."""
        self._pause = PAUSE_S
        self.forget()


class EmbeddedLane:
    """One owned partition number; see `ingest.log.seam.Lane`."""

    def __init__(self, owner: EmbeddedMember, grant: Grant) -> None:
        self._owner = owner
        self._grant = grant

    @property
    def partition(self) -> int:
        return self._grant.partition

    @property
    def committed(self) -> Mapping[str, int]:
        return self._grant.committed

    @property
    def ends(self) -> Mapping[str, int]:
        return self._grant.ends

    def caught_up(self) -> bool:
        return self._owner.caught_up(self._grant)

    def read_state(self, topic: str) -> Iterator[Record]:
        return self._owner.read_state(topic, self._grant.partition)

    def commit(self, outgoing: Sequence[Outgoing], offsets: Mapping[str, int]) -> None:
        self._owner.commit(self._grant, outgoing, offsets)


class EmbeddedMember:
    """One member of a group; see `ingest.log.seam.Member`."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        group: str,
        topics: Sequence[Topic],
        known: Topics,
        caretaker: Caretaker,
        until_room: Callable[[], None],
    ) -> None:
        self._database = database
        self._folder = folder
        self._group = group
        self._topics = topics
        self._known = known
        self._caretaker = caretaker
        self._until_room = until_room
        self._positions = Positions(database, known)
        self._wake = WakeUp(database)
        self._lanes: dict[int, EmbeddedLane] = {}
        self._generation = -1
        self._closed = False
        self._seat = self._join()

    def _join(self) -> Seat:
        seat = group_of.take_seat(self._database, self._folder, self._group, self._topics)
        self._caretaker.watch(seat)
        return seat

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._caretaker.active(self._seat)
            if self._wake.is_due():
                if self._settle():
                    self._wake.found()
                    return []  # the caller positions its new lanes before it sees their records
                records = self._positions.read(records_max) if self._lanes else []
                if records:
                    self._wake.found()
                    return records
            if not self._wake.wait(deadline):
                return []

    def _settle(self) -> bool:
        """Agree with the group on who owns what. True when this member's lanes changed."""
        generation = group_of.generation(self._database, self._group)
        if generation == self._generation:
            return False
        wanted = group_of.wanted_partitions(self._database, self._seat, self._topics[0].partitions)
        if wanted is None:  # the others took this process for dead: it comes back as somebody new
            self._drop(list(self._lanes))
            self._leave()
            self._seat = self._join()
            return True
        mine, free = wanted
        lost = [partition for partition in self._lanes if partition not in mine]
        won = sorted(free - self._lanes.keys())
        self._drop(lost)
        if lost:
            group_of.release(self._database, self._seat, lost)
        for grant in group_of.acquire(self._database, self._seat, won, self._topics) if won else ():
            self._own(grant)
        self._generation = generation  # of before: what changed meanwhile, our own release too, is looked at once more
        return bool(lost or won)

    def _own(self, grant: Grant) -> None:
        self._lanes[grant.partition] = EmbeddedLane(self, grant)
        for topic in self._topics:
            self._positions.place(topic.lane(grant.partition), grant.committed[topic.name])

    def _drop(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            del self._lanes[partition]
            for topic in self._topics:
                self._positions.drop(topic.lane(partition))

    def lanes(self) -> Mapping[int, EmbeddedLane]:
        return dict(self._lanes)

    def seek(self, partition: int, offsets: Mapping[str, int]) -> None:
        if partition not in self._lanes:
            return
        for name, offset in offsets.items():
            self._positions.place(self._known.get(name).lane(partition), offset)
        self._wake.forget()

    def forget(self, partition: int) -> None:
        if partition in self._lanes:
            self._drop([partition])
        self._generation = -1
        self._wake.forget()

    def commit_lanes(self, batches: Mapping[int, Batch]) -> set[int]:
        fenced = set()
        for number, (outgoing, offsets) in batches.items():
            try:
                if number not in self._lanes:
                    raise Fenced(f"partition {number} of group {self._group!r} is not this worker's any more")
                self._lanes[number].commit(outgoing, offsets)
            except Fenced:
                self.forget(number)
                fenced.add(number)
        return fenced

    def commit(self, grant: Grant, outgoing: Sequence[Outgoing], offsets: Mapping[str, int]) -> None:
        """`Lane.commit`."""
        if grant.partition not in self._lanes:
            raise Fenced(f"partition {grant.partition} of group {self._group!r} is not this worker's any more")
        self._caretaker.active(self._seat)
        rows = [self._known.row(record) for record in outgoing]
        stored = {self._known.get(name).lane(grant.partition): offset for name, offset in offsets.items()}
        seat = self._seat

        def transaction(cursor: Cursor) -> None:
            group_of.check_fence(cursor, seat, grant.partition, grant.epoch)
            append_rows(cursor, rows)
            group_of.store_offsets(cursor, seat.group, stored)

        if rows:
            self._until_room()
        self._database.write(transaction)
        self._wake.forget()

    def caught_up(self, grant: Grant) -> bool:
        """`Lane.caught_up`."""
        positions = self._positions.lanes()
        return all(positions[topic.lane(grant.partition)] >= grant.ends[topic.name] for topic in self._topics)

    def read_state(self, topic_name: str, partition: int) -> Iterator[Record]:
        """`Lane.read_state`."""
        topic = self._known.get(topic_name)
        lane = topic.lane(partition)
        start, end = heads_of(self._database, [lane])[lane]
        while start < end:
            self._caretaker.active(self._seat)
            page = list(read_run(self._database, topic, lane, start, end, STATE_ROWS))
            yield from page
            start = page[-1].offset + 1 if len(page) == STATE_ROWS else end

    def _leave(self) -> None:
        self._caretaker.unwatch(self._seat)
        group_of.leave_seat(self._database, self._folder, self._seat)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._drop(list(self._lanes))
        try:
            self._leave()
        finally:
            self._database.close()
