"""The Kafka log against a real broker that is stopped, killed and started, and against transactions nobody ended."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from ingest.errors import Fenced, LogUnavailable
from ingest.log import kafka_client as log_kafka_client
from ingest.log.kafka import KafkaLog
from ingest.log.kafka_client import Cluster, TopicPartition, kafka_errors
from ingest.log.kafka_member import KafkaMember
from ingest.log.seam import Batch, Log, Member, Outgoing, Record, TopicSpec
from tests.broker.kafka_cluster import LocalKafka

pytestmark = [
    pytest.mark.broker,
    # The client leaves the sockets of connections that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
PATIENCE_S = 40.0


@pytest.fixture
def prefix() -> str:
    return f"k{uuid.uuid4().hex[:8]}."


@pytest.fixture
def open_kafka(kafka: LocalKafka, prefix: str) -> Iterator[Callable[[float], Log]]:
    logs: list[Log] = []

    def open_it(wait_s: float) -> Log:
        log = KafkaLog(
            [kafka.bootstrap], prefix=prefix, wait_s=wait_s, session_timeout_ms=6000, record_bytes_max=2_000_000
        )
        logs.append(log)
        return log

    log = open_it(30)
    log.create_topics([TopicSpec(prefix + name, 2) for name in ("in", "out")])
    yield open_it
    for log in logs:
        log.close()


def own(member: Member, count: int = 2) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(member.lanes()) < count:
        member.poll(0.1)
        assert time.monotonic() < deadline


def everything(log: Log, topic: str) -> list[Record]:
    reader = log.reader([topic], "beginning")
    records: list[Record] = []
    while any(reader.positions()[place] < end for place, end in reader.ends().items()):
        records += reader.poll(0.2)
    reader.close()
    return records


def test_a_transaction_nobody_ended_is_never_seen_and_holds_nobody_up(
    kafka: LocalKafka, prefix: str, open_kafka: Callable[[float], Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_kafka_client, "TRANSACTION_TIMEOUT_MS", 10 * int(PATIENCE_S) * 1000)
    dead = Cluster((kafka.bootstrap,), prefix, 10, 6000, 2_000_000).producer(f"{prefix}workers-0")
    dead.init_transactions()
    dead.begin_transaction()
    dead.send(prefix + "out", b"never", b"k", partition=0).get(timeout=10)
    log = open_kafka(10)
    assert everything(log, prefix + "out") == []
    member = log.member("workers", [prefix + "in"])
    own(member)
    started = time.monotonic()
    member.lanes()[0].commit([Outgoing(prefix + "out", b"k", b"seen", partition=0)], {prefix + "in": 0})
    assert [r.body for r in everything(log, prefix + "out")] == [b"seen"]
    assert time.monotonic() - started < PATIENCE_S, "the takeover ended it; by itself it would end ten times later"
    dead._sender.force_close()
    dead.close(timeout=1)
    member.close()


def test_a_lane_whose_transactional_id_was_taken_is_fenced(
    kafka: LocalKafka, prefix: str, open_kafka: Callable[[float], Log]
) -> None:
    """Also when the group has not noticed: the id alone protects the partition."""
    member = open_kafka(10).member("workers", [prefix + "in"])
    own(member)
    usurper = Cluster((kafka.bootstrap,), prefix, 10, 6000, 2_000_000).producer(f"{prefix}workers-1")
    usurper.init_transactions()
    with pytest.raises(Fenced):
        member.lanes()[1].commit([Outgoing(prefix + "out", b"k", b"late", partition=1)], {})
    member.forget(1)
    own(member)
    member.lanes()[1].commit([Outgoing(prefix + "out", b"k", b"taken back", partition=1)], {})
    assert [r.body for r in everything(open_kafka(10), prefix + "out")] == [b"taken back"]
    usurper.close(timeout=1)
    member.close()


def put(log: Log, topic: str, bodies: list[bytes], partition: int) -> None:
    producer = log.producer()
    for body in bodies:
        producer.append(Outgoing(topic, b"k", body, partition=partition))
    producer.close()


def read(member: Member, count: int) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(records) < count:
        records += member.poll(0.2)
        assert time.monotonic() < deadline
    return records


def test_a_lane_that_an_assignment_left_out_is_another_when_it_comes_back_before_anybody_looked(
    prefix: str, open_kafka: Callable[[float], Log]
) -> None:
    """Two rebalances pass within one poll; what the lane has read and not committed is read again."""
    log, topic = open_kafka(10), prefix + "in"
    put(log, topic, [b"one", b"two"], partition=1)
    member = log.member("workers", [topic])
    assert isinstance(member, KafkaMember)
    own(member)
    assert [record.body for record in read(member, 2)] == [b"one", b"two"]
    before = member.lanes()
    member.on_partitions_assigned({TopicPartition(topic, 0)})
    member.on_partitions_assigned({TopicPartition(topic, 0), TopicPartition(topic, 1)})
    assert [record.body for record in read(member, 2)] == [b"one", b"two"]
    assert [member.lanes()[number] is before[number] for number in (0, 1)] == [True, False]
    member.close()


def test_what_the_client_took_out_of_its_buffer_when_it_failed_is_read_again(
    prefix: str, open_kafka: Callable[[float], Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, topic = open_kafka(10), prefix + "in"
    put(log, topic, [b"one", b"two", b"three"], partition=1)
    member = log.member("workers", [topic])
    assert isinstance(member, KafkaMember)
    own(member)
    polled, lost = member._consumer.poll, []

    def failing(*args: object, **how: object) -> object:
        found = polled(*args, **how)
        if found and not lost:
            lost.extend(found)
            raise kafka_errors.NodeNotReadyError("after the records were taken")
        return found

    monkeypatch.setattr(member._consumer, "poll", failing)
    assert [record.body for record in read(member, 3)] == [b"one", b"two", b"three"]
    assert lost == [TopicPartition(topic, 1)]
    member.close()


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_back_loses_nothing(
    kafka: LocalKafka, prefix: str, open_kafka: Callable[[float], Log]
) -> None:
    log = open_kafka(60)
    member = log.member("workers", [prefix + "in"])
    own(member)
    producer = log.producer()
    reader = log.reader([prefix + "out"], "beginning")
    total = 60
    bounce = threading.Thread(target=lambda: (kafka.stop(), time.sleep(2), kafka.start()))
    copied: dict[int, set[int]] = {0: set(), 1: set()}
    deadline = time.monotonic() + 3 * PATIENCE_S
    for n in range(total):
        producer.append(Outgoing(prefix + "in", b"k", b"%d" % n, partition=n % 2))
        if n == 20:
            bounce.start()
        copy_some(member, prefix, copied)
        time.sleep(0.05)
    producer.flush()
    while sum(map(len, copied.values())) < total:
        copy_some(member, prefix, copied)
        assert time.monotonic() < deadline
    bounce.join()
    found: list[Record] = []
    while len(found) < total:
        found += reader.poll(0.5)
        assert time.monotonic() < deadline
    assert sorted(int(r.body or b"") for r in found) == list(range(total))
    assert len(everything(log, prefix + "out")) == total
    for opened in (reader, producer, member):
        opened.close()


@pytest.mark.slow
def test_a_broker_killed_under_commits_loses_nothing_and_doubles_nothing(
    kafka: LocalKafka, prefix: str, open_kafka: Callable[[float], Log]
) -> None:
    """Twelve lanes commit while the broker is killed twice, at any instant: what went in has come out, once."""
    log, lanes = open_kafka(120), 12
    log.create_topics([TopicSpec(prefix + name, lanes) for name in ("many", "copies")])
    member, producer = log.member("copiers", [prefix + "many"]), log.producer()
    own(member, lanes)
    fates = threading.Thread(target=kill_twice, args=(kafka, random.Random(3)))
    fates.start()
    total = 0
    while fates.is_alive():
        for _ in range(lanes):
            producer.append(Outgoing(prefix + "many", b"k", b"%d" % total, partition=total % lanes))
            total += 1
        copy_in_lanes(member, prefix)
    producer.flush()
    deadline = time.monotonic() + 3 * PATIENCE_S
    while copy_in_lanes(member, prefix) or len(everything(log, prefix + "copies")) < total:
        assert time.monotonic() < deadline
    assert sorted(int(r.body or b"") for r in everything(log, prefix + "copies")) == list(range(total))
    for opened in (producer, member):
        opened.close()


def kill_twice(kafka: LocalKafka, dice: random.Random) -> None:
    for _ in range(2):
        time.sleep(dice.uniform(1.0, 3.0))
        kafka.kill()
        kafka.start()
    time.sleep(1.0)


def copy_in_lanes(member: Member, prefix: str) -> bool:
    """One cycle of a worker with many lanes, as the roles have it. Did any record come?"""
    records: dict[int, list[Record]] = defaultdict(list)
    for record in member.poll(0.05, 64):
        records[record.partition].append(record)
    batches: dict[int, Batch] = {}
    for number, found in records.items():
        copies = [Outgoing(prefix + "copies", b"k", record.body, partition=number) for record in found]
        batches[number] = (copies, {prefix + "many": found[-1].offset + 1})
    member.commit_lanes(batches)
    return bool(records)


def copy_some(member: Member, prefix: str, copied: dict[int, set[int]]) -> None:
    """One cycle of a worker: copy what came, drop the lane when the commit did not go through."""
    for record in member.poll(0.05):
        lane = member.lanes().get(record.partition)
        if lane is None:
            continue
        try:
            lane.commit(
                [Outgoing(prefix + "out", b"k", record.body, partition=record.partition)],
                {prefix + "in": record.offset + 1},
            )
            copied[record.partition].add(record.offset)
        except (Fenced, LogUnavailable):
            member.forget(record.partition)


@pytest.mark.slow
def test_a_broker_that_stays_away_is_log_unavailable_and_nothing_was_committed(
    kafka: LocalKafka, prefix: str, open_kafka: Callable[[float], Log]
) -> None:
    log = open_kafka(3)
    member = log.member("workers", [prefix + "in"])
    own(member)
    producer, reader = log.producer(), log.reader([prefix + "out"], "beginning")
    lane = member.lanes()[0]
    producer.append(Outgoing(prefix + "in", b"k", b"in time", partition=0))
    producer.flush()
    kafka.kill()
    producer.append(Outgoing(prefix + "in", b"k", b"lost?", partition=0))
    for attempt in (
        lambda: lane.commit([Outgoing(prefix + "out", b"k", b"x", partition=0)], {prefix + "in": 1}),
        producer.flush,
        lambda: [member.poll(0.2) for _ in range(100)],
        lambda: [reader.poll(0.2) for _ in range(100)],
        reader.ends,
        lambda: KafkaLog(
            [kafka.bootstrap], prefix=prefix, wait_s=1, session_timeout_ms=6000, record_bytes_max=1000
        ).partitions("x"),
    ):
        started = time.monotonic()
        with pytest.raises(LogUnavailable, match="Kafka"):
            attempt()
        assert time.monotonic() - started < PATIENCE_S
    kafka.start()
    member.close()
    later = open_kafka(30)
    assert everything(later, prefix + "out") == []
    own(successor := later.member("workers", [prefix + "in"]))
    assert successor.lanes()[0].committed == {prefix + "in": 0}
    for opened in (producer, reader, successor):
        try:
            opened.close()
        except LogUnavailable:
            continue  # the producer says that its record was not taken: that is its duty


def test_the_logs_time_is_the_brokers(prefix: str, open_kafka: Callable[[float], Log]) -> None:
    log = open_kafka(10)
    producer = log.producer()
    before = time.time_ns() // 1_000_000
    time.sleep(0.05)
    producer.append(Outgoing(prefix + "in", b"k", b"x", partition=0))
    producer.flush()
    after = time.time_ns() // 1_000_000
    assert before + 40 <= everything(log, prefix + "in")[0].logged_at_ms <= after
    producer.close()
