"""Member of a consumer group on Kafka (`ingest.log.seam.Member`).

The consumer is told where to read by us and never asks the broker for committed offsets itself: a newly assigned
partition is paused until its lane is open; opening makes its transactional id ours (which ends the predecessor's
transaction), and only then reads its committed offsets and ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import Any

from ingest.errors import Fenced, LogUnavailable, QcfuseError
from ingest.log.kafka_client import (
    Cluster,
    ConsumerRebalanceListener,
    KafkaConsumer,
    KafkaError,
    TopicPartition,
    flatten,
    kafka_errors,
)
from ingest.log.kafka_lane import KafkaLane, LaneOwner, Transactions
from ingest.log.kafka_read import Contact, Reading, state_records
from ingest.log.seam import Batch, Outgoing, Record

SLICE_MS = 50  # of waiting: how soon a finished rebalance is noticed; a record ends the wait at once
COMMITTERS = 12  # transactions side by side; they wait for the broker, they do not compute
OPEN_AT_ONCE = 4  # producers set up side by side at a takeover: each is some round trips, few of them computing


class KafkaMember(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """See `ingest.log.seam.Member`."""

    def __init__(
        self, cluster: Cluster, group: str, topics: Sequence[str], partitions: int, place: Callable[[Outgoing], int]
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._topics = tuple(topics)
        self._partitions = partitions
        self._lanes: dict[int, KafkaLane] = {}
        self._committers = ThreadPoolExecutor(COMMITTERS, thread_name_prefix="commit")
        self._lost: set[int] = set()  # lanes that an assignment left out since we last looked, also if they came back
        self._changing = threading.Lock()  # between our thread, which opens lanes, and the client's, which assigns
        self._next: dict[TopicPartition, int] = {}
        self._consumer = cluster.consumer(group)
        self._contact = Contact(cluster, self._consumer, TopicPartition(self._topics[0], 0))
        self._state: Reading | None = None
        self._owner = LaneOwner(self._caught_up, self._read_state, place, self._consumer.group_metadata)
        self._consumer.subscribe(topics=self._topics, listener=self)

    # The listener runs in the client's own thread while our thread waits inside poll.

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Every rebalance begins so; what really goes is seen when it has ended."""

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """Out of the group: somebody else may have had the partitions since."""
        with self._changing:
            self._lost |= self._lanes.keys()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Everything that is assigned now. Several rebalances may pass before our thread looks: a partition that was
        another's in between comes back without a position, and its lane does not know what the other committed."""
        with self._changing:
            self._lost |= self._lanes.keys() - self._whole(assigned)
            for place in assigned:
                if place.partition in self._lost or place.partition not in self._lanes:
                    self._consumer.pause(place)
                    self._consumer.seek(place, 0)  # some position, or the consumer would ask the broker for one

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        while True:
            left_ms = max(0.0, deadline - time.monotonic()) * 1000
            found = self._consume(min(SLICE_MS, left_ms), records_max)
            before = dict(self._lanes)
            changed = self._settle()
            # Of a lane that was kept through a rebalance; a new one's records come when its caller has seen it.
            records = [
                r
                for r in flatten(found)
                if r.partition in before and self._lanes.get(r.partition) is before[r.partition]
            ]
            for record in records:
                self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
            if records or changed:
                self._contact.heard()
                return records
            self._contact.check()
            if time.monotonic() >= deadline:
                return []

    def _consume(self, timeout_ms: float, records_max: int) -> dict[TopicPartition, Sequence[Any]]:
        try:
            found: dict[TopicPartition, Sequence[Any]] = self._consumer.poll(timeout_ms, max_records=records_max)
        except KafkaError as error:
            if not isinstance(error, kafka_errors.RetriableError):
                raise self._cluster.trouble(error) from error
            self._return_to_next()
            return {}  # the broker is away for a moment; `_contact` counts
        return found

    def _return_to_next(self) -> None:
        """What the client had taken out of its buffer when it failed is gone with the failure: read it again."""
        assigned = self._consumer.assignment()
        for place, offset in list(self._next.items()):
            if place.partition in self._lanes and place in assigned:
                with suppress(KeyError):  # taken away at this moment
                    self._consumer.seek(place, offset)

    def _whole(self, assigned: set[TopicPartition]) -> set[int]:
        """The partition numbers of which every topic is assigned."""
        return {n for n in range(self._partitions) if all(TopicPartition(t, n) in assigned for t in self._topics)}

    def _settle(self) -> bool:
        """Make the lanes those of the assignment. True when they changed.

        What was read of a lane that is kept stays where it is: it has been this member's all the time."""
        with self._changing:
            mine = self._whole(self._consumer.assignment())
            lost = {n: self._lanes.pop(n) for n in list(self._lanes) if n in self._lost or n not in mine}
            self._lost.clear()
        for lane in lost.values():
            lane.close()
        won = sorted(mine - self._lanes.keys())
        if won:
            self._open(won)
        return bool(lost or won)

    def _open(self, won: Sequence[int]) -> None:
        """Take lanes over: fence, then offsets, then ends. All, or none: then the next `poll` tries again.

        Raises LogUnavailable."""
        ids = [f"{self._cluster.prefix}{self._group}-{partition}" for partition in won]
        opened: list[Transactions] = []
        try:
            with ThreadPoolExecutor(OPEN_AT_ONCE) as pool:
                attempts = [pool.submit(Transactions, self._cluster, name) for name in ids]
            troubles = [attempt.exception() for attempt in attempts]
            opened = [attempt.result() for attempt in attempts if attempt.exception() is None]
            for trouble in troubles:
                if trouble is not None:
                    raise trouble
            committed, ends = self._found(won)
        except QcfuseError as error:
            for transactions in opened:
                transactions.close()
            if isinstance(error, Fenced):
                return  # two workers took the same id over at once; the group says by the next poll whose it is
            raise
        for partition, transactions in zip(won, opened, strict=True):
            at = {topic: committed[TopicPartition(topic, partition)] for topic in self._topics}
            end = {topic: ends[TopicPartition(topic, partition)] for topic in self._topics}
            with self._changing:
                self._lanes[partition] = KafkaLane(partition, transactions, at, end, self._owner)
                self._read_on(partition, at)
        self._contact.heard()

    def _read_on(self, partition: int, offsets: Mapping[str, int]) -> None:
        """From these offsets. Of a partition that was taken away a moment ago nothing; `_settle` will see it gone."""
        with suppress(ValueError, KeyError):
            self.seek(partition, offsets)
            for topic in self._topics:
                self._consumer.resume(TopicPartition(topic, partition))
                _drop_parked(self._consumer, TopicPartition(topic, partition))

    def _found(self, won: Sequence[int]) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """(committed offsets, or the first kept ones; ends of committed records)."""
        places = [TopicPartition(topic, partition) for partition in won for topic in self._topics]
        wait_ms = self._cluster.wait_ms
        ask = self._cluster.ask
        first = ask(lambda: self._consumer.beginning_offsets(places, timeout_ms=wait_ms))
        ends = ask(lambda: self._consumer.end_offsets(places, timeout_ms=wait_ms))
        stored = {p: ask(partial(self._consumer.committed, p, timeout_ms=wait_ms)) for p in places}
        return {place: max(stored[place] or 0, first[place]) for place in places}, ends

    def lanes(self) -> Mapping[int, KafkaLane]:
        return dict(self._lanes)

    def seek(self, partition: int, offsets: Mapping[str, int]) -> None:
        if partition not in self._lanes:
            return
        for topic, offset in offsets.items():
            place = TopicPartition(topic, partition)
            self._next[place] = offset
            self._consumer.seek(place, offset)

    def commit_lanes(self, batches: Mapping[int, Batch]) -> set[int]:
        """Each lane has a producer, and so a transaction, of its own: waiting for one after the other would add up."""
        tried = {number: self._committers.submit(self._try, number, batch) for number, batch in batches.items()}
        wait(tried.values())
        fenced = {number for number, done in tried.items() if isinstance(done.exception(), Fenced)}
        for number in fenced:
            self.forget(number)
        for done in tried.values():
            trouble = done.exception()
            if trouble is not None and not isinstance(trouble, Fenced):
                raise trouble
        return fenced

    def _try(self, number: int, batch: Batch) -> None:
        lane = self._lanes.get(number)
        if lane is None:
            raise Fenced(f"partition {number} of group {self._group!r} is not this worker's any more")
        lane.commit(*batch)

    def forget(self, partition: int) -> None:
        lane = self._lanes.pop(partition, None)
        if lane is None:
            return
        lane.close()
        with suppress(KeyError):
            self._consumer.pause(*(p for p in self._consumer.assignment() if p.partition == partition))

    def _caught_up(self, partition: int, ends: Mapping[str, int]) -> bool:
        for topic, end in ends.items():
            place = TopicPartition(topic, partition)
            # The consumer's position has passed the marks of transactions, which no record tells of.
            if self._next[place] < end and (self._consumer.position(place, timeout_ms=0) or 0) < end:
                return False
        return True

    def _read_state(self, topic: str, partition: int) -> Iterator[Record]:
        if self._state is None:
            self._state = Reading(self._cluster)
        return state_records(self._state, TopicPartition(topic, partition))

    def close(self) -> None:
        self._committers.shutdown()
        self._contact.close()
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        if self._state is not None:
            self._state.close()
        try:
            self._consumer.close(autocommit=False, timeout_ms=2000)
        except KafkaError as error:
            raise LogUnavailable(f"could not leave the group {self._group!r}: {error}") from error


def _drop_parked(consumer: KafkaConsumer, place: TopicPartition) -> None:
    """Of a paused partition the client (kafka-python 3.0) parks what it had read ahead, fetches no more while it is
    parked, and after `resume` takes it up only at a moment without a current batch, which may never come. We read on
    from a place we set, so what was parked is of no use."""
    consumer._fetcher._paused_partition_records.pop(place, None)
