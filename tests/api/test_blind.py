"""Blind parts: what the model says stays on the server until whoever looks has decided; the draw knows no risk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.agreement.blind import EVERYTHING, is_audited, shown_to
from api.agreement.draw import Draw
from api.store.exercises import ExerciseStore
from api.store.queue import QueueFilter, QueueStore
from api.store.rows import Case, Harvest, Person
from api.store.write import StoreWriter
from ingest.errors import BadInput
from ingest.messages import Instant, Verdict, encode
from ingest.plan.file import load_plan
from ingest.plan.plan import Reviews
from tests.api.conftest import Live, serve, until
from tests.api.factory import PLAN, keep_evidence, make_findings, make_pass, make_verdict, now, publish, settings_at

CASES = [("L1", "EOL", f"P{number}", 1) for number in range(4000)]
MODELS_WORDS = ("0.8731", "tool_id=T7", "risk_over_threshold", "3.1 times the rate", '"burr"', "87 %")


def planned(home: Path, reviews: str) -> Any:
    """Settings of a plant whose plan says how its people's judgement is audited."""
    settings = settings_at(home)
    Path(settings.plan).write_text(PLAN + f"reviews: {{{reviews}}}\n")
    return settings


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A plant where every part that waits is shown blind."""
    settings = planned(tmp_path_factory.mktemp("blind") / "home", "blind_share: 1.0")
    with serve(settings) as live:
        frame, heat, exhibit = keep_evidence(settings, "P1")
        seen = make_findings("P1", frame_ref=frame, heatmap_ref=heat)
        flagged = [make_verdict(part, evidence_ref=exhibit) for part in ("P1", "P2", "P3", "P4")]
        publish(live.log, settings, findings=[seen], verdicts=[*flagged, make_pass("PASSED")])
        live.collected(5)
        yield live


def says_nothing(text: str) -> bool:
    """Does a text hold none of what the model says of these parts?"""
    return not any(word in text for word in MODELS_WORDS)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20), st.integers(1, 9), st.binary(min_size=1))
def test_a_draw_depends_on_the_key_and_the_case_alone(line: str, part: str, attempt: int, key: bytes) -> None:
    case = (line, "EOL", part, attempt)
    one, other = (Draw(key, Reviews(blind_share=share, second_share=share)) for share in (0.2, 0.6))
    same = Draw(key, Reviews(blind_share=0.2, second_share=0.2))
    assert (one.is_blind(line, part), one.people_wanted(case)) == (same.is_blind(line, part), same.people_wanted(case))
    assert other.is_blind(line, part) or not one.is_blind(line, part), "with a larger share what was drawn stays drawn"
    assert other.people_wanted(case) >= one.people_wanted(case)
    assert Draw(key, Reviews(blind_share=1.0)).is_blind(line, part)
    assert not Draw(key, Reviews()).is_blind(line, part)


def test_the_share_is_held_and_the_draws_know_nothing_of_each_other() -> None:
    draw = Draw(b"key", Reviews(blind_share=0.1, second_share=0.1, known_share=0.1))
    blind = {case for case in CASES if draw.is_blind(case[0], case[2])}
    twice = {case for case in CASES if draw.people_wanted(case) == 2}
    known = {case for case in CASES if draw.has_exercise_before(case)}
    for drawn in (blind, twice, known):
        assert 310 < len(drawn) < 490  # four standard deviations around 400
    for both in (blind & twice, blind & known, twice & known):
        assert 15 < len(both) < 66
    another = Draw(b"another", draw.shares)
    assert blind != {case for case in CASES if another.is_blind(case[0], case[2])}


@pytest.mark.parametrize("wrong", ["blind_share: 1.5", "second_share: -0.1", "known_share: much", "blind: 0.1"])
def test_a_plan_with_a_share_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    settings = planned(tmp_path / "home", wrong)
    with pytest.raises(BadInput, match=r"plan\.yaml:\d+: .*(share|blind)"):
        load_plan(settings.plan)


def test_the_key_is_made_once_for_every_process_on_a_store(store_url: str) -> None:
    stores = [ExerciseStore(store_url) for _ in range(2)]
    keys = {store.drawing_key() for store in stores}
    for store in stores:
        store.close()
    (key,) = keys
    assert len(key) == 32


def case_of(**changes: Any) -> Case:
    told = {"row_id": 1, "revision": 1, "batch_id": "B", "product": "", "decision": "review", "risk": 0.5}
    told |= {"event_at": Instant(0), "state": "open", "outcome": None, "blind": True}
    return Case("L1", "EOL", "P1", 1, **(told | changes))


def test_only_inspectors_are_blindfolded_and_only_until_they_have_decided() -> None:
    inspector = Person("anna", "inspector")
    assert not shown_to(inspector, case_of(), decided=False).model
    assert shown_to(inspector, case_of(), decided=True) == EVERYTHING
    assert shown_to(inspector, case_of(state="done", outcome="ok"), decided=False) == EVERYTHING
    assert shown_to(inspector, case_of(blind=False), decided=False) == EVERYTHING
    for role in ("qa", "engineer", "admin", "machine"):
        assert shown_to(Person("bo", role), case_of(), decided=False) == EVERYTHING
        assert not is_audited(Person("bo", role))


def waiting(url: str, *verdicts: Verdict, shares: Reviews) -> list[tuple[str, float]]:
    """The queue of a store that has collected these, as an inspector gets it."""
    writer, queue = StoreWriter(url, "one", Draw(b"key", shares)), QueueStore(url)
    writer.apply(Harvest(verdicts=tuple((one, encode(one).decode()) for one in verdicts)), now())
    found = queue.page(QueueFilter(inspector="anna"), now(), 100)
    writer.close()
    queue.close()
    return [(one.part_id, one.blind) for one in found]


def test_the_order_of_the_queue_does_not_tell_a_blind_parts_risk(store_url: str) -> None:
    shares = Reviews(blind_share=0.5)
    verdicts = [make_verdict(part, risk=risk) for part, risk in (("Q1", 0.2), ("Q2", 0.9), ("Q3", 0.4), ("Q4", 0.7))]
    verdicts += [make_verdict(f"R{number}", risk=number / 20) for number in range(20)]
    found = waiting(store_url, *verdicts, shares=shares)
    hidden = [part for part, is_blind in found if is_blind]
    assert 2 < len(hidden) < 22
    assert hidden == [part for part, _ in found[: len(hidden)]], "blind parts stand in front, as if nobody knew a risk"
    assert hidden == [one.part_id for one in verdicts if one.part_id in hidden], "among each other in their own order"


def test_a_revision_changes_nothing_of_what_was_drawn(store_url: str) -> None:
    first, later = make_verdict("P1", risk=0.3), make_verdict("P1", risk=0.9, revision=2)
    assert waiting(store_url, first, shares=Reviews(blind_share=1.0)) == [("P1", True)]
    assert waiting(store_url, later, shares=Reviews()) == [("P1", True)]


def test_an_inspector_gets_none_of_what_the_model_says_before_he_has_decided(blind: Live) -> None:
    with blind.client("inspector") as client:
        page = client.get("/parts/P1")
        assert page.status_code == 200
        assert says_nothing(page.text)
        assert 'data-risk-shown="0"' in page.text
        assert "Your own eyes first" in page.text
        assert 'class="boxes" preserveAspectRatio="none"></svg>' in page.text
        (frame,) = client.get("/api/parts/P1").json()["evidence"]["frames"]
        assert (frame["findings"]["score"], frame["findings"]["boxes"], frame["has_heatmap"]) == (None, [], False)
        for path in ("/api/parts/P1", "/api/queue", "/api/verdicts", "/api/verdicts?state=open"):
            assert says_nothing(client.get(path).text), path
            assert client.get(path).status_code == 200
        frames = f"/api/parts/P1/frames/{frame['frame_id']}"
        assert client.get(frames).status_code == 200
        assert client.get(frames + "/heatmap").status_code == 404
        assert client.get("/api/thumbnails/P1").status_code == 200


def test_a_filter_by_what_the_model_says_does_not_tell_by_who_stays_away(blind: Live) -> None:
    with blind.client("inspector") as client, blind.client("qa") as lead:
        for cause in ("tool_id=T7", "tool_id=T8"):
            found = client.get("/api/queue", params={"cause": cause}).json()["items"]
            assert {one["verdict"]["part_id"] for one in found} >= {"P2", "P3"}
            assert client.get("/api/verdicts", params={"cause": cause, "state": "open"}).json()["items"] == []
        assert lead.get("/api/queue", params={"cause": "tool_id=T8"}).json()["items"] == []
        assert len(lead.get("/api/verdicts", params={"cause": "tool_id=T7", "state": "open"}).json()["items"]) >= 2


def events(client: httpx.Client, wanted: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with client.stream("GET", "/api/verdicts/stream", params={"after": "0"}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
                if len(found) == wanted:
                    break
    return found


def test_the_stream_tells_an_inspector_nothing_of_blind_parts_and_a_machine_everything(blind: Live) -> None:
    with blind.client("inspector") as client:
        told = events(client, 5)
        assert [one["part_id"] for one in told] == ["P1", "P2", "P3", "P4", "PASSED"]
        assert [one.get("blind") for one in told] == [True, True, True, True, None]
        assert says_nothing(json.dumps(told[:4]))
    with blind.client("machine") as client:
        assert [one["risk"] for one in events(client, 5)] == [0.8731] * 4 + [0.004]


def test_those_who_answer_for_quality_and_machines_get_what_the_contract_says(blind: Live) -> None:
    for role in ("qa", "engineer", "admin", "machine"):
        with blind.client(role) as client:
            assert client.get("/api/parts/P3").json()["verdicts"][0]["risk"] == 0.8731
            listed = client.get("/api/verdicts", params={"state": "open"}).json()["items"]
            assert all(one["risk"] == 0.8731 and "blind" not in one for one in listed)


def test_whoever_has_decided_is_told_what_the_model_said_and_sees_the_part_with_it(blind: Live) -> None:
    with blind.client("inspector") as client:
        shown = {"verdict_id": "L1/EOL/P2/1/1", "risk_shown": True}  # whatever a screen claims
        answer = client.post("/api/parts/P2/reviews", json={"outcome": "ok", "shown": shown}).json()
        told = answer["told"]
        assert (told["kind"], told["said"], told["model_said"], told["risk"]) == ("blind", "ok", "defect", 0.8731)
        assert "tool_id=T7" in told["causes"]
        assert "87 %" in client.get("/parts/P2").text
        review_id = answer["review"]["review_id"]
        kept = blind.service.here.reader.review(review_id)
        assert kept is not None
        assert (kept.made.blind, kept.made.risk_shown, kept.made.risk) == (True, False, 0.8731)
        client.post(f"/api/reviews/{review_id}/undo")
        again = client.post("/api/parts/P2/reviews", json={"outcome": "defect", "shown": shown}).json()
        assert again["told"] is None
        kept = blind.service.here.reader.review(again["review"]["review_id"])
        assert kept is not None
        assert (kept.made.blind, kept.made.risk_shown) == (False, True), "what he has seen he has seen"


def test_unsure_is_no_key_to_what_the_model_says(blind: Live) -> None:
    with blind.client("inspector") as client:
        for outcome in ("unsure", "wrong_part"):
            answer = client.post("/api/parts/P4/reviews", json={"outcome": outcome}).json()
            assert answer["told"] is None
            assert says_nothing(client.get("/parts/P4").text)


def test_a_part_that_passed_is_no_secret(blind: Live) -> None:
    until(lambda: blind.service.here.reader.part("PASSED"), "the part")
    with blind.client("inspector") as client:
        assert client.get("/api/parts/PASSED").json()["verdicts"][0]["risk"] == 0.004
