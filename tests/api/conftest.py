"""A plant's home, a real embedded log, a real PostgreSQL, and the API served over real HTTP."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from api.access.tokens import issue_token
from api.app import ApiServer, Service, build_app, open_installation
from api.store.database import migrate
from ingest.log.opening import open_log
from ingest.log.seam import Log
from ingest.plan.file import load_plan
from ingest.settings import Settings
from ingest.topics import create_topics
from tests.api.factory import settings_at
from tests.api.postgres import free_port, make_cluster, postgres_programs, served_cluster

WAIT_S = 20.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must become true."""
    ends_at = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends_at, f"waited {WAIT_S} s in vain: {what}"
        time.sleep(0.02)


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real PostgreSQL, started for these tests on loopback."""
    programs = postgres_programs()
    if programs is None:
        missing = "NOT TESTED: no PostgreSQL here (apt-get install postgresql), the store was tried on SQLite only"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    # Not below pytest's own folder: each session that begins shuts that to all but its user; PostgreSQL has another.
    with (
        tempfile.TemporaryDirectory(prefix="qcfuse-postgres-") as folder,
        served_cluster(programs, make_cluster(programs, Path(folder))) as url,
    ):
        yield url


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
