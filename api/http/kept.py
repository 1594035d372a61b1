"""What every open screen asks for again and again, worked out once for all of them.

An answer is good for a while that follows from how long it took: so that in a small plant everything is fresh, and in a
large one no more than a twentieth of a core goes into any one question.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

TIMES = 20  # as long as it took, an answer is good
GOOD_S_MAX = 2.0  # however long it took: screens ask every two seconds
ENTRIES_MAX = 500  # filters that people use at one time

Value = TypeVar("Value")


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: Any = None
    good_until_s: float = 0.0


class Kept:
    """Answers by their question. Who asks while one is worked out waits for it and gets the same."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}

    def get(self, question: Hashable, work_out: Callable[[], Value]) -> Value:
        """The answer, not older than it may be. What `work_out` raises is raised, and nothing is kept."""
        with self._lock:
            if len(self._entries) >= ENTRIES_MAX and question not in self._entries:
                self._entries.clear()
            entry = self._entries.setdefault(question, _Entry())
        with entry.lock:
            began_s = self._clock_s()
            if began_s >= entry.good_until_s:
                entry.value = work_out()
                ended_s = self._clock_s()
                entry.good_until_s = ended_s + min(GOOD_S_MAX, TIMES * (ended_s - began_s))
            value: Value = entry.value
            return value
