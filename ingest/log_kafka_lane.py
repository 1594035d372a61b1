"""One owned partition number on Kafka: a transactional producer whose id is the partition's, not the worker's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ingest.errors import Fenced
from ingest.log import Outgoing, Record
from ingest.log_kafka_client import (
    FENCED_ERRORS,
    Cluster,
    ConsumerGroupMetadata,
    KafkaError,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
    kafka_errors,
)


class Transactions:
    """The transactions of one transactional id. Opening it ends whatever its predecessor had under way."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._producer: KafkaProducer | None = cluster.producer(transactional_id)
        try:
            self._producer.init_transactions()
        except KafkaError as error:
            self.close()
            raise cluster.trouble(error) from error

    def commit(
        self,
        outgoing: Sequence[tuple[Outgoing, int]],
        offsets: Mapping[TopicPartition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        """Records (with their partitions) and offsets, all or nothing. After an error this object is closed."""
        producer = self._producer
        if producer is None:
            raise Fenced(f"{self._id}: this lane was given up")
        try:
            self._commit(producer, outgoing, offsets, membership)
        except KafkaError as error:
            last = producer._transaction_manager.last_error
            self.close()
            raise self._cluster.trouble(last if isinstance(last, FENCED_ERRORS) else error) from error
        except BaseException:
            self.close()
            raise

    def _commit(
        self,
        producer: KafkaProducer,
        outgoing: Sequence[tuple[Outgoing, int]],
        offsets: Mapping[TopicPartition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        producer.begin_transaction()
        for record, partition in outgoing:
            producer.send(record.topic, record.body, record.key, list(record.headers), partition)
        # The producer's own send_offsets_to_transaction and commit_transaction wait without a limit when the broker is
        # away; what they wait for can be waited for with one. The generation in `membership` fences as well.
        steps = producer._transaction_manager
        if offsets:
            moved = {place: OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
            self._finish(producer, steps.send_offsets_to_transaction(moved, membership))
        self._finish(producer, steps.begin_commit())

    def _finish(self, producer: KafkaProducer, result: Any) -> None:
        producer._sender.wakeup()
        if not result.wait(timeout_ms=self._cluster.wait_ms):
            raise kafka_errors.KafkaTimeoutError(f"{self._id}: transaction not finished")

    def close(self) -> None:
        """Let go at once: what was not committed never will be, the next owner's takeover ends it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer._sender.force_close()  # close() alone would first try to send what is left
            producer.close(timeout=1.0)


class KafkaLane:
    """See `ingest.log.Lane`."""

    def __init__(
        self,
        partition: int,
        transactions: Transactions,
        committed: Mapping[str, int],
        ends: Mapping[str, int],
        owner: LaneOwner,
    ) -> None:
        self._partition = partition
        self._transactions = transactions
        self._committed = committed
        self._ends = ends
        self._owner = owner

    @property
    def partition(self) -> int:
        return self._partition

    @property
    def committed(self) -> Mapping[str, int]:
        return self._committed

    @property
    def ends(self) -> Mapping[str, int]:
        return self._ends

    def caught_up(self) -> bool:
        return self._owner.caught_up(self._partition, self._ends)

    def read_state(self, topic: str) -> Iterator[Record]:
        return self._owner.read_state(topic, self._partition)

    def commit(self, outgoing: Sequence[Outgoing], offsets: Mapping[str, int]) -> None:
        if outgoing or offsets:
            placed = [(record, self._owner.place(record)) for record in outgoing]
            moved = {TopicPartition(topic, self._partition): offset for topic, offset in offsets.items()}
            self._transactions.commit(placed, moved, self._owner.membership())

    def close(self) -> None:
        self._transactions.close()


class LaneOwner:
    """What a lane needs of its member."""

    def __init__(
        self,
        caught_up: Callable[[int, Mapping[str, int]], bool],
        read_state: Callable[[str, int], Iterator[Record]],
        place: Callable[[Outgoing], int],
        membership: Callable[[], ConsumerGroupMetadata],
    ) -> None:
        self.caught_up = caught_up
        self.read_state = read_state
        self.place = place
        self.membership = membership
