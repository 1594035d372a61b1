"""Passwords: argon2id with the library's parameters, one-time secrets, and patience with those who guess."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from ingest.errors import BadInput, QcfuseError

PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX = 10, 200
FREE_FAILURES = 5  # slips of the finger; each further failure doubles the wait
FREE_FAILURES_ADDRESS = 50  # a whole shift may sit behind one address
WAIT_S, WAIT_MAX_S = 1.0, 900.0
NAMES_MAX = 10_000  # remembered; beyond it the oldest failures are forgotten

_hasher = PasswordHasher()
_AT_ONCE = threading.Semaphore(2)  # each takes 64 MiB: whoever floods the log-in must not take the memory
_IN_LINE = threading.Semaphore(16)  # nor the threads in which everything else is answered, a stop too
BUSY_S = 2  # in which whoever is in line is served
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))  # verified for a name that nobody has, so that it takes as long


class Busy(QcfuseError):
    """More people log in at this moment than there is room for."""


@contextmanager
def _turn() -> Iterator[None]:
    if not _IN_LINE.acquire(blocking=False):
        raise Busy(f"too many log in at once: try again in {BUSY_S} s")
    try:
        with _AT_ONCE:
            yield
    finally:
        _IN_LINE.release()


def hash_password(password: str, chosen: bool = True) -> str:
    """The hash to keep. Raises BadInput for a password that is too short or too long, where it is `chosen` now;
    Busy."""
    if chosen and not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise BadInput(f"a password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters")
    with _turn():
        return _hasher.hash(password)


def is_stale(password_hash: str) -> bool:
    """Was it made with other parameters than those of today?"""
    return _hasher.check_needs_rehash(password_hash)


def is_password(password: str, password_hash: str | None) -> bool:
    """Is it this hash's password? With None, or none kept, it takes as long and is not. Raises
    Busy."""
    try:
        with _turn():
            good = _hasher.verify(password_hash or _NOBODY, password)
    except (Argon2Error, InvalidHashError):
        return False
    return good and bool(password_hash)


def one_time_secret() -> str:
    """A password to hand over once: 100 random bits in letters that are not mistaken for each other."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    text = "".join(secrets.choice(letters) for _ in range(20))
    return "-".join(text[at : at + 5] for at in range(0, 20, 5))


class Patience:
    """How long a name, or an address, must wait after so many failures. Safe to share between threads."""

    def __init__(self, free_failures: int = FREE_FAILURES) -> None:
        self._free = free_failures
        self._failures: dict[str, tuple[int, float]] = {}
        self._turn = threading.Lock()

    def wait_s(self, *keys: str) -> float:
        """Seconds until one of these may try again; 0 when it may now."""
        now = time.monotonic()
        with self._turn:
            return max(0.0, *(self._until(key) - now for key in keys))

    def failed(self, *keys: str) -> None:
        """One more failure of each."""
        with self._turn:
            for key in keys:
                count, _ = self._failures.pop(key, (0, 0.0))
                self._failures[key] = (count + 1, time.monotonic())
            while len(self._failures) > NAMES_MAX:
                del self._failures[next(iter(self._failures))]

    def forgive(self, *keys: str) -> None:
        """A right password: start anew."""
        with self._turn:
            for key in keys:
                self._failures.pop(key, None)

    def take_back(self, key: str) -> None:
        """One failure less."""
        with self._turn:
            count, at = self._failures.get(key, (0, 0.0))
            if count > 1:
                self._failures[key] = (count - 1, at)
            else:
                self._failures.pop(key, None)

    def _until(self, key: str) -> float:
        count, at = self._failures.get(key, (0, 0.0))
        if count < self._free:
            return 0.0
        return at + min(WAIT_MAX_S, WAIT_S * 2.0 ** min(count - self._free, 30))


class Strangers:
    """Counts what comes from nobody we know, so that it is told now and then and not each time."""

    def __init__(self, every_s: float = 3600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._count = 0
        self._told_at = -every_s
        self._turn = threading.Lock()

    def one_more(self) -> int:
        """How many since it was told last, when it is time to tell; else 0."""
        with self._turn:
            self._count += 1
            now = self._clock()
            if now - self._told_at < self._every_s:
                return 0
            count, self._count, self._told_at = self._count, 0, now
            return count
