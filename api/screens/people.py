"""The screens of logging in and of accounts."""

from __future__ import annotations

from functools import partial
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.access.gatekeeper import person_of, require
from api.access.log_in import log_in
from api.access.passwords import BUSY_S, PASSWORD_CHARACTERS_MIN, Busy
from api.access.people import HUMAN_ROLES
from api.http.errors import ApiError
from api.installation import installation
from api.routes.accounts import own_account
from api.screens.front import page_of
from api.screens.pages import render
from api.wording.reader import say

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login_page(request: Request) -> Response:
    """Asks for name and password, or a token."""
    return login_form(request)


def login_form(request: Request, refused: str = "", name: str = "", status: int = 200) -> Response:
    """The log-in page. `refused`: why the last attempt was."""
    directory = installation(request).directory
    title = (directory.title or say("the plant's directory")) if directory else ""
    body = render("login.html", refused=refused, name=name, token_refused=False, directory=title)
    return HTMLResponse(body, status, {"Cache-Control": "no-store"})


@router.post("/login")
async def login(request: Request) -> Response:
    """The form of the log-in page."""
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    name, password = form.get("name", [""])[0], form.get("password", [""])[0]
    answer = RedirectResponse("/", 303)
    try:
        await installation(request).lanes.run("log_in", partial(log_in, request, name, password, answer))
    except ApiError as error:
        page = login_form(request, _said(error), name, status=error.status)
        page.headers.update(error.headers or {})
        return page
    except Busy:
        said = say("Too many log in at once: try again in {seconds} s.", seconds=BUSY_S)
        return login_form(request, said, name, status=429)
    return answer


def _said(error: ApiError) -> str:
    if error.status == 429 and error.headers:
        return say("Too many attempts: try again in {seconds} s.", seconds=error.headers["Retry-After"])
    return say("Name and password do not fit, or the account is shut.")


@router.get("/account")
def account_page(request: Request) -> Response:
    """One's own account."""
    person, here = person_of(request), installation(request)
    settings = here.settings
    return page_of("account.html", person, "account", plant=here.plan.plant, account=own_account(request, person),
                   characters_min=PASSWORD_CHARACTERS_MIN, languages=here.languages.spoken.values(),
                   hours=settings.login_h_max, idle=settings.login_idle_h)  # fmt: skip


@router.get("/people")
def people_page(request: Request) -> Response:
    """Everybody's account, for admins."""
    person, here = require(request, "people"), installation(request)
    people = here.people.every()
    groups = sorted({one.group_name for one in people} - {""})
    return page_of("people.html", person, "people", plant=here.plan.plant, people=people, groups=groups,
                   roles=HUMAN_ROLES)  # fmt: skip
