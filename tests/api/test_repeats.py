"""Once: an order or a promotion sent again under its key is answered as before; a key keeps nobody from stopping."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from api.store.repeats import KEPT_MS, Answered, RepeatStore
from ingest.messages import Instant
from tests.api.conftest import Live, until
from tests.api.factory import now
from tests.api.test_routes import on_topic

STOP: dict[str, Any] = {"mode": "manual", "line_id": "L1", "reason": "drill"}
GO: dict[str, Any] = {"mode": "auto", "line_id": "L1"}


def order(client: httpx.Client, body: dict[str, Any], key: str) -> httpx.Response:
    return client.post("/api/control/mode", json=body, headers={"Idempotency-Key": key})


def ordered(live: Live) -> int:
    """Orders on the log so far."""
    return len(on_topic(live.log, live.settings, "control"))


def shown(client: httpx.Client, mode: str) -> None:
    until(lambda: client.get("/api/control/mode").json()["lines"][0]["mode"] == mode, f"{mode} to be shown")


def test_an_order_to_go_on_is_given_once_for_a_key_and_person(live: Live) -> None:
    with live.client("qa") as client, live.client("admin") as other:
        before = ordered(live)
        first, again = order(client, GO, "go-1"), order(client, GO, "go-1")
        assert (again.status_code, again.content) == (first.status_code, first.content) == (202, first.content)
        assert ordered(live) == before + 1
        refused = order(client, {**GO, "line_id": "L2"}, "go-1")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
        assert order(other, GO, "go-1").json()["by"] == "test-admin"  # another's key is another key
        assert ordered(live) == before + 2


def test_sent_by_many_at_once_it_is_done_once(live: Live) -> None:
    with live.client("qa") as client:
        before, answers = ordered(live), list[bytes]()
        threads = [threading.Thread(target=lambda: answers.append(order(client, GO, "many").content)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        assert len(set(answers)) == 1
        assert ordered(live) == before + 1


def test_a_stop_is_carried_out_whatever_its_key_was_used_for_and_once_while_it_stands(live: Live) -> None:
    with live.client("qa") as client:
        order(client, GO, "k")
        before = ordered(live)
        first = order(client, STOP, "k")  # the key of another request
        assert first.status_code == 202
        shown(client, "manual")
        assert order(client, STOP, "k").content == first.content
        assert ordered(live) == before + 1
        order(client, GO, "go-2")
        shown(client, "auto")
        assert order(client, STOP, "k").content != first.content  # the line runs: this is another stop
        shown(client, "manual")
        assert ordered(live) == before + 3
        order(client, GO, "go-3")


def test_a_promotion_under_a_key_used_for_an_order_is_refused(live: Live) -> None:
    with live.client("admin") as client:
        order(client, GO, "mixed")
        answer = client.post("/api/models/none/1/promote", headers={"Idempotency-Key": "mixed"})
        assert answer.status_code == 404  # what is not there is told first
        assert order(client, {**GO, "reason": "x" * 10}, "mixed").status_code == 409


@pytest.mark.parametrize("key", ["x" * 201])
def test_a_key_has_a_limit(live: Live, key: str) -> None:
    with live.client("qa") as client:
        assert order(client, GO, key).status_code == 422


def test_answers_are_kept_for_a_day_and_by_person(store_url: str) -> None:
    store, at = RepeatStore(store_url), now()
    told = Answered("ab", 202, '{"grün": 1}'.encode())
    store.keep("anna", "k", told, at)
    assert store.answer("anna", "k") == told
    assert store.answer("bo", "k") is None
    store.keep("anna", "k", Answered("cd", 200, b"{}"), at)
    assert store.answer("anna", "k") == Answered("cd", 200, b"{}")
    store.keep("bo", "other", told, Instant(at + KEPT_MS + 1))
    assert store.answer("anna", "k") is None
    store.close()
