"""How often somebody may ask: a rate with a burst, told with when to come back, never in the way of a stop."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access import limits
from api.access.limits import Rate, block_of
from tests.api.conftest import serve, until
from tests.api.factory import settings_at

PAUSES = st.lists(st.floats(0, 3), min_size=1, max_size=200)


@given(PAUSES, st.floats(0.2, 50), st.floats(0, 20))
def test_nobody_gets_more_than_the_rate_and_its_burst_in_any_time(
    pauses: list[float], per_s: float, burst_s: float
) -> None:
    rate, now, passed = Rate(per_s, burst_s), 1000.0, []
    for pause in pauses:
        now += pause
        if rate.wait_s("ann", now) == 0:
            passed.append(now)
    for first, begun in enumerate(passed):
        for count, at in enumerate(passed[first:], 1):
            assert count <= per_s * (at - begun + burst_s) + 1 + 1e-6


@given(PAUSES, st.floats(0.2, 50))
def test_whoever_waits_as_long_as_told_may_ask_and_being_refused_costs_nothing(
    pauses: list[float], per_s: float
) -> None:
    rate, now = Rate(per_s, 1.0), 1000.0
    for pause in pauses:
        now += pause
        wait_s = rate.wait_s("ann", now)
        for _ in range(3):
            if wait_s:
                assert rate.wait_s("ann", now) == wait_s
        if wait_s:
            now += wait_s
            assert rate.wait_s("ann", now) == 0


def test_one_does_not_pay_for_another_and_memory_is_bounded() -> None:
    rate = Rate(1.0, 1.0, keys_max=10)
    for number in range(1000):
        assert rate.wait_s(f"n{number}", 0.0) == 0
    assert len(rate._paid_at) == 10
    assert rate.wait_s("n999", 0.0) > 0
    assert rate.wait_s("n0", 0.0) == 0


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_an_address_is_what_one_machine_has(address: str, block: str) -> None:
    assert block_of(address) == block


def test_a_person_who_asks_too_often_is_told_when_to_come_back_and_may_always_stop_the_line(tmp_path: Path) -> None:
    with serve(settings_at(tmp_path / "home", person_requests_s_max=0.5)) as live:
        with live.client("qa") as client, live.client("inspector") as other:
            codes = [client.get("/api/me").status_code for _ in range(8)]
            assert codes[:5] == [200] * 5
            refused = client.get("/api/me")
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "too_many"
            assert 1 <= int(refused.headers["retry-after"]) <= 3
            assert client.post("/api/control/mode", json={"mode": "manual"}).status_code == 202
            assert client.get("/healthz").status_code == 200
            assert other.get("/api/me").status_code == 200, "each has an own limit"
        with live.client("admin") as admin:
            assert 'qcfuse_refused_total{reason="too_many"}' in admin.get("/metrics").text


def test_nobody_keeps_more_streams_open_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAMS_MAX", 2)
    with serve(settings_at(tmp_path / "home")) as live, live.client("qa") as client, live.client("inspector") as other:
        stream = "/api/verdicts/stream"
        with client.stream("GET", stream) as first, client.stream("GET", stream) as second:
            assert (first.status_code, second.status_code) == (200, 200)
            refused = client.get(stream)
            assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
            with other.stream("GET", stream) as another:
                assert another.status_code == 200

        def open_again() -> bool:
            with client.stream("GET", stream) as again:
                return again.status_code == 200

        until(open_again, "room after two were closed")


def test_an_address_is_limited_before_it_is_known_who_asks(tmp_path: Path) -> None:
    with (
        serve(settings_at(tmp_path / "home", address_requests_s_max=0.5)) as live,
        httpx.Client(base_url=live.base, headers={"Authorization": "Bearer wrong"}) as client,
    ):
        codes = [client.get("/api/me").status_code for _ in range(8)]
        assert codes[:5] == [401] * 5
        assert codes[-1] == 429
        assert client.get("/readyz").status_code in (200, 503)
        with live.client("qa") as stopping:
            assert stopping.post("/api/control/mode", json={"mode": "manual"}).status_code == 202
