"""Through a real log and the real worker: what was taken back stays forgotten when the partition changes hands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from fusion.judge import Judge
from fusion.partition import Partition
from fusion.worker import FusionWorker
from ingest.log.opening import open_log
from ingest.log.seam import Log, Outgoing
from ingest.messages import Defect, Findings, Fitness, Instant, Visit, encode
from ingest.plan.plan import Plan
from ingest.settings import Settings
from ingest.topics import create_topics

TOPICS = {Findings: "findings", Visit: "production", Defect: "defects"}
LIMIT_S = 60.0
Message = Findings | Visit | Defect


class Road:
    """An embedded log, and one worker after another on it."""

    def __init__(self, home: Path, plan: Plan, judge: Judge) -> None:
        self.settings = Settings(home=str(home), partitions=2, session_timeout_ms=2000)
        self.log: Log = open_log(self.settings)
        create_topics(self.log, self.settings)
        self._make = lambda: FusionWorker(plan, self.settings, judge, self.log)
        self.worker = self._make()

    def publish(self, messages: Sequence[Message]) -> None:
        producer = self.log.producer()
        for message in messages:
            topic = self.settings.topic(TOPICS[type(message)])
            producer.append(Outgoing(topic, message.line_id.encode(), encode(message)))
        producer.flush()
        producer.close()

    def until(self, reached: Callable[[Partition], bool]) -> Partition:
        """Cycle until the partition of the line says so."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            self.worker.cycle()
            found = [post.partition for post in self.worker.posts.values() if "L1" in post.partition.histories]
            if found and reached(found[0]):
                return found[0]
        raise AssertionError(f"not reached within {LIMIT_S} s: {self.worker.state()['counts']}")

    def hand_over(self) -> None:
        self.worker.close()
        self.worker = self._make()

    def close(self) -> None:
        self.worker.close()
        self.log.close()


@pytest.fixture
def road(tmp_path: Path, plan: Plan, judge: Judge) -> Iterator[Road]:
    made = Road(tmp_path, plan, judge)
    yield made
    made.close()


def part(number: int, at: int) -> list[Message]:
    frame = Findings(
        part_id=f"P{number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{number}",
        captured_at=Instant(at), inspected_at=Instant(at), score=0.3, threshold=0.5, fitness=Fitness(ok=True),
        fingerprint=str(number),
    )  # fmt: skip
    visit = Visit(
        part_id=f"P{number}", line_id="L1", station_id="OP20", started_at=Instant(at - 1000), ended_at=Instant(at),
        batch_id="B1", product="P", attributes={"tool_id": "T1"},
    )  # fmt: skip
    return [frame, visit]


def decided(number: int, at: int, name: str, by: str) -> Defect:
    return Defect(
        part_id=f"P{number}", line_id="L1", recorded_at=Instant(at), source="inspector", outcome="defect",
        recorded_by=by, record_id=name,
    )  # fmt: skip


def undone(decision: Defect) -> Defect:
    at = Instant(decision.recorded_at + 1000)
    undo = msgspec.structs.replace(decision, recorded_at=at, outcome="unsure", comment="undone")
    return msgspec.structs.replace(undo, record_id=f"undo {decision.record_id}", undoes=decision.record_id)


def label_of(partition: Partition, part_id: str) -> int | None:
    known = partition.histories["L1"]._history._parts.get(part_id)
    return None if known is None else known.label


def test_a_decision_taken_back_is_forgotten_across_workers_and_another_persons_word_stays(road: Road) -> None:
    now = time.time_ns() // 1_000_000
    first, second = decided(0, now - 200_000, "a", "anna"), decided(1, now - 199_000, "b", "anna")
    road.publish([one for number in range(4) for one in part(number, now - 400_000 + number * 1000)])
    road.publish([first, second, decided(1, now - 198_000, "c", "ben"), *part(8, now - 100_000)])
    seen = road.until(lambda partition: label_of(partition, "P0") == 1)  # counted before it is taken back
    assert label_of(seen, "P1") == 1
    road.hand_over()
    road.publish([undone(first), undone(second), first, *part(9, now)])  # the first comes once more
    after = road.until(lambda partition: label_of(partition, "P0") == -1)
    assert label_of(after, "P1") == 1
    (tool,) = (tally for name, tally in after.histories["L1"]._history._entities.items() if name == "tool_id=T1")
    road.hand_over()
    again = road.until(lambda partition: label_of(partition, "P0") is not None)
    assert [label_of(again, "P0"), label_of(again, "P1")] == [-1, 1]
    assert again.histories["L1"]._history._entities["tool_id=T1"] == tool
