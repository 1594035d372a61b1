"""The whole road on real Kafka: two fusion workers over four lines, disturbed in every way DESIGN promises to survive.

The claims are the same each time: every part has one revision 1, no sequence has a gap, a sleeper writes nothing, and
the final decisions are those of an undisturbed run (on the embedded log: the two logs mean the same).
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ingest.folder.replay_folder import Folder
from ingest.log.seam import Outgoing, Producer
from ingest.messages import Verdict
from ingest.partition import partition_of
from ingest.topics import tail
from tests.broker.four_lines import four_line_plan, join_plants
from tests.broker.kafka_cluster import LocalKafka
from tests.flow.road import SESSION_TIMEOUT_MS, Decided, Road, assert_decided_alike, assert_exactly_once, final

pytestmark = [
    pytest.mark.broker,
    pytest.mark.slow,
    # The client leaves the sockets of connections that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

LINE_PAIR_PARTS = 40
LIMIT_S = 300.0
LOG_WAIT_S = 240  # a broker that was killed needs 10 s to come back, on a busy machine with two cores a minute
LINES = (b"L1", b"L2", b"L4", b"L6")

Calm = Mapping[Decided, Verdict]


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ingest.simulate import write_plant

    folder = tmp_path_factory.mktemp("shift")
    for name, seed in (("first", 12), ("second", 13)):
        write_plant(folder / name, LINE_PAIR_PARTS, seed=seed)
    return join_plants(folder / "first", folder / "second", folder / "four")


@pytest.fixture(scope="module")
def plan(past: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "four_lines.yaml"
    path.write_text(four_line_plan((past / "plan.yaml").read_text("utf-8")), "utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(shelf: Path, plan: Path, shift: Path, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    road = Road.build(tmp_path_factory.mktemp("calm") / "home", shelf, plan)
    try:
        road.spawn("vision")
        road.spawn("fusion")
        road.publish(shift)
        verdicts = road.wait_for(all_in(shift), LIMIT_S)
    finally:
        road.close()
    return final(verdicts)


@pytest.fixture
def road(kafka: LocalKafka, shelf: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    monkeypatch.setenv("QCFUSE_LOG_WAIT_S", str(LOG_WAIT_S))  # for the roles
    prefix = f"r{uuid.uuid4().hex[:8]}."
    road = Road.build(tmp_path / "home", shelf, plan, log=kafka.url, topic_prefix=prefix, log_wait_s=LOG_WAIT_S)
    yield road
    road.close()


def all_in(folder: Path) -> Callable[[list[Verdict]], bool]:
    """Has every part at the end of its line a verdict on everything there was to wait for?"""
    parts = {(part.line_id, part.part_id) for part in Folder(folder).parts().values()}

    def enough(verdicts: list[Verdict]) -> bool:
        last = final(verdicts).values()
        waiting = {(v.line_id, v.part_id) for v in last if v.evidence.missing}
        return parts <= {(v.line_id, v.part_id) for v in last if v.gate_id == "EOL"} - waiting

    return enough


def seen(count: int) -> Callable[[list[Verdict]], bool]:
    return lambda verdicts: len(verdicts) >= count


def state_of(road: Road, worker: subprocess.Popen[bytes]) -> dict[str, object]:
    """What a role said in its last heartbeat."""
    path = Path(road.settings.home) / "run" / f"fusion-{worker.pid}.json"
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, "the role never said that it lives"
        time.sleep(0.1)
    said: dict[str, object] = json.loads(path.read_bytes())["state"]
    return said


def wait_for_shares(road: Road, workers: list[subprocess.Popen[bytes]]) -> None:
    """Until the workers own all partitions between them, each some."""
    deadline = time.monotonic() + 60
    while True:
        owned = [state_of(road, worker)["partitions"] for worker in workers]
        if all(owned) and sorted(n for share in owned for n in share) == list(range(12)):  # type: ignore[attr-defined]
            return
        assert time.monotonic() < deadline, owned
        time.sleep(0.2)


def check(road: Road, shift: Path, undisturbed: Calm) -> None:
    verdicts = road.wait_for(all_in(shift), LIMIT_S)
    assert_exactly_once(verdicts)
    assert_decided_alike(verdicts, undisturbed)


def test_a_worker_killed_and_another_paused_and_woken_change_nothing(
    road: Road, shift: Path, undisturbed: Calm
) -> None:
    road.spawn("vision")
    first, second = road.spawn("fusion"), road.spawn("fusion")
    wait_for_shares(road, [first, second])
    publishing = threading.Thread(target=road.publish, args=(shift, 200.0))
    publishing.start()
    road.wait_for(seen(10))
    first.kill()
    first.wait()
    road.spawn("fusion")
    road.wait_for(seen(30), LIMIT_S)
    second.send_signal(signal.SIGSTOP)
    time.sleep(SESSION_TIMEOUT_MS / 1000 + 2)
    second.send_signal(signal.SIGCONT)
    publishing.join()
    check(road, shift, undisturbed)
    assert second.poll() is None, "who was fenced goes on working"


def test_a_broker_stopped_and_started_changes_nothing(
    road: Road, kafka: LocalKafka, shift: Path, undisturbed: Calm
) -> None:
    workers = [road.spawn("vision"), road.spawn("fusion"), road.spawn("fusion")]
    wait_for_shares(road, workers[1:])
    publishing = threading.Thread(target=road.publish, args=(shift, 200.0))
    publishing.start()
    road.wait_for(seen(10))
    kafka.kill()
    time.sleep(2)
    kafka.start()
    publishing.join()
    check(road, shift, undisturbed)
    assert [worker.poll() for worker in workers] == [None, None, None], "nobody gave up within the time to wait"


def test_a_rebalance_while_parts_are_open_changes_nothing(road: Road, shift: Path, undisturbed: Calm) -> None:
    road.spawn("vision")
    first = road.spawn("fusion")
    publishing = threading.Thread(target=road.publish, args=(shift, 200.0))
    publishing.start()
    road.wait_for(seen(10), LIMIT_S)
    second = road.spawn("fusion")
    wait_for_shares(road, [first, second])
    first.terminate()
    assert first.wait(60) == 0
    publishing.join()
    check(road, shift, undisturbed)


class OtherHash:
    """A producer as a client with another hash has it: a line's records lie five partitions from where they belong."""

    def __init__(self, producer: Producer, frames: str) -> None:
        self._producer = producer
        self._frames = frames
        self.flush, self.close = producer.flush, producer.close

    def append(self, record: Outgoing) -> None:
        if record.topic != self._frames:
            wrong = (partition_of(record.key or b"", 12) + 5) % 12
            record = dataclasses.replace(record, partition=wrong)
        self._producer.append(record)


