"""Exercises: known parts shown as if new; what is said of them changes nothing but the figures, and is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.store.decisions import Said
from api.store.exercises import KNOWN_MAX, Exercise, ExerciseAnswer, ExerciseStore, KnownPart
from api.store.rows import Made
from ingest.messages import Instant
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_defect, make_findings, make_verdict, now, publish
from tests.api.test_blind import planned
from tests.api.test_reviews import published
from tests.api.test_shown_to_two import person

BOX = {"x": 1, "y": 1, "width": 9, "height": 9}
CASE = ("L1", "EOL", "K1", 1)


@pytest.fixture
def store(store_url: str) -> Iterator[ExerciseStore]:
    opened = ExerciseStore(store_url)
    yield opened
    opened.close()


def known(part: str = "K1", outcome: str = "defect", line: str = "L1") -> KnownPart:
    return KnownPart((line, "EOL", part, 1), outcome, "burr", "teardown", "quinn", Instant(1000))


def exercise(name: str, part: str = "K1") -> Exercise:
    return Exercise(name, ("L1", "EOL", part, 1), "P1", Instant(5000), False, Instant(6000))


def answered(name: str, part: str = "K1", answer_id: str = "a1") -> ExerciseAnswer:
    at = Instant(7000)
    return ExerciseAnswer(answer_id, ("L1", "EOL", part, 1), "P1", "defect", "ok", "", "", name, at, Made(seeded=True))


def test_a_known_part_is_kept_once_changed_and_shown_no_more(store: ExerciseStore) -> None:
    assert store.keep_known(known())
    assert store.keep_known(known(outcome="ok"))
    assert [one.outcome for one in store.known()] == ["ok"]
    assert store.drop_known(CASE)
    assert not store.drop_known(CASE)
    assert store.known() == []
    assert store.truth_of(CASE) is not None, "answers of before keep their truth"


def test_one_exercise_at_a_time_and_each_answer_once(store: ExerciseStore) -> None:
    store.keep_known(known())
    assert store.give(exercise("anna")) == exercise("anna")
    assert store.give(exercise("anna", "K2")) == exercise("anna"), "the one at work stays"
    store.answer(answered("anna"))
    store.answer(answered("anna"))
    assert store.exercise_of("anna") is None
    assert store.answered("a1") == answered("anna")
    assert store.has_answered_before("anna", "P1")
    assert not store.has_answered_before("bo", "P1")


def test_a_person_gets_each_known_part_of_his_line_once(store: ExerciseStore) -> None:
    for one in (known("K1"), known("K2"), known("K3", line="L2")):
        store.keep_known(one)
    store.answer(answered("anna"))
    assert [one.case[2] for one in store.unseen_by("anna", "L1")] == ["K2"]
    assert {one.case[2] for one in store.unseen_by("bo", "L1")} == {"K1", "K2"}


def test_there_is_a_limit_to_known_parts(store: ExerciseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KNOWN_MAX >= 100
    monkeypatch.setattr("api.store.exercises.KNOWN_MAX", 1)
    assert store.keep_known(known("K1"))
    assert not store.keep_known(known("K2"))
    assert store.keep_known(known("K1", "ok"))


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Two parts that wait, and two settled ones: of K1 the end-of-line test said defect, K2 one person said ok."""
    settings = planned(tmp_path_factory.mktemp("exercises") / "home", "known_share: 1.0")
    with serve(settings) as live:
        month_ago = Instant(now() - 30 * 86_400_000)
        old = [make_verdict(part, event_at=month_ago, decided_at=month_ago, batch_id="OLD") for part in ("K1", "K2")]
        new = [make_verdict("P1", risk=0.9), make_verdict("P2", risk=0.8)]
        tested = make_defect("K1", recorded_at=Instant(month_ago + 1000), source="audit", comment="opened up")
        publish(live.log, settings, verdicts=[*old, *new], defects=[tested])
        live.collected(4)
        until(lambda: live.service.here.reader.part("K1").defects, "the label")  # type: ignore[union-attr]
        yield live


def test_a_qa_lead_marks_what_is_finished_and_sure(plant: Live) -> None:
    with person(plant, "quinn", "qa") as lead, person(plant, "anna") as anna:
        assert anna.post("/api/known", json={"part_id": "K1", "reason": "x"}).status_code == 403
        assert anna.get("/api/known").status_code == 403
        assert lead.post("/api/known", json={"part_id": "P1", "reason": "x"}).status_code == 409, "it waits"
        lead.post("/api/parts/K2/reviews", json={"outcome": "ok"})
        refused = lead.post("/api/known", json={"part_id": "K2", "reason": "x"})
        assert refused.status_code == 409
        assert "two people who agree" in refused.json()["error"]["message"]
        assert lead.post("/api/known", json={"part_id": "nothing", "reason": "x"}).status_code == 404
        made = lead.post("/api/known", json={"part_id": "K1", "reason": "teardown report 17"})
        assert made.status_code == 201
        assert made.json()["outcome"] == "defect"
        assert [one["part_id"] for one in lead.get("/api/known").json()["items"]] == ["K1"]


