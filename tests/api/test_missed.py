"""A defect on a part that no gate has judged: recorded once, published, settling the verdict that comes, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import Live, serve, until
from tests.api.factory import make_pass, make_verdict, make_visit, now, publish, settings_at


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(Path(tmp_path_factory.mktemp("missed")) / "home")) as served:
        publish(served.log, served.settings, production=[make_visit(f"P{n}") for n in range(4)])
        until(lambda: served.service.here.reader.part("P3"), "the visits in the store")
        yield served


def outcomes(live: Live, part_id: str) -> list[tuple[str, str | None]]:
    record = live.service.here.reader.part(part_id)
    assert record is not None
    return [(case.state, case.outcome) for case in record.cases]


def test_it_is_recorded_once_however_often_it_is_sent_and_published(live: Live) -> None:
    report = {"defect_code": "burr", "comment": "on the edge"}
    with live.client("inspector") as anna:
        sent = [anna.post("/api/parts/P0/missed", json=report, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert [one.status_code for one in sent] == [201, 201]
        assert sent[0].json()["review"] == sent[1].json()["review"]
        assert (sent[0].json()["review"]["outcome"], sent[0].json()["review"]["gate_id"]) == ("defect", "")
        other = anna.post("/api/parts/P0/missed", json={"defect_code": "crack"}, headers={"Idempotency-Key": "k"})
        assert other.status_code == 409
        told = anna.get("/api/parts/P0").json()
        assert len(told["reviews"]) == 1
        found = lambda: live.service.here.reader.part("P0").defects  # type: ignore[union-attr]  # noqa: E731
        until(lambda: [one.comment for one in found()] == ["on the edge"], "the record, once, from the log")
        page = anna.get("/parts/P0").text
        assert "before any verdict" in page


def test_the_verdict_that_comes_finds_it_settled(live: Live) -> None:
    before = now()
    with live.client("inspector") as anna:
        assert anna.post("/api/parts/P1/missed", json={"defect_code": "burr"}).status_code == 201
        publish(live.log, live.settings, verdicts=[make_verdict("P1", event_at=before)])
        until(lambda: outcomes(live, "P1") == [("done", "defect")], "the case settled by what was reported before it")
        again = anna.post("/api/parts/P1/missed", json={"defect_code": "burr"})
        assert again.status_code == 409
        assert "has been judged" in again.json()["error"]["message"]


def test_taken_back_it_is_as_if_it_had_never_been_said(live: Live) -> None:
    before = now()
    with live.client("inspector") as anna:
        report = anna.post("/api/parts/P2/missed", json={}).json()["review"]["review_id"]
        publish(live.log, live.settings, verdicts=[make_verdict("P2", event_at=before), make_pass("P3")])
        until(lambda: outcomes(live, "P2") == [("done", "defect")], "the settled case")
        assert anna.post(f"/api/reviews/{report}/undo").status_code == 201
        until(lambda: outcomes(live, "P2") == [("open", None)], "the case to be open again")


def test_who_may_not_decide_may_not_report_and_nobody_reports_what_was_never_seen(live: Live) -> None:
    with live.client("engineer") as engineer, live.client("inspector") as anna:
        assert engineer.post("/api/parts/P3/missed", json={}).status_code == 403
        assert anna.post("/api/parts/never/missed", json={}).status_code == 404
        assert anna.post("/api/parts/P3/missed", json={"outcome": "ok"}).status_code == 422
