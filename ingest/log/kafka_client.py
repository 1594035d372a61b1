"""How qcfuse sets up the Kafka client (kafka-python 3), and what its errors mean to us."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ingest.errors import BadInput, Fenced, LogUnavailable, QcfuseError
from ingest.log.seam import Record

with warnings.catch_warnings():  # on Python 3.11 the client's own imports warn; ours would hide among them
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import (
        ConsumerGroupMetadata,
        ConsumerRebalanceListener,
        KafkaAdminClient,
        KafkaConsumer,
        KafkaProducer,
        OffsetAndMetadata,
        TopicPartition,
    )
    from kafka import errors as kafka_errors

KafkaError = kafka_errors.KafkaError
T = TypeVar("T")

#: The rest of this room takes the client from here, so that there is one place where it comes in.
__all__ = [
    "FENCED_ERRORS",
    "RECORD_OVERHEAD_BYTES",
    "Cluster",
    "ConsumerGroupMetadata",
    "ConsumerRebalanceListener",
    "KafkaAdminClient",
    "KafkaConsumer",
    "KafkaError",
    "KafkaProducer",
    "OffsetAndMetadata",
    "TopicPartition",
    "flatten",
    "kafka_errors",
    "missing_topic",
]

#: Another worker owns the transactional id or the partition now, or the broker has given this transaction up.
#: In each case nothing of the transaction is visible, and the lane has to be taken over afresh.
FENCED_ERRORS = (
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
    kafka_errors.InvalidTxnStateError,
    kafka_errors.UnknownProducerIdError,
    kafka_errors.OutOfOrderSequenceNumberError,
    kafka_errors.TransactionAbortedError,
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.FencedInstanceIdError,
)

FETCH_WAIT_MS = 100  # a newly won partition waits for a fetch that is under way at most this long
HEARTBEATS_PER_SESSION = 12  # how soon a member hears of a rebalance: 0.5 s of the 6 s
POLL_SESSIONS_MAX = 10  # a member that has not polled for so many session timeouts is stuck
TRANSACTION_TIMEOUT_MS = 10_000  # readers of committed records wait this long for a transaction nobody will ever end
ATTEMPT_S = 20.0  # twice that time: what a client has not brought about by then, only a fresh client will
RETRY_BACKOFF_MS = 2  # the broker asks to come back while it completes the previous transaction: 2 ms, not 100
RECORD_OVERHEAD_BYTES = 256 * 1024  # batch and headers around the largest body
BATCH_BYTES = 256 * 1024  # the client's default of 16 KiB halves throughput
REQUEST_TIMEOUT_MS = 10_000
ASK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the brokers are, and this installation's limits."""

    servers: tuple[str, ...]
    prefix: str
    wait_s: float
    session_timeout_ms: int
    record_bytes_max: int

    @property
    def wait_ms(self) -> int:
        return int(self.wait_s * 1000)

    @property
    def attempt_s(self) -> float:
        """How long one producer is trusted to bring one step of a transaction about."""
        return min(self.wait_s, ATTEMPT_S)

    def _common(self, role: str) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.servers),
            "client_id": f"qcfuse-{role}-{os.getpid()}",
            "bootstrap_timeout_ms": self.wait_ms,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "reconnect_backoff_ms": 50,
            "reconnect_backoff_max_ms": 1000,  # a broker that comes back is found within a second
        }

    def admin(self) -> KafkaAdminClient:
        return self._open(KafkaAdminClient, self._common("admin"))

    def consumer(self, group: str | None = None) -> KafkaConsumer:
        """A consumer of committed records that commits no offset by itself."""
        from_group: dict[str, Any] = {}
        if group is not None:
            from_group = {
                "group_id": self.prefix + group,
                "session_timeout_ms": self.session_timeout_ms,
                "heartbeat_interval_ms": max(100, self.session_timeout_ms // HEARTBEATS_PER_SESSION),
                "max_poll_interval_ms": self.session_timeout_ms * POLL_SESSIONS_MAX,
                # RangePartitionAssignor comes first by default: the same partition numbers of all topics to one member
            }
        options = {
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "auto_offset_reset": "earliest",
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        return self._open(KafkaConsumer, self._common("consumer") | options | from_group)

    def producer(self, transactional_id: str | None = None) -> KafkaProducer:
        """An idempotent producer; with an id, a transactional one (not yet initialised)."""
        options: dict[str, Any] = {
            "acks": "all",
            "linger_ms": 5,  # a commit or flush does not wait for it; it only keeps a first record from leaving alone
            "batch_size": BATCH_BYTES,
            "max_request_size": self.record_bytes_max + RECORD_OVERHEAD_BYTES,
            "max_block_ms": self.wait_ms,
            "delivery_timeout_ms": max(self.wait_ms, REQUEST_TIMEOUT_MS + 1000),
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
            "retry_backoff_ms": 100,
        }
        if transactional_id is not None:
            options |= {
                "transactional_id": transactional_id,
                "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
                "retry_backoff_ms": RETRY_BACKOFF_MS,
                "max_block_ms": int(self.attempt_s * 1000),
            }
        return self._open(KafkaProducer, self._common("producer") | options)

    def _open(self, kind: Any, options: dict[str, Any]) -> Any:
        try:
            return kind(**options)
        except KafkaError as error:
            raise self.trouble(error) from error

    def ask(self, question: Callable[[], T]) -> T:
        """Ask the brokers, again while none answers, until `wait_s` has gone. Raises LogUnavailable, or Fenced."""
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                return question()
            except KafkaError as error:
                if not isinstance(error, kafka_errors.RetriableError) or time.monotonic() >= deadline:
                    raise self.trouble(error) from error
            time.sleep(ASK_AGAIN_S)

    def trouble(self, error: BaseException) -> QcfuseError:
        """Our error for one of the client's."""
        if isinstance(error, FENCED_ERRORS):
            return Fenced(f"another worker has taken over, or the broker gave the transaction up ({_sentence(error)})")
        servers = ",".join(self.servers)
        return LogUnavailable(f"Kafka at {servers} did not do it within {self.wait_s:g} s: {_sentence(error)}")


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def to_record(found: Any) -> Record:
    """A `ConsumerRecord` as ours. With LogAppendTime on the topic its timestamp is the broker's."""
    headers = tuple((name, value or b"") for name, value in found.headers)
    return Record(found.topic, found.partition, found.offset, found.key, found.value, headers, found.timestamp)


def missing_topic(name: str) -> BadInput:
    return BadInput(f"there is no topic {name!r} on the log; `qcfuse topics` creates them")


def flatten(found: dict[Any, Sequence[Any]]) -> list[Record]:
    """What a consumer's poll returned, in offset order per partition."""
    return [to_record(record) for records in found.values() for record in records]
