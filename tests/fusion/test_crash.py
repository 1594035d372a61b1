"""An owner of a partition dies, at any instant, and the next one goes on: nothing that it had in memory is missed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion.certificate.promise import plan_mark
from fusion.judge import Judge
from fusion.partition import Partition
from ingest.join.changelog import SEPARATOR
from ingest.messages import Verdict
from ingest.plan.plan import Plan
from tests.fusion.crash_line import Death, Ledger, Story, Succession, Taken, shift_plan

# Samples that no visit needs any more are kept or not as it comes; a clock is watched by visits whose samples are kept.
PASSING = ("chunk", "clock")
SHORT = Story(parts=70, dirt=range(30, 45), frozen=range(50, 54), no_camera=range(15, 22))
LONG = Story(
    parts=300, dirt=range(60, 80), frozen=range(100, 108), no_camera=range(30, 45), more_current=range(150, 230)
)
COUNT = len(SHORT.taken())
EVIDENCE = {"evidence_missing", "evidence_unfit"}  # reasons that do not rest on risks

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def owners(shelf: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Succession:
    wide = shift_plan(plan)
    judge = Judge.open(shelf, wide)
    gate = judge.gate("L1", "EOL")
    assert gate is not None
    assert gate.certificate is not None
    gate.certificate = msgspec.structs.replace(gate.certificate, rests_on=plan_mark(wide, "L1", "EOL"))
    return Succession(wide, judge, tmp_path_factory.mktemp("home"))


@dataclass(frozen=True, repr=False)
class Shift:
    """A shift, and what its one owner left who never died."""

    taken: list[Taken]
    whole: Ledger
    last: Partition


@pytest.fixture(scope="module")
def short(owners: Succession) -> Shift:
    taken = SHORT.taken()
    return Shift(taken, *owners.over(taken))


@pytest.fixture(scope="module")
def long(owners: Succession) -> Shift:
    taken = LONG.taken()
    return Shift(taken, *owners.over(taken))


def told(partition: Partition) -> tuple[object, ...]:
    """Not what drift says of its own charts: a new owner says so once it has judged a part."""
    return partition.incidents(), partition.capacity.told(), partition.certificates(["L1"])


@few
@given(st.sets(st.integers(1, COUNT - 1), max_size=40), st.integers(1, 5), st.booleans())
def test_an_owner_that_dies_with_everything_committed_changes_no_verdict_and_nothing_that_is_remembered(
    owners: Succession, short: Shift, deaths: set[int], every: int, compact: bool
) -> None:
    taken, whole, last = short.taken, short.whole, short.last
    ledger, partition = replace(owners, every=every, compact=compact).over(taken, [Death(at) for at in deaths])
    assert ledger.verdicts == whole.verdicts
    assert ledger.without(*PASSING) == whole.without(*PASSING)
    assert told(partition) == told(last)


@pytest.mark.parametrize(("compact", "step"), [(False, 53), (True, 7)])
def test_a_long_shift_of_many_owners_is_that_of_one_to_the_last_bit(
    owners: Succession, long: Shift, compact: bool, step: int
) -> None:
    """Long enough for the scan's looks and for drift; excesses, a shift of the current, a hung camera, a full queue."""
    taken, whole, last = long.taken, long.whole, long.last
    deaths = [Death(at) for at in range(5, len(taken), step)]
    ledger, partition = replace(owners, compact=compact).over(taken, deaths)
    assert ledger.verdicts == whole.verdicts
    assert ledger.without(*PASSING) == whole.without(*PASSING)
    assert told(partition) == told(last)
    assert {one.incident for one in last.incidents()} >= {"drift", "excess"}
    assert {reason for one in whole.verdicts for reason in one.reasons} >= {"capacity", "corrected", *EVIDENCE}


def consistent(verdicts: Sequence[Verdict]) -> dict[tuple[str, int], Verdict]:
    """The last verdict of each attempt; every attempt has one revision of each number, and no sequence has a gap."""
    assert [one.sequence for one in verdicts] == list(range(1, len(verdicts) + 1))
    revisions: dict[tuple[str, int], list[int]] = defaultdict(list)
    for one in verdicts:
        revisions[one.part_id, one.attempt].append(one.revision)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in revisions.values())
    return {(one.part_id, one.attempt): one for one in verdicts}


def evidence_of(verdict: Verdict) -> tuple[object, ...]:
    told = verdict.evidence
    return told.complete, told.present, told.missing, told.unfit, EVIDENCE & set(verdict.reasons)


