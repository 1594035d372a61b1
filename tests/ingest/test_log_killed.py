"""Workers killed and paused at any instant, on both logs: what was not committed did not happen, nothing is lost."""

from __future__ import annotations

import signal
import time

import pytest

from ingest.log.seam import Outgoing
from tests.ingest.log_children import SESSION_TIMEOUT_MS
from tests.ingest.log_plant import PATIENCE_S, Plant, numbered, own


@pytest.mark.slow
def test_workers_killed_at_any_instant_leave_one_effect_for_each_record(plant: Plant) -> None:
    total = 300
    plant.append(*(o for n in range(4) for o in numbered(plant, total // 4, n)))
    committed = 0
    for round_number in range(6):
        child = plant.child("count_up", "in", "out")
        assert child.stdout is not None
        for _ in range(13 + 11 * round_number):
            if committed < total and child.stdout.readline().startswith("committed"):
                committed += 1
        time.sleep(0.0007 * round_number)  # somewhere inside the next transaction
        child.send_signal(signal.SIGKILL)
        child.communicate()
    last = plant.child("count_up", "in", "out")
    deadline = time.monotonic() + 2 * PATIENCE_S
    while len(plant.everything("out")) < total:
        assert time.monotonic() < deadline, f"{len(plant.everything('out'))} of {total}"
    last.kill()
    for partition in range(4):
        bodies = [r.body for r in plant.everything("out") if r.partition == partition]
        assert bodies == [b"%d" % n for n in range(total // 4)]


@pytest.mark.slow
def test_a_worker_that_was_paused_past_its_lease_writes_nothing(plant: Plant) -> None:
    child = plant.child("write_late", "in", "out")
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == "owner\n"
    child.send_signal(signal.SIGSTOP)
    paused_at = time.monotonic()
    member = plant.member("in", group="counters")
    lane = own(member)[0]
    assert time.monotonic() - paused_at < SESSION_TIMEOUT_MS / 1000 + PATIENCE_S
    assert lane.committed == {plant.topic("in"): 1}
    lane.commit([Outgoing(plant.topic("out"), b"k", b"mine", partition=0)], {plant.topic("in"): 1})
    child.send_signal(signal.SIGCONT)
    child.stdin.write("go\n")
    child.stdin.flush()
    assert child.stdout.readline() == "fenced\n"
    lane.commit([Outgoing(plant.topic("out"), b"k", b"still mine", partition=0)], {})
    assert [r.body for r in plant.everything("out")] == [b"first", b"mine", b"still mine"]
