"""What the API refuses is said in the reader's language: every message that a screen can show has its form."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.people import _TAKEN
from api.wording import refusals
from api.wording.languages import load_languages
from api.wording.reader import Reader, reading
from api.wording.refusals import REFUSALS, say_refusal
from tests.api.conftest import Live

GERMAN = load_languages("no home").spoken["de"]
API = Path(refusals.__file__).parents[1]
ROOMS = ("access", "agreement", "routes", "screens", "http")
#: No screen asks so that these are answered; who does reads what kind of refusal it is, and the message.
PROGRAMS_ONLY = (
    "cursor: not one that a list gave",
    "{}: {}; write it like 2026-11-23T08:26:00.000Z",
    "a form of more than {} bytes is none of ours",
    "the address holds a NUL character, which no id does",
    "this needs a token",
    "give a token, or a name and a password",
    "marks: {}",
    "mark {}: {}",
    "mark {}: {}",
    "{}: not there yet; html prints well on paper, csv opens in a spreadsheet",
    "there is no language {}",
    "the shelf has no version {} of {}",
    "role: {} is no role of a person; there are {}",
    "role: a person has one of {}",
    "language: a tag like `de`, or nothing for the browser's own",
    "nothing is to change: give role, disabled, display_name, group, language or reset",
    "person: there is no {}",
    "a token's name has 1 to {} printable characters",
    "token: there is no good token of {}",
    "token: {} is somebody's account; give the token another name, so that what both do is told apart",
    "{}: no such role; there are {}",
)


def skeleton(form: str) -> str:
    """`part {part} is not known` -> `part {} is not known`."""
    return re.sub(r"\{[^}]*\}", "{}", form)


def messages() -> Iterator[str]:
    """Every message that is written where a refusal is raised, as a skeleton; one that is handed on is none."""
    for path in sorted(one for room in ROOMS for one in (API / room).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in ("ApiError", "not_found", "Refused", "BadInput", "Busy"):
                said = node.args[1 if name == "ApiError" else 0] if node.args else None
                if isinstance(said, ast.Constant) and isinstance(said.value, str):
                    yield said.value
                elif isinstance(said, ast.JoinedStr):
                    yield "".join(one.value if isinstance(one, ast.Constant) else "{}" for one in said.values)  # type: ignore[misc]


def in_german(message: str, status: int = 0) -> str:
    with reading(Reader(GERMAN)):
        return say_refusal(message, status)


def test_every_message_has_its_form_or_is_for_programs_only() -> None:
    found = {*messages(), *map(skeleton, _TAKEN.values())}
    assert len(found) > 50
    known = {skeleton(form) for form in REFUSALS}
    passed_on = {"{}", "{}: {}"}  # a message made elsewhere, or the number of a mistake of ours
    settings = {one for one in found if one.startswith("QCFUSE_")}  # a service with a wrong one does not start
    assert sorted(found - settings - known - set(PROGRAMS_ONLY) - passed_on) == []
    assert sorted(set(PROGRAMS_ONLY) - found) == []


@pytest.mark.parametrize("form", REFUSALS)
def test_each_form_is_found_again_with_what_stands_in_it(form: str) -> None:
    places = re.findall(r"\{(\w+)\}", form)
    said = in_german(re.sub(r"\{\w+\}", "H-1/7", form))
    assert said == GERMAN.say(form, dict.fromkeys(places, "H-1/7"))


def test_english_is_read_as_it_was_written() -> None:
    assert say_refusal("part P1 is not known", 404) == "part P1 is not known"


def test_words_within_a_refusal_are_said_too() -> None:
    assert "Prüfer" in in_german("inspector ina has no right to people")


@given(st.text(max_size=300), st.integers(0, 600))
def test_a_message_of_no_known_form_is_kept_behind_what_it_is(message: str, status: int) -> None:
    said = in_german(message, status)
    assert said.endswith(message) or any(refusals.refusal_form(form).fullmatch(message) for form in REFUSALS)


def test_over_http_the_message_stays_english_and_what_is_said_is_the_readers(live: Live) -> None:
    with live.client("inspector") as asking:
        told = ask(asking, "de")
        assert told["message"] == "part none is not known"
        assert told["said"] == in_german("part none is not known")
        assert set(ask(asking, "en")) == {"code", "message", "detail"}


def ask(asking: httpx.Client, language: str) -> dict[str, object]:
    error: dict[str, object] = asking.get("/api/parts/none", headers={"Accept-Language": language}).json()["error"]
    return error
