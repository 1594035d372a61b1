"""What the scan remembers survives a takeover at any instant; what it tells verdicts is free of the judging order."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.history import HistoryView
from fusion.judge import Judge, Judgement
from fusion.labels import PartLabel
from fusion.scan.incidents import Counts, OpenExcess
from fusion.scan.line import _PACK, NONE_ANY_MORE, ScanLine, _Book
from fusion.scan.looks import ScanBook
from fusion.scan.rates import ScanNotes
from fusion.scan.watch import ScanWatch
from fusion.waiting_room import BLOCK_MS, block_before
from fusion.watch import Judged
from ingest.join.changelog import state_key
from ingest.join.evidence import Evidence
from ingest.messages import Instant, Visit
from ingest.plan.plan import Plan
from tests.fusion.conftest import Made as MadePart
from tests.fusion.conftest import evidence_of, label, make_plan
from tests.fusion.scan_lines import DELAY_MS, Made, make, notes_of
from tests.fusion.test_partition_cameras import partition_of
from tests.fusion.test_scan import worse

State = dict[str, bytes | None]


@pytest.fixture(scope="module")
def notes() -> ScanNotes:
    return notes_of(parts=2000)


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return make(2600, 31, worse("tool_a=Aa", since=800, until=1700, times=8.0))


def fed(line: ScanLine, made: list[Made], notes: ScanNotes) -> None:
    line.notes = notes
    for one in made:
        line.settle(block_before(one.at))
        line.enter(one.part)
        line.label(f"P{one.number}", int(one.defect), one.at + DELAY_MS)


def restored(state: State) -> ScanLine:
    line = ScanLine("L1")
    for key, value in state.items():
        line.restore(key, value)
    return line


def test_an_incident_is_open_and_closed_in_the_course_of_this_line(notes: ScanNotes, made: list[Made]) -> None:
    line = ScanLine("L1")
    fed(line, made[:1600], notes)
    assert [one.cause for one in line.incidents()] == ["tool_a=Aa"]
    fed(line, made[1600:], notes)
    assert line.incidents() == []


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(1, 2599), min_size=1, max_size=2, unique=True))
def test_a_takeover_at_any_instant_changes_nothing(notes: ScanNotes, made: list[Made], cuts: list[int]) -> None:
    whole = ScanLine("L1")
    state: State = {}
    line, begun = ScanLine("L1"), 0
    for cut in [*sorted(cuts), len(made)]:
        fed(whole, made[begun:cut], notes)
        fed(line, made[begun:cut], notes)
        for key, value in line.changes():
            state.pop(key, None)
            state[key] = value
        assert line.incidents() == whole.incidents()
        kept = {key: value for key, value in state.items() if value is not None}
        line, begun = restored(dict(random.Random(cut).sample(sorted(kept.items()), len(kept)))), cut
        assert line.incidents() == whole.incidents()
    asked = made[-1].at + BLOCK_MS
    assert line_causes(line, asked, notes) == line_causes(whole, asked, notes)


def taken_back(line: ScanLine, slips: list[Made], at: int) -> None:
    for one in slips:
        line.label(f"P{one.number}", NONE_ANY_MORE, at)


def test_an_incident_goes_without_a_trace_with_the_labels_that_showed_it(notes: ScanNotes, made: list[Made]) -> None:
    line = ScanLine("L1")
    fed(line, made[:1600], notes)
    assert [one.cause for one in line.incidents()] == ["tool_a=Aa"]
    taken_back(line, [one for one in made[800:1600] if one.defect and "tool_a=Aa" in one.levels], made[1660].at)
    fed(line, [dataclasses.replace(one, defect=False) for one in made[1600:1900]], notes)
    assert line.incidents() == []
    assert line._book.scan.past == []


def test_an_incident_stands_without_one_of_the_labels_that_show_it(notes: ScanNotes, made: list[Made]) -> None:
    line = ScanLine("L1")
    fed(line, made[:1600], notes)
    taken_back(line, [one for one in made[1000:1600] if one.defect and "tool_a=Aa" in one.levels][:1], made[1600].at)
    fed(line, made[1600:1760], notes)
    assert [one.cause for one in line.incidents()] == ["tool_a=Aa"]


def line_causes(line: ScanLine, at: int, notes: ScanNotes) -> list[tuple[str, float, int]]:
    line.notes = notes
    return line.blamed_at(at)


def test_a_part_is_told_the_same_whether_it_is_judged_early_or_late(notes: ScanNotes, made: list[Made]) -> None:
    asked = made[1200].at
    early, late = ScanLine("L1"), ScanLine("L1")
    fed(early, made[:1201], notes)
    told = early.blamed_at(asked)
    fed(late, made[:1300], notes)
    assert late.blamed_at(asked) == told
    later = made[1290].at
    early.blamed_at(later)
    assert early.blamed_at(asked) == told


def test_parts_judged_in_another_order_within_a_block_make_the_same_incidents(
    notes: ScanNotes, made: list[Made]
) -> None:
    one, other = ScanLine("L1"), ScanLine("L1")
    fed(one, made[:1500], notes)
    shuffled: list[Made] = []
    for begin in range(0, 1500, 30):
        block = made[begin : begin + 30]
        random.Random(begin).shuffle(block)
        shuffled += block
    fed(other, shuffled, notes)
    assert one.incidents() == other.incidents() != []


def part(number: int, plan_line: str = "L1", gate: str = "EOL", **attributes: str) -> Evidence:
    at = Instant(1_767_592_800_000 + number * 1000)
    visit = Visit(
        part_id=f"P{number}", line_id=plan_line, station_id="OP10", started_at=at, ended_at=at, batch_id="",
        product="P", attributes=attributes,
    )  # fmt: skip
    return Evidence(
        line_id=plan_line, gate_id=gate, part_id=f"P{number}", attempt=1, product="P", batch_id="", visits=(visit,),
        windows={}, findings={}, present=(), missing=(), unfit=(), late=(), complete=True, event_at=at, newest_at=at,
        clock={},
    )  # fmt: skip


def test_a_forbidden_cause_is_never_blamed() -> None:
    """Every defect is one operator's; the plan forbids operators as a cause."""
    causes = {}
    for forbidden in ((), ("operator_id",)):
        watch = ScanWatch(make_plan(forbidden_causes=forbidden))
        for number in range(6000):
            bad = number > 3500 and number % 3 == 0
            evidence = part(number, operator_id=f"o{number % 3}", shift=f"N{number % 2}")
            watch.judged(Judged(evidence, unjudged(evidence), None, True, evidence.event_at))
            outcome = "defect" if (bad and number % 2) or number % 50 == 0 else "ok"
            watch.label(PartLabel.of(label(f"P{number}", int(evidence.event_at) + 1000, outcome), 0))
        causes[forbidden] = [one.cause for one in watch.incidents()]
        words = " ".join(one.what for one in watch.incidents())
        assert ("operator" in words) is (not forbidden)
    assert any("operator_id=o0" in cause for cause in causes[()])


