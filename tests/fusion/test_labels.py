"""Which records of a part stand: by name, by hand of the same person, in any order, within limits, after a restart."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.labels import RECORDS_MAX, LabelBook, PartLabel, standing
from ingest.messages import Defect, Instant

Outcome = Literal["defect", "ok", "unsure"]


def record(
    at: int, outcome: Outcome, name: str = "", undoes: str = "", by: str = "anna", comment: str = "", part: str = "P1"
) -> Defect:
    return Defect(
        part_id=part, line_id="L1", recorded_at=Instant(at), source="inspector", outcome=outcome, recorded_by=by,
        comment=comment, record_id=name or msgspec.UNSET, undoes=undoes or msgspec.UNSET,
    )  # fmt: skip


def undone(at: int, name: str, by: str = "anna") -> Defect:
    return record(at, "unsure", f"undo {name}", name, by, "undone")


def undone_as_it_was(at: int, by: str = "anna") -> Defect:
    """As they were written before a record said which one it takes back."""
    return record(at, "unsure", by=by, comment="undone")


def last(*records: Defect) -> str:
    book, told = LabelBook(), None
    for one in records:
        told = book.take(one, int(one.recorded_at)) or told
    assert told is not None
    assert told.outcome == next((r.outcome for r in reversed(_by_time(standing(records, _same)))), "")
    return told.outcome


def _same(defect: Defect) -> Defect:
    return defect


def _by_time(records: list[Defect]) -> list[Defect]:
    return sorted((one for one in records if one.outcome != "unsure"), key=lambda one: one.recorded_at)


def test_a_record_taken_back_says_nothing_any_more() -> None:
    assert last(record(1, "defect", "a"), undone(2, "a")) == ""


def test_what_another_person_said_stays_and_counts_again() -> None:
    assert last(record(1, "defect", "b", by="ben"), record(2, "ok", "a"), undone(3, "a")) == "defect"
    assert last(record(1, "ok", "a"), record(2, "defect", "b", by="ben"), undone(3, "a")) == "defect"


def test_a_part_decided_again_counts_with_the_last_word_alone() -> None:
    told = [record(1, "defect", "a"), undone(2, "a"), record(3, "ok", "c")]
    assert last(*told) == "ok"
    assert [one.record_id for one in standing(told, _same)] == ["c"]


def test_an_undo_cannot_be_taken_back() -> None:
    assert last(record(1, "defect", "a"), undone(2, "a"), undone(3, "undo a")) == ""


def test_a_record_that_comes_behind_its_undo_or_twice_does_not_count() -> None:
    assert last(undone(2, "a"), record(1, "defect", "a")) == ""
    assert last(record(1, "defect", "a"), undone(2, "a"), record(1, "defect", "a"), undone(2, "a")) == ""


@pytest.mark.parametrize("comment", ["", "not the part shown", "I am not sure any more"])
def test_a_doubt_takes_nothing_back(comment: str) -> None:
    assert last(record(1, "defect", "a"), record(2, "unsure", "b", comment=comment)) == "defect"


def test_a_record_without_a_name_is_taken_back_by_the_same_person() -> None:
    assert last(record(1, "defect"), undone_as_it_was(2)) == ""
    assert last(record(1, "defect"), undone_as_it_was(2, by="ben")) == "defect"
    assert last(record(1, "defect"), record(2, "ok"), undone_as_it_was(3)) == "defect"
    assert last(record(1, "defect"), record(5, "ok"), undone_as_it_was(3)) == "ok"
    assert last(record(1, "defect"), record(1, "defect"), undone_as_it_was(2)) == ""  # it came twice
    assert last(record(1, "defect"), record(2, "ok"), undone_as_it_was(3), undone_as_it_was(3)) == "defect"


def test_an_undo_by_name_finds_what_was_recorded_before_there_were_names() -> None:
    assert last(record(1, "defect"), undone(2, "a")) == ""
    assert last(record(1, "defect"), record(2, "ok", "a"), undone(3, "a")) == "defect"


def test_the_latest_record_counts_whatever_comes_first() -> None:
    assert last(record(5, "ok"), record(4, "defect", by="ben")) == "ok"
    assert last(record(5, "ok"), record(5, "defect", by="ben")) == "defect"


def test_each_change_of_a_part_is_later_than_the_one_before() -> None:
    book = LabelBook()
    told = [book.take(one, 7) for one in (record(5, "ok", "a"), undone(4, "a"), record(5, "defect", "c"))]
    assert [(one.at, one.released_at) for one in told if one is not None] == [(5, 7), (6, 8), (7, 9)]


def test_memory_is_bounded_and_what_is_gone_is_a_tombstone() -> None:
    book, kept = LabelBook(parts_max=20), dict[str, bytes]()
    for number in range(200):
        told = book.take(record(number, "ok", f"r{number}", part=f"P{number}"), number)
        assert told is not None
        for _, part_id, body in book.changes():
            if body is None:
                del kept[part_id]
            else:
                kept[part_id] = body
        assert len(kept) <= 20
    for number in range(3 * RECORDS_MAX):
        told = book.take(record(number, "ok", f"s{number}", part="P"), number)
    assert told is not None
    assert len(told.said) == RECORDS_MAX


NAMES = ["a", "b", "c", "d"]
RECORDS = st.one_of(
    st.builds(record, st.integers(1, 9), st.sampled_from(["defect", "ok", "unsure"]), st.sampled_from(["", *NAMES])),
    st.builds(undone, st.integers(1, 9), st.sampled_from(NAMES)),
    st.builds(undone_as_it_was, st.integers(1, 9)),
)


@given(st.lists(RECORDS, max_size=12), st.integers(0, 12))
def test_a_restart_anywhere_changes_nothing(records: list[Defect], stop: int) -> None:
    lasting, book = LabelBook(), LabelBook()
    for number, one in enumerate(records):
        if number == stop:
            kept, book = book.changes(), LabelBook()
            for line_id, part_id, body in kept:
                book.restore(line_id, part_id, body)
        assert book.take(one, number) == lasting.take(one, number)


@given(st.lists(RECORDS, max_size=12))
def test_a_recording_and_the_stream_agree_on_what_stands(records: list[Defect]) -> None:
    book, told = LabelBook(), None
    for number, one in enumerate(records):
        told = book.take(one, number) or told
    stands = [one for one in standing(records, _same) if one.outcome != "unsure"]
    said = [] if told is None else [one.record_id for one in told.said]
    assert said == [one.record_id or "" for one in sorted(stands, key=lambda one: one.recorded_at)]


def test_a_record_alone_is_what_is_said_of_its_part() -> None:
    told = PartLabel.of(record(3, "defect"), 9)
    assert (told.outcome, told.at, told.released_at, told.since) == ("defect", 3, 9, 3)
    assert PartLabel.of(record(3, "unsure"), 9).outcome == ""
