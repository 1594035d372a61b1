"""What each piece of a partition's memory owes the next owner, piece by piece."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.cameras.false_alarms import WINDOW_PARTS, Ledger
from fusion.gate import GateJudge
from fusion.judge import Judge
from fusion.waiting_room import WaitingRoom
from fusion.worker import FusionWorker
from ingest.join.changelog import SEPARATOR
from ingest.log.opening import open_log
from ingest.plan.plan import Plan
from ingest.settings import Settings
from ingest.topics import create_topics
from tests.fusion.crash_line import Ledger as Outlived
from tests.fusion.crash_line import Story, Succession, shift_plan


class Entry(msgspec.Struct, array_like=True, order=True):
    at: int
    label: int
    part_id: str


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=40),
    st.sets(st.integers(0, 40)),
)
def test_what_waits_is_let_in_at_the_same_moment_whoever_owns_the_room(
    steps: list[tuple[bool, int]], takeovers: set[int]
) -> None:
    """Also what comes later than others of its time were let in."""
    one, many, kept = WaitingRoom(Entry), WaitingRoom(Entry), dict[str, bytes | None]()
    for number, (comes, at) in enumerate(steps):
        if number in takeovers:
            kept.update(many.changes())
            many = WaitingRoom(Entry)
            for key, value in kept.items():
                many.restore(key, value)
        if comes:
            for room in (one, many):
                assert room.wait(Entry(at, -1, f"P{number}")) == []
        else:
            assert many.let_in(at) == one.let_in(at)


def test_a_cameras_latest_parts_are_the_latest_it_looked_at_though_labels_wrote_older_ones_anew() -> None:
    ledger, kept = Ledger(), dict[str, bytes | None]()
    for number in range(WINDOW_PARTS):
        ledger.enter(f"P{number}", flagged=False)
    for label in ("ok", "defect"):
        ledger.label("P0", label)
        for part_id, body in ledger.changes():
            kept.pop(part_id, None)
            kept[part_id] = body  # as a compacted log has them: the last one of each
    following = Ledger()
    for part_id, body in kept.items():
        following.restore(part_id, body)
    following.enter("new", flagged=True)
    ledger.enter("new", flagged=True)
    assert list(following.parts) == list(ledger.parts)
    assert "P0" not in following.parts


@pytest.fixture
def voided(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> Iterator[GateJudge]:
    """A gate whose certificate rests on another plan."""
    gate = judge.gate("L1", "EOL")
    assert gate is not None
    assert gate.certificate is not None
    promised = msgspec.structs.replace(gate.certificate, promise=gate.certificate.asked, why="", rests_on="another")
    monkeypatch.setattr(gate, "certificate", promised)
    return gate


def until_owned(worker: FusionWorker) -> None:
    end = time.monotonic() + 30
    while not worker.posts or any(post.catching_up for post in worker.posts.values()):
        worker.cycle()
        assert time.monotonic() < end


def test_since_when_a_certificate_is_void_outlives_an_owner_to_whom_no_record_came(
    tmp_path: Path, plan: Plan, judge: Judge, voided: GateJudge
) -> None:
    settings = Settings(home=str(tmp_path), partitions=1, session_timeout_ms=2000)
    log = open_log(settings)
    create_topics(log, settings)
    told: list[Any] = []
    for _ in range(2):
        worker = FusionWorker(plan, settings, judge, log)
        until_owned(worker)
        told.append(worker.state()["certificates"])
        worker.cycle()
        worker.close()
        time.sleep(0.02)
    log.close()
    (first,), (second,) = told
    assert first["voids"] == second["voids"]
    assert first["voids"][0]["until"] is None


@pytest.fixture(scope="module")
def owners(shelf: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Succession:
    wide = shift_plan(plan)
    return Succession(wide, Judge.open(shelf, wide), tmp_path_factory.mktemp("home"))


MAPS = {"attributes", "channels", "measures", "scores", "gates", "windows", "eyes", "incidents", "measure", "cuts"}


def other_version(held: Any, is_map: bool = False) -> Any:
    """As a later version may have written it: every struct that has names for its fields has one more."""
    if isinstance(held, dict):
        more = {} if is_map else {"of_a_later_version": 1}
        return {name: other_version(one, name in MAPS) for name, one in held.items()} | more
    return [other_version(one) for one in held] if isinstance(held, list) else held


def written_again(body: bytes) -> bytes:
    return msgspec.msgpack.encode(other_version(msgspec.msgpack.decode(body)))


def test_state_of_another_version_is_read_without_what_this_one_does_not_know(owners: Succession) -> None:
    whole, _ = owners.over(Story(parts=60, dirt=range(30, 50)).taken())
    foreign = Outlived(offset=whole.offset)
    for key, body in whole.compacted().items():
        _, kind, rest = key.split(SEPARATOR, 2)
        named = kind in ("part", "camera") or (kind, rest) == ("capacity", "book") or "open:" in rest
        foreign.state.append((key, written_again(body) if named else body))
    foreign.state.append((f"L1{SEPARATOR}of_a_later_version{SEPARATOR}x", b"1"))
    foreign.state.append((f"L1{SEPARATOR}calibration{SEPARATOR}z{SEPARATOR}x", b"1"))
    read, kept = owners.restored(foreign), owners.restored(whole)
    assert read.changes() == kept.changes() == []
    assert (read.incidents(), read.capacity.told()) == (kept.incidents(), kept.capacity.told())


def test_a_cameras_latest_parts_as_they_were_written_without_their_place_stay_in_the_logs_order() -> None:
    ledger = Ledger()
    for number in range(3):
        ledger.restore(f"P{number}", msgspec.msgpack.encode([number == 1, "ok"]))
    ledger.enter("new", flagged=True)
    assert list(ledger.parts) == ["P0", "P1", "P2", "new"]
    assert ledger.parts["new"].place > ledger.parts["P2"].place
