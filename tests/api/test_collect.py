"""The collector on a real embedded log: everything once, whatever happens to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.collect import Collector
from api.harvest import Harvester
from api.store.database import migrate
from api.store.read import StoreReader
from api.store.rows import VerdictFilter
from api.store.write import StoreWriter
from ingest.log.opening import open_log
from ingest.log.seam import Log, Outgoing
from ingest.messages import encode
from ingest.settings import Settings
from tests.api.conftest import until
from tests.api.factory import make_defect, make_findings, make_verdict, make_visit, publish

EVERY = VerdictFilter()


@contextmanager
def collecting(settings: Settings, name: str = "one") -> Iterator[Collector]:
    """A collector at work in a thread; its own failure fails the test."""
    migrate(settings.store)
    writer = StoreWriter(settings.store, name)
    collector = Collector(lambda: open_log(settings), writer, Harvester(settings))
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        yield collector
    finally:
        stop.set()
        thread.join()
        writer.close()


def bodies(settings: Settings) -> list[bytes]:
    reader = StoreReader(settings.store)
    try:
        return [stored.body for stored in reader.verdicts(EVERY, 1000)]
    finally:
        reader.close()


def test_what_is_on_the_log_is_in_the_store_once_over_two_lives(settings: Settings, log: Log) -> None:
    verdicts = [make_verdict(f"P{n}") for n in range(40)]
    publish(log, settings, verdicts=verdicts[:20], production=[make_visit("P1")], findings=[make_findings("P1")])
    with collecting(settings) as collector:
        until(lambda: collector.state.collected == 20, "the first twenty")
    publish(log, settings, verdicts=verdicts[10:], defects=[make_defect("P1")])
    with collecting(settings) as collector:
        until(lambda: collector.state.collected == 20, "the other twenty")
        until(lambda: collector.state.repeats == 10, "the ten repeats")
    assert sorted(bodies(settings)) == sorted(encode(verdict) for verdict in verdicts)


def test_a_record_that_is_none_is_counted_and_the_rest_goes_on(settings: Settings, log: Log) -> None:
    producer = log.producer()
    nul = encode(make_verdict("P0", batch_id="a\0b"))
    for body in (b"{", b'{"part_id": "P1"}', b"\xff\xfe", nul, None, encode(make_verdict("P2"))):
        producer.append(Outgoing(topic=settings.topic("verdicts"), key=b"L1", body=body))
    for body in (b"[]", encode(make_visit("x" * 10_000))):
        producer.append(Outgoing(topic=settings.topic("production"), key=b"L1", body=body))
    producer.flush()
    producer.close()
    with collecting(settings) as collector:
        until(lambda: collector.state.collected == 1, "the one good verdict")
        until(lambda: sum(collector.left_out.values()) == 6, "six records left out")
    assert collector.left_out[("verdicts", "nul_character")] == 1
    assert collector.left_out[("production", "bad_id")] == 1


def test_a_second_collector_stands_by_and_takes_over(settings: Settings, log: Log) -> None:
    with collecting(settings, "first") as first:
        until(lambda: first.state.leading, "the first to lead")
        with collecting(settings, "second") as second:
            until(lambda: not second.state.trouble, "the second to stand by")
            publish(log, settings, verdicts=[make_verdict("P1")])
            until(lambda: first.state.collected == 1, "the first to collect")
            assert not second.state.leading
            assert second.state.collected == 0
    with collecting(settings, "third") as third:
        publish(log, settings, verdicts=[make_verdict("P2")])
        until(lambda: third.state.collected == 1, "the third to collect")


def test_a_log_that_is_away_is_told_and_looked_for_again(settings: Settings, log: Log) -> None:
    publish(log, settings, verdicts=[make_verdict("P1")])
    away = True

    def opening() -> Log:
        if away:
            from ingest.errors import LogUnavailable

            raise LogUnavailable("the broker does not answer")
        return open_log(settings)

    migrate(settings.store)
    writer = StoreWriter(settings.store, "one")
    collector = Collector(opening, writer, Harvester(settings))
    stop = threading.Event()
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    until(lambda: "broker" in collector.state.trouble, "the trouble to be told")
    assert collector.state.polled_at == 0
    away = False
    until(lambda: collector.state.collected == 1, "the verdict after all")
    assert collector.state.trouble == ""
    stop.set()
    thread.join()
    writer.close()
