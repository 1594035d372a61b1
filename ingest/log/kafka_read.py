"""Reading Kafka outside any group: readers, state at a takeover, and knowing that the broker is still there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ingest.log.kafka_client import Cluster, KafkaConsumer, KafkaError, TopicPartition, flatten, kafka_errors
from ingest.log.seam import Record

PROBE_EVERY_S = 2.0  # silence may be a quiet plant or a dead broker: asking costs one round trip
PROBE_MS = 1000
READ_MS = 200


class Contact:
    """A consumer's poll says nothing when the broker is away: this asks, and gives up after the cluster's `wait_s`.

    It asks beside the polling, in a thread of its own: the answer comes after that of a fetch which waits on the same
    connection, and a stop order's reader, where nothing ever comes, would hold its worker up for as long."""

    def __init__(self, cluster: Cluster, consumer: KafkaConsumer, place: TopicPartition) -> None:
        self._cluster = cluster
        self._consumer = consumer
        self._place = place
        self._heard_at = self._asked_at = time.monotonic()
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="contact")
        self._answer: Future[object] | None = None

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def check(self) -> None:
        """Raises LogUnavailable when nothing was heard from the broker for `wait_s`. Does not wait."""
        if self._answer is not None:
            self._listen(self._answer)
            return
        now = time.monotonic()
        if now - max(self._heard_at, self._asked_at) >= min(PROBE_EVERY_S, self._cluster.wait_s / 2):
            self._asked_at = now
            self._answer = self._asker.submit(self._consumer.end_offsets, [self._place], timeout_ms=PROBE_MS)

    def _listen(self, answer: Future[object]) -> None:
        if not answer.done():
            return
        self._answer, error = None, answer.exception()
        if error is None:
            self.heard()
        elif not isinstance(error, KafkaError):
            raise error
        elif time.monotonic() - self._heard_at >= self._cluster.wait_s:
            raise self._cluster.trouble(error) from error

    def close(self) -> None:
        """Waits for an answer that is under way, PROBE_MS at most."""
        self._asker.shutdown()


class Reading:
    """A consumer with partitions given by hand; committed records only."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._consumer = cluster.consumer()
        self._places: list[TopicPartition] = []
        self._contact: Contact | None = None

    def take(self, places: Sequence[TopicPartition], start: str | Mapping[tuple[str, int], int]) -> None:
        """Read these partitions from now on, from `start` (as `ingest.log.seam.Log.reader`)."""
        self._places = list(places)
        self._end_contact()
        self._contact = Contact(self._cluster, self._consumer, self._places[0])
        self._consumer.assign(self._places)
        first = self._ask(self._consumer.beginning_offsets)
        offsets = self.ends() if start == "end" else dict(first)
        if not isinstance(start, str):
            offsets |= {
                p: max(first[p], start[p.topic, p.partition]) for p in places if (p.topic, p.partition) in start
            }
        for place, offset in offsets.items():
            self._consumer.seek(place, offset)

    def _ask(self, question: Callable[..., dict[TopicPartition, int]]) -> dict[TopicPartition, int]:
        return self._cluster.ask(lambda: question(self._places, timeout_ms=self._cluster.wait_ms))

    def ends(self) -> dict[TopicPartition, int]:
        return self._ask(self._consumer.end_offsets)

    def positions(self) -> dict[TopicPartition, int]:
        return {place: self._consumer.position(place, timeout_ms=PROBE_MS) or 0 for place in self._places}

    def poll(self, timeout_s: float, records_max: int) -> list[Record]:
        """Raises LogUnavailable when the broker was away for the cluster's `wait_s`."""
        try:
            records = flatten(self._consumer.poll(timeout_s * 1000, max_records=records_max))
        except KafkaError as error:
            if not isinstance(error, kafka_errors.RetriableError):
                raise self._cluster.trouble(error) from error
            records = []
        if self._contact is not None:
            if records:
                self._contact.heard()
            else:
                self._contact.check()
        return records

    def _end_contact(self) -> None:
        if self._contact is not None:
            self._contact.close()

    def close(self) -> None:
        self._end_contact()
        self._consumer.close(autocommit=False, timeout_ms=2000)


def state_records(reading: Reading, place: TopicPartition) -> Iterator[Record]:
    """One partition from its beginning to the end of committed records found now."""
    reading.take([place], "beginning")
    end = reading.ends()[place]
    while reading.positions()[place] < end:
        yield from reading.poll(READ_MS / 1000, 1000)


class KafkaReader:
    """See `ingest.log.seam.Reader`."""

    def __init__(
        self, cluster: Cluster, places: Sequence[TopicPartition], start: str | Mapping[tuple[str, int], int]
    ) -> None:
        self._reading = Reading(cluster)
        try:
            self._reading.take(places, start)
        except BaseException:
            self._reading.close()
            raise

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]:
        return self._reading.poll(timeout_s, records_max)

    def positions(self) -> dict[tuple[str, int], int]:
        return {(place.topic, place.partition): offset for place, offset in self._reading.positions().items()}

    def ends(self) -> dict[tuple[str, int], int]:
        return {(place.topic, place.partition): offset for place, offset in self._reading.ends().items()}

    def close(self) -> None:
        self._reading.close()
