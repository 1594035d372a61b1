"""Answers kept for all who ask: fresh while they are cheap, once for many at once, never older than two seconds."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.kept import ENTRIES_MAX, GOOD_S_MAX, TIMES, Kept


class Work:
    """A clock, and work that takes time on it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.done = 0

    def take(self, took_s: float) -> int:
        self.now_s += took_s
        self.done += 1
        return self.done


@given(took_s=st.floats(0.0, 10.0), waited_s=st.floats(0.0, 10.0))
def test_an_answer_is_good_for_twenty_times_as_long_as_it_took_two_seconds_at_most(
    took_s: float, waited_s: float
) -> None:
    work = Work()
    kept = Kept(lambda: work.now_s)
    kept.get("q", lambda: work.take(took_s))
    good_until_s = work.now_s + min(GOOD_S_MAX, TIMES * (work.now_s - 100.0))
    work.now_s += waited_s
    fresh = work.now_s >= good_until_s
    assert kept.get("q", lambda: work.take(took_s)) == (2 if fresh else 1)


def test_many_who_ask_at_once_share_one_answer() -> None:
    kept, asked, answers = Kept(), [], []

    def slow() -> int:
        asked.append(1)
        time.sleep(0.05)
        return len(asked)

    threads = [threading.Thread(target=lambda: answers.append(kept.get("q", slow))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [1] * 10


def test_what_fails_is_not_kept() -> None:
    work = Work()
    kept = Kept(lambda: work.now_s)

    def fail() -> int:
        work.take(1.0)
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        kept.get("q", fail)
    assert kept.get("q", lambda: work.take(1.0)) == 2


def test_questions_are_kept_apart_and_not_without_end() -> None:
    kept = Kept(lambda: 0.0)
    for number in range(3 * ENTRIES_MAX):
        assert kept.get(number, lambda number=number: number) == number  # type: ignore[misc]
    assert len(kept._entries) <= ENTRIES_MAX
