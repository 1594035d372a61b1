"""kill -9 at any instant, a pause and a late awakening: what was promised of every part still holds (embedded log)."""

from __future__ import annotations

import dataclasses
import random
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ingest.folder.replay_folder import Folder
from ingest.log.seam import Outgoing, Record
from ingest.messages import Instant, Order, Verdict, encode
from ingest.partition import partition_of
from ingest.publish import moved, outgoing_of
from ingest.topics import tail
from tests.flow.road import (
    SESSION_TIMEOUT_MS,
    Decided,
    Road,
    assert_decided_alike,
    assert_exactly_once,
    complete,
    final,
)

pytestmark = pytest.mark.slow

Calm = Mapping[Decided, Verdict]

PARTITIONS = 12


def parts_of(folder: Path) -> set[tuple[str, str]]:
    return {(part.line_id, part.part_id) for part in Folder(folder).parts().values()}


@pytest.fixture(scope="module")
def undisturbed(shelf: Path, past: Path, shift: Path, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The final verdicts of a run that nobody disturbs."""
    road = Road.build(tmp_path_factory.mktemp("calm") / "home", shelf, past / "plan.yaml")
    try:
        road.spawn("vision")
        road.spawn("fusion")
        road.publish(shift)
        verdicts = road.wait_for(complete(parts_of(shift)))
    finally:
        road.close()
    assert_exactly_once(verdicts)
    return final(verdicts)


def test_workers_killed_at_any_instant_lose_nothing_and_decide_as_if_undisturbed(
    build_road: Callable[..., Road], shift: Path, undisturbed: Calm
) -> None:
    road = build_road()
    dice = random.Random(7)
    alive = {role: road.spawn(role) for role in ("vision", "fusion")}
    road.publish(shift)
    for _ in range(8):
        time.sleep(dice.uniform(0.3, 1.5))
        role = dice.choice(("fusion", "fusion", "vision"))
        alive[role].kill()
        alive[role].wait()
        alive[role] = road.spawn(role)
    verdicts = road.wait_for(complete(parts_of(shift)))
    assert_exactly_once(verdicts)
    assert_decided_alike(verdicts, undisturbed)


def test_a_paused_worker_that_wakes_up_late_writes_nothing(
    build_road: Callable[..., Road], shift: Path, undisturbed: Calm
) -> None:
    road = build_road()
    road.spawn("vision")
    sleeper = road.spawn("fusion")
    road.publish(shift)
    road.wait_for(lambda verdicts: len(verdicts) >= 10)
    sleeper.send_signal(signal.SIGSTOP)
    road.spawn("fusion")
    time.sleep(SESSION_TIMEOUT_MS / 1000 + 1.0)
    sleeper.send_signal(signal.SIGCONT)
    verdicts = road.wait_for(complete(parts_of(shift)))
    assert_exactly_once(verdicts)
    assert_decided_alike(verdicts, undisturbed)


def test_a_stop_order_holds_within_a_second_and_survives_a_restart(
    build_road: Callable[..., Road], shift: Path
) -> None:
    road = build_road()
    road.spawn("vision")
    worker = road.spawn("fusion")
    producer = road.log.producer()
    order = Order(order="mode", mode="manual", line_id="*", by="test", at=Instant(time.time() * 1000))
    producer.append(Outgoing(road.settings.topic("control"), b"*", encode(order)))
    producer.flush()
    worker.kill()
    worker.wait()
    road.spawn("fusion")
    time.sleep(1.0)  # what the order has to take hold; nothing published from here on may be decided otherwise
    road.publish(shift)
    verdicts = road.wait_for(lambda found: len(final(found)) >= len(parts_of(shift)))
    assert all(v.decision == "cannot_tell" and "manual_mode" in v.reasons for v in verdicts)


def test_a_record_in_another_partition_is_sent_on_with_its_first_time(
    build_road: Callable[..., Road], shift: Path
) -> None:
    road = build_road()
    road.spawn("vision")
    road.spawn("fusion")
    producer = road.log.producer()
    for number, (_, block) in enumerate(Folder(shift, road.settings).blocks()):
        arrivals = list(block)
        shift_ms = time.time_ns() // 1_000_000 - int(arrivals[-1].received_at)
        for arrival in arrivals:
            topic, outgoing = outgoing_of(moved(arrival.message, shift_ms, arrival.part_id), road.settings)
            elsewhere = outgoing if topic == "frames" else dataclasses.replace(outgoing, partition=number % PARTITIONS)
            producer.append(elsewhere)
    producer.flush()
    verdicts = road.wait_for(complete(parts_of(shift)))
    assert_exactly_once(verdicts)
    booked = list(tail(road.log, road.settings, "production"))
    strayed = [r for r in booked if r.header("received_at") is None and r.partition != home_of(r)]
    forwarded = [r for r in booked if r.header("received_at") is not None]
    assert strayed
    assert len(forwarded) == len(strayed)
    assert all(record.partition == home_of(record) for record in forwarded)


def home_of(record: Record) -> int:
    assert record.key is not None
    return partition_of(record.key, PARTITIONS)
