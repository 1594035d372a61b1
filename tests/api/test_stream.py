"""The verdict stream over real HTTP: in order, resumed without a gap, shared by all its clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from api.store.rows import StoredVerdict
from api.stream import RING_EVENTS, Wanted, encode_event
from tests.api.conftest import WAIT_S, Live, serve, until
from tests.api.factory import make_pass, make_verdict, publish, settings_at


class Stream:
    """A client of the stream: reads events as (id, part_id)."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        next(self._lines)  # the retry line comes at once: from now on nothing is missed

    def take(self, count: int) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        at = 0
        for line in self._lines:
            if line.startswith("id: "):
                at = int(line[4:])
            if line.startswith("data: "):
                found.append((at, json.loads(line[6:])["part_id"]))
                if len(found) == count:
                    break
        return found


@contextmanager
def streaming(live: Live, last: int | None = None, query: str = "") -> Iterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with (
        live.client("machine") as client,
        client.stream("GET", f"/api/verdicts/stream{query}", headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service whose store holds more verdicts than the ring, collected before it started and after."""
    with serve(settings_at(tmp_path_factory.mktemp("stream") / "home")) as live:
        publish(live.log, live.settings, verdicts=[make_pass(f"P{n}") for n in range(1, RING_EVENTS + 501)])
        live.collected(RING_EVENTS + 500)
        yield live


def test_without_a_last_event_it_begins_now(stocked: Live) -> None:
    last = stocked.service.here.reader.last_row_id()
    until(lambda: stocked.service.here.broadcaster._last == last, "the broadcaster to catch up")
    with streaming(stocked) as stream:
        publish(stocked.log, stocked.settings, verdicts=[make_verdict("now")])
        assert stream.take(1) == [(last + 1, "now")]


@pytest.mark.parametrize("last", [0, 1, 499, 1200, RING_EVENTS + 400])
def test_it_resumes_behind_the_last_event_without_gap_or_repeat(stocked: Live, last: int) -> None:
    count = RING_EVENTS + 500 - last
    with streaming(stocked, last) as stream:
        events = stream.take(count)
    assert [at for at, _ in events] == list(range(last + 1, last + 1 + count))


def test_a_client_that_comes_and_goes_while_verdicts_come_sees_each_once(stocked: Live) -> None:
    begin = stocked.service.here.reader.last_row_id()
    parts = [f"live-{n}" for n in range(300)]

    def produce() -> None:
        for start in range(0, len(parts), 10):
            publish(stocked.log, stocked.settings, verdicts=[make_verdict(part) for part in parts[start : start + 10]])

    producer = threading.Thread(target=produce)
    producer.start()
    seen: list[tuple[int, str]] = []
    while len(seen) < len(parts):
        with streaming(stocked, seen[-1][0] if seen else begin) as stream:
            seen += stream.take(min(37, len(parts) - len(seen)))
    producer.join()
    assert [at for at, _ in seen] == list(range(begin + 1, begin + 301))
    assert [part for _, part in seen] == parts


def test_clients_that_leave_while_verdicts_come_trouble_nobody(stocked: Live, caplog: pytest.LogCaptureFixture) -> None:
    with streaming(stocked) as staying:
        sent = [f"leaving {n}" for n in range(10)]
        for part in sent:
            with streaming(stocked), streaming(stocked):
                publish(stocked.log, stocked.settings, verdicts=[make_pass(part)])
        assert [part for _, part in staying.take(len(sent))] == sent
    assert caplog.records == []


def test_decisions_are_left_out_and_corrections_come_when_asked_for(stocked: Live) -> None:
    last = stocked.service.here.reader.last_row_id()
    mixed = [make_pass("calm"), make_verdict("hot"), make_pass("hot", revision=2), make_verdict("end")]
    publish(stocked.log, stocked.settings, verdicts=mixed)
    with streaming(stocked, last, "?decision=review") as stream:
        assert [part for _, part in stream.take(2)] == ["hot", "end"]
    with streaming(stocked, last, "?decision=review,cannot_tell&corrections=true") as stream:
        assert [at - last for at, _ in stream.take(3)] == [2, 3, 4]


def test_a_last_event_that_is_none_is_refused(stocked: Live) -> None:
    with stocked.client("machine") as client:
        assert client.get("/api/verdicts/stream", headers={"Last-Event-ID": "x"}).status_code == 422


def test_all_clients_share_one_encoded_event(stocked: Live) -> None:
    ring = stocked.service.here.broadcaster._ring
    last = stocked.service.here.reader.last_row_id()
    with streaming(stocked, last) as one, streaming(stocked, last) as other:
        publish(stocked.log, stocked.settings, verdicts=[make_verdict("shared")])
        assert one.take(1) == other.take(1) == [(last + 1, "shared")]
    assert len(ring) <= RING_EVENTS
    assert b'"part_id":"shared"' in ring[-1].encoded


def test_an_event_is_one_line_whatever_is_in_the_body() -> None:
    event = encode_event(StoredVerdict(7, "review", 1, b'{"a":\r\n1}'))
    assert event.encoded == b'id: 7\ndata: {"a":  1}\n\n'
    assert Wanted().holds(event)
    assert not Wanted(frozenset({"pass"}), corrections=True).holds(event)


def test_the_service_stops_while_somebody_listens(tmp_path_factory: pytest.TempPathFactory) -> None:
    ended = threading.Event()
    with serve(settings_at(tmp_path_factory.mktemp("stop") / "home")) as live:
        with live.client("machine") as client:
            headers = dict(client.headers)

        def listen() -> None:
            with (
                httpx.Client(timeout=WAIT_S) as client,
                client.stream("GET", f"{live.base}/api/verdicts/stream", headers=headers) as answer,
            ):
                for _ in answer.iter_lines():
                    pass
            ended.set()

        thread = threading.Thread(target=listen)
        thread.start()
        until(lambda: b"qcfuse_stream_clients 1.0" in live.service.here.metrics.text(), "the client to listen")
    thread.join(WAIT_S)
    assert ended.is_set()
