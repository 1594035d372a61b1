"""Parts shown to two people: the second knows nothing of the first; where they disagree a QA lead has the word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.access.tokens import issue_token
from api.agreement.draw import Draw
from api.store.quality import QualityStore
from api.store.queue import QueueFilter, QueueStore
from api.store.read import StoreReader
from api.store.rows import Harvest, Made, Review
from api.store.write import StoreWriter
from ingest.messages import Instant, Verdict, encode
from ingest.plan.plan import Reviews
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_defect, make_pass, make_verdict, now, publish
from tests.api.test_blind import planned

FINAL = Made(final=True)


class Filled:
    """A store in which every part is shown to two people."""

    def __init__(self, url: str) -> None:
        self.writer = StoreWriter(url, "one", Draw(b"key", Reviews(second_share=1.0)))
        self.queue, self.reader, self.quality = QueueStore(url), StoreReader(url), QualityStore(url)

    def take(self, *verdicts: Verdict, reviews: tuple[Review, ...] = (), **more: Any) -> None:
        collected = tuple((verdict, encode(verdict).decode()) for verdict in verdicts)
        self.writer.apply(Harvest(verdicts=collected, reviews=reviews, **more), now())

    def state(self, part: str = "P1") -> tuple[str, str | None, int]:
        record = self.reader.part(part)
        assert record is not None
        (case,) = record.cases
        return case.state, case.outcome, case.people_said

    def sees(self, name: str) -> list[str]:
        return [one.part_id for one in self.queue.page(QueueFilter(inspector=name), now(), 10)]


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    for store in (opened.queue, opened.reader, opened.quality, opened.writer):
        store.close()


def said(by: str, outcome: str, at: int = 0, made: Made | None = None, **more: Any) -> Review:
    told = make_defect("P1", source="inspector", outcome=outcome, recorded_by=by, recorded_at=Instant(now() + at))
    return Review(f"{by}-{outcome}-{at}", "EOL", 1, told, made or Made(), **more)


def test_two_who_agree_settle_it_one_alone_does_not(filled: Filled) -> None:
    filled.take(make_verdict("P1"))
    filled.take(reviews=(said("anna", "defect"),))
    assert filled.state() == ("open", None, 1)
    assert filled.sees("anna") == []
    assert filled.sees("bo") == ["P1"]
    filled.take(reviews=(said("anna", "defect", 5),))
    assert filled.state() == ("open", None, 1), "the same person twice is one person"
    filled.take(reviews=(said("bo", "defect", 9),))
    assert filled.state() == ("done", "defect", 2)


def test_where_they_disagree_it_waits_for_a_qa_leads_word(filled: Filled) -> None:
    filled.take(make_verdict("P1"))
    filled.take(reviews=(said("anna", "defect"), said("bo", "ok", 5)))
    assert filled.state() == ("open", None, 2)
    assert filled.sees("cy") == [], "no third inspector: two have spoken"
    assert [one.part_id for one in filled.queue.page(QueueFilter(), now(), 10)] == ["P1"]
    (told,) = filled.quality.disagreements(10)
    assert (told.case, told.said) == (("L1", "EOL", "P1", 1), ("defect", "ok"))
    filled.take(reviews=(said("quinn", "ok", 9, FINAL),))
    assert filled.state() == ("done", "ok", 3)
    assert filled.quality.disagreements(10) == []


def test_a_word_taken_back_is_none(filled: Filled) -> None:
    filled.take(make_verdict("P1"))
    first, second = said("anna", "ok"), said("bo", "ok", 5)
    filled.take(reviews=(first, second))
    assert filled.state() == ("done", "ok", 2)
    filled.take(reviews=(said("bo", "unsure", 9, undoes=second.review_id),))
    assert filled.state() == ("open", None, 1)
    assert filled.sees("bo") == ["P1"], "he may say it again"
    assert filled.sees("anna") == []


def test_it_does_not_matter_in_which_order_it_is_collected(filled: Filled) -> None:
    filled.take(reviews=(said("bo", "ok", 5),))
    filled.take(reviews=(said("anna", "defect"),))
    filled.take(make_verdict("P1"))
    assert filled.state() == ("open", None, 2)
    filled.take(make_verdict("P1", revision=2))
    assert filled.state() == ("open", None, 2)


def test_a_part_that_passed_needs_one_person_to_be_reported(filled: Filled) -> None:
    filled.take(make_pass("P1"))
    filled.take(reviews=(said("anna", "defect"),))
    assert filled.state()[:2] == ("done", "defect")


def test_a_record_from_elsewhere_settles_it_as_ever(filled: Filled) -> None:
    filled.take(make_verdict("P1"))
    filled.take(reviews=(said("anna", "ok"),), defects=(make_defect("P1", recorded_at=Instant(now() + 9)),))
    assert filled.state()[:2] == ("done", "defect")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = planned(tmp_path_factory.mktemp("twice") / "home", "second_share: 1.0")
    with serve(settings) as live:
        publish(live.log, settings, verdicts=[make_verdict("P1", risk=0.9), make_verdict("P2", risk=0.2)])
        live.collected(2)
        yield live


def person(live: Live, name: str, role: str = "inspector") -> httpx.Client:
    token = issue_token(live.settings, name, role)
    return httpx.Client(base_url=live.base, headers={"Authorization": f"Bearer {token}"}, timeout=20)


def waits(client: httpx.Client) -> list[str]:
    return [one["verdict"]["part_id"] for one in client.get("/api/queue").json()["items"]]


def test_the_second_gets_it_next_and_sees_nothing_of_what_the_first_said(twice: Live) -> None:
    with person(twice, "anna") as anna, person(twice, "bo") as bo, person(twice, "quinn", "qa") as lead:
        body = {"outcome": "defect", "defect_code": "hairline", "comment": "left of the bore"}
        answer = anna.post("/api/parts/P1/reviews", json=body).json()
        assert (answer["next"], answer["told"]) == ("P2", None)
        assert waits(anna) == ["P2"]
        assert "left of the bore" in anna.get("/parts/P1").text, "one's own word is no secret"
        assert bo.get("/api/next").json()["part_id"] == "P1"
        page, told = bo.get("/parts/P1").text, bo.get("/api/parts/P1").json()
        for word in ("left of the bore", "anna"):
            assert word not in page
        assert (told["reviews"], told["evidence"]["defects"], told["state"]) == ([], [], "open")
        assert told["verdicts"][0]["risk"] == 0.9, "only blind parts hide the risk"
        assert bo.post("/api/parts/P1/reviews", json={"outcome": "ok"}).json()["next"] is None, "anna holds P2"
        assert "left of the bore" in bo.get("/parts/P1").text
        (item,) = [one for one in lead.get("/api/queue").json()["items"] if one["verdict"]["part_id"] == "P1"]
        assert item["disagree"]
        assert "left of the bore" in lead.get("/parts/P1").text
        lead.post("/api/parts/P1/reviews", json={"outcome": "defect", "defect_code": "hairline"})
        until(lambda: twice.service.here.collector.state.lag_records == 0, "the collector")
        settled = lead.get("/api/parts/P1").json()
        assert (settled["state"], settled["cases"][0]["outcome"]) == ("done", "defect")
