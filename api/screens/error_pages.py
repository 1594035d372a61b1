"""What a person reads instead of the page asked for: what is wrong, what to do now, and the way back.

A browser that opens an address gets a page; whoever asks for anything else gets the JSON of `api/http/errors.py`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, Response

from api.access.tokens import RIGHTS
from api.screens.pages import render
from api.store.rows import Person
from api.wording.reader import reader_of, reading, say
from api.wording.refusals import say_refusal
from api.wording.words import say_right, say_role

_NUMBER_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # none that is read as another over the telephone


#: Status -> what is wrong, and what to do now.
TITLES = {
    401: "Log in first",
    403: "This is not open to you",
    404: "There is no such page",
    410: "It is no longer kept",
    422: "The address cannot be understood",
    429: "Too much at once",
    503: "qcfuse cannot reach its records just now",
}
TODOS = {
    401: "You have not logged in, or your session has ended.",
    403: "Load the page again, and log in if it asks you to.",
    404: "The address may be mistyped, or from an earlier version.",
    410: "Pictures and evidence are kept as long as the plan says; verdicts and decisions are still there.",
    422: "Something in it is missing or wrong:",
    429: "Wait a moment, then ask again.",
    503: "Nothing that was recorded is lost. Ask again in a moment; if it stays so, tell whoever looks after qcfuse.",
}
SCAN_AGAIN = (
    "Scan its code again, or type it. A part appears with its first record: if it has just passed a station, wait a "
    "moment and ask again."
)
TELL_THE_NUMBER = (
    "Tell this number to whoever looks after qcfuse: the log has the details under it. Before you do the same again, "
    "look whether it was recorded."
)
NO_TITLE, NO_TODO = "That did not work", "What the server says:"
SENTENCES = (SCAN_AGAIN, TELL_THE_NUMBER, NO_TITLE, NO_TODO, *TITLES.values(), *TODOS.values())
AGAIN = (429, 500, 503)  # it may work when asked again


@dataclass(frozen=True, slots=True)
class Advice:
    """`told`: the server's own sentence, where it says more than the title; `find`: offer to look for a
    part; `again`: it may work when asked again."""

    title: str
    todo: str
    told: str = ""
    find: bool = False
    again: bool = False


def wants_page(asking: HTTPConnection) -> bool:
    """Does a person look at the answer? A script, an image and a machine do not ask for text/html."""
    return asking.scope["method"] == "GET" and "text/html" in asking.headers.get("accept", "")


def new_number() -> str:
    """The number of a mistake of ours, which a person tells and the log knows."""
    letters = "".join(secrets.choice(_NUMBER_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def error_page(
    asking: HTTPConnection, status: int, message: str, detail: Any = None, headers: dict[str, str] | None = None
) -> Response:
    """The page for an error. Within the frame of every page where it is known who asks; a mistake of ours stands alone,
    because it may be the frame that is broken."""
    with reading(reader_of(asking)):
        answer = _page(asking, status, message, detail)
    answer.headers.update(headers or {})
    return answer


def _page(asking: HTTPConnection, status: int, message: str, detail: Any) -> Response:
    person = asking.scope.get("state", {}).get("person")
    advice = advise(status, message, detail, asking.url.path, person)
    if isinstance(person, Person) and status < 500:
        from api.installation import installation
        from api.screens.front import page_of

        answer = page_of("error.html", person, "error", plant=installation(asking).plan.plant, layout="base.html",
                         advice=advice, status=status)  # fmt: skip
        answer.status_code = status
        return answer
    body = render("error.html", layout="bare.html", advice=advice, status=status)
    return HTMLResponse(body, status, {"Cache-Control": "no-store"})


def advise(status: int, message: str, detail: Any, path: str, person: Person | None) -> Advice:
    """What to tell, by the status and by what was asked for."""
    if status == 403 and person is not None and isinstance(detail, dict) and "right" in detail:
        return _no_right(str(detail["right"]), person)
    if status == 404 and path.startswith("/parts/"):
        return Advice(say("Part {part} is not known here", part=path[7:]), say(SCAN_AGAIN), find=True, again=True)
    if status == 500:
        return Advice(say("A mistake of ours: {number}", number=detail), say(TELL_THE_NUMBER), again=True)
    message = say_refusal(message, status)
    told = f"{message[:1].upper()}{message[1:]}"
    title, todo = TITLES.get(status, NO_TITLE), TODOS.get(status, NO_TODO)
    return Advice(say(title), say(todo), "" if status == 401 else told, again=status in AGAIN)


def _no_right(right: str, person: Person) -> Advice:
    able = ", ".join(say_role(role) for role, rights in RIGHTS.items() if right in rights and role != "machine")
    lacks = say(
        "You lack the right to {right}, which these have: {roles}. You are {name}, {role}.",
        right=say_right(right),
        roles=able,
        name=person.name,
        role=say_role(person.role),
    )
    return Advice(say(TITLES[403]), lacks + " " + say("If your work needs it, an admin can give you another role."))
