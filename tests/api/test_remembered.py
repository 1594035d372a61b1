"""Who asks is looked up once a second for all who ask, and at once when this process changed it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.people import Wish, add_person
from api.access.remembered import REMEMBER_S, REMEMBERED_MAX, Remembered
from api.store.database import StoreUnavailable
from tests.api.conftest import Live


class Book:
    """A store that says who a digest is, with a clock and a count of what was asked of it."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.asked: list[frozenset[str]] = []
        self.now_s = 0.0
        self.changes = 0
        self.away = False
        self.remembered = Remembered(self.look_up, lambda: self.changes, lambda: self.now_s)

    async def look_up(self, digests: Collection[str]) -> Mapping[str, str]:
        self.asked.append(frozenset(digests))
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        return {digest: self.names[digest] for digest in digests if digest in self.names}


def test_all_who_ask_at_once_are_found_by_two_statements() -> None:
    async def ask() -> None:
        book = Book()
        book.names = {str(number): f"name {number}" for number in range(100)}
        found = await asyncio.gather(*(book.remembered.find(str(number % 150)) for number in range(300)))
        assert found == [book.names.get(str(number % 150)) for number in range(300)]
        assert len(book.asked) <= 2
        book.now_s += REMEMBER_S / 2
        await book.remembered.find("7")
        assert len(book.asked) <= 2
        book.now_s += REMEMBER_S
        await book.remembered.find("7")
        await book.remembered.find("8")
        assert len(book.asked) <= 3, "who was here a second ago was looked up with the first who came again"

    asyncio.run(ask())


@given(st.lists(st.sampled_from(["ask", "wait", "here", "elsewhere"]), max_size=60))
def test_what_this_process_changed_counts_at_once_and_what_another_did_after_a_second(steps: list[str]) -> None:
    async def follow() -> None:
        book, own, truth = Book(), 0, [0.0]  # when each name became true; the last that this process wrote
        for step in steps:
            if step == "wait":
                book.now_s += REMEMBER_S * 0.6
            elif step == "ask":
                found = int(await book.remembered.find("a") or 0)
                true_a_second_ago = max(n for n, at_s in enumerate(truth) if n == 0 or at_s <= book.now_s - REMEMBER_S)
                assert max(own, true_a_second_ago) <= found < len(truth)
            else:
                book.names = {"a": str(len(truth))}
                if step == "here":
                    book.changes, own = book.changes + 1, len(truth)
                truth.append(book.now_s)

    asyncio.run(follow())


def test_a_store_that_is_away_is_told_to_all_who_wait_and_asked_again() -> None:
    async def ask() -> None:
        book = Book()
        book.names, book.away = {"a": "anna"}, True
        answers = await asyncio.gather(*(book.remembered.find("a") for _ in range(5)), return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        book.away = False
        assert await book.remembered.find("a") == "anna"

    asyncio.run(ask())


def test_secrets_that_mean_nothing_are_not_remembered_without_end() -> None:
    async def ask() -> None:
        book = Book()
        for number in range(3 * REMEMBERED_MAX):
            assert await book.remembered.find(str(number)) is None
            book.now_s += 0.001
        assert len(book.remembered._known) <= REMEMBERED_MAX

    asyncio.run(ask())


@pytest.mark.parametrize("wish", [{"disabled": True}, {"role": "qa"}, {"reset": True}])
def test_a_person_whose_account_is_changed_is_out_at_once(live: Live, wish: dict[str, object]) -> None:
    name = f"ida-{'-'.join(wish)}"
    secret = add_person(live.settings, name, "inspector", by="test", wish=Wish("inspector"))
    with live.client(None) as ida, live.client("admin") as admin:
        assert ida.post("/api/login", json={"name": name, "password": secret}).status_code == 200
        assert ida.get("/api/me").status_code == 200
        assert admin.post(f"/api/people/{name}", json=wish).status_code == 200
        assert ida.get("/api/me").status_code == 401
