"""A plant's home, a real embedded log, a real PostgreSQL, and the API served over real HTTP."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from api.app import ApiServer, Service, build_app, open_installation
from api.store import migrate
from api.tokens import issue_token
from ingest.log import Log
from ingest.log_open import open_log
from ingest.plan_file import load_plan
from ingest.settings import Settings
from ingest.topics import create_topics
from tests.api.factory import settings_at

WAIT_S = 20.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must become true."""
    ends_at = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends_at, f"waited {WAIT_S} s in vain: {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home")


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    opened = open_log(settings)
    create_topics(opened, settings)
    yield opened
    opened.close()


@dataclass(frozen=True)
class Live:
    """A served installation."""

    settings: Settings
    log: Log
    base: str
    service: Service

    def client(self, role: str | None) -> httpx.Client:
        """A client with a token of this role, or with none."""
        headers = {}
        if role is not None:
            headers["Authorization"] = f"Bearer {issue_token(self.settings, f'test-{role}', role)}"
        return httpx.Client(base_url=self.base, headers=headers, timeout=WAIT_S)

    def collected(self, verdicts: int) -> None:
        """Wait until so many verdicts are in the store and nothing is left to read."""

        def done() -> bool:
            state = self.service.here.collector.state
            return self.service.here.reader.last_row_id() >= verdicts and not state.trouble

        until(done, f"{verdicts} verdicts in the store")


@contextmanager
def serve(settings: Settings) -> Iterator[Live]:
    """The API role in a thread of this process, on a real socket."""
    log = open_log(settings)
    create_topics(log, settings)
    migrate(settings.store)
    crashes: list[BaseException] = []
    here, writer = open_installation(settings, load_plan(Path(settings.plan)), lambda: open_log(settings))
    service = Service(here, writer, crashes.append)
    port = free_port()
    config = uvicorn.Config(
        build_app(service), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1, ws="none"
    )
    server = ApiServer(config, here.broadcaster)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the server to start")
        yield Live(settings, log, f"http://127.0.0.1:{port}", service)
    finally:
        server.should_exit = True
        thread.join()
        log.close()
    assert not crashes


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("live") / "home")) as served:
        yield served


def _postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real PostgreSQL, started for these tests on loopback."""
    if _postgres_programs() is None:
        missing = "NOT TESTED: no PostgreSQL here (apt-get install postgresql), the store was tried on SQLite only"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with running_postgres(Path(tmp_path_factory.mktemp("postgres"))) as url:
        yield url


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own in this folder, as long as the context; its URL, without a database."""
    programs = _postgres_programs()
    assert programs is not None
    folder.mkdir(exist_ok=True)
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres"
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
        for parent in (folder.parent, *folder.parent.parents):
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    base = folder / "base"
    make = [programs / "initdb", "-D", base, "-U", "qcfuse", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"]
    subprocess.run(make, user=user, check=True, capture_output=True, cwd="/")
    port = free_port()
    start = [programs / "postgres", "-D", base, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"]
    running = subprocess.Popen(start, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    try:
        ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
        until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL to start")
        yield f"postgresql+psycopg://qcfuse@127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(WAIT_S)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty, migrated store, once of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'store.db'}"
    else:
        server: str = request.getfixturevalue("postgres")
        name = f"store_{time.time_ns()}"
        import psycopg

        with psycopg.connect(f"{server.replace('+psycopg', '')}/postgres", autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}".encode())
        url = f"{server}/{name}"
    migrate(url)
    return url