def wait_for_forwarded(road: Road, workers: list[subprocess.Popen[bytes]], count: int) -> None:
    """Until the heartbeats, which come once a second, own to so many records sent on (more when a lane was fenced)."""
    deadline = time.monotonic() + 30
    while True:
        counts = [state_of(road, worker)["counts"] for worker in workers]
        forwarded = sum(found.get("forwarded", 0) for found in counts)  # type: ignore[attr-defined]
        if forwarded >= count:
            return
        assert time.monotonic() < deadline, (forwarded, count)
        time.sleep(0.2)


def test_records_of_a_client_with_another_hash_are_sent_on_and_counted(
    road: Road, shift: Path, undisturbed: Calm, monkeypatch: pytest.MonkeyPatch
) -> None:
    road.spawn("vision")
    workers = [road.spawn("fusion"), road.spawn("fusion")]
    wait_for_shares(road, workers)
    producer = road.log.producer
    monkeypatch.setattr(road.log, "producer", lambda: OtherHash(producer(), road.settings.topic("frames")))
    published = road.publish(shift)
    check(road, shift, undisturbed)
    frames = sum(1 for _ in tail(road.log, road.settings, "frames"))
    wait_for_forwarded(road, workers, published - frames)
    sent_on = [r for r in tail(road.log, road.settings, "production") if r.header("received_at") is not None]
    assert len({(r.key, r.body) for r in sent_on}) == len(sent_on) > 0
    assert {(r.key, r.partition) for r in sent_on} == {(line, partition_of(line, 12)) for line in LINES}
