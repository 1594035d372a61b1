"""Each thing that learns from labels forgets one that was taken back: all of it, at once, and across a restart."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from fusion.calibration.gate import GateMemory, withdraw
from fusion.calibration.lot_spread import LotSpread
from fusion.calibration.watch import RecalibrationWatch
from fusion.cameras.watch import CameraWatch
from fusion.gate import GateJudge
from fusion.history import HistoryView
from fusion.judge import Judge
from fusion.labels import PartLabel, Said
from fusion.scan.line import NONE_ANY_MORE, ScanLine
from fusion.scan.rates import ScanNotes
from fusion.waiting_room import BLOCK_MS
from fusion.watch import Judged
from ingest.messages import Instant
from ingest.plan.plan import Plan
from tests.fusion.conftest import Made as MadePart
from tests.fusion.conftest import evidence_of
from tests.fusion.scan_lines import Made, make, notes_of
from tests.fusion.test_camera_watch import flagged_now_and_then, seen
from tests.fusion.test_scan import worse
from tests.fusion.test_scan_state import fed, restored, taken_back

T0 = 1_767_600_000_000 // BLOCK_MS * BLOCK_MS


# -- recalibration -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gate(judge: Judge) -> GateJudge:
    found = judge.gate("L1", "EOL")
    assert found is not None
    return found


def said_of(part_id: str, at: int, outcome: str) -> PartLabel:
    said = (Said(at, "inspector", outcome),) if outcome else ()
    return PartLabel("L1", part_id, at, at, said, taken_back=not outcome)


def test_a_lot_begins_with_its_first_part_that_has_a_label_still(plan: Plan, judge: Judge, gate: GateJudge) -> None:
    watch = RecalibrationWatch(plan)
    for number in range(3):
        evidence = dataclasses.replace(
            evidence_of(MadePart(number)), event_at=Instant(T0 + number * 1000), batch_id="B1"
        )
        call = judge.judge(evidence, HistoryView(), "auto", False)
        watch.judged(Judged(evidence, call, gate, True, evidence.event_at))
    for number in range(3):
        watch.label(said_of(f"P{number}", T0 + 10_000 + number, "ok"))
    watch.at("L1", "EOL", gate.model, T0 + 10 * BLOCK_MS)
    (lot,) = watch._lines["L1"].lots.values()
    assert lot.at == T0
    for at, part_id, begins in ((20, "P1", T0), (40, "P0", T0 + 2000)):
        watch.label(said_of(part_id, T0 + at * BLOCK_MS, ""))
        watch.at("L1", "EOL", gate.model, T0 + (at + 10) * BLOCK_MS)
        (lot,) = watch._lines["L1"].lots.values()
        assert lot.at == begins


@pytest.mark.parametrize(
    ("since", "start", "open_since", "left"),
    [(400, 30, 10, 3), (300, 20, 10, 2), (250, 20, 10, 2), (200, 10, 10, 1), (100, 0, None, 0), (1, 0, None, 0)],
)
def test_what_was_concluded_from_the_block_of_a_withdrawn_label_on_is_forgotten_and_nothing_older(
    since: int, start: int, open_since: int | None, left: int
) -> None:
    """Onsets were moved at the ends of the blocks 100, 200 and 300."""
    moves: list[tuple[int, int, int | None]] = [(100, 0, None), (200, 10, 10), (300, 20, 10)]
    memory = GateMemory(model="m", spread=LotSpread(), begun=0, start=30, since=10, moves=list(moves))
    withdraw(memory, since)
    assert (memory.start, memory.since, memory.moves) == (start, open_since, moves[:left])


# -- cameras -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_cameras(plan: Plan) -> Plan:
    (line,) = plan.lines
    side = replace(line.cameras[0], camera_id="side")
    return replace(plan, lines=(replace(line, cameras=(*line.cameras, side)),))


def test_every_camera_that_saw_the_part_forgets_what_was_said_of_it(two_cameras: Plan) -> None:
    watch = CameraWatch(two_cameras, lambda _: 0.02)
    for camera in ("top", "side"):
        watch.take(replace(seen(1), camera_id=camera, frame_id=f"{camera}@1"))
    for outcome in ("ok", ""):
        watch.label(said_of("P1", T0, outcome))
        labels = [book.ledger.parts["P1"].label for book in watch._books.values()]
        assert labels == [outcome, outcome]


def test_an_accusation_in_doubt_is_dropped_though_the_worker_changed_in_between(plan: Plan) -> None:
    watch = CameraWatch(plan, lambda _: 0.02)
    flagged_now_and_then(watch, 600, 0.06, labelled=True)
    kept = {(line, key): body for line, key, body in watch.changes()}
    (ledger,) = [book.ledger for book in watch._books.values() if book.ledger.parts]
    for part_id in [part_id for part_id, looked in ledger.parts.items() if looked.label == "ok"][16:]:
        watch.label(said_of(part_id, T0, ""))
    kept.update({(line, key): body for line, key, body in watch.changes()})  # no part came in between
    after = CameraWatch(plan, lambda _: 0.02)
    for (line, key), body in kept.items():
        after.restore(line, key, body)
    assert [one.incident for one in after.incidents()] == ["false_alarms"]
    for number in range(600, 700):
        after.take(seen(number))
    assert after.incidents() == []


# -- scan --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notes() -> ScanNotes:
    return notes_of(parts=2000)


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return make(2000, 31, worse("tool_a=Aa", since=800, until=2000, times=8.0))


def test_a_label_taken_back_stays_forgotten_by_the_scan_after_a_restart(notes: ScanNotes, made: list[Made]) -> None:
    line = ScanLine("L1")
    fed(line, made[:400], notes)
    line.settle(made[400].at + BLOCK_MS * 100)
    state = dict(line.changes())
    slip = next(one for one in made[:300] if one.defect)
    line.label(f"P{slip.number}", NONE_ANY_MORE, made[400].at)
    line.settle(made[400].at + BLOCK_MS * 200)
    state.update(line.changes())
    after = restored({key: value for key, value in state.items() if value is not None})
    for one in (line, after):
        position = one.memory._places[f"P{slip.number}"]
        assert one.memory._parts[position].label == -1
        assert one.memory.remembered().label[position - one.memory.start] == -1


def test_an_excess_found_again_in_what_stands_no_longer_rests_on_what_was_taken_back(
    notes: ScanNotes, made: list[Made]
) -> None:
    """Else further labels could be taken back without its ever going."""
    line = ScanLine("L1")
    fed(line, made[:1600], notes)
    (before,) = line._book.scan.open
    slips = [one for one in made[800:1600] if one.defect and "tool_a=Aa" in one.levels]
    taken_back(line, slips[: len(slips) // 4], made[1600].at)
    fed(line, [dataclasses.replace(one, defect=False) for one in made[1600:1760]], notes)
    (after,) = line._book.scan.open
    assert after.cause == before.cause == ["tool_a=Aa"]
    assert after.doubted == 0
    assert after.counts["defects"].height == after.counts["defects"].statistic
