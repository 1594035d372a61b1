"""The store: SQLite or PostgreSQL by URL. Opening it, bringing its tables up to date, telling its troubles apart.

What may be done is in the type: `StoreReader` (read.py) reads, `StoreWriter` (write.py) is the collector's,
`Desk` (desk.py) keeps tokens, sessions and the audit trail.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from ingest.errors import BadInput, QcfuseError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
BUSY_S = 10.0  # a writer of the same SQLite file holds it for milliseconds; ten seconds is a stuck disk
FILE_POOL = 40  # as many as threads serve requests: to open a file again costs more than most questions
SERVER_POOL = 20  # of PostgreSQL's usual hundred connections, twice (to read, to write) for each process
MIGRATION_LOCK = 0x71636675  # "qcfu": any number, so long as every qcfuse on this PostgreSQL takes the same

_SHARED: dict[tuple[str, bool], tuple[sa.Engine, int]] = {}  # with how many hold it
_SHARING = threading.Lock()


class StoreUnavailable(QcfuseError):
    """The store did not answer, is full, or is locked by somebody else; nothing was written."""


@contextmanager
def reaching_store() -> Iterator[None]:
    """Turn the database's own troubles into `StoreUnavailable`; a wrong statement of ours stays our bug."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreUnavailable(f"the store does not answer: {cause}") from error


def open_engine(url: str, *, writing: bool) -> sa.Engine:
    """A connection pool on the store. Raises BadInput when the URL is none of ours."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise BadInput(
            f"QCFUSE_STORE: {url!r} is not a SQLAlchemy URL (sqlite:///FILE, postgresql+psycopg://…)"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(parsed, writing)
    if backend == "postgresql":
        try:
            return sa.create_engine(
                parsed, pool_pre_ping=True, pool_size=SERVER_POOL, max_overflow=0, connect_args={"connect_timeout": 5}
            )
        except NoSuchModuleError as error:
            raise BadInput(f"QCFUSE_STORE: {parsed.drivername}: write postgresql+psycopg://…") from error
    raise BadInput(f"QCFUSE_STORE: {backend} is not a store of qcfuse: sqlite or postgresql")


def _open_sqlite(url: sa.URL, writing: bool) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise BadInput("QCFUSE_STORE: the store must be a file: sqlite:///FILE")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    # One writes at a time. Of this process they wait here for their turn: SQLite would have them knock again and again.
    hands = 1 if writing else FILE_POOL
    engine = sa.create_engine(url, pool_size=hands, max_overflow=0, connect_args={"timeout": BUSY_S})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # the log is the truth: what a power cut takes is read again

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer that began by reading could find the file changed under it and fail; taking the lock first cannot.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def share_engine(url: str, *, writing: bool) -> sa.Engine:
    """The process's one connection pool for this; `leave_engine` when done. Raises BadInput."""
    with _SHARING:
        engine, count = _SHARED.get((url, writing)) or (open_engine(url, writing=writing), 0)
        _SHARED[url, writing] = engine, count + 1
        return engine


def leave_engine(engine: sa.Engine) -> None:
    """Whoever leaves last closes its connections; to leave twice is no harm."""
    with _SHARING:
        key, count = next(((key, count) for key, (one, count) in _SHARED.items() if one is engine), (None, 0))
        if key is not None and count > 1:
            _SHARED[key] = engine, count - 1
            return
        if key is not None:
            del _SHARED[key]
    engine.dispose()


class TwoHands:
    """A store opened twice: to write, one at a time, and to read beside it."""

    def __init__(self, url: str) -> None:
        self._engine = share_engine(url, writing=True)
        self._reading = share_engine(url, writing=False)

    def close(self) -> None:
        leave_engine(self._engine)
        leave_engine(self._reading)


def migrate(url: str) -> None:
    """Bring the tables up to date; safe when several processes start at once. Raises StoreUnavailable, BadInput."""
    engine = open_engine(url, writing=True)
    try:
        with reaching_store(), _one_at_a_time(engine), engine.connect() as connection:
            config = alembic.config.Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()


@contextmanager
def _one_at_a_time(engine: sa.Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        handle = os.open(f"{engine.url.database}.migrating", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
        return
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))


def insert_into(connection: sa.Connection, table: sa.Table) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return _insert_into(connection.dialect.name, table)


@lru_cache(maxsize=100)
def _insert_into(dialect: str, table: sa.Table) -> Any:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


@lru_cache(maxsize=100)
def _insert_new(dialect: str, table: sa.Table) -> Any:
    return _insert_into(dialect, table).on_conflict_do_nothing()


def insert_new(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows; those whose key is there already stay as they are."""
    if rows:
        connection.execute(_insert_new(connection.dialect.name, table), rows)
