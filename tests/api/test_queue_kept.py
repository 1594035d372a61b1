"""The first page of the queue is worked out once for all inspectors, and still is each one's own."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from api.http.kept import GOOD_S_MAX, TIMES
from api.routes.queue import ANY_INSPECTOR, _page
from api.store.queue import QueueFilter
from tests.api.conftest import Live, until
from tests.api.factory import make_verdict, publish


@pytest.fixture(scope="module")
def plant(live: Live) -> Live:
    verdicts = [make_verdict(f"P{number}", risk=0.9 - number / 100) for number in range(20)]
    publish(live.log, live.settings, verdicts=verdicts)
    live.collected(len(verdicts))
    return live


def page(client: httpx.Client, **asked: Any) -> list[str]:
    answer = client.get("/api/queue", params=asked)
    assert answer.status_code == 200
    return [item["verdict"]["part_id"] for item in answer.json()["items"]]


def wear_out(plant: Live, name: str, limit: int = 100) -> None:
    """As if many had asked: what the question may take is used up, and the answer is kept."""
    here, shared = plant.service.here, QueueFilter(inspector=ANY_INSPECTOR)
    until(lambda: not here.lately.did(name), f"{name} to have done nothing lately")

    def slowly() -> object:
        time.sleep(2 * GOOD_S_MAX / TIMES)
        return _page(here, shared, limit)

    here.kept.get(("page", shared, limit), slowly)
    assert here.kept.at_hand(("page", shared, limit)) is not None


def test_whoever_decides_sees_it_at_once_and_all_others_within_two_seconds(plant: Live) -> None:
    with plant.client("inspector") as anna, plant.client("inspector") as bo, plant.client("qa") as lead:
        bo.headers["Authorization"] = plant.client("engineer").headers["Authorization"]
        wear_out(plant, "test-inspector")
        part = page(anna)[0]
        assert anna.post(f"/api/parts/{part}/reviews", json={"outcome": "ok"}).status_code == 201
        decided_at = time.monotonic()
        assert part not in page(anna), "who decided"
        until(lambda: part not in page(lead) and part not in page(bo), "the others to see it")
        assert time.monotonic() - decided_at < 2 * GOOD_S_MAX
        undone = anna.get(f"/api/parts/{part}").json()["reviews"][-1]["review_id"]
        assert anna.post(f"/api/reviews/{undone}/undo").status_code == 201
        assert part in page(anna), "who took it back"


def test_a_hold_stands_in_the_list_of_whoever_holds_at_once(plant: Live) -> None:
    with plant.client("inspector") as anna:
        wear_out(plant, "test-inspector")
        part = page(anna)[3]
        assert anna.post(f"/api/parts/{part}/hold").status_code == 200
        items = anna.get("/api/queue").json()["items"]
        assert {item["verdict"]["part_id"]: item["held_by"] for item in items}[part] == "test-inspector"


def test_pages_go_on_behind_a_kept_first_one(plant: Live) -> None:
    with plant.client("inspector") as anna:
        wear_out(plant, "test-inspector", limit=7)
        first = anna.get("/api/queue", params={"limit": 7}).json()
        seen = [item["verdict"]["part_id"] for item in first["items"]]
        while first["next"]:
            first = anna.get("/api/queue", params={"limit": 7, "cursor": first["next"]}).json()
            seen += [item["verdict"]["part_id"] for item in first["items"]]
        assert len(seen) == len(set(seen))
        assert set(page(anna, limit=1000)) == set(seen)


def test_whoever_has_heard_of_a_part_by_the_stream_finds_it_in_the_list(plant: Live) -> None:
    with plant.client("inspector") as anna:
        wear_out(plant, "test-inspector")
        before = page(anna)
        told = plant.service.here.broadcaster.last
        publish(plant.log, plant.settings, verdicts=[make_verdict("HEARD", risk=0.99)])
        until(lambda: plant.service.here.broadcaster.last > told, "the stream to tell")
        heard_at = time.monotonic()
        assert page(anna, seen=told) == before or time.monotonic() - heard_at > GOOD_S_MAX, "it may be a moment old"
        assert "HEARD" in page(anna, seen=plant.service.here.broadcaster.last)
