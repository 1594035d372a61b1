"""What is measured of decisions comes from the store as it was said, on both stores, and only to QA leads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.agreement.draw import Draw
from api.agreement.tally import WORDS
from api.store.decisions import Said
from api.store.exercises import ExerciseAnswer, ExerciseStore
from api.store.quality import QualityStore
from api.store.rows import Harvest, Made, Review
from api.store.write import StoreWriter
from ingest.messages import Defect, Instant, encode
from ingest.plan.plan import Reviews
from tests.api.conftest import Live
from tests.api.factory import make_defect, make_verdict, now, publish

AT = Instant(1_700_000_000_000)
ALWAYS = (Instant(0), Instant(AT + 10**9))


class Filled:
    def __init__(self, url: str) -> None:
        self.writer = StoreWriter(url, "one", Draw(b"key", Reviews(blind_share=1.0)))
        self.quality, self.exercises = QualityStore(url), ExerciseStore(url)

    def take(self, *parts: str, reviews: tuple[Review, ...] = (), defects: tuple[Defect, ...] = ()) -> None:
        collected = tuple((one, encode(one).decode()) for one in map(make_verdict, parts))
        own = (*defects, *(one.defect for one in reviews))  # as on the topic: a review is a record too
        self.writer.apply(Harvest(verdicts=collected, reviews=reviews, defects=own), now())


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    for store in (opened.writer, opened.quality, opened.exercises):
        store.close()


def review(part: str, by: str, outcome: str, at: int = 0, undoes: str = "", line: str = "L1") -> Review:
    told = make_defect(
        part, line_id=line, source="inspector", outcome=outcome, recorded_by=by, recorded_at=Instant(AT + at)
    )
    return Review(f"{part}-{by}-{at}", "EOL", 1, told, Made(took_ms=5000, risk=0.5, threshold=0.1), undoes)


def test_decisions_come_in_their_order_without_what_was_taken_back_or_said_nothing(filled: Filled) -> None:
    slip = review("P1", "anna", "ok", 1)
    filled.take(reviews=(slip, review("P1", "anna", "unsure", 2, slip.review_id), review("P2", "bo", "unsure", 3)))
    filled.take(
        reviews=(review("P3", "cy", "defect", 9), review("P4", "bo", "ok", 5), review("P5", "bo", "ok", 6, line="L2"))
    )
    filled.exercises.answer(
        ExerciseAnswer(
            "a", ("L1", "EOL", "K", 1), "P3", "defect", "ok", "", "", "anna", Instant(AT + 7), Made(seeded=True)
        )
    )
    found = list(filled.quality.decisions(*ALWAYS).rows())
    assert [(one.case[2], one.by, WORDS[one.said & Said.DEFECT], one.truth) for one in found] == [
        ("P4", "bo", "ok", ""),
        ("P5", "bo", "ok", ""),
        ("K", "anna", "ok", "defect"),
        ("P3", "cy", "defect", ""),
    ]
    assert (found[0].took_ms, found[0].said) == (5000, Said.MODEL_SPOKE | Said.MODEL_DEFECT)
    assert [one.case[2] for one in filled.quality.decisions(*ALWAYS, "L2").rows()] == ["P5"]
    assert [one.case[2] for one in filled.quality.decisions(Instant(AT + 6), Instant(AT + 9)).rows()] == ["P5", "K"]


def test_the_truth_comes_from_elsewhere_than_the_people_who_are_measured(filled: Filled) -> None:
    customer = make_defect("P1", recorded_at=Instant(AT + 50), outcome="defect")
    tested = make_defect("P2", recorded_at=Instant(AT + 60), outcome="ok", source="audit", defect_code="")
    old = make_defect("P3", recorded_at=Instant(AT + 1), outcome="ok", source="history")
    reviews = tuple(review(part, "anna", "ok", 1) for part in ("P1", "P2", "P3", "P4"))
    filled.take(reviews=(*reviews, review("P4", "bo", "defect", 2)), defects=(customer, tested, old))
    assert filled.quality.truths(*ALWAYS) == {
        "P1": (Instant(AT + 50), "defect"),
        "P2": (Instant(AT + 60), "ok"),
    }


def test_a_blind_part_is_hidden_from_whoever_has_not_said_what_it_is(filled: Filled) -> None:
    filled.take("P1", "P2")
    case = ("L1", "EOL", "P1", 1)
    assert filled.quality.hidden_from("anna", ["P1"]) == {case}
    assert filled.quality.hidden_from("anna", []) == set()
    filled.take(reviews=(review("P1", "bo", "unsure"),))
    assert filled.quality.hidden_from("bo", ["P1", "P2"]) == {case, ("L1", "EOL", "P2", 1)}
    assert not filled.quality.has_decided("bo", case)
    slip = review("P1", "anna", "ok", 3)
    filled.take(reviews=(slip, review("P1", "anna", "unsure", 4, slip.review_id)))
    assert filled.quality.has_decided("anna", case)
    assert filled.quality.hidden_from("anna", ["P1"]) == set(), "taken back, but seen"
    assert filled.quality.hidden_from("cy", ["P1"]) == {case}


def test_the_figures_are_for_qa_leads_and_name_nobody(live: Live) -> None:
    publish(live.log, live.settings, verdicts=[make_verdict("P1")])
    live.collected(1)
    with live.client("inspector") as anna, live.client("qa") as lead, live.client("engineer") as engineer:
        anna.post("/api/parts/P1/reviews", json={"outcome": "defect"})
        assert anna.get("/api/quality").status_code == 403
        assert anna.get("/quality").status_code == 403
        assert engineer.get("/quality").status_code == 403
        found = lead.get("/api/quality").json()
        assert (found["figures"]["decisions"], found["figures"]["groups"]) == (1, [])
        assert found["figures"]["two"] == {"value": None, "low": None, "high": None, "of": 0}
        page = lead.get("/quality").text
        assert "Cannot tell" in page
        assert "test-inspector" not in page
        assert "test-inspector" not in lead.get("/api/quality").text
        assert lead.get("/api/quality", params={"line": "L2"}).json()["figures"]["decisions"] == 0
        for wrong in ({"from": "yesterday"}, {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}):
            assert lead.get("/api/quality", params=wrong).status_code == 422
            assert 'role="alert"' in lead.get("/quality", params=wrong).text
        days = lead.get("/quality", params={"from": "2026-10-26", "to": "2026-10-27"}).text
        assert 'name="from" value="2026-10-26"' in days
        assert 'name="to" value="2026-10-27"' in days
        asked = lead.get("/api/quality", params={"from": "2026-10-26", "to": "2026-10-27"}).json()
        assert Instant.parse(asked["to"]) - Instant.parse(asked["from"]) == 2 * 86_400_000
        assert "0 % of parts are blind" in anna.get("/rules").text.replace("&lt; 0.1 %", "0 %")
