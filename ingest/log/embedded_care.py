"""The caretaker of the embedded log: one thread per process that keeps leases, and the log itself, in order.

Leases: moves the beat of this process's members, and expels members whose process died or went silent.
House: copies the write-ahead log into the file outside anybody's commit; deletes superseded state, and records that
every group has read. Only one process's caretaker keeps house at a time (a lock the kernel frees with the process).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingest.errors import LogUnavailable
from ingest.log.embedded_db import Cursor, Database
from ingest.log.embedded_group import Seat, expel, is_abandoned
from ingest.log.embedded_house import DiskLimit, delete_read, delete_superseded, is_pressed

LOOK_S = 0.1  # how soon a killed process is noticed
BEATS_PER_SESSION = 4  # a member may be late with three beats
HOUSE_S = 1.0
AGED_S = 10.0  # looking for aged records costs some 10 ms on a full log
WAL_PAGES_RESTART = 8192  # 64 MiB: under unbroken load the write-ahead log only starts over when writers pause for it
SILENT_SESSIONS = 10  # a member whose thread has not polled or committed for so many session timeouts is stuck


@dataclass(slots=True)
class _Watched:
    """A member of this process."""

    seat: Seat
    active_at: float
    beat: int = 0


@dataclass(slots=True)
class _Seen:
    """Somebody else's beat, and when it last moved by this process's clock."""

    beat: int
    moved_at: float


class Caretaker:
    """Started with the first member or producer of a process; `close` ends the thread."""

    def __init__(self, path: Path, wait_s: float, session_timeout_ms: int, disk: DiskLimit) -> None:
        self._path = path
        self._wait_s = wait_s
        self._session_s = session_timeout_ms / 1000.0
        self._disk = disk
        self._watched: dict[int, _Watched] = {}
        self._others: dict[int, _Seen] = {}
        self._house_lock: int | None = None
        self._copied_version = -1
        self._aged_at = 0.0
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    def start(self) -> None:
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-caretaker", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def watch(self, seat: Seat) -> None:
        with self._guard:
            self._watched[seat.member] = _Watched(seat, time.monotonic())
        self.start()

    def unwatch(self, seat: Seat) -> None:
        with self._guard:
            self._watched.pop(seat.member, None)

    def active(self, seat: Seat) -> None:
        """That member's own thread is at work. Raises our own bug, should the caretaker have died of one."""
        if self._failure is not None:
            raise self._failure
        watched = self._watched.get(seat.member)
        if watched is not None:
            watched.active_at = time.monotonic()

    def _run(self) -> None:
        database: Database | None = None
        beat_at = house_at = looked_at = time.monotonic()
        try:
            while not self._stop.wait(min(LOOK_S, self._session_s / BEATS_PER_SESSION / 2)):
                now = time.monotonic()
                try:
                    database = database or Database(self._path, self._session_s)
                    if now - looked_at > self._session_s / 2:
                        self._others.clear()  # this process slept; what it saw before says nothing about the others
                    looked_at = now
                    if now >= beat_at:
                        beat_at = now + self._session_s / BEATS_PER_SESSION
                        self._beat(database, now)
                    self._expel_dead(database, now)
                    if now >= house_at:
                        house_at = now + HOUSE_S
                        self._keep_house(database)
                except LogUnavailable:
                    continue  # whoever appends or commits meets the same trouble and says so; care goes on when it ends
        except Exception as error:  # noqa: BLE001 - not swallowed: raised again in the members' own threads
            self._failure = error
        finally:
            if database is not None:
                database.close()
            if self._house_lock is not None:
                os.close(self._house_lock)

    def _beat(self, database: Database, now: float) -> None:
        with self._guard:
            busy = [w for w in self._watched.values() if now - w.active_at < SILENT_SESSIONS * self._session_s]
        if not busy:
            return
        for watched in busy:
            watched.beat += 1

        def move(cursor: Cursor) -> None:
            cursor.executemany("UPDATE members SET beat = ? WHERE member = ?", [(w.beat, w.seat.member) for w in busy])

        database.write(move)

    def _expel_dead(self, database: Database, now: float) -> None:
        dead = []
        members = database.rows("SELECT member, group_id, token, beat FROM members")
        for member, group, token, beat in members:
            if member in self._watched:
                continue
            seen = self._others.get(member)
            if seen is None or seen.beat != beat:
                seen = self._others[member] = _Seen(beat, now)
            if now - seen.moved_at > self._session_s or is_abandoned(self._path.parent, token):
                dead.append((member, group))
        for gone in self._others.keys() - {row[0] for row in members}:
            del self._others[gone]
        for member, group in dead:
            database.write(partial(expel, group=group, member=member))

    def _keep_house(self, database: Database) -> None:
        if not self._hold_house():
            return
        delete_superseded(database, self._stop.is_set)
        now = time.monotonic()
        if now >= self._aged_at or is_pressed(database, self._disk):
            self._aged_at = now + AGED_S
            delete_read(database, self._disk, self._stop.is_set)
        version = database.version()
        if version == self._copied_version:
            return
        self._copied_version = version
        _, pages = database.checkpoint("PASSIVE")  # blocks nobody
        if pages > WAL_PAGES_RESTART:
            database.checkpoint("RESTART")

    def _hold_house(self) -> bool:
        if self._house_lock is not None:
            return True
        lock = os.open(self._path.parent / "house.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._house_lock = lock
        return True
