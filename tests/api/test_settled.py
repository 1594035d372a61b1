"""What is settled: each part once, with what was said of it and by whom; what waits anywhere is not settled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.store.queue import QueueFilter, QueueStore
from api.store.rows import Harvest, Made, Review
from api.store.settled import SettledPart
from api.store.write import StoreWriter
from ingest.messages import Instant, Verdict, encode
from tests.api.conftest import Live, until
from tests.api.factory import make_defect, make_pass, make_verdict, now, publish

ANY = QueueFilter()
GATES = ("MID", "EOL")


class Filled:
    """A store with the hand that writes and the one that reads."""

    def __init__(self, url: str) -> None:
        self.writer, self.queue = StoreWriter(url, "one"), QueueStore(url)

    def take(self, *verdicts: Verdict, reviews: tuple[Review, ...] = (), defects: tuple[Any, ...] = ()) -> None:
        collected = tuple((verdict, encode(verdict).decode()) for verdict in verdicts)
        self.writer.apply(Harvest(verdicts=collected, reviews=reviews, defects=defects), now())

    def all(self, wanted: QueueFilter = ANY, limit: int = 100) -> list[SettledPart]:
        found, below = self.queue.settled(wanted, limit)
        while below is not None:
            more, below = self.queue.settled(wanted, limit, below)
            found += more
        return found

    def told(self, wanted: QueueFilter = ANY) -> list[tuple[str, str, str, tuple[tuple[str, str], ...]]]:
        return [(one.part_id, one.outcome, one.said_by, one.also) for one in self.all(wanted)]


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    opened.queue.close()
    opened.writer.close()


def at(gate: str, part: str = "P1", **changes: Any) -> Verdict:
    return make_verdict(part, gate_id=gate, **changes)


def said(part: str, outcome: str, gate: str = "EOL", also: tuple[str, ...] = (), **more: Any) -> Review:
    told = make_defect(part, source="inspector", outcome=outcome, recorded_by=more.pop("by", "anna"), recorded_at=now())
    made = Made(also=tuple((one, 1) for one in also))
    return Review(f"{part}-{gate}-{outcome}-{told.recorded_by}", gate, 1, told, made, **more)


def test_a_part_that_several_gates_flagged_is_one_row_with_what_was_said_at_each(filled: Filled) -> None:
    filled.take(at("MID"), at("EOL"), at("EOL", "P2"), at("MID", "P2"))
    filled.take(reviews=(said("P1", "defect", also=("MID",)),))
    assert filled.told() == [("P1", "defect", "anna", (("MID", "defect"),))]
    filled.take(reviews=(said("P2", "ok", "EOL"), said("P2", "defect", "MID", by="bo")))
    assert filled.told()[0] == ("P2", "defect", "bo", (("EOL", "ok"),)), "its last verdict is that of MID"


def test_what_still_waits_at_a_gate_is_not_settled(filled: Filled) -> None:
    filled.take(at("MID"), at("EOL"))
    filled.take(reviews=(said("P1", "ok", "EOL"),))
    assert filled.told() == []
    filled.take(reviews=(said("P1", "ok", "MID"),))
    assert len(filled.told()) == 1
    filled.take(reviews=(said("P1", "unsure", "MID", undoes="P1-MID-ok-anna"),))
    assert filled.told() == []


def test_a_pass_is_not_listed_nor_named_beside(filled: Filled) -> None:
    filled.take(make_pass("P1", gate_id="MID"), at("EOL"), make_pass("P2"))
    filled.take(reviews=(said("P1", "ok"),))
    assert filled.told() == [("P1", "ok", "anna", ())]


def test_whose_word_it_was_is_said_only_of_a_word_that_settled_it(filled: Filled) -> None:
    filled.take(at("EOL"), at("EOL", "P2"))
    filled.take(defects=(make_defect("P1", outcome="defect", recorded_at=Instant(now() + 1000)),))
    filled.take(at("EOL", "P2", attempt=2, revision=1), reviews=(said("P2", "unsure"),))
    filled.take(reviews=())
    assert filled.told() == [("P1", "defect", "", ())], "P2 waits at its second attempt"


def test_of_several_attempts_the_last_speaks(filled: Filled) -> None:
    filled.take(at("EOL"), at("EOL", attempt=2))
    assert filled.told() == []
    told = said("P1", "ok")
    filled.take(reviews=(Review("second", "EOL", 2, told.defect, Made()),))
    assert filled.told() == [("P1", "ok", "anna", ())]


def test_a_filter_shows_it_by_the_gate_that_fits(filled: Filled) -> None:
    filled.take(at("MID", decision="cannot_tell", causes=[]), at("EOL"))
    filled.take(reviews=(said("P1", "defect", also=("MID",)),))
    doubtful, caused = QueueFilter(decision=("cannot_tell",)), QueueFilter(cause="tool_id=T7")
    assert [one.also for one in filled.all(doubtful)] == [(("EOL", "defect"),)]
    assert [one.also for one in filled.all(caused)] == [(("MID", "defect"),)]
    assert filled.all(QueueFilter(cause="tool_id=T8")) == []
    assert filled.all(QueueFilter(line_id="L9")) == []


cases = st.sets(st.tuples(st.integers(0, 12), st.sampled_from(GATES)), min_size=1, max_size=26)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cases, cases, st.integers(1, 4), st.integers(0, 10**9))
def test_a_walk_gives_each_settled_part_once_the_last_first(
    filled: Filled, flagged: set[tuple[int, str]], decided: set[tuple[int, str]], limit: int, turn: int
) -> None:
    line = QueueFilter(line_id=f"line {turn}-{now()}")
    part = lambda number: f"P{number}-{line.line_id}"  # noqa: E731
    filled.take(*(at(gate, part(number), line_id=line.line_id) for number, gate in sorted(flagged)))
    for number, gate in sorted(flagged & decided):
        told = make_defect(part(number), line_id=line.line_id, outcome="ok", recorded_by="anna", recorded_at=now())
        filled.take(reviews=(Review(f"{part(number)}-{gate}", gate, 1, told, Made()),))
    found = filled.all(line, limit)
    waiting = {number for number, _ in flagged - decided}
    assert sorted(one.part_id for one in found) == sorted(
        {part(number) for number, _ in flagged} - set(map(part, waiting))
    )
    assert [one.row_id for one in found] == sorted((one.row_id for one in found), reverse=True)


def test_over_http_it_says_what_was_decided_by_whom_and_when(live: Live) -> None:
    publish(live.log, live.settings, verdicts=[at("MID", "S1"), at("EOL", "S1")])
    with live.client("inspector") as anna:
        until(lambda: anna.get("/api/parts/S1").status_code == 200, "the part")
        until(lambda: len(anna.get("/api/parts/S1").json()["cases"]) == 2, "both cases")
        body = {"outcome": "defect", "gate_id": "EOL", "closes": ["MID"], "defect_code": "burr"}
        assert anna.post("/api/parts/S1/reviews", json=body).status_code == 201
        found = anna.get("/api/queue/settled", params={"limit": 1}).json()
        (one,) = found["items"]
        assert (one["verdict"]["part_id"], one["outcome"]) == ("S1", "defect")
        assert one["also"] == [{"gate_id": "MID", "outcome": "defect"}]
        assert one["said_by"]
        assert one["said_at"]
        assert anna.get("/api/queue/settled", params={"cursor": "none"}).status_code == 422
