"""The API role as a process: it starts, says where it stands, and stops when told."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from api.access.tokens import issue_token
from api.app import _listen
from ingest.log.seam import Log
from ingest.settings import Settings
from tests.api.conftest import WAIT_S, free_port, until
from tests.api.factory import make_verdict, publish

ROOT = Path(__file__).resolve().parents[2]


class ApiRole:
    """`qcfuse api` in a process of its own; what it says on stderr goes to a file."""

    def __init__(self, settings: Settings, port: int) -> None:
        self.said = Path(settings.home) / "stderr.txt"
        env = {**os.environ, "QCFUSE_HOME": settings.home, "QCFUSE_PARTITIONS": "2", "QCFUSE_PORT": str(port)}
        with self.said.open("w") as stderr:
            self.running = subprocess.Popen([sys.executable, "-m", "api.cli", "api"], cwd=ROOT, env=env, stderr=stderr)

    def __enter__(self) -> ApiRole:
        return self

    def __exit__(self, *_: object) -> None:
        self.running.kill()
        self.running.wait(WAIT_S)


def alive(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_it_lives_beats_and_stops_at_once_when_told(settings: Settings, log: Log) -> None:
    port = free_port()
    publish(log, settings, verdicts=[make_verdict("P1")])
    headers = {"Authorization": f"Bearer {issue_token(settings, 'anna', 'qa')}"}
    beats = Path(settings.home) / "run"
    address = f"http://127.0.0.1:{port}/api/verdicts"
    for _ in range(2):  # the second life goes on where the first left
        with ApiRole(settings, port) as role:
            until(lambda: alive(port), "the API to answer")
            until(lambda: len(httpx.get(address, headers=headers).json()["items"]) == 1, "the verdict to be collected")
            until(lambda: list(beats.glob("api-*.json")), "its heartbeat")
            with httpx.stream("GET", f"{address}/stream", headers=headers, timeout=WAIT_S) as listening:
                next(listening.iter_lines())
                role.running.send_signal(signal.SIGTERM)
                assert role.running.wait(WAIT_S) == 0
            assert role.said.read_text() == ""
            assert list(beats.glob("api-*.json")) == []


def test_what_it_writes_is_sent_at_once(settings: Settings) -> None:
    """A head and a body that go out one after the other do not wait for the receipt of the first (40 ms)."""
    with _listen(dataclasses.replace(settings, port=free_port())) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # on this asyncio decides


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_sentence_and_exit_2(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with ApiRole(settings, port) as role:
            assert role.running.wait(WAIT_S) == 2
            told = role.said.read_text().strip()
    assert str(port) in told
    assert "\n" not in told
