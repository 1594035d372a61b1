"""Paging through long lists: each row once, whatever comes in between; any other cursor is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.cursors import read_stands, write_stands
from api.http.errors import ApiError
from api.store.exposed import VisitPlace, place_of
from api.store.read import StoreReader
from api.store.rows import Harvest, MarkPlace
from api.store.write import StoreWriter
from ingest.messages import Defect, Instant, Mark, MarkBox, Verdict, encode
from tests.api.factory import make_defect, make_pass, make_verdict, make_visit, now

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
NUMBER = st.integers(-(2**63) + 1, 2**63 - 1)


class Filled:
    """A store under test."""

    def __init__(self, url: str) -> None:
        self.reader, self._writer = StoreReader(url), StoreWriter(url, "one")

    def take(self, *verdicts: Verdict, **more: object) -> None:
        bodies = tuple((one, encode(one).decode()) for one in verdicts)
        self._writer.apply(Harvest(verdicts=bodies, **more), now())  # type: ignore[arg-type]

    def close(self) -> None:
        self.reader.close()
        self._writer.close()


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    opened.close()


@given(at=NUMBER, line=TEXT, part=TEXT, station=TEXT)
def test_a_cursor_is_read_back_as_it_was_written(at: int, line: str, part: str, station: str) -> None:
    place = VisitPlace(at, line, part, station)
    assert read_stands(VisitPlace, write_stands(place)) == place


@given(text=st.text(min_size=1) | st.text("abcABC01_-=", min_size=1))
def test_any_other_cursor_is_refused_or_a_place(text: str) -> None:
    for kind in (VisitPlace, MarkPlace):
        with suppress(ApiError):
            assert isinstance(read_stands(kind, text), kind)


@pytest.mark.parametrize("cursor", ["5", "!", "W10", "WzEsIngiLDJd0", "A" * 5000])
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(ApiError):
        read_stands(MarkPlace, cursor)


def test_exposed_visits_come_once_each_while_others_come_in(filled: Filled) -> None:
    at = now() - 100_000
    same = [make_visit(f"P{n % 5}", started_at=Instant(at + n // 5), station_id="OP20") for n in range(20)]
    filled.take(visits=tuple(same))
    seen, behind = [], None
    while page := filled.reader.exposed("tool_id=T7", None, 3, behind):
        seen += page
        behind = place_of(page[-1])
        filled.take(visits=(make_visit(f"new {len(seen)}", started_at=Instant(at + 50_000 + len(seen))),))
    assert sorted(map(place_of, seen), key=str) == sorted(map(place_of, same), key=str)
    assert [visit.started_at for visit in seen] == sorted((visit.started_at for visit in seen), reverse=True)


def marked(part: str, at: int, count: int) -> Defect:
    marks = [
        Mark(camera_id="top", frame_id=part, kind="burr", box=MarkBox(x=n, y=0, width=2, height=2))
        for n in range(count)
    ]
    return make_defect(part, recorded_at=Instant(at), marks=marks)


def test_marks_come_once_each_while_others_come_in(filled: Filled) -> None:
    filled.take(defects=tuple(marked(f"P{n}", 1000 + n // 2, 3) for n in range(6)))
    seen, behind = [], None
    while page := filled.reader.marks("top", "", 4, behind):
        seen += page
        behind = page[-1].stands
        filled.take(defects=(marked(f"new {len(seen)}", 5000 + len(seen), 1),))
    assert len(seen) == len({one.stands for one in seen}) == 18
    assert [one.recorded_at for one in seen] == sorted((one.recorded_at for one in seen), reverse=True)


def test_batches_come_newest_first_and_count_what_is_in_them_now(filled: Filled) -> None:
    filled.take(*(make_verdict(f"P{n}", batch_id=f"B{n % 4}") for n in range(8)))
    filled.take(make_pass("P8", batch_id="B1"))
    filled.take(make_pass("P0", batch_id="B1", revision=2), make_pass("P4", batch_id="B1", revision=2))
    first = filled.reader.batches(2)
    assert [(one.batch_id, one.parts_judged, one.passed) for one in first] == [("B1", 5, 3), ("B3", 2, 0)]
    rest = filled.reader.batches(9, first[-1].last_row)
    assert [(one.batch_id, one.parts_judged) for one in rest] == [("B2", 2), ("B0", 0)]
