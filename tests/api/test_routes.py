"""The HTTP contract over real HTTP, on a store that the real collector filled from a real log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.store.read import StoreReader
from ingest.log.seam import Log
from ingest.messages import Defect, Instant, Order, encode, json_decoder
from ingest.settings import Settings
from tests.api.conftest import Live, until
from tests.api.factory import keep_evidence, make_defect, make_findings, make_pass, make_verdict, make_visit, publish

PART = "P/100 ä"  # an id is other people's text


@pytest.fixture(scope="module")
def filled(live: Live) -> Live:
    frame_ref, heatmap_ref, evidence_ref = keep_evidence(live.settings, "P100")
    seen = make_findings(PART, frame_id="top@1", frame_ref=frame_ref, heatmap_ref=heatmap_ref)
    publish(
        live.log,
        live.settings,
        production=[make_visit(PART), make_visit("P101", batch_id="B78")],
        findings=[seen, make_findings(PART, frame_id="top@2")],
        defects=[make_defect(PART, source="history")],
        verdicts=[
            make_verdict(PART, evidence_ref=evidence_ref),
            make_pass("P101", batch_id="B78"),
            make_verdict("P102", decision="cannot_tell", revision=1, reasons=["deadline_missed"]),
            make_verdict("P102", revision=2, evidence_ref="evidence/gone.json"),
        ],
    )
    live.collected(4)

    def evidence_there() -> bool:
        record = live.service.here.reader.part(PART)
        return record is not None and len(record.findings) == 2 and bool(record.defects) and bool(record.visits)

    until(evidence_there, "the evidence in the store")
    return live


def error_of(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "detail"}
    error: dict[str, Any] = body["error"]
    return error


def test_items_are_the_bodies_as_they_stood_on_the_log_last_revision_first(filled: Live) -> None:
    with filled.client("inspector") as client:
        listed = client.get("/api/verdicts", params={"limit": 2}).json()
        assert [(one["part_id"], one["revision"]) for one in listed["items"]] == [("P102", 2), ("P102", 1)]
        rest = client.get("/api/verdicts", params={"limit": 2, "cursor": listed["next"]}).json()
        assert {one["part_id"] for one in rest["items"]} == {PART, "P101"}
        assert rest["next"] is None


def test_filters_work_over_http(filled: Live) -> None:
    with filled.client("machine") as client:

        def parts(**query: str) -> set[str]:
            return {one["part_id"] for one in client.get("/api/verdicts", params=query).json()["items"]}

        assert parts(decision="pass") == {"P101"}
        assert parts(decision="review,cannot_tell", state="open") == {PART, "P102"}
        assert parts(state="done") == {"P101"}
        assert parts(batch_id="B78") == {"P101"}
        assert parts(cause="tool_id=T7") == {PART, "P102"}
        assert parts(line_id="L2") == set()
        assert parts(since="2000-01-01T00:00:00Z") == {PART, "P101", "P102"}
        assert parts(since="2100-01-01T00:00:00+01:00") == set()


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "cursor=x", "since=yesterday", "state=maybe", "decision=scrap"],
)
def test_a_wrong_query_is_answered_422_in_the_one_shape(filled: Live, query: str) -> None:
    with filled.client("admin") as client:
        answer = client.get(f"/api/verdicts?{query}")
        assert answer.status_code == 422
        assert query.split("=")[0] in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/parts/none", 404, "not_found"),
        ("GET", "/api/parts/P101/frames/none", 404, "not_found"),
        ("GET", "/api/batches/none/report", 404, "not_found"),
        ("GET", "/api/batches/B77/report?format=pdf", 501, "not_there_yet"),
        ("DELETE", "/api/verdicts", 405, "method_not_allowed"),
        ("POST", "/api/models/fusion/1/promote", 404, "not_found"),
        ("GET", "/static/none.js", 404, "not_found"),
    ],
)
def test_every_error_has_the_one_shape(filled: Live, method: str, path: str, status: int, code: str) -> None:
    with filled.client("admin") as client:
        answer = client.request(method, path)
        assert answer.status_code == status
        assert error_of(answer)["code"] == code


def test_a_part_shows_all_evidence_verdicts_causes_and_reviews(filled: Live) -> None:
    with filled.client("qa") as client:
        part = client.get(f"/api/parts/{PART.replace('ä', '%C3%A4')}").json()
    assert part["part_id"] == PART
    assert part["state"] == "open"
    assert [one["cause"] for one in part["causes"]] == ["tool_id=T7", "OP20.spindle_current_a"]
    evidence = part["evidence"]
    assert evidence["summary"]["present"] == ["camera:top", "sensors:OP20"]
    assert evidence["visits"][0]["attributes"]["tool_id"] == "T7"
    assert {frame["frame_id"]: frame["has_picture"] for frame in evidence["frames"]} == {"top@1": True, "top@2": False}
    assert len(evidence["curves"]["OP20"]["spindle_current_a"]["golden_low"]) == 64
    assert evidence["features"] == {"OP20.spindle_current_a.mean": 4.6}
    assert evidence["defects"][0]["source"] == "history"


def test_evidence_that_is_no_longer_kept_leaves_the_rest_of_the_part(filled: Live) -> None:
    with filled.client("qa") as client:
        part = client.get("/api/parts/P102").json()
    assert part["evidence"]["curves"] == {}
    assert [one["revision"] for one in part["verdicts"]] == [2, 1]


def test_frames_and_heatmaps_are_pictures(filled: Live) -> None:
    with filled.client("inspector") as client:
        frame = client.get(f"/api/parts/{PART}/frames/top@1")
        heatmap = client.get(f"/api/parts/{PART}/frames/top@1/heatmap")
        thumbnail = client.get(f"/api/thumbnails/{PART}")
        asked = client.head(f"/api/thumbnails/{PART}")
        assert client.get(f"/api/parts/{PART}/frames/top@2").status_code == 404
    assert frame.headers["content-type"] == heatmap.headers["content-type"] == "image/png"
    assert frame.content[:4] == b"\x89PNG"
    assert frame.content != heatmap.content
    assert thumbnail.content == frame.content
    assert (asked.status_code, asked.content, asked.headers["etag"]) == (200, b"", thumbnail.headers["etag"])


def test_a_frame_reference_cannot_leave_the_blobs(filled: Live) -> None:
    publish(filled.log, filled.settings, findings=[make_findings("PX", frame_id="f", frame_ref="../plan.yaml")])
    until(lambda: filled.service.here.reader.findings("PX"), "the findings")
    with filled.client("admin") as client:
        gone = client.get("/api/parts/PX/frames/f")
        assert (gone.status_code, gone.headers["cache-control"]) == (410, "no-store"), "a copy may bring it back"
        assert client.get("/api/thumbnails/PX").status_code == 410


def test_a_browser_that_has_a_picture_is_not_sent_it_again(filled: Live) -> None:
    frame_ref, heatmap_ref, _ = keep_evidence(filled.settings, "PE")
    seen = make_findings("PE", frame_id="f", frame_ref=frame_ref, heatmap_ref=heatmap_ref)
    publish(filled.log, filled.settings, findings=[seen])
    until(lambda: filled.service.here.reader.findings("PE"), "the findings")
    with filled.client("inspector") as client:
        first = client.get("/api/parts/PE/frames/f")
        tag = first.headers["etag"]
        again = client.get("/api/parts/PE/frames/f", headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        for known in ("*", f"W/{tag}", f'W/"x",W/{tag}'):
            assert client.get("/api/parts/PE/frames/f", headers={"If-None-Match": known}).status_code == 304
        other = client.get("/api/parts/PE/frames/f/heatmap", headers={"If-None-Match": tag})
        assert other.status_code == 200
        assert first.headers["cache-control"].startswith("private")


def test_the_head_of_a_picture_is_its_answer_without_it(filled: Live) -> None:
    with filled.client("inspector") as client:
        for path in (f"/api/parts/{PART}/frames/top@1", f"/api/parts/{PART}/frames/top@1/heatmap"):
            whole, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            for name in ("etag", "content-type", "content-length"):
                assert head.headers[name] == whole.headers[name]


def test_a_picture_that_was_written_anew_is_sent_and_one_that_retention_took_is_gone(filled: Live) -> None:
    ref, _, _ = keep_evidence(filled.settings, "PG")
    publish(filled.log, filled.settings, findings=[make_findings("PG", frame_id="f", frame_ref=ref)])
    until(lambda: filled.service.here.reader.findings("PG"), "the findings")
    with filled.client("inspector") as client:
        tag = client.get("/api/parts/PG/frames/f").headers["etag"]
        filled.service.here.blobs.put(ref, b"\x89PNG\r\n\x1a\n other")
        again = client.get("/api/parts/PG/frames/f", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (200, b"\x89PNG\r\n\x1a\n other")
        (Path(filled.settings.blobs) / ref).unlink()
        for known in ({}, {"If-None-Match": again.headers["etag"]}):
            gone = client.get("/api/parts/PG/frames/f", headers=known)
            assert gone.status_code == 410
            assert error_of(gone)["code"] == "gone"
            assert "400 days" in error_of(gone)["message"]


def on_topic(log: Log, settings: Settings, topic: str) -> list[tuple[bytes, bytes]]:
    reader = log.reader([settings.topic(topic)], "beginning")
    found = []
    while records := reader.poll(0.5):
        found += [(record.key or b"", record.body or b"") for record in records]
    reader.close()
    return found


def test_a_review_is_recorded_shown_and_published(filled: Live) -> None:
    publish(filled.log, filled.settings, verdicts=[make_verdict("P200", audit=True), make_verdict("P201")])
    filled.collected(6)
    asked = {"gate_id": "EOL", "outcome": "defect", "defect_code": "burr", "cause_code": "tool_id=T7", "comment": "ä"}
    with filled.client("inspector") as client:
        answer = client.post("/api/parts/P200/reviews", json=asked)
        assert answer.status_code == 201
        assert answer.json()["next"] is not None
        part = client.get("/api/parts/P200").json()
        assert part["state"] == "done"
        (review,) = part["reviews"]
        assert {name: review[name] for name in asked} == asked
        assert (review["source"], review["recorded_by"]) == ("audit", "test-inspector")
        waiting = {one["part_id"] for one in client.get("/api/verdicts?state=open").json()["items"]}
        assert "P200" not in waiting
        assert "P201" in waiting
        assert client.post("/api/parts/P201/reviews", json={"outcome": "ok"}).json()["review"]["source"] == "inspector"
    records = [
        (key, json_decoder(Defect).decode(body)) for key, body in on_topic(filled.log, filled.settings, "defects")
    ]
    ((key, defect),) = [(key, defect) for key, defect in records if defect.part_id == "P200"]
    assert key == b"L1"
    assert (defect.outcome, defect.source, defect.cause_code, defect.comment) == ("defect", "audit", "tool_id=T7", "ä")
    # What the collector reads back from the log is the same review, not a second one.
    until(lambda: filled.service.here.collector.state.lag_records == 0, "the collector to catch up")
    reader = StoreReader(filled.settings.store)
    record = reader.part("P200")
    reader.close()
    assert record is not None
    assert len(record.reviews) == len(record.defects) == 1


@pytest.mark.parametrize(
    ("part", "body", "status"),
    [
        ("none", {"outcome": "ok"}, 404),
        ("P101", {"outcome": "ok", "gate_id": "MID"}, 404),
        ("P101", {"outcome": "scrap"}, 422),
        ("P101", {"outcome": "ok", "comment": "a\0b"}, 422),
        ("P%00", {"outcome": "ok"}, 422),
        ("P101", {}, 422),
        ("P101", {"outcome": "ok", "colour": "red"}, 422),
        ("P101", {"outcome": "ok", "comment": "x" * 5000}, 422),
        ("P101", {"outcome": "ok", "comment": "x" * 600_000}, 413),
    ],
)
def test_a_review_that_cannot_be_meant_is_refused(filled: Live, part: str, body: dict[str, str], status: int) -> None:
    with filled.client("inspector") as client:
        answer = client.post(f"/api/parts/{part}/reviews", json=body)
        assert answer.status_code == status
        error_of(answer)


def test_an_order_is_published_and_shown(filled: Live) -> None:
    with filled.client("qa") as client:
        assert client.get("/api/control/mode").json()["mode"] == "auto"
        order = client.post("/api/control/mode", json={"mode": "manual", "line_id": "L1", "reason": "drill"})
        assert order.status_code == 202

        def modes() -> dict[str, str]:
            return {line["line_id"]: line["mode"] for line in client.get("/api/control/mode").json()["lines"]}

        until(lambda: modes() == {"L1": "manual", "L2": "auto"}, "the order to be shown")
        client.post("/api/control/mode", json={"mode": "manual"})
        until(lambda: modes() == {"L1": "manual", "L2": "manual"}, "every line to stop")
        client.post("/api/control/mode", json={"mode": "auto"})
        until(lambda: modes() == {"L1": "auto", "L2": "auto"}, "every line to go on")
        assert client.post("/api/control/mode", json={"mode": "manual", "line_id": "L9"}).status_code == 404
        actions = [entry["action"] for entry in client.get("/api/audit").json()["items"]]
    assert actions[:3] == ["mode_auto", "mode_manual", "mode_manual"]
    key, body = on_topic(filled.log, filled.settings, "control")[0]
    order_read = json_decoder(Order).decode(body)
    assert (key, order_read.mode, order_read.by, order_read.reason) == (b"L1", "manual", "test-qa", "drill")


def test_containment_names_every_exposed_part(filled: Live) -> None:
    with filled.client("qa") as client:
        found = client.get("/api/containment", params={"cause": "tool_id=T7"}).json()
        assert found["parts"] == 2
        assert {visit["part_id"] for visit in found["items"]} == {PART, "P101"}
        assert client.get("/api/containment", params={"cause": "tool_id=T8"}).json()["parts"] == 0
        assert client.get("/api/containment", params={"cause": "burr"}).status_code == 422
        assert client.get("/api/containment", params={"cause": "operator_id=7"}).status_code == 403
        assert client.get("/api/containment", params={"cause": "operator_id=7 & tool_id=T7"}).status_code == 403
        page = client.get("/api/containment", params={"cause": "tool_id=T7", "limit": 1}).json()
        rest = client.get("/api/containment", params={"cause": "tool_id=T7", "limit": 1, "cursor": page["next"]}).json()
        assert page["parts"] == rest["parts"] == 2
        assert {page["items"][0]["part_id"], rest["items"][0]["part_id"]} == {PART, "P101"}
        assert rest["next"] is None


def test_batches_and_their_report(filled: Live) -> None:
    with filled.client("qa") as client:
        listed = {one["batch_id"]: one for one in client.get("/api/batches").json()["items"]}
        assert listed["B78"]["passed"] == listed["B78"]["parts_made"] == 1
        report = client.get("/api/batches/B78/report").json()
        assert (report["parts_made"], report["parts_judged"], report["open_points"]) == (1, 1, [])
        page = client.get("/api/batches/B78/report?format=html")
        assert page.headers["content-type"].startswith("text/html")
        assert "Nothing is open" in page.text
        assert client.get("/api/batches/B78/report?format=csv").text.splitlines()[1].startswith("B78,P101,EOL,")


def test_the_lesser_routes_answer(filled: Live) -> None:
    with filled.client("admin") as client:
        assert client.get("/api/models").json() == {"items": [], "next": None}
        assert isinstance(client.get("/api/incidents").json()["items"], list)
        oversight = client.get("/api/oversight").json()
        assert oversight["owners"]["stop"] == "shift.lead"
        assert oversight["constraints"]["forbidden_causes"] == ["operator_id"]
        paths = client.get("/api/openapi.json").json()["paths"]
        assert {"/healthz", "/readyz", "/api/verdicts", "/api/control/mode"} <= set(paths)
        metrics = client.get("/metrics").text
    assert "qcfuse_collected_verdicts_total" in metrics
    assert 'qcfuse_http_requests_total{method="GET",status="200"}' in metrics


def test_ready_means_that_every_role_shows_itself(filled: Live) -> None:
    from pathlib import Path

    from ingest.role import wall_ms

    run = Path(filled.settings.home) / "run"
    run.mkdir(exist_ok=True)

    def beat(role: str, age_ms: int) -> None:
        at = type(make_pass("x").event_at)(wall_ms() - age_ms)
        state = {"judged": 7, "problem": "fusion 3: a hash disagrees" if role == "fusion" else ""}
        body = {"role": role, "pid": 1, "at": at.isoformat(), "state": state}
        (run / f"{role}-1.json").write_bytes(msgspec.json.encode(body))

    with filled.client(None) as client:
        assert client.get("/healthz").json() == {"alive": True}
        assert client.get("/readyz").status_code == 503  # no worker has ever shown itself
        beat("fusion", 0)
        beat("vision", 0)
        assert client.get("/readyz").json() == {"ready": True}
        assert client.get("/readyz").content == b'{"ready":true}'  # no more than yes or no
        with filled.client("engineer") as engineer:
            until(lambda: engineer.get("/api/overview").json()["troubles"] == [], "the overview to be told anew")
            told = engineer.get("/api/overview").json()
            assert told["stopped_since"] is None
            assert told["notices"] == ["No model is ready: every part goes to a person (fusion 3: a hash disagrees)"]
        beat("fusion", 60_000)
        assert client.get("/readyz").json() == {"ready": False}
    with filled.client("engineer") as client:
        assert "fusion: silent for 1 min" in client.get("/api/incidents").text
        until(lambda: client.get("/api/overview").json()["stopped_since"], "the overview to be told anew")
        since = Instant.parse(client.get("/api/overview").json()["stopped_since"])
        assert 59_000 < wall_ms() - since < 90_000
        assert 'qcfuse_role{figure="judged",pid="1",role="fusion"} 7.0' in client.get("/metrics").text


def test_a_verdict_body_is_not_parsed_again_on_its_way_out(filled: Live) -> None:
    with filled.client("machine") as client:
        raw = client.get("/api/verdicts?batch_id=B78").content
    verdict = filled.service.here.reader.batch_verdicts("B78")[0]
    assert verdict.body in raw
    assert encode(msgspec.json.decode(verdict.body, type=dict)) is not None
    assert json.loads(raw)["items"][0] == json.loads(verdict.body)
