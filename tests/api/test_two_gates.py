"""A part that waits at several gates is one part in an inspector's hand: once in the queue, one decision for all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.agreement.draw import Draw
from api.store.order import QueueFilter
from api.store.quality import QualityStore
from api.store.queue import Decided, QueueStore, Waiting
from api.store.read import StoreReader
from api.store.rows import Harvest, Made, Review
from api.store.write import StoreWriter
from ingest.messages import Instant, Verdict, encode
from ingest.plan.plan import Reviews
from tests.api.conftest import Live, until
from tests.api.factory import make_defect, make_pass, make_verdict, now, publish

ANY = QueueFilter()
GATES = ("MID", "EOL", "OUT")


class Filled:
    """A store with its hands. `second_share`: of the parts shown to two people."""

    def __init__(self, url: str, second_share: float = 0.0) -> None:
        self.writer = StoreWriter(url, "one", Draw(b"key", Reviews(second_share=second_share)))
        self.queue, self.reader, self.quality = QueueStore(url), StoreReader(url), QualityStore(url)

    def take(self, *verdicts: Verdict, reviews: tuple[Review, ...] = ()) -> None:
        collected = tuple((verdict, encode(verdict).decode()) for verdict in verdicts)
        self.writer.apply(Harvest(verdicts=collected, reviews=reviews, defects=tuple(r.defect for r in reviews)), now())

    def page(self, wanted: QueueFilter = ANY) -> list[tuple[str, str, tuple[str, ...]]]:
        return [(one.part_id, one.gate_id, one.also_at) for one in self.queue.page(wanted, now(), 100)]

    def states(self, part: str = "P1") -> dict[str, str]:
        record = self.reader.part(part)
        assert record is not None
        return {case.gate_id: case.state for case in record.cases}

    def close(self) -> None:
        for store in (self.queue, self.reader, self.quality, self.writer):
            store.close()


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    opened.close()


def at(gate: str, risk: float, part: str = "P1", **changes: Any) -> Verdict:
    return make_verdict(part, gate_id=gate, risk=risk, risk_low=risk, risk_high=risk, **changes)


def said(outcome: str, made: Made, by: str = "anna", **more: Any) -> Review:
    told = make_defect("P1", source="inspector", outcome=outcome, recorded_by=by, recorded_at=now())
    return Review(f"{by}-{outcome}", "EOL", 1, told, made, **more)


BOTH = Made(also=(("MID", 1),))


def test_it_stands_once_where_it_is_most_urgent_and_its_other_gates_are_named(filled: Filled) -> None:
    filled.take(at("MID", 0.4), at("EOL", 0.9), at("MID", 0.6, "P2"), at("EOL", 0.5, "P3"), at("OUT", 0.1))
    assert filled.page() == [("P1", "EOL", ("MID", "OUT")), ("P2", "MID", ()), ("P3", "EOL", ())]
    assert filled.queue.count(ANY) == 3
    filled.take(at("MID", 0.95, revision=2))
    assert filled.page()[0] == ("P1", "MID", ("EOL", "OUT"))
    filled.take(make_pass("P1", gate_id="MID", revision=3))
    assert filled.page()[0] == ("P1", "EOL", ("OUT",))


def test_a_filter_shows_it_by_the_gate_that_fits(filled: Filled) -> None:
    filled.take(at("MID", 0.4, decision="cannot_tell"), at("EOL", 0.9))
    doubtful = QueueFilter(decision=("cannot_tell",))
    assert filled.page(doubtful) == [("P1", "MID", ("EOL",))]
    assert filled.queue.count(doubtful) == 1


def test_on_another_line_it_is_another_matter(filled: Filled) -> None:
    filled.take(at("EOL", 0.4), at("END", 0.9, line_id="L2"))
    assert filled.page() == [("P1", "END", ()), ("P1", "EOL", ())]
    assert filled.queue.count(ANY) == 2


flagged = st.dictionaries(
    st.tuples(st.integers(0, 9), st.sampled_from(GATES)), st.integers(1, 99), min_size=1, max_size=25
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(flagged, st.integers(1, 4), st.integers(0, 10**6))
def test_pages_give_each_part_once_the_most_urgent_first(
    filled: Filled, flagged: dict[tuple[int, str], int], limit: int, turn: int
) -> None:
    line = QueueFilter(line_id=f"line {turn}-{now()}")
    filled.take(*(at(gate, risk / 100, f"P{n}", line_id=line.line_id) for (n, gate), risk in flagged.items()))
    best = {f"P{n}": -math.inf for n, _ in flagged}
    for (n, _), risk in flagged.items():
        best[f"P{n}"] = max(best[f"P{n}"], risk)
    seen: list[Waiting] = []
    page, place = filled.queue.read(line, now(), limit)
    seen += page
    while place is not None:
        page, place = filled.queue.read(line, now(), limit, place)
        seen += page
    assert sorted(one.part_id for one in seen) == sorted(best)
    risks = [best[one.part_id] for one in seen]
    assert risks == sorted(risks, reverse=True)
    assert filled.queue.count(line) == len(best)


def test_one_decision_settles_the_cases_it_names_and_is_counted_once(filled: Filled) -> None:
    filled.take(at("MID", 0.4), at("EOL", 0.9), at("OUT", 0.2))
    filled.take(reviews=(said("defect", BOTH),))
    assert filled.states() == {"MID": "done", "EOL": "done", "OUT": "open"}
    record = filled.reader.part("P1")
    assert record is not None
    assert sorted((one.gate_id, one.made.with_gate) for one in record.reviews) == [("EOL", ""), ("MID", "EOL")]
    assert len(record.defects) == 1, "one record on the log, one label"
    assert filled.queue.decided(Instant(0)) == Decided({"anna": 1}, 1)
    assert [one.case[1] for one in filled.quality.decisions(Instant(0), Instant(now() + 1)).rows()] == ["EOL"]


def test_the_collector_finds_it_as_the_api_wrote_it(filled: Filled) -> None:
    filled.take(at("MID", 0.4), at("EOL", 0.9))
    told = said("ok", BOTH)
    filled.take(reviews=(told,))
    filled.take(reviews=(told,))
    record = filled.reader.part("P1")
    assert record is not None
    assert len(record.reviews) == 2
    assert filled.reader.review(told.review_id) == told


def test_taken_back_it_opens_all_that_it_settled(filled: Filled) -> None:
    filled.take(at("MID", 0.4), at("EOL", 0.9))
    filled.take(reviews=(said("ok", BOTH),))
    assert filled.page() == []
    filled.take(reviews=(said("unsure", BOTH, undoes="anna-ok"),))
    assert filled.page() == [("P1", "EOL", ("MID",))]


def test_of_parts_shown_to_two_it_is_one_persons_word_at_each_gate(store_url: str) -> None:
    filled = Filled(store_url, second_share=1.0)
    try:
        filled.take(at("MID", 0.4), at("EOL", 0.9))
        filled.take(reviews=(said("defect", BOTH),))
        assert filled.states() == {"MID": "open", "EOL": "open"}
        mine, others = QueueFilter(inspector="anna"), QueueFilter(inspector="bo")
        assert (filled.page(mine), filled.queue.count(mine)) == ([], 0)
        assert (filled.page(others), filled.queue.count(others)) == ([("P1", "EOL", ("MID",))], 1)
        filled.take(reviews=(said("defect", BOTH, "bo"),))
        assert filled.states() == {"MID": "done", "EOL": "done"}
    finally:
        filled.close()


@pytest.fixture
def anna(live: Live) -> Iterator[httpx.Client]:
    with live.client("inspector") as client:
        yield client


def flag(live: Live, part: str, gates: tuple[str, ...] = ("MID", "EOL")) -> None:
    publish(live.log, live.settings, verdicts=[at(gate, 0.9 - n / 10, part) for n, gate in enumerate(gates)])
    cases = lambda: record.cases if (record := live.service.here.reader.part(part)) else ()  # noqa: E731
    until(lambda: len(cases()) == len(gates), "the cases")


def of(queue: Any, part: str) -> list[tuple[str, list[str]]]:
    found = [one for one in queue["items"] if one["verdict"]["part_id"] == part]
    return [(one["verdict"]["gate_id"], one["also_at"]) for one in found]


def test_over_http_one_decision_closes_both_says_so_and_can_be_taken_back(live: Live, anna: httpx.Client) -> None:
    flag(live, "H1")
    assert of(anna.get("/api/queue").json(), "H1") == [("MID", ["EOL"])]
    told = {"outcome": "defect", "gate_id": "MID", "closes": ["EOL"], "defect_code": "burr"}
    key = {"Idempotency-Key": "one"}
    answer = anna.post("/api/parts/H1/reviews", json=told, headers=key)
    assert answer.status_code == 201
    assert answer.json()["review"]["also_at"] == ["EOL"]
    assert anna.post("/api/parts/H1/reviews", json=told, headers=key).json()["review"] == answer.json()["review"]
    part = anna.get("/api/parts/H1").json()
    assert {case["gate_id"]: case["state"] for case in part["cases"]} == {"MID": "done", "EOL": "done"}
    assert {one["gate_id"]: one["with_gate"] for one in part["reviews"]} == {"MID": "", "EOL": "MID"}
    with live.client("qa") as quinn:
        lines = quinn.get("/api/audit", params={"action": "review"}).json()["items"]
    assert "defect at MID and EOL, attempt 1" in [one["detail"] for one in lines if one["subject"] == "H1"]
    other = next(one for one in part["reviews"] if one["with_gate"])
    assert anna.post(f"/api/reviews/{other['review_id']}/undo").status_code == 409
    assert anna.post(f"/api/reviews/{answer.json()['review']['review_id']}/undo").status_code == 201
    part = anna.get("/api/parts/H1").json()
    assert {case["gate_id"]: case["state"] for case in part["cases"]} == {"MID": "open", "EOL": "open"}


def test_who_decides_gate_by_gate_keeps_the_part_until_its_last_gate(live: Live, anna: httpx.Client) -> None:
    flag(live, "H2")
    publish(live.log, live.settings, verdicts=[at("EOL", 0.99, "H3")])
    until(lambda: of(anna.get("/api/queue").json(), "H3"), "another part, more urgent")
    answer = anna.post("/api/parts/H2/reviews", json={"outcome": "ok", "gate_id": "MID"}).json()
    assert answer["next"] == "H2", "it is in the hand still"
    answer = anna.post("/api/parts/H2/reviews", json={"outcome": "ok", "gate_id": "EOL"}).json()
    assert answer["next"] != "H2"


def test_unsure_closes_nothing_and_a_gate_that_is_none_is_named(live: Live, anna: httpx.Client) -> None:
    flag(live, "H4")
    unsure = {"outcome": "unsure", "gate_id": "MID", "closes": ["EOL"]}
    assert anna.post("/api/parts/H4/reviews", json=unsure).json()["review"]["also_at"] == []
    wrong = anna.post("/api/parts/H4/reviews", json={"outcome": "ok", "gate_id": "MID", "closes": ["NONE"]})
    assert (wrong.status_code, "NONE" in wrong.json()["error"]["message"]) == (404, True)
    part = anna.get("/api/parts/H4").json()
    assert {case["state"] for case in part["cases"]} == {"open"}


def test_what_i_decided_today_counts_a_decision_once_and_forgets_what_was_taken_back(live: Live) -> None:
    flag(live, "H5")
    flag(live, "H6", ("EOL",))
    with live.client("engineer") as other, live.client("qa") as eva:
        assert other.get("/api/queue/mine").json()["items"] == []
        told = {"outcome": "defect", "gate_id": "MID", "closes": ["EOL"], "defect_code": "burr"}
        eva.post("/api/parts/H5/reviews", json=told)
        slip = eva.post("/api/parts/H6/reviews", json={"outcome": "ok"}).json()["review"]["review_id"]
        mine = eva.get("/api/queue/mine").json()
        assert [(one["part_id"], one["also_at"]) for one in mine["items"]] == [("H6", []), ("H5", ["EOL"])]
        assert (mine["defect"], mine["ok"], mine["unsure"]) == (1, 1, 0)
        assert mine["latest_judged_at"] is not None
        eva.post(f"/api/reviews/{slip}/undo")
        mine = eva.get("/api/queue/mine", params={"limit": 1}).json()
        assert [one["part_id"] for one in mine["items"]] == ["H5"]
        assert (mine["defect"], mine["ok"], mine["unsure"]) == (1, 0, 0)
        assert other.get("/api/queue/mine").json()["defect"] == 0