def test_an_exercise_comes_before_a_drawn_part_looks_new_and_changes_nothing(plant: Live) -> None:
    here = plant.service.here
    before = here.reader.part("K1")
    assert before is not None
    labels = published(plant, "K1")
    with person(plant, "anna") as anna, person(plant, "quinn", "qa") as lead:
        assert anna.get("/api/next").json() == {"part_id": "K1", "gate_id": "EOL"}
        assert anna.get("/api/next").json()["part_id"] == "K1", "asked again, the same"
        page, told = anna.get("/parts/K1").text, anna.get("/api/parts/K1").json()
        for word in ("opened up", "audit:", "teardown"):
            assert word not in page
        assert (told["state"], told["reviews"], told["evidence"]["defects"]) == ("open", [], [])
        seen_at = Instant.parse(told["verdicts"][0]["event_at"])
        assert now() - seen_at < 86_400_000, "as old as the part it stands before"
        assert anna.post("/api/parts/K1/hold").json()["mine"]
        answer = anna.post(
            "/api/parts/K1/reviews", json={"outcome": "ok", "took_ms": 900}, headers={"Idempotency-Key": "k"}
        )
        assert answer.status_code == 201
        said = answer.json()["told"]
        assert (said["kind"], said["said"], said["truth"], said["reason"]) == (
            "known",
            "ok",
            "defect",
            "teardown report 17",
        )
        assert answer.json()["next"] == "P2", "quinn holds P1"
        again = anna.post("/api/parts/K1/reviews", json={"outcome": "ok"}, headers={"Idempotency-Key": "k"})
        assert again.json()["review"] == answer.json()["review"]
        assert anna.get("/api/parts/K1").json()["state"] == "done", "now the part as it is"
        assert lead.get("/api/next").json()["part_id"] == "P1", "QA leads get no exercises"
    assert here.reader.part("K1") == before
    assert published(plant, "K1") == labels, "nothing is published that anybody could learn from"
    report = here.reader.batch_reviews("OLD")
    assert [one.defect.recorded_by for one in report if one.defect.part_id == "K1"] == []
    assert [one.by for one in here.quality.decisions(Instant(0), now()).rows() if one.said & Said.SEEDED] == ["anna"]


def test_a_mark_that_cannot_be_meant_is_refused_as_of_any_part(plant: Live) -> None:
    marked = {"outcome": "ok", "marks": [{"camera_id": "top", "frame_id": "f", "box": BOX}]}
    with person(plant, "eve") as eve:
        assert plant.service.here.exercises.give(Exercise("eve", CASE, "P2", now(), False, now())).case == CASE
        for outcome in ("ok", "defect"):  # no defect; no such frame
            answer = eve.post("/api/parts/K1/reviews", json=marked | {"outcome": outcome})
            assert (answer.status_code, "mark" in answer.json()["error"]["message"]) == (422, True)
        plant.service.here.exercises.cancel("eve")


def test_after_an_exercise_the_part_itself_can_be_reported(plant: Live) -> None:
    with person(plant, "anna") as anna:
        real = anna.post("/api/parts/K1/reviews", json={"outcome": "defect", "defect_code": "burr"})
        assert real.json()["told"] is None
        assert len(published(plant, "K1")) == 2


def test_a_part_that_comes_back_is_no_exercise_any_more(plant: Live) -> None:
    here = plant.service.here
    with person(plant, "cy") as cy, person(plant, "quinn", "qa") as lead:
        lead.post("/api/known", json={"part_id": "K1", "reason": "teardown"})
        begun = Exercise("cy", CASE, "P2", now(), True, now())
        assert here.exercises.give(begun) == begun
        assert cy.get("/api/parts/K1").json()["state"] == "open"
        publish(plant.log, plant.settings, verdicts=[make_verdict("K1", attempt=2)])
        until(lambda: len(here.reader.part("K1").cases) == 2, "the second attempt")  # type: ignore[union-attr]
        told = cy.get("/api/parts/K1").json()
        assert [case["attempt"] for case in told["cases"]] == [2, 1]
        assert here.exercises.exercise_of("cy") is None
        assert cy.post("/api/parts/K1/reviews", json={"outcome": "defect"}).json()["told"] is None
        assert len(published(plant, "K1")) == 3


def test_a_known_part_whose_pictures_are_gone_is_none_to_show(plant: Live) -> None:
    here = plant.service.here
    publish(plant.log, plant.settings, findings=[make_findings("K2", frame_ref="frames/gone.png")])
    until(lambda: here.reader.findings("K2"), "the findings")
    with person(plant, "dora") as dora:
        here.exercises.drop_known(CASE)
        here.exercises.keep_known(known("K2"))
        assert dora.get("/api/next").json()["part_id"] != "K2"
        assert here.exercises.exercise_of("dora") is None
