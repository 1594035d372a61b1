"""The service on one machine: every role a process of its own, started again when it dies, stopped together."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import click

from ingest.errors import BadInput, QcfuseError
from ingest.log.opening import open_log
from ingest.plan.file import load_plan
from ingest.role import SUPERVISED
from ingest.settings import Settings
from ingest.topics import create_topics

UNDER_HOME = ("plan", "log", "store", "blobs", "shelf")
ROLES = ("api", "vision", "fusion", "plc")
STOP_S = 10.0  # a role commits what it has and leaves; one that does not is killed
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 30.0  # a role that lived this long begins again with the shortest wait
USAGE = 2  # exit status of a role that was told something wrong: starting it again would not help


@dataclass(slots=True)
class _Child:
    """One role's process, or when to start it again."""

    role: str
    running: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0


@dataclass(slots=True)
class Supervisor:
    """Starts roles, starts them again, stops them; `tick` once in a while."""

    settings: Settings
    roles: tuple[str, ...] = ROLES
    say: Callable[[str], None] = field(default=lambda sentence: click.echo(sentence, err=True))
    stopping: bool = False
    children: list[_Child] = field(default_factory=list)

    def start(self) -> None:
        self.children = [_Child(role) for role in self.roles]
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self.tick()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def tick(self) -> None:
        """Start what is due, notice what died. Raises BadInput when a role was refused its settings."""
        now = time.monotonic()
        for child in self.children:
            if child.running is None and now >= child.start_at and not self.stopping:
                self._launch(child, now)
            elif child.running is not None and (status := child.running.poll()) is not None:
                self._bury(child, status, now)

    def _launch(self, child: _Child, now: float) -> None:
        command = [sys.executable, "-m", "api.cli", child.role]
        child.running = subprocess.Popen(command, env=environment(self.settings), start_new_session=True)
        child.started_at = now

    def _bury(self, child: _Child, status: int, now: float) -> None:
        child.running = None
        if status == USAGE:
            raise BadInput(f"the role {child.role} could not start; what it said above is what to mend")
        if self.stopping:
            return
        child.failures = 0 if now - child.started_at > STEADY_S else child.failures + 1
        wait = BACKOFF_S[min(child.failures, len(BACKOFF_S) - 1)]
        child.start_at = now + wait
        self.say(f"{child.role} ended with status {status}; starting it again in {wait} s")

    def stop(self) -> None:
        """Ask all to stop, wait, kill what does not."""
        self.stopping = True
        alive = [child.running for child in self.children if child.running is not None]
        for running in alive:
            running.terminate()
        end = time.monotonic() + STOP_S
        for running in alive:
            try:
                running.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def environment(settings: Settings) -> dict[str, str]:
    """The environment a role reads these very settings from; numeric libraries on one thread each."""
    chosen = {f"QCFUSE_{f.name.upper()}": str(getattr(settings, f.name)) for f in dataclasses.fields(settings)}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    return {**os.environ, **threads, **chosen, SUPERVISED: "1", "PYTHONPATH": path}


def absolute(settings: Settings) -> Settings:
    """The same settings with a home that does not depend on the working directory."""
    home = Path(settings.home).resolve()
    if str(home) == settings.home:
        return settings
    moved = {name: getattr(settings, name).replace(settings.home, str(home)) for name in UNDER_HOME}
    return dataclasses.replace(settings, home=str(home), **moved)


def prepare(settings: Settings) -> None:
    """Check the plan and make the topics, once, before any role starts."""
    plan = load_plan(Path(settings.plan))
    log = open_log(settings)
    try:
        create_topics(log, settings)
    finally:
        log.close()
    Path(settings.home).mkdir(parents=True, exist_ok=True)
    assert plan.lines


def run_up(settings: Settings) -> None:
    """All roles until told to stop. Raises BadInput for a wrong plan or setting."""
    settings = absolute(settings)
    prepare(settings)
    supervisor = Supervisor(settings)
    try:
        supervisor.start()
        address = f"http://{settings.host}:{settings.port}/"
        if wait_until_served(supervisor):
            click.echo(f"qcfuse serves {address} (`qcfuse person NAME --role inspector` makes a way in)")
        while not supervisor.stopping:
            supervisor.tick()
            time.sleep(0.2)
    finally:
        supervisor.stop()


def wait_until_served(supervisor: Supervisor, limit_s: float = 60.0) -> bool:
    """Wait until the screen answers. False when told to stop. Raises QcfuseError after `limit_s`."""
    url = f"http://{supervisor.settings.host}:{supervisor.settings.port}/healthz"
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        supervisor.tick()
        if supervisor.stopping:
            return False
        try:
            with urllib.request.urlopen(url, timeout=1.0):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise QcfuseError(f"{url} did not answer within {limit_s:.0f} s; see what the role api said above")
