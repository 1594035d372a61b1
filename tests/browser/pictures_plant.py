"""Plants for the screens whose roles are real processes: started, frozen, killed, started again; and a bad line."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from api.access.tokens import issue_token
from api.store.database import migrate
from api.up import environment, prepare
from ingest.log.opening import open_log
from ingest.log.seam import Log
from ingest.settings import Settings
from tests.api.conftest import WAIT_S
from tests.api.postgres import free_port

START_S, STOP_S = 60.0, 10.0  # a machine that runs eight suites at once starts a process slowly


@dataclasses.dataclass
class Plant:
    """An installation and its roles at work. `address`: where a browser finds it; `line`: what may be cut or held."""

    settings: Settings
    address: str
    line: Line | None = None
    running: dict[str, subprocess.Popen[bytes]] = dataclasses.field(default_factory=dict)
    tokens: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)  # of whom there was one before

    def start(self, *roles: str) -> None:
        """Start these roles; the API answers when this returns."""
        for role in roles:
            command = [sys.executable, "-m", "api.cli", role]
            self.running[role] = subprocess.Popen(command, env=environment(self.settings))
        ends_at = time.monotonic() + START_S
        while "api" in roles and not self._answers():
            assert time.monotonic() < ends_at, f"the API did not answer within {START_S} s"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.settings.port}/healthz", timeout=1.0).status_code == 200
        except httpx.HTTPError:
            return False

    def freeze(self, role: str) -> None:
        """Stop its process where it stands, as a machine that swaps or a debugger does."""
        os.kill(self.running[role].pid, signal.SIGSTOP)

    def thaw(self, role: str) -> None:
        os.kill(self.running[role].pid, signal.SIGCONT)

    def kill(self, role: str) -> None:
        """As a power cut does: it tidies nothing up."""
        gone = self.running.pop(role)
        gone.kill()
        gone.wait()

    def stop(self) -> None:
        for role, one in self.running.items():
            self.thaw(role)
            one.terminate()
        for one in self.running.values():
            try:
                one.wait(STOP_S)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        self.running.clear()

    def token(self, name: str, role: str) -> str:
        """A token of this person."""
        if (name, role) not in self.tokens:
            self.tokens[name, role] = issue_token(self.settings, name, role)
        return self.tokens[name, role]

    @contextmanager
    def asked_by(self, name: str, role: str) -> Iterator[httpx.Client]:
        """Another person's client."""
        headers = {"Authorization": f"Bearer {self.token(name, role)}"}
        base = f"http://127.0.0.1:{self.settings.port}"
        with httpx.Client(base_url=base, headers=headers, timeout=WAIT_S) as client:
            yield client

    @contextmanager
    def log(self) -> Iterator[Log]:
        opened = open_log(self.settings)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def at_work(settings: Settings, *roles: str, line: Line | None = None) -> Iterator[Plant]:
    """The plant of these settings with these roles at work, on a free port. `line`: the one to its store; without one,
    a line stands between it and the browser."""
    settings = dataclasses.replace(settings, port=free_port())
    before = line or Line(settings.port)
    migrate(settings.store)
    prepare(settings)
    reached = settings.port if line else before.port
    plant = Plant(settings, f"http://127.0.0.1:{reached}", before)
    try:
        plant.start(*roles)
        yield plant
    finally:
        plant.stop()
        before.close()


class Line:
    """A network line to a port of this machine: requests, or the answers to them, wait on it; and it can be cut."""

    def __init__(self, to: int = 0) -> None:
        self.to = to
        self._held: bytes | None = None  # first bytes of the requests that are not let through, or not answered
        self._answers = False
        self._free = threading.Event()
        self._unanswered: set[socket.socket] = set()  # who waits for an answer that is held
        self._open: set[socket.socket] = set()
        self._cut = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, beginning: bytes, answers: bool = False) -> None:
        """Let no request through that begins so, until `free`. `answers`: let it through, and hold the answer."""
        self._free.clear()
        self._held, self._answers = beginning, answers

    def holds(self) -> bool:
        """Does something wait on the line?"""
        return bool(self._unanswered)

    def free(self) -> None:
        self._held = None
        self._free.set()
        self._unanswered.clear()

    def cut(self) -> None:
        """End every connection and take no new one, until `mend`."""
        self._cut = True
        for one in list(self._open):
            _end(one)

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.free()
        self.cut()
        _end(self._listening)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return  # closed
            if self._cut:
                _end(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                _end(near)
                continue
            self._open |= {near, far}
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket, asking: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                held = asking and self._held is not None and piece.startswith(self._held)
                if held:
                    self._unanswered.add(source)
                if (held and not self._answers) or (not asking and to in self._unanswered):
                    self._free.wait()
                to.sendall(piece)
        for one in (source, to):
            self._open.discard(one)
            _end(one)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def forget(path: Path) -> bytes:
    """Take a file as retention does; its bytes, to put it back."""
    body = path.read_bytes()
    path.unlink()
    return body
