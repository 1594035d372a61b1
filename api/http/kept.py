"""What every open screen asks for again and again, worked out once for all of them.

Each question has a fiftieth of a core, some of it saved up. While that lasts every answer is worked out anew, so in a
small plant everything is fresh; in a large one the last answer serves, never older than two seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

TIMES = 50  # as long as it took, an answer is good
SPARE_S = 1.0  # so much of that is saved up: of what takes 2 ms ten answers one after the other are fresh
GOOD_S_MAX = 2.0  # however long it took: screens ask every two seconds
NAMES_MAX = 10_000  # more than do anything in two seconds
ENTRIES_MAX = 500  # filters that people use at one time

Value = TypeVar("Value")


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: Any = None
    begun_s: float = float("-inf")
    paid_until_s: float = 0.0


class Lately:
    """Who has just done something: what is kept for all may be older than that."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._done_at_s: dict[str, float] = {}

    def note(self, name: str) -> None:
        self._done_at_s.pop(name, None)
        self._done_at_s[name] = self._clock_s()
        if len(self._done_at_s) > NAMES_MAX:
            del self._done_at_s[next(iter(self._done_at_s))]

    def did(self, name: str) -> bool:
        """Within the time for which an answer may serve?"""
        return self._clock_s() - self._done_at_s.get(name, float("-inf")) <= GOOD_S_MAX


class Kept:
    """Answers by their question. Who asks while one is worked out waits for it, and gets the next: one for all."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}

    def get(
        self, question: Hashable, work_out: Callable[[], Value], is_good: Callable[[Value], bool] = lambda _: True
    ) -> Value:
        """The answer, not older than it may be; one that is not `is_good` to who asks is worked out anew. What
        `work_out` raises is raised, and nothing is kept."""
        with self._lock:
            if len(self._entries) >= ENTRIES_MAX and question not in self._entries:
                self._entries.clear()
            entry = self._entries.setdefault(question, _Entry())
        asked_s = self._clock_s()
        with entry.lock:
            if not (self._serves(entry, asked_s) and (entry.begun_s >= asked_s or is_good(entry.value))):
                begun_s = self._clock_s()
                entry.value = work_out()
                ended_s = self._clock_s()
                paid_s = max(ended_s, entry.paid_until_s) + TIMES * (ended_s - begun_s)
                entry.begun_s, entry.paid_until_s = begun_s, min(paid_s, ended_s + SPARE_S + GOOD_S_MAX)
            value: Value = entry.value
            return value

    def at_hand(self, question: Hashable) -> Any | None:
        """The answer if it may serve and nobody has to wait for it. For the event loop."""
        entry = self._entries.get(question)
        return entry.value if entry is not None and self._serves(entry, self._clock_s()) else None

    def _serves(self, entry: _Entry, asked_s: float) -> bool:
        now_s = self._clock_s()
        if entry.begun_s >= asked_s:  # by another who waited too
            return True
        return now_s - entry.begun_s < GOOD_S_MAX and entry.paid_until_s - now_s > SPARE_S