def unjudged(evidence: Evidence) -> Judgement:
    return Judge(make_plan(), {}, None, "none").judge(evidence, HistoryView(), "auto", False)


def test_an_open_incident_comes_first_among_the_causes_of_a_part_it_befell(
    plan: Plan, judge: Judge, tmp_path: Path
) -> None:
    """Two channels' worth of current, on a tool that an open incident blames."""
    whole = partition_of(plan, judge, tmp_path)
    evidence = evidence_of(MadePart(5, current=6.0, tool="T9"))
    since = int(evidence.event_at) - 10 * BLOCK_MS
    counts = {"defects": Counts(60, 300, 12.0, 40.0, 8.5, 5.0, 40.0)}
    book = _Book(256, ScanBook([OpenExcess(["tool_id=T9"], 0, since, counts)]), [(since, [("tool_id=T9", 5.0, since)])])
    whole.restore([(state_key("L1", "scan", "book"), _PACK.encode(book))])
    assert [(one.incident, one.cause) for one in whole.incidents()] == [("excess", "tool_id=T9")]
    view = whole.scan.blamed_at("L1", evidence.event_at, judge)
    assert view == [("tool_id=T9", 5.0, since)]
    history = HistoryView()
    named = [c.cause for c in judge.judge(evidence, history, "auto", False).causes]
    lifted = judge.judge(evidence, msgspec.structs.replace(history, blamed=tuple(view)), "auto", False).causes
    assert named[0] != "tool_id=T9"
    assert lifted[0].cause == "tool_id=T9"
    assert any("5.0 times" in sentence for sentence in lifted[0].evidence)
