"""Decisions: once however often they are sent, taken back by their author, and with what the screen showed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.access.tokens import issue_token
from api.store.rows import Made
from ingest.log.seam import Record
from ingest.messages import Defect, json_decoder
from tests.api.conftest import Live, serve, until
from tests.api.factory import make_pass, make_verdict, publish, settings_at

PARTS = [f"P{number}" for number in range(10)]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Ten parts that wait, and one that passed."""
    with serve(settings_at(tmp_path_factory.mktemp("reviews") / "home")) as live:
        publish(live.log, live.settings, verdicts=[*(make_verdict(part) for part in PARTS), make_pass("PASSED")])
        live.collected(len(PARTS) + 1)
        yield live


def decide(client: httpx.Client, part: str, key: str = "", **asked: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"/api/parts/{part}/reviews", json={"outcome": "ok"} | asked, headers=headers)


def published(live: Live, part: str) -> list[tuple[Record, Defect]]:
    """What stands on `qc.defects` about a part."""
    reader = live.log.reader([live.settings.topic("defects")], "beginning")
    found: list[Record] = []
    while records := reader.poll(0.5):
        found += records
    reader.close()
    told = [(record, json_decoder(Defect).decode(record.body or b"")) for record in found]
    return [(record, defect) for record, defect in told if defect.part_id == part]


def state_of(client: httpx.Client, part: str) -> str:
    return str(client.get(f"/api/parts/{part}").json()["state"])


def test_a_decision_sent_ten_times_at_once_is_recorded_once(line: Live) -> None:
    with line.client("inspector") as client, ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: decide(client, "P0", "one-key", outcome="defect"), range(10)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["review"]["review_id"] for answer in answers}) == 1
    assert len(published(line, "P0")) == 1


def test_a_key_used_for_another_decision_is_refused_and_of_another_person_is_another_key(line: Live) -> None:
    with line.client("inspector") as client, line.client("qa") as other:
        first = decide(client, "P1", "again", outcome="defect")
        assert decide(client, "P1", "again", outcome="ok").status_code == 409
        assert decide(client, "P2", "again", outcome="defect").status_code == 409
        assert decide(other, "P2", "again").json()["review"]["review_id"] != first.json()["review"]["review_id"]


def test_a_decision_is_taken_back_once_and_the_part_waits_again(line: Live) -> None:
    with line.client("inspector") as client:
        review_id = decide(client, "P3", outcome="defect", defect_code="burr").json()["review"]["review_id"]
        assert state_of(client, "P3") == "done"
        answers = [client.post(f"/api/reviews/{review_id}/undo") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json()["next"] == "P3"
        assert state_of(client, "P3") == "open"
        said = [(defect.outcome, defect.comment) for _, defect in published(line, "P3")]
        assert said == [("defect", ""), ("unsure", "undone")]
        first, undo = (defect for _, defect in published(line, "P3"))
        assert (first.record_id, undo.undoes) == (review_id, review_id)
        decide(client, "P3")
        until(lambda: line.service.here.collector.state.lag_records == 0, "the collector")
        assert state_of(client, "P3") == "done"


def test_only_its_author_takes_a_decision_back_and_only_for_a_while(
    line: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line.client("inspector") as client, line.client("qa") as other, line.client("machine") as machine:
        review_id = decide(client, "P4").json()["review"]["review_id"]
        assert other.post(f"/api/reviews/{review_id}/undo").status_code == 403
        assert machine.post(f"/api/reviews/{review_id}/undo").status_code == 403
        assert client.post("/api/reviews/none/undo").status_code == 404
        monkeypatch.setattr("api.routes.reviews.UNDO_MS", -1)
        late = client.post(f"/api/reviews/{review_id}/undo")
        assert late.status_code == 409
        assert "decide again" in late.json()["error"]["message"]
        assert state_of(client, "P4") == "done"


def test_the_wrong_part_in_hand_leaves_the_case_open(line: Live) -> None:
    with line.client("inspector") as client:
        told = decide(client, "P5", outcome="wrong_part", comment="label of P6").json()["review"]
        assert (told["outcome"], told["comment"]) == ("unsure", "not the part shown: label of P6")
        assert state_of(client, "P5") == "open"


def test_a_part_that_passed_can_be_reported_defective(line: Live) -> None:
    with line.client("inspector") as client:
        assert decide(client, "PASSED", outcome="defect", defect_code="scratch").status_code == 201
        assert client.get("/api/parts/PASSED").json()["cases"][0]["outcome"] == "defect"
    ((_, defect),) = published(line, "PASSED")
    assert (defect.outcome, defect.source) == ("defect", "inspector")


def test_what_the_screen_showed_and_how_long_it_took_stays_with_the_decision(line: Live) -> None:
    with line.client("inspector") as client:
        shown = {"verdict_id": "L1/EOL/P6/1/1", "risk_shown": False}
        review_id = decide(client, "P6", took_ms=4200, shown=shown).json()["review"]["review_id"]
        assert decide(client, "P7", took_ms=-1).status_code == 422
        assert decide(client, "P7", took_ms=86_400_001).status_code == 422
    until(lambda: line.service.here.collector.state.lag_records == 0, "the collector")
    kept = line.service.here.reader.review(review_id)
    assert kept is not None
    verdict, plan = make_verdict("P6"), line.service.here.plan
    assert kept.made == Made(
        "L1/EOL/P6/1/1", "fusion 3", verdict.threshold, False, 4200, risk=verdict.risk, plan_sha256=plan.sha256
    )
    assert kept.made.model_said() == "defect"
    (record, _), *_ = published(line, "P6")
    assert '"took_ms":4200' in str(record.header("review"))


def test_a_person_with_two_tokens_is_one_author(line: Live) -> None:
    with line.client("inspector") as client:
        review_id = decide(client, "P8").json()["review"]["review_id"]
    again = issue_token(line.settings, "test-inspector", "inspector")
    with httpx.Client(base_url=line.base, headers={"Authorization": f"Bearer {again}"}) as client:
        assert client.post(f"/api/reviews/{review_id}/undo").status_code == 201


def test_the_limit_kept_with_a_decision_is_that_of_the_revision_on_the_screen(line: Live) -> None:
    shown, last = make_verdict("P9"), make_verdict("P9", revision=2, threshold=0.5)
    publish(line.log, line.settings, verdicts=[last])
    until(lambda: len(line.service.here.reader.part("P9").verdicts) == 2, "the revision")  # type: ignore[union-attr]
    with line.client("inspector") as client:
        told = {"verdict_id": shown.verdict_id, "risk_shown": True}
        review_id = decide(client, "P9", shown=told).json()["review"]["review_id"]
    kept = line.service.here.reader.review(review_id)
    assert kept is not None
    assert (kept.made.verdict_id, kept.made.threshold) == (shown.verdict_id, shown.threshold)
    assert shown.threshold != last.threshold
