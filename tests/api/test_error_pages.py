"""An error in a browser is a page that says what is wrong, what to do, and the way back; everybody else gets JSON."""

from __future__ import annotations

import html
import re

import httpx
import pytest
from starlette.requests import Request

from api.app import build_app
from api.screens.error_pages import new_number
from tests.api.conftest import Live

PAGE = {"Accept": "text/html,application/xhtml+xml"}


def page_of(client: httpx.Client, path: str, **headers: str) -> tuple[int, str]:
    answer = client.get(path, headers={**PAGE, **headers})
    assert answer.headers["content-type"].startswith("text/html")
    text = re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2].partition("</main>")[0])
    return answer.status_code, " ".join(html.unescape(text).split())


def test_who_lacks_a_right_reads_which_and_who_has_it(live: Live) -> None:
    with live.client("inspector") as client:
        status, text = page_of(client, "/people")
        assert status == 403
        for words in (
            "not open to you",
            "look after accounts",
            "Admin",
            "test-inspector, Inspector",
            "Back to the flagged",
        ):
            assert words in text
        assert client.get("/people").json()["error"]["code"] == "forbidden"


def test_a_part_that_nobody_knows_is_named_and_may_be_scanned_again(live: Live) -> None:
    with live.client("inspector") as client:
        status, text = page_of(client, "/parts/NO/SUCH")
        assert status == 404
        for words in ("Part NO/SUCH is not known here", "Scan its code again", "Ask again"):
            assert words in text
        assert 'id="find-again"' in client.get("/parts/x", headers=PAGE).text
        assert client.get("/parts/x").json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nothing", 404, "There is no such page"),
        ("/exposed?cause=zz", 422, "The address cannot be understood"),
        ("/api/batches/none/report?format=html", 404, "Batch none is not known"),
    ],
)
def test_other_errors_have_their_page(live: Live, path: str, status: int, words: str) -> None:
    with live.client("qa") as client:
        told = page_of(client, path)
        assert told[0] == status
        assert words in told[1]


def test_the_page_is_in_the_readers_language(live: Live) -> None:
    with live.client("inspector") as client:
        answer = client.get("/people", headers={**PAGE, "Accept-Language": "de-CH"})
        assert '<html lang="de"' in answer.text
        assert "Kein Zugriff" in answer.text


def test_what_was_asked_for_is_shown_as_text_never_run(live: Live) -> None:
    with live.client("qa") as client:
        answer = client.get("/parts/<script>alert(1)</script>", headers=PAGE)
        assert answer.status_code == 404
        assert "<script>alert" not in answer.text


def test_a_mistake_of_ours_has_a_number_that_the_log_knows(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    app = build_app(live.service)

    @app.get("/login/broken")
    def broken(_request: Request) -> None:
        raise ZeroDivisionError

    app.user_middleware.clear()  # who asks does not matter here
    with_mistakes = httpx.ASGITransport(app=app, raise_app_exceptions=False)

    async def ask(accept: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=with_mistakes, base_url="http://t") as client:
            return await client.get("/login/broken", headers={"Accept": accept})

    import asyncio

    page, told = asyncio.run(ask("text/html")), asyncio.run(ask("application/json"))
    assert (page.status_code, told.status_code) == (500, 500)
    numbers = re.findall(r"\b[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}\b", page.text + told.text)
    assert len(set(numbers)) == 2
    assert all(number in caplog.text for number in numbers)
    assert told.json()["error"]["code"] == "error"


def test_numbers_of_mistakes_are_not_given_twice() -> None:
    assert len({new_number() for _ in range(1000)}) == 1000
