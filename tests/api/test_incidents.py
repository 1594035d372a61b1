"""Incidents of cameras: what a judge's heartbeat tells is on the screen and in `/api/incidents`, once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from api.road import Heartbeat, incidents_told
from api.store.queue import QueueStore
from api.store.rows import Harvest
from api.store.write import StoreWriter
from fusion.incidents import Incident
from ingest.messages import Instant, encode
from ingest.role import wall_ms
from tests.api.conftest import Live
from tests.api.factory import make_findings, make_verdict, now

DIRT = Incident(
    line_id="L1", camera_id="top", incident="lens_dirt", since=1_767_600_000_000, parts=["P1", "P2"], parts_count=2,
    what="Camera top sees a mark that stays.", measure={"x": 120.0},
)  # fmt: skip


def beat(pid: int, at: int, *incidents: Incident) -> Heartbeat:
    return Heartbeat("fusion", Instant(at), {"incidents": [one.told() for one in incidents]}, pid)


def test_an_incident_that_two_workers_tell_of_is_told_once_as_the_newer_tells_it() -> None:
    more = DIRT.concerning("P3")
    (told,) = incidents_told([beat(2, 2000, more), beat(1, 1000, DIRT)])
    assert told["parts"] == ["P1", "P2", "P3"]
    assert incidents_told([Heartbeat("fusion", Instant(1), {"incidents": "none"}), beat(1, 1)]) == []


def test_a_cameras_incident_is_listed_with_its_measure_and_shown_as_a_notice(live: Live) -> None:
    run = Path(live.settings.home) / "run"
    run.mkdir(exist_ok=True)
    state = {"problem": "", "incidents": [DIRT.told()]}
    body = {"role": "fusion", "pid": 9, "at": Instant(wall_ms()).isoformat(), "state": state}
    (run / "fusion-9.json").write_bytes(msgspec.json.encode(body))
    with live.client("engineer") as client:
        items = client.get("/api/incidents").json()["items"]
        (camera,) = [item for item in items if item["kind"] == "camera"]
        assert camera == {"kind": "camera", **DIRT.told()}
        assert [item for item in items if item["what"] == DIRT.what] == [camera]
        assert DIRT.what in client.get("/api/overview").json()["notices"]


def test_an_excess_leads_to_the_parts_exposed_to_its_cause(live: Live) -> None:
    run = Path(live.settings.home) / "run"
    run.mkdir(exist_ok=True)
    causes = ("tool_id=T7", "recipe=R2 & tool_id=T7", "", "gate_id=EOL")
    told = [
        Incident(
            line_id="L1", incident="excess", cause=cause, since=1_767_600_000_000, what=f"More with {cause}."
        ).told()
        for cause in causes
    ]
    body = {
        "role": "fusion",
        "pid": 9,
        "at": Instant(wall_ms()).isoformat(),
        "state": {"problem": "", "incidents": told},
    }
    (run / "fusion-9.json").write_bytes(msgspec.json.encode(body))
    with live.client("engineer") as client:
        items = [one for one in client.get("/api/incidents").json()["items"] if one["kind"] == "process"]
        assert sorted(one["cause"] for one in items) == sorted(causes)
        for one in items:
            assert ("containment" in one) is one["cause"].startswith(("tool", "recipe")), "no visit books a gate"
            if "containment" in one:
                assert client.get(one["containment"]).json()["cause"] == one["cause"]


def test_an_incident_is_shown_by_the_riskiest_part_with_its_cause_since_it_began(store_url: str) -> None:
    writer, queue = StoreWriter(store_url, "one"), QueueStore(store_url)
    began = now()
    made = {
        "OLD": (0.99, began - 1000),
        "MILD": (0.4, began + 1),
        "WORST": (0.8, began + 2),
        "UNSEEN": (0.9, began + 3),
    }
    verdicts = [make_verdict(part, risk=risk, event_at=Instant(at)) for part, (risk, at) in made.items()]
    seen = tuple(make_findings(part, frame_ref=f"{part}.png") for part in made if part != "UNSEEN")
    writer.apply(Harvest(verdicts=tuple((one, encode(one).decode()) for one in verdicts), findings=seen), began)
    assert queue.shows_best("tool_id=T7", began, began) == "WORST"
    assert queue.shows_best("tool_id=T7", None, began) == "OLD"
    assert queue.shows_best("tool_id=T8", began, began) is None
    writer.close()
    queue.close()
