"""Apache Kafka as the log (`ingest.log.seam`): topics, producers, readers; members are in `kafka_member.py`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial

from ingest.errors import BadInput, BadRecord, LogUnavailable
from ingest.log.kafka_client import (
    RECORD_OVERHEAD_BYTES,
    Cluster,
    KafkaAdminClient,
    KafkaError,
    TopicPartition,
    kafka_errors,
    missing_topic,
)
from ingest.log.kafka_member import KafkaMember
from ingest.log.kafka_read import KafkaReader
from ingest.log.seam import Outgoing, TopicSpec
from ingest.partition import partition_of

UNSENT_BYTES_MAX = 32 * 1024 * 1024  # the client's own buffer has no limit
TOMBSTONE_KEEP_MS = 3_600_000  # long enough for a state reader to have seen it
COMPACT_SEGMENT_MS = 600_000  # what is in the open segment is never compacted: close it now and then


class KafkaLog:
    """See `ingest.log.seam.Log`. `wait_s`: how long anything waits for the brokers before LogUnavailable."""

    def __init__(
        self, servers: Sequence[str], *, prefix: str, wait_s: float, session_timeout_ms: int, record_bytes_max: int
    ) -> None:
        self._cluster = Cluster(tuple(servers), prefix, wait_s, session_timeout_ms, record_bytes_max)
        self._partitions: dict[str, int] = {}
        self._admin: KafkaAdminClient | None = None

    def _asked(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = self._cluster.admin()
        return self._admin

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        for spec in specs:
            there = self.partitions(spec.name)
            if there not in (0, spec.partitions):
                raise BadInput(f"topic {spec.name!r} is there with {there} partitions, {spec.partitions} are wanted")
        wanted = [spec for spec in specs if self.partitions(spec.name) == 0]
        created = []
        for spec in wanted:
            if self._cluster.ask(partial(self._create, spec)):
                created.append(spec.name)
        return created

    def _create(self, spec: TopicSpec) -> bool:
        try:
            self._asked().create_topics({spec.name: _topic_options(spec)}, wait_for_metadata=True)
        except kafka_errors.TopicAlreadyExistsError:
            return False  # another process creates them at the same moment; it wants the same
        return True

    def partitions(self, topic: str) -> int:
        if topic not in self._partitions:
            described = self._cluster.ask(lambda: self._asked().describe_topics([topic]))
            count = sum(len(found["partitions"]) for found in described if found["error_code"] == 0)
            if count == 0:
                return 0
            self._partitions[topic] = count
        return self._partitions[topic]

    def place(self, record: Outgoing) -> int:
        """The partition of a record. Raises BadInput for an unknown topic or partition, BadRecord for one too large."""
        partitions = self.partitions(record.topic)
        if partitions == 0:
            raise missing_topic(record.topic)
        size = len(record.body or b"") + len(record.key or b"")
        if size > self._cluster.record_bytes_max + RECORD_OVERHEAD_BYTES // 2:
            raise BadRecord("record_too_large", f"{size} bytes, Kafka takes {self._cluster.record_bytes_max}")
        if record.partition is None:
            return random.randrange(partitions) if record.key is None else partition_of(record.key, partitions)
        if not 0 <= record.partition < partitions:
            raise BadInput(f"topic {record.topic!r} has no partition {record.partition}, it has {partitions}")
        return record.partition

    def producer(self) -> KafkaLogProducer:
        return KafkaLogProducer(self._cluster, self)

    def reader(self, topics: Sequence[str], start: str | Mapping[tuple[str, int], int]) -> KafkaReader:
        places = []
        for topic in topics:
            if self.partitions(topic) == 0:
                raise missing_topic(topic)
            places += [TopicPartition(topic, partition) for partition in range(self.partitions(topic))]
        return KafkaReader(self._cluster, places, start)

    def member(self, group: str, topics: Sequence[str]) -> KafkaMember:
        counts = {topic: self.partitions(topic) for topic in topics}
        for topic, count in counts.items():
            if count == 0:
                raise missing_topic(topic)
        if len(set(counts.values())) != 1:
            raise BadInput(f"the topics of group {group!r} must have the same number of partitions ({counts})")
        return KafkaMember(self._cluster, group, topics, counts[topics[0]], self.place)

    def close(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def _topic_options(spec: TopicSpec) -> dict[str, object]:
    """Replication is the cluster's own default (-1)."""
    configs = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(spec.record_bytes_max + RECORD_OVERHEAD_BYTES),
    }
    if spec.compacted:
        configs |= {
            "cleanup.policy": "compact",
            "delete.retention.ms": str(TOMBSTONE_KEEP_MS),
            "segment.ms": str(COMPACT_SEGMENT_MS),
            "min.cleanable.dirty.ratio": "0.2",
        }
    if spec.retention_ms is not None:
        configs["retention.ms"] = str(spec.retention_ms)
    return {"num_partitions": spec.partitions, "replication_factor": -1, "configs": configs}


class KafkaLogProducer:
    """See `ingest.log.seam.Producer`. Idempotent: a record is not doubled by a retry."""

    def __init__(self, cluster: Cluster, log: KafkaLog) -> None:
        self._cluster = cluster
        self._log = log
        self._producer = cluster.producer()
        self._unsent_bytes = 0
        self._failed: BaseException | None = None

    def append(self, record: Outgoing) -> None:
        """Raises BadRecord for a record over the limit, BadInput for an unknown topic, LogUnavailable."""
        partition = self._log.place(record)
        try:
            future = self._producer.send(record.topic, record.body, record.key, list(record.headers), partition)
        except KafkaError as error:
            raise self._cluster.trouble(error) from error
        future.add_errback(self._note)
        self._unsent_bytes += len(record.body or b"")
        if self._unsent_bytes >= UNSENT_BYTES_MAX:
            self.flush()

    def _note(self, error: BaseException) -> None:
        self._failed = error

    def flush(self) -> None:
        """Raises LogUnavailable when a record since the last flush was not taken by the brokers."""
        try:
            self._producer.flush(timeout=self._cluster.wait_s)
        except KafkaError as error:
            raise self._cluster.trouble(error) from error
        self._unsent_bytes = 0
        failed, self._failed = self._failed, None
        if failed is not None:
            raise LogUnavailable(f"records were not taken by Kafka: {self._cluster.trouble(failed)}") from failed

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._producer._sender.force_close()  # all is sent, or given up: close() alone may wait for ever
            self._producer.close(timeout=1.0)