def labels_of(ledger: Ledger) -> dict[str, dict[str, int]]:
    """What history, calibration and scan remember of each part's label."""
    found: dict[str, dict[str, int]] = {"history": {}, "calibration": {}, "scan": {}}
    for key, body in ledger.of_kind(*found).items():
        _, kind, rest = key.split(SEPARATOR, 2)
        if kind == "history" and rest.startswith("p:"):
            found[kind][rest[2:]] = msgspec.msgpack.decode(body)[2]
        elif kind == "calibration" and rest.startswith(f"p{SEPARATOR}"):
            found[kind][rest.rpartition(SEPARATOR)[2]] = msgspec.msgpack.decode(body)[5]
        elif kind == "scan" and rest.startswith("p:"):
            _, part_id, _, _, _, label, _ = msgspec.msgpack.decode(body)
            found[kind][part_id] = label
    return found


def survived(ledger: Ledger, whole: Ledger) -> None:
    """What must be the same however the order of judging was disturbed. A part that is judged when more of its evidence
    has come has another first risk, and whoever counts risks (history, capacity, drift) counts that one."""
    last, before = consistent(ledger.verdicts), consistent(whole.verdicts)
    assert {key: evidence_of(one) for key, one in last.items()} == {key: evidence_of(o) for key, o in before.items()}
    assert ledger.of_kind("label", "camera") == whole.of_kind("label", "camera")
    assert labels_of(ledger) == labels_of(whole)


deadly = st.builds(
    Death,
    at=st.integers(8, COUNT - 1),
    uncommitted=st.integers(0, 7),
    away=st.sampled_from([0, 0, 3, 20, 150]),
    relapses=st.lists(st.integers(0, 8), max_size=3).map(tuple),
)


@few
@given(st.lists(deadly, max_size=12), st.integers(1, 4), st.booleans(), st.booleans())
def test_owners_that_die_anywhere_and_again_before_they_have_caught_up_lose_no_part_no_evidence_and_no_label(
    owners: Succession,
    short: Shift,
    deaths: list[Death],
    every: int,
    compact: bool,
    live: bool,
) -> None:
    taken, whole, last = short.taken, short.whole, short.last
    ledger, partition = replace(owners, every=every, compact=compact, live=live).over(taken, deaths)
    survived(ledger, whole)
    assert partition.cameras.incidents() == last.cameras.incidents()


@pytest.mark.parametrize("live", [False, True])
def test_labels_that_were_logged_while_nobody_judged_reach_the_parts_that_nobody_had_judged(
    owners: Succession, long: Shift, live: bool
) -> None:
    """An outage of some minutes: parts and what inspectors said of them are read in one go."""
    taken, whole, last = long.taken, long.whole, long.last
    deaths = [Death(at, uncommitted=3, away=500, relapses=(100, 200)) for at in (200, 900)]
    ledger, partition = replace(owners, live=live).over(taken, deaths)
    survived(ledger, whole)
    causes = Counter((one.incident, one.cause, one.camera_id) for one in partition.incidents())
    assert causes == Counter((one.incident, one.cause, one.camera_id) for one in last.incidents())
    if live:
        assert "deadline_missed" in {reason for one in ledger.verdicts for reason in one.reasons}
        assert not [one for one in consistent(ledger.verdicts).values() if "deadline_missed" in one.reasons]


def test_what_was_just_restored_has_nothing_to_tell_the_log(owners: Succession, long: Shift) -> None:
    whole = long.whole
    assert owners.restored(whole).changes() == []
    assert replace(owners, compact=True).restored(whole).changes() == []


def test_a_clock_that_is_off_is_corrected_alike_whoever_found_it(owners: Succession) -> None:
    """An owner that begins watches each visit for a while and may find it sooner, never otherwise."""
    taken = Story(parts=60, clock_off=range(60)).taken()
    whole, _ = owners.over(taken)
    ledger, _ = owners.over(taken, [Death(at) for at in range(5, len(taken), 9)])
    last, before = consistent(ledger.verdicts), consistent(whole.verdicts)
    assert last.keys() == before.keys()
    clocks = [[one.evidence.clock.get("sensors:OP10", 0.0) for one in found.values()] for found in (last, before)]
    assert clocks[0][-20:] == pytest.approx(clocks[1][-20:], abs=50.0)
    assert clocks[1][-1] == pytest.approx(-900.0, abs=100.0)
