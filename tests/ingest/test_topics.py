"""The topics of the contract, and reading one from outside any group."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import BadInput
from ingest.log.opening import open_log
from ingest.log.seam import Log, Outgoing
from ingest.settings import Settings
from ingest.topics import LINE_TOPICS, create_topics, describe_topics, tail, topic_specs


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), partitions=5, topic_prefix="plant7.")


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    log = open_log(settings)
    yield log
    log.close()


def test_a_lines_records_have_the_same_number_of_partitions_and_orders_have_one(settings: Settings) -> None:
    specs = {spec.name: spec for spec in topic_specs(settings)}
    assert {specs[f"plant7.{name}"].partitions for name in LINE_TOPICS} == {5}
    assert specs["plant7.control"].partitions == 1
    assert {name for name, spec in specs.items() if spec.compacted} == {"plant7.control", "plant7.state"}


def test_a_record_of_the_largest_size_can_still_be_sent_on_and_become_a_dead_letter(settings: Settings) -> None:
    specs = {spec.name: spec.record_bytes_max for spec in topic_specs(settings)}
    assert settings.record_bytes_max < specs["plant7.frames"] < specs["plant7.deadletter"]


def test_topics_are_created_once_and_described(settings: Settings, log: Log) -> None:
    assert describe_topics(log, settings) == []
    assert len(create_topics(log, settings)) == 9
    assert create_topics(log, settings) == []
    producer = log.producer()
    producer.append(Outgoing("plant7.verdicts", b"L1", b"{}"))
    producer.close()
    described = {name: (partitions, count) for name, partitions, count in describe_topics(log, settings)}
    assert described["plant7.verdicts"] == (5, 1)
    assert described["plant7.control"] == (1, 0)


def test_another_number_of_partitions_than_the_settings_say_is_refused(settings: Settings, log: Log) -> None:
    create_topics(log, settings)
    with pytest.raises(BadInput, match=r"plant7\.frames"):
        create_topics(log, Settings(home=settings.home, partitions=6, topic_prefix="plant7."))


def test_tail_ends_at_the_end_it_found_and_takes_the_name_with_or_without_prefix(settings: Settings, log: Log) -> None:
    create_topics(log, settings)
    producer = log.producer()
    for n in range(30):
        producer.append(Outgoing("plant7.sensors", b"L%d" % n, b"%d" % n))
    producer.flush()
    for name in ("sensors", "plant7.sensors"):
        assert sorted(int(r.body or b"") for r in tail(log, settings, name)) == list(range(30))
    assert list(tail(log, settings, "sensors", start="end")) == []
    with pytest.raises(BadInput, match="no topic 'nonsense'"):
        next(tail(log, settings, "nonsense"))
    producer.close()


def test_tail_follows_what_comes_later(settings: Settings, log: Log) -> None:
    create_topics(log, settings)
    following = tail(log, settings, "verdicts", start="end", follow=True)

    def append_later() -> None:
        producer = open_log(settings).producer()
        producer.append(Outgoing("plant7.verdicts", b"L1", b"later"))
        producer.close()

    later = threading.Timer(0.3, append_later)
    later.start()
    assert next(following).body == b"later"
    following.close()  # type: ignore[attr-defined]
    later.join()


@pytest.mark.parametrize("url", ["sqlite:x", "kafka://", "kafka:host:9092", "embedded:"])
def test_a_log_that_is_none_is_one_clear_sentence(url: str) -> None:
    with pytest.raises(BadInput, match="QCFUSE_LOG"):
        open_log(Settings(log=url))
