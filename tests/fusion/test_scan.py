"""The scan of a line: it names what makes more defects than usual, since when, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from fusion.incidents import Incident
from fusion.scan.line import LOOK_PARTS, ScanLine
from fusion.scan.memory import BATCH, ScanMemory, ScanPart
from fusion.scan.rates import ScanNotes
from fusion.scan.watch import told_once
from tests.fusion.scan_lines import CYCLE_MS, START, Made, feed, make, notes_of

ONSET, PARTS = 1500, 4000


@pytest.fixture(scope="module")
def notes() -> ScanNotes:
    return notes_of()


def line_with(notes: ScanNotes | None) -> ScanLine:
    line = ScanLine("L1")
    line.notes = notes
    return line


def incidents_of(notes: ScanNotes | None, made: Sequence[Made]) -> list[Incident]:
    line = line_with(notes)
    feed(line, made)
    return line.incidents()


def worse(*sides: str, times: float = 5.0, since: int = ONSET, until: int = 1 << 30):  # type: ignore[no-untyped-def]
    return lambda levels, number: times if since <= number < until and set(sides) <= set(levels) else 1.0


def test_a_tool_that_went_bad_is_named_with_its_onset_and_the_parts_exposed(notes: ScanNotes) -> None:
    made = make(PARTS, 1, worse("tool_a=Aa"))
    [incident] = incidents_of(notes, made)
    assert (incident.incident, incident.cause) == ("excess", "tool_a=Aa")
    onset = (incident.since - START) // CYCLE_MS
    assert abs(onset - ONSET) < 200
    looked = PARTS // LOOK_PARTS * LOOK_PARTS
    exposed = [f"P{one.number}" for one in made[onset:looked] if "tool_a=Aa" in one.levels]
    assert incident.parts_count == len(exposed)
    assert incident.parts == exposed[-10:]
    assert incident.measure["defects_ratio"] == pytest.approx(5.0, rel=0.3)
    assert "Parts with tool_a=Aa" in incident.what


@pytest.mark.parametrize("seed", range(3))
def test_a_line_in_control_has_no_incident(notes: ScanNotes, seed: int) -> None:
    assert incidents_of(notes, make(8000, 20 + seed)) == []


def test_a_decoy_that_goes_with_the_true_tool_85_times_in_100_is_not_blamed(notes: ScanNotes) -> None:
    [incident] = incidents_of(notes, make(PARTS, 2, worse("tool_a=Ab")))
    assert incident.cause == "tool_a=Ab"
    assert "fixture" not in incident.what


def test_two_attributes_that_always_go_together_are_both_named(notes: ScanNotes) -> None:
    [incident] = incidents_of(notes, make(PARTS, 3, worse("tool_b=Bc")))
    assert {"tool_b=Bc", "spindle=K1"} == {incident.cause, incident.what.partition("told apart from ")[2].split(".")[0]}


def test_an_excess_of_all_parts_alike_blames_no_attribute(notes: ScanNotes) -> None:
    [incident] = incidents_of(notes, make(PARTS, 4, worse(times=3.0)))
    assert incident.cause == ""
    assert incident.what.startswith("All parts alike")


def test_two_that_only_do_harm_together_are_named_together(notes: ScanNotes) -> None:
    [incident] = incidents_of(notes, make(PARTS, 5, worse("shift=N1", "tool_a=Aa", times=9.0)))
    assert incident.cause == "shift=N1 & tool_a=Aa"


def test_two_troubles_at_once_are_two_incidents(notes: ScanNotes) -> None:
    def both(levels: Sequence[str], number: int) -> float:
        return worse("tool_a=Aa")(levels, number) + worse("tool_b=Bb")(levels, number) - 1.0  # type: ignore[no-any-return]

    assert {one.cause for one in incidents_of(notes, make(PARTS, 6, both))} == {"tool_a=Aa", "tool_b=Bb"}


def test_an_incident_closes_when_the_excess_has_ended_and_leaves_none_behind(notes: ScanNotes) -> None:
    line = line_with(notes)
    made = make(9000, 7, worse("tool_a=Aa", until=3500))
    feed(line, made[:3500])
    assert [one.cause for one in line.incidents()] == ["tool_a=Aa"]
    feed(line, made[3500:])
    assert line.incidents() == []


def test_labels_of_a_selected_set_are_no_excess(notes: ScanNotes) -> None:
    """Labelled are the flagged parts, a third of them defects, as their risks say."""
    made = make(5000, 8)
    line = line_with(notes)
    for one in made:
        flagged = one.flag
        line.settle(one.at - 60_000)
        line.enter(msgspec.structs.replace(one.part, risk=330_000 if flagged else 10_000))
        if flagged:
            line.label(f"P{one.number}", int(one.number % 3 == 0), one.at + 60_000)
    line.settle(made[-1].at + 600_000)
    assert line.incidents() == []


def test_without_history_a_line_is_its_own_yardstick() -> None:
    [incident] = incidents_of(None, make(6000, 9, worse("tool_a=Aa", since=3000, times=6.0)))
    assert incident.cause == "tool_a=Aa"


def test_where_a_shift_explains_the_flags_they_open_no_incident_of_their_own(notes: ScanNotes) -> None:
    found = incidents_of(notes, [flagged_more(one) for one in make(PARTS, 10)])
    assert [one.cause for one in told_once(found)] == ["tool_a=Aa"]
    shift = Incident(line_id="L1", incident="shift", cause="OP10.current_a", since=START)
    assert told_once([shift, *found]) == [shift]
    elsewhere = msgspec.structs.replace(shift, line_id="L2")
    assert told_once([elsewhere, *found]) == [elsewhere, *found]
    by_labels = incidents_of(notes, make(PARTS, 1, worse("tool_a=Aa")))
    assert told_once([shift, *by_labels]) == [shift, *by_labels]


def flagged_more(one: Made) -> Made:
    flagged = one.flag or (one.number >= ONSET and "tool_a=Aa" in one.levels and one.number % 6 == 0)
    return Made(one.number, one.levels, one.defect, flagged)


def test_memory_is_bounded_and_forgets_the_same_levels_after_a_restart() -> None:
    memory = ScanMemory(parts_max=64)
    state: dict[str, bytes | None] = {}
    for number in range(500):
        memory.enter(ScanPart(number, f"P{number}", [f"serial=X{number}", "tool=T1", BATCH + "B1"]))
        state |= dict(memory.changes())
    kept = {key: value for key, value in state.items() if value is not None}
    assert len(kept) == 64
    assert len(memory.names) <= 2 * 64 + 4
    again = ScanMemory(parts_max=64)
    for key, value in reversed(kept.items()):
        assert again.restore(key, value)
    one, other = memory.remembered(), again.remembered()
    assert (one.start, one.at.tolist()) == (other.start, other.at.tolist())
    assert [memory.names[n] for n in one.levels[-1][:4]] == [again.names[n] for n in other.levels[-1][:4]]


def test_a_part_counts_once_and_a_later_label_corrects_an_earlier_one() -> None:
    memory = ScanMemory()
    for _ in range(2):
        memory.enter(ScanPart(1, "P1", ["tool=T1"]))
    memory.label("P1", 1)
    memory.label("P1", 0)
    memory.label("P9", 1)
    assert memory.remembered().label.tolist() == [0]
