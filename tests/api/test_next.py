"""The next part for somebody: what he was unsure of goes to others first; what rises while a list is read comes too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.store.queue import UNSURE_MS, QueueFilter, QueueStore
from api.store.rows import Harvest, Review
from api.store.write import StoreWriter
from ingest.messages import Instant, Verdict, encode
from tests.api.conftest import Live
from tests.api.factory import make_defect, make_verdict, now, publish

ANY = QueueFilter()


class Filled:
    """A store with a writer, and its queue."""

    def __init__(self, url: str) -> None:
        self.writer, self.queue = StoreWriter(url, holder="one"), QueueStore(url)

    def take(self, *verdicts: Verdict, reviews: tuple[Review, ...] = ()) -> None:
        collected = tuple((verdict, encode(verdict).decode()) for verdict in verdicts)
        self.writer.apply(Harvest(verdicts=collected, reviews=reviews), now())

    def says(self, part: str, outcome: str, by: str = "anna", at: Instant | None = None, undoes: str = "") -> None:
        told = make_defect(part, source="inspector", outcome=outcome, recorded_by=by, recorded_at=at or now())
        self.take(reviews=(Review(f"{part}-{by}-{outcome}-{undoes}", "EOL", 1, told, undoes=undoes),))

    def next(self, name: str = "anna", behind: tuple[str, ...] = (), at: Instant | None = None) -> str | None:
        """The next part; whoever gets it lets go of it again."""
        found = self.queue.next_for(name, ANY, at or now(), behind)
        if found is not None:
            self.queue.release(found.part_id, name)
        return found.part_id if found else None


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    opened.take(*(make_verdict(part, risk=risk) for part, risk in (("P1", 0.9), ("P2", 0.6), ("P3", 0.3))))
    yield opened
    opened.queue.close()
    opened.writer.close()


def test_what_one_was_unsure_of_comes_last_to_him_and_first_to_others(filled: Filled) -> None:
    filled.says("P1", "unsure")
    assert (filled.next(), filled.next("bo")) == ("P2", "P1")
    filled.says("P2", "unsure")
    assert (filled.next(), filled.next("bo")) == ("P3", "P1")
    filled.says("P3", "ok")
    assert filled.next() == "P1", "nothing else waits"
    assert filled.next(behind=("P1",)) == "P2"
    assert filled.next(behind=("P1", "P2")) is None


def test_unsure_that_was_taken_back_or_a_shift_ago_is_forgotten(filled: Filled) -> None:
    filled.says("P1", "unsure")
    assert filled.next() == "P2"
    filled.says("P1", "unsure", undoes="P1-anna-unsure-")
    assert filled.next() == "P1"
    filled.says("P2", "unsure", by="bo", at=Instant(now() - UNSURE_MS - 1000))
    filled.says("P1", "unsure", by="bo")
    assert filled.next("bo") == "P2"


def test_one_who_doubts_everything_still_gets_the_most_urgent_first(filled: Filled) -> None:
    for part in ("P3", "P1", "P2"):
        filled.says(part, "unsure")
    assert filled.next() == "P1"


def test_whoever_says_unsure_is_not_given_the_same_two_parts_in_turn(live: Live) -> None:
    publish(live.log, live.settings, verdicts=[make_verdict(f"U{n}", risk=0.9 - n / 10) for n in range(4)])
    live.collected(4)
    with live.client("inspector") as client:
        given = [client.get("/api/next").json()["part_id"]]
        for _ in range(3):
            asked = {"outcome": "unsure"}
            given.append(client.post(f"/api/parts/{given[-1]}/reviews", json=asked).json()["next"])
    assert given == ["U0", "U1", "U2", "U3"]


@pytest.mark.parametrize("read_first", [1, 2])
def test_a_part_that_rises_while_a_list_is_read_is_the_next_that_anybody_is_given(
    filled: Filled, read_first: int
) -> None:
    """A walk by cursor shows the queue of one moment and can miss it (decision 39); work is never given by a walk."""
    page, place = filled.queue.read(ANY, now(), read_first)
    assert "P3" not in [one.part_id for one in page]
    filled.take(make_verdict("P3", risk=0.99, revision=2))
    while place is not None:
        more, place = filled.queue.read(ANY, now(), read_first, place)
        page += more
    assert filled.next() == "P3"
    assert [one.part_id for one in filled.queue.page(ANY, now(), 9)] == ["P3", "P1", "P2"], "the list read anew"
    assert {one.part_id for one in page} >= {"P1", "P2"}, "what did not move is not missed"
