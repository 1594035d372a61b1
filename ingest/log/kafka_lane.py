"""One owned partition number on Kafka: a transactional producer whose id is the partition's, not the worker's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ingest.errors import Fenced, QcfuseError
from ingest.log.kafka_client import (
    FENCED_ERRORS,
    Cluster,
    ConsumerGroupMetadata,
    KafkaError,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
    kafka_errors,
)
from ingest.log.seam import Outgoing, Record


class Transactions:
    """The transactions of one transactional id. Opening it ends whatever its predecessor had under way."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._producer: KafkaProducer | None = None
        deadline = time.monotonic() + cluster.wait_s
        while self._producer is None:
            self._producer = self._opened(deadline)

    def _opened(self, deadline: float) -> KafkaProducer | None:
        """A producer that owns the id; None when this one got stuck and another may be tried before `deadline`."""
        producer: KafkaProducer = self._cluster.producer(self._id)
        try:
            producer.init_transactions()
        except KafkaError as error:
            _let_go(producer)
            if not isinstance(error, kafka_errors.KafkaTimeoutError) or time.monotonic() >= deadline:
                raise self._cluster.trouble(error) from error
            return None
        return producer

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
            raise self._trouble(last if isinstance(last, FENCED_ERRORS) else error) from error
        except BaseException:
            self.close()
            raise

    def _trouble(self, error: BaseException) -> QcfuseError:
        """A client that is stuck or confused is left behind while there is time for a fresh one: the committed offsets
        say what became of its transaction."""
        if self._cluster.attempt_s < self._cluster.wait_s:
            return Fenced(f"{self._id}: the transaction came to no clear end; taken over afresh ({error})")
        return self._cluster.trouble(error)

    def _commit(
        self,
        producer: KafkaProducer,
        outgoing: Sequence[tuple[Outgoing, int]],
        offsets: Mapping[TopicPartition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        # The producer's own send_offsets_to_transaction and commit_transaction wait without a limit when the broker is
        # away; what they wait for can be waited for with one. The generation in `membership` fences as well.
        steps = producer._transaction_manager
        epoch = steps.producer_id_and_epoch
        producer.begin_transaction()
        sent = [producer.send(r.topic, r.body, r.key, list(r.headers), partition) for r, partition in outgoing]
        if offsets:
            moved = {place: OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
            self._finish(producer, steps.send_offsets_to_transaction(moved, membership))
        if sent:
            self._delivered(producer, sent)
        self._finish(producer, steps.begin_commit())
        if steps.producer_id_and_epoch != epoch:
            raise Fenced(f"{self._id}: the broker gave the transaction up under its commit")

    def _delivered(self, producer: KafkaProducer, sent: Sequence[Any]) -> None:
        """Every record is with the broker before the commit is asked for: the client (kafka-python 3.0) commits a
        transaction without the records it could not deliver, and calls one that it restarted meanwhile committed."""
        producer.flush(timeout=self._cluster.attempt_s)
        for future in sent:
            if not future.succeeded():
                raise future.exception or kafka_errors.KafkaTimeoutError(f"{self._id}: a record was not delivered")

    def _finish(self, producer: KafkaProducer, result: Any) -> None:
        producer._sender.wakeup()
        if not result.wait(timeout_ms=int(self._cluster.attempt_s * 1000)):
            raise kafka_errors.KafkaTimeoutError(f"{self._id}: transaction not finished")

    def close(self) -> None:
        """Let go at once: what was not committed never will be, the next owner's takeover ends it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            _let_go(producer)


def _let_go(producer: KafkaProducer) -> None:
    producer._sender.force_close()  # close() alone would first try to send what is left
    producer.close(timeout=1.0)


class KafkaLane:
    """See `ingest.log.seam.Lane`."""

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
