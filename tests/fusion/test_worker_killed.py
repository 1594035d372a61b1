"""The fusion worker killed while it writes exhibits, before its commit and after it: each verdict is told once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from fusion.judge import Judge
from fusion.worker import FusionWorker
from ingest.log.seam import Batch
from ingest.messages import Findings, Verdict, decode_hook
from ingest.plan.plan import Plan
from tests.fusion.test_partition_cameras import frame, partition_of, visit
from tests.fusion.test_taken_back_log import LIMIT_S, Road, part, road
from tests.killed import Killed, dying_at

__all__ = ["road"]
PARTS = 6


def killed_at_exhibit(place: int) -> Callable[[FusionWorker], None]:
    def harm(worker: FusionWorker) -> None:
        worker._blobs.put = dying_at(place, worker._blobs.put)  # type: ignore[method-assign]

    return harm


def killed_at_commit(after: bool) -> Callable[[FusionWorker], None]:
    def harm(worker: FusionWorker) -> None:
        commit = worker.member.commit_lanes

        def dying(batches: Mapping[int, Batch]) -> set[int]:
            if after:
                commit(batches)
            if any(outgoing for outgoing, _ in batches.values()):
                raise Killed
            return set() if after else commit(batches)

        worker.member.commit_lanes = dying  # type: ignore[method-assign]

    return harm


def verdicts_of(road: Road) -> list[Verdict]:
    reader = road.log.reader([road.settings.topic("verdicts")], "beginning")
    ends, found = reader.ends(), list[Verdict]()
    while any(reader.positions()[place] < end for place, end in ends.items()):
        found += [msgspec.json.decode(one.body or b"", type=Verdict, dec_hook=decode_hook) for one in reader.poll(0.1)]
    reader.close()
    return found


def cycle_until_all_are_told(road: Road) -> list[Verdict]:
    end = time.monotonic() + LIMIT_S
    while len({one.part_id for one in verdicts_of(road)}) < PARTS:
        road.worker.cycle()
        assert time.monotonic() < end
    return verdicts_of(road)


@pytest.mark.parametrize(
    "harm", [killed_at_exhibit(0), killed_at_exhibit(2), killed_at_commit(after=False), killed_at_commit(after=True)]
)
def test_a_worker_that_is_killed_tells_each_verdict_once_and_its_exhibit_is_there(
    road: Road, harm: Callable[[FusionWorker], None]
) -> None:
    now = time.time_ns() // 1_000_000
    road.publish([one for number in range(PARTS) for one in part(number, now - 60_000 + number * 1000)])
    harm(road.worker)
    with pytest.raises(Killed):
        cycle_until_all_are_told(road)
    road.hand_over()
    told = cycle_until_all_are_told(road)
    assert sorted(one.part_id for one in told if one.revision == 1) == [f"P{n}" for n in range(PARTS)]
    assert len({one.verdict_id for one in told}) == len(told)
    assert sorted(one.sequence for one in told) == list(range(1, len(told) + 1))
    assert all((Path(road.settings.blobs) / one.evidence_ref).exists() for one in told)


def test_an_owner_that_lost_the_partition_writes_no_exhibit_over_that_of_the_next(
    plan: Plan, judge: Judge, tmp_path: Path
) -> None:
    def first_ruling(*messages: Findings) -> tuple[str, str, bytes]:
        partition, at = partition_of(plan, judge, tmp_path), int(visit(1).ended_at)
        for message in (*messages, visit(1)):
            partition.take(message, at)
        (ruling,) = partition.advance(at + 10_000)
        return ruling.verdict.verdict_id, ruling.verdict.evidence_ref, ruling.exhibit

    early, late, again = first_ruling(), first_ruling(frame(1)), first_ruling(frame(1))
    assert early[0] == late[0]
    assert (early[1] == late[1]) == (early[2] == late[2])
    assert early[2] != late[2]
    assert again == late
