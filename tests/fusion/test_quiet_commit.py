"""When a worker commits: what it says at once, what it only took in a little later, and nothing is lost in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fusion import worker as fusion_worker
from fusion.judge import Judge
from fusion.worker import INPUTS, QUIET_S, FusionWorker, Post
from ingest.log.opening import open_log
from ingest.log.seam import Outgoing
from ingest.messages import Findings, Fitness, Instant, Verdict, Visit, encode, json_decoder
from ingest.plan.plan import Plan
from ingest.settings import Settings
from ingest.topics import create_topics, tail

LIMIT_S = 60.0
VERDICT = json_decoder(Verdict)


class Road:
    """An embedded log of one partition, and one worker after another on it."""

    def __init__(self, home: Path, plan: Plan, judge: Judge) -> None:
        self.settings = Settings(home=str(home), partitions=1, session_timeout_ms=2000)
        self.log = open_log(self.settings)
        create_topics(self.log, self.settings)
        self._make = lambda: FusionWorker(plan, self.settings, judge, self.log)
        self.worker = self._make()

    def publish(self, *messages: Visit | Findings) -> None:
        producer = self.log.producer()
        for message in messages:
            topic = self.settings.topic("production" if isinstance(message, Visit) else "findings")
            producer.append(Outgoing(topic, b"L1", encode(message)))
        producer.flush()
        producer.close()

    def until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not reached():
            assert time.monotonic() < end
            self.worker.cycle()

    def post(self) -> Post:
        """The one lane, owned and caught up."""
        self.until(lambda: bool(self.worker.posts) and not self.worker.posts[0].catching_up)
        return self.worker.posts[0]

    def take_in(self, *messages: Visit | Findings) -> Post:
        post, before = self.post(), self.worker.counts["records"]
        self.publish(*messages)
        self.until(lambda: self.worker.counts["records"] == before + len(messages))
        return post

    def committed(self) -> int:
        """Visits that whoever comes next need not read again. The worker must be closed."""
        member = self.log.member("fusion", [self.settings.topic(name) for name in INPUTS])
        try:
            end = time.monotonic() + LIMIT_S
            while not member.lanes():
                member.poll(0.05)
                assert time.monotonic() < end
            return member.lanes()[0].committed[self.settings.topic("production")]
        finally:
            member.close()

    def verdicts(self) -> Sequence[Verdict]:
        return [VERDICT.decode(record.body or b"") for record in tail(self.log, self.settings, "verdicts")]

    def hand_over(self) -> None:
        self.worker.close()
        self.worker = self._make()


@pytest.fixture
def road(tmp_path: Path, plan: Plan, judge: Judge) -> Iterator[Road]:
    made = Road(tmp_path, plan, judge)
    yield made
    made.log.close()


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only taken in waits for ever."""
    monkeypatch.setattr(fusion_worker, "QUIET_S", 1e9)


def visit(number: int, station: str = "OP10") -> Visit:
    now = Instant(time.time_ns() // 1_000_000)
    return Visit(
        part_id=f"P{number}", line_id="L1", station_id=station, started_at=Instant(now - 1000), ended_at=now,
        batch_id="B1", product="P", attributes={"tool_id": "T1"},
    )  # fmt: skip


def findings(number: int) -> Findings:
    now = Instant(time.time_ns() // 1_000_000)
    return Findings(
        part_id=f"P{number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{number}",
        captured_at=now, inspected_at=now, score=0.3, threshold=0.5, fitness=Fitness(ok=True),
    )  # fmt: skip


@pytest.mark.usefixtures("never")
def test_what_is_only_taken_in_waits_for_its_commit_a_tenth_of_a_second_at_most(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = road.take_in(visit(1))
    since = post.unsaved_since
    assert since is not None
    road.take_in(visit(2))
    assert post.unsaved_since == since, "the second record does not begin the wait anew"
    monkeypatch.setattr(fusion_worker, "QUIET_S", QUIET_S)
    assert not post.must_commit(since + 0.9 * QUIET_S)
    assert post.must_commit(since + QUIET_S)
    road.until(lambda: post.unsaved_since is None)
    road.worker.close()
    assert road.committed() == 2


@pytest.mark.usefixtures("never")
def test_a_verdict_goes_out_at_once_and_takes_along_what_waited(road: Road) -> None:
    post = road.take_in(visit(1), visit(2))
    road.publish(visit(1, "OP20"), findings(1))
    road.until(lambda: bool(road.verdicts()))
    assert post.unsaved_since is None
    road.worker.close()
    assert road.committed() == 3


@pytest.mark.usefixtures("never")
def test_a_stop_leaves_nothing_to_be_read_again(road: Road) -> None:
    road.take_in(visit(1))
    road.worker.finish()
    road.worker.close()
    assert road.committed() == 1


@pytest.mark.usefixtures("never")
def test_of_a_worker_that_dies_what_waited_is_read_again_and_its_part_gets_its_one_verdict(road: Road) -> None:
    road.take_in(visit(1), findings(1))
    road.hand_over()
    road.take_in(visit(1, "OP20"))
    road.until(lambda: bool(road.verdicts()))
    road.worker.close()
    (verdict,) = road.verdicts()
    assert (verdict.part_id, verdict.revision) == ("P1", 1)
    assert "camera:top" in verdict.evidence.present
