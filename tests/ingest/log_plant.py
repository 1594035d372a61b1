"""A log under test, the same for both kinds, with what the tests of the logs do again and again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ingest.log.opening import open_log
from ingest.log.seam import Lane, Log, Member, Outgoing, Record, TopicSpec
from ingest.settings import Settings
from tests.ingest.log_children import SESSION_TIMEOUT_MS

PATIENCE_S = 20.0


@dataclass
class Plant:
    """One log under test with topics of its own, and everything opened on it."""

    url: str
    prefix: str
    log: Log
    partitions: int = 4
    opened: list[Callable[[], None]] = field(default_factory=list)

    def topic(self, name: str) -> str:
        return self.prefix + name

    def another_log(self) -> Log:
        """As another process would open it."""
        log = open_log(settings_of(self.url, self.prefix))
        self.opened.append(log.close)
        return log

    def member(self, *topics: str, group: str = "workers") -> Member:
        member = self.another_log().member(group, [self.topic(name) for name in topics])
        self.opened.append(member.close)
        return member

    def append(self, *records: Outgoing) -> None:
        producer = self.log.producer()
        for record in records:
            producer.append(record)
        producer.flush()
        producer.close()

    def everything(self, name: str) -> list[Record]:
        """All committed records of a topic, read from outside any group."""
        reader = self.log.reader([self.topic(name)], "beginning")
        records: list[Record] = []
        deadline = time.monotonic() + PATIENCE_S
        ends = reader.ends()
        while any(reader.positions()[place] < end for place, end in ends.items()):
            records += reader.poll(0.2)
            assert time.monotonic() < deadline, "the reader never reached the ends"
        reader.close()
        return records

    def child(self, role: str, *topics: str) -> subprocess.Popen[str]:
        """A worker process (`log_children.py`)."""
        script = Path(__file__).with_name("log_children.py")
        names = [self.topic(name) for name in topics]
        child = subprocess.Popen(
            [sys.executable, str(script), role, self.url, self.prefix, *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )

        def reap() -> None:
            child.kill()
            child.communicate()

        self.opened.append(reap)
        return child


def settings_of(url: str, prefix: str) -> Settings:
    return Settings(log=url, topic_prefix=prefix, session_timeout_ms=SESSION_TIMEOUT_MS, log_wait_s=20)


def spec(plant: Plant, name: str, partitions: int | None = None, compacted: bool = False) -> TopicSpec:
    return TopicSpec(plant.topic(name), partitions or plant.partitions, compacted, record_bytes_max=1_000_000)


def numbered(plant: Plant, count: int, partition: int, name: str = "in") -> list[Outgoing]:
    return [Outgoing(plant.topic(name), b"k", b"%d" % n, partition=partition) for n in range(count)]


def poll_until(member: Member, ready: Callable[[], bool]) -> list[Record]:
    """Poll until something holds; what was read on the way."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        records += member.poll(0.1)
        assert time.monotonic() < deadline, "it never came true"
    return records


def own(member: Member, count: int = 4) -> dict[int, Lane]:
    poll_until(member, lambda: len(member.lanes()) == count)
    return dict(member.lanes())


def take(member: Member, count: int) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(records) < count:
        records += member.poll(0.1)
        assert time.monotonic() < deadline, f"only {len(records)} of {count} records came"
    return records
