"""The queue: the most urgent first, page by page while parts come, held by one person at a time, under own names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.errors import ApiError
from api.http.queries import read_place, write_place
from api.store.database import migrate
from api.store.queue import HOLD_MS, Decided, Mark, Place, QueueFilter, QueueStore
from api.store.rows import Harvest, Review
from api.store.views import VIEWS_MAX, View, ViewStore
from api.store.write import StoreWriter
from ingest.messages import Instant, Verdict, encode
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_defect, make_pass, make_verdict, now, publish, settings_at

ANY = QueueFilter()


class Filled:
    """A store with a writer, and its queue."""

    def __init__(self, url: str) -> None:
        migrate(url)
        self.writer = StoreWriter(url, holder="one")
        self.queue = QueueStore(url)
        self.views = ViewStore(url)

    def take(self, *verdicts: Verdict, reviews: tuple[Review, ...] = ()) -> None:
        collected = tuple((verdict, encode(verdict).decode()) for verdict in verdicts)
        self.writer.apply(Harvest(verdicts=collected, reviews=reviews), now())

    def order(self, wanted: QueueFilter = ANY) -> list[str]:
        return [one.part_id for one in self.queue.page(wanted, now(), 1000)]


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    opened.queue.close()
    opened.views.close()
    opened.writer.close()


def at_risk(part: str, risk: float | None, **changes: object) -> Verdict:
    bounds = {"risk": risk, "risk_low": risk, "risk_high": risk}
    return make_verdict(part, **(bounds | changes))


def test_the_most_urgent_comes_first_the_older_of_two_and_what_nobody_judged_before_all(filled: Filled) -> None:
    filled.take(at_risk("low", 0.1), at_risk("a", 0.4), at_risk("b", 0.4), make_pass("good"))
    filled.take(at_risk("unknown", None, decision="cannot_tell"), at_risk("high", 0.9))
    assert filled.order() == ["unknown", "high", "a", "b", "low"]
    filled.take(at_risk("low", 0.95, revision=2))
    assert filled.order() == ["unknown", "low", "high", "a", "b"]


def test_filters_narrow_the_queue_and_its_count(filled: Filled) -> None:
    filled.take(at_risk("A", 0.4), at_risk("B", 0.5, line_id="L2"), at_risk("C", 0.6, product="OTHER"))
    filled.take(at_risk("D", 0.7, batch_id="B9", decision="cannot_tell"))
    for wanted, found in (
        (QueueFilter(line_id="L2"), ["B"]),
        (QueueFilter(product="OTHER"), ["C"]),
        (QueueFilter(batch_id="B9", line_id="L1"), ["D"]),
        (QueueFilter(decision=("cannot_tell",)), ["D"]),
        (QueueFilter(cause="tool_id=T7"), ["D", "C", "B", "A"]),
        (QueueFilter(cause="tool_id=T8"), []),
        (QueueFilter(camera="top"), ["D", "C", "B", "A"]),
        (QueueFilter(camera="to_"), []),
        (QueueFilter(since=Instant(now() - 60_000)), ["D", "C", "B", "A"]),
        (QueueFilter(until=Instant(now() - 60_000)), []),
    ):
        assert filled.order(wanted) == found
        assert filled.queue.count(wanted) == len(found)


def test_paging_gives_each_part_once_while_others_come_and_go(filled: Filled) -> None:
    filled.take(*(at_risk(f"P{n}", (n % 7) / 10) for n in range(40)))
    before, seen, after = set(filled.order()), list[str](), None
    for turn in range(20):
        page, after = filled.queue.read(ANY, now(), 7, after)
        seen += [one.part_id for one in page]
        if after is None:
            break
        filled.take(at_risk(f"new{turn}", (turn % 10) / 10))
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


marks = st.none() | st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**17))


@given(st.integers(0, 10**14), marks, marks)
def test_a_cursor_is_read_to_the_last_bit_and_needs_no_escaping(
    as_of: int, one: Mark | None, other: Mark | None
) -> None:
    place = Place(Instant(as_of), one, other)
    assert read_place(write_place(place)) == place
    assert set(write_place(place)) <= set("0123456789abcdefx._-p")


@given(st.text(max_size=30))
def test_any_other_cursor_is_refused_or_a_place(text: str) -> None:
    with suppress(ApiError):
        place = read_place(text)
        assert place is None or place.as_of >= 0


def test_a_part_is_held_by_one_until_it_is_let_go_taken_or_forgotten(filled: Filled) -> None:
    queue, at = filled.queue, now()
    filled.take(at_risk("P1", 0.4))
    assert queue.hold("P1", "anna", at).held_by == "anna"
    assert queue.hold("P1", "bo", at).held_by == "anna"
    assert [one.held_by for one in queue.page(ANY, at, 10)] == ["anna"]
    renewed = queue.hold("P1", "anna", Instant(at + 1000))
    assert (renewed.since, renewed.until) == (at, at + 1000 + HOLD_MS)
    assert queue.hold("P1", "bo", at, take=True).held_by == "bo"
    queue.release("P1", "anna")  # is not hers any more
    assert queue.hold("P1", "anna", at).held_by == "bo"
    assert queue.hold("P1", "anna", Instant(at + HOLD_MS)).held_by == "anna", "a page that was left holds nothing"
    queue.release("P1", "anna")
    assert queue.hold("P1", "bo", at).held_by == "bo"


def test_people_who_ask_at_once_never_get_the_same_part(filled: Filled) -> None:
    filled.take(*(at_risk(f"P{n}", 0.5) for n in range(12)))
    at, people = now(), [f"p{n}" for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda name: filled.queue.next_for(name, ANY, at), people))
    parts = [one.part_id for one in found if one is not None]
    assert sorted(parts) == sorted(f"P{n}" for n in range(12))
    assert filled.queue.next_for("late", ANY, at) is None
    again = filled.queue.next_for("p3", ANY, at)
    assert again is not None
    assert again.part_id == parts[3], "one's own part is still one's own"


def test_a_part_is_found_however_many_others_are_held(filled: Filled) -> None:
    filled.take(*(at_risk(f"P{n}", 0.9) for n in range(120)), at_risk("last", 0.1))
    for n in range(120):
        filled.queue.hold(f"P{n}", "somebody else", now())
    found = filled.queue.next_for("anna", ANY, now())
    assert found is not None
    assert found.part_id == "last"
    filled.queue.forget_holds(Instant(now() + HOLD_MS + 1000))
    assert [one.held_by for one in filled.queue.page(ANY, now(), 200)] == [""] * 121


def test_decisions_are_counted_by_person_and_by_part(filled: Filled) -> None:
    def decided(part: str, by: str, outcome: str = "ok", number: int = 0) -> Review:
        defect = make_defect(part, source="inspector", outcome=outcome, recorded_by=by, recorded_at=now())
        return Review(f"{part}{by}{number}", "EOL", 1, defect)

    filled.take(
        reviews=(decided("P1", "anna"), decided("P1", "anna", "defect", 1), decided("P2", "bo"),
                 decided("P3", "bo", "unsure"), decided("P4", "anna", "defect"),
                 dataclasses.replace(decided("P4", "anna", "unsure", 1), undoes="P4anna0"))
    )  # fmt: skip
    assert filled.queue.decided(Instant(now() - 1000)) == Decided({"anna": 1, "bo": 1}, 2)
    assert filled.queue.decided(Instant(now() + 60_000)) == Decided({}, 0)


def test_views_are_kept_by_name_and_their_number_is_limited(filled: Filled) -> None:
    store = filled.views
    assert store.keep_view("anna", View("night", "line_id=L1"))
    assert store.keep_view("anna", View("night", "line_id=L2"))
    assert (store.views("anna"), store.views("bo")) == ([View("night", "line_id=L2", "anna")], [])
    assert all(store.keep_view("anna", View(f"v{n}", "")) for n in range(VIEWS_MAX - 1))
    assert not store.keep_view("anna", View("one more", ""))
    assert store.keep_view("anna", View("night", "")), "an earlier one can still be changed"
    store.drop_view("anna", "night")
    assert len(store.views("anna")) == VIEWS_MAX - 1


def test_a_shared_view_is_everybodys_and_what_one_begins_with_is_ones_own(filled: Filled) -> None:
    store = filled.views
    store.keep_view("lead", View("burrs", "cause=tool_id=T7", shared=True))
    store.keep_view("anna", View("", "line_id=L1"))
    assert store.views("anna") == store.views("lead") == [View("burrs", "cause=tool_id=T7", "lead", True)]
    assert (store.begins_with("anna"), store.begins_with("lead")) == ("line_id=L1", None)
    store.keep_view("lead", View("burrs", "cause=tool_id=T7"))
    assert store.views("anna") == [], "no longer shared"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = Path(tmp_path_factory.mktemp("queue")) / "home"
    with serve(settings_at(home)) as served:
        publish(served.log, served.settings, verdicts=[at_risk(f"Q/{n}", n / 10) for n in range(1, 6)])
        served.collected(5)
        yield served


def test_the_queue_over_http_pages_counts_and_shows_who_holds(live: Live) -> None:
    with live.client("inspector") as anna, live.client("qa") as bo:
        assert anna.get("/api/next").json() == {"part_id": "Q/5", "gate_id": "EOL"}
        assert bo.get("/api/next").json()["part_id"] == "Q/4"
        page = anna.get("/api/queue?limit=2").json()
        assert [(one["verdict"]["part_id"], one["held_by"]) for one in page["items"]] == [
            ("Q/5", "test-inspector"), ("Q/4", "test-qa")
        ]  # fmt: skip
        rest = anna.get("/api/queue", params={"cursor": page["next"]}).json()
        assert [one["verdict"]["part_id"] for one in rest["items"]] == ["Q/3", "Q/2", "Q/1"]
        assert rest["next"] is None
        assert page["counts"] == {"waiting": 5, "done_by_me": 0, "done_by_all": 0}
        decided = anna.post("/api/parts/Q/5/reviews", json={"outcome": "ok"}).json()
        assert decided["next"] == "Q/3", "the next that nobody holds"
        counts = {
            "waiting": 4,
            "done_by_me": 1,
            "done_by_all": 1,
        }  # what waits is counted for all at once: a moment later
        until(lambda: anna.get("/api/queue").json()["counts"] == counts, "the decided part to be counted")
        assert bo.get("/api/queue").json()["counts"]["done_by_me"] == 0


def test_a_hold_is_told_taken_and_let_go_over_http(live: Live) -> None:
    with live.client("inspector") as anna, live.client("qa") as bo, live.client("machine") as machine:
        assert anna.post("/api/parts/Q/2/hold").json()["mine"]
        told = bo.post("/api/parts/Q/2/hold").json()
        assert (told["held_by"], told["mine"]) == ("test-inspector", False)
        assert bo.post("/api/parts/Q/2/hold?take=1").json()["mine"]
        assert bo.delete("/api/parts/Q/2/hold").status_code == 204
        assert anna.post("/api/parts/none/hold").status_code == 404
        assert machine.post("/api/parts/Q/2/hold").status_code == 403


def test_views_over_http_are_ones_own_with_how_many_wait_in_each(live: Live) -> None:
    with live.client("inspector") as anna, live.client("qa") as bo:
        kept = anna.post("/api/views", json={"name": " night ", "query": "line_id=L1"})
        assert kept.status_code == 201
        waiting = anna.get("/api/queue?line_id=L1").json()["counts"]["waiting"]
        view = {"name": "night", "query": "line_id=L1", "owner": "test-inspector", "shared": False, "mine": True,
                "begins": False, "waiting": waiting}  # fmt: skip
        assert anna.get("/api/views").json()["items"] == [view]
        assert bo.get("/api/views").json()["items"] == []
        assert anna.post("/api/views", json={"name": "", "query": ""}).status_code == 422
        anna.post("/api/queue/begin", json={"query": "line_id=L1"})
        assert anna.get("/api/views").json()["items"] == [view | {"begins": True}]
        anna.post("/api/queue/begin", json={"query": None})
        assert anna.delete("/api/views/night").status_code == 204
        assert anna.get("/api/views").json()["items"] == []


def test_only_a_qa_lead_shares_a_view_and_withdraws_one(live: Live) -> None:
    shared = {"name": "second line", "query": "line_id=L2&age=under:60", "shared": True}
    with live.client("inspector") as anna, live.client("qa") as bo:
        assert anna.post("/api/views", json=shared).status_code == 403
        assert bo.post("/api/views", json=shared).status_code == 201
        (seen,) = anna.get("/api/views").json()["items"]
        assert (seen["owner"], seen["mine"], seen["waiting"]) == ("test-qa", False, 0)
        assert anna.delete("/api/views/second line?owner=test-qa").status_code == 403
        assert bo.delete("/api/views/second line?owner=test-qa").status_code == 204
        assert anna.get("/api/views").json()["items"] == []


def test_it_is_told_what_of_a_screen_waits_no_longer_and_who_holds_what(live: Live) -> None:
    with live.client("inspector") as anna:
        anna.post("/api/parts/Q/1/hold")
        asked = [("part_id", part) for part in ("Q/1", "Q/5", "unknown")]
        told = {one["part_id"]: one for one in anna.get("/api/queue/standing", params=asked).json()["items"]}
        assert (told["Q/1"]["state"], told["Q/1"]["held_by"]) == ("open", "test-inspector")
        assert (told["Q/5"]["state"], told["Q/5"]["outcome"]) == ("done", "ok")
        assert "unknown" not in told


@pytest.mark.parametrize("query", ["cursor=x", "cursor=1_inf_3__", "limit=0", "decision=scrap", "age=60", "age=over:x"])
def test_a_question_that_cannot_be_meant_is_refused(live: Live, query: str) -> None:
    with live.client("inspector") as client:
        assert client.get(f"/api/queue?{query}").status_code == 422
