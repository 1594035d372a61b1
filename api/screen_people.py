"""The screens of logging in and of accounts."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.errors import ApiError
from api.gatekeeper import person_of, require, session_of
from api.installation import installation
from api.log_in import log_in
from api.pages import render
from api.passwords import PASSWORD_CHARACTERS_MIN
from api.people import HUMAN_ROLES
from api.screen import page_of

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login_page() -> Response:
    """Asks for name and password, or a token."""
    return login_form()


def login_form(refused: str = "", name: str = "", token_refused: bool = False, status: int = 200) -> Response:
    """The log-in page. `refused`: why the last attempt was."""
    body = render("login.html", refused=refused, name=name, token_refused=token_refused)
    return HTMLResponse(body, status, {"Cache-Control": "no-store"})


@router.post("/login")
async def login(request: Request) -> Response:
    """The form of the log-in page."""
    form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    name, password = form.get("name", [""])[0], form.get("password", [""])[0]
    answer = RedirectResponse("/", 303)
    try:
        await run_in_threadpool(log_in, request, name, password, answer)
    except ApiError as error:
        page = login_form(f"{error.message[:1].upper()}{error.message[1:]}.", name, status=error.status)
        page.headers.update(error.headers or {})
        return page
    return answer


@router.get("/account")
def account_page(request: Request) -> Response:
    """One's own account."""
    person, here = person_of(request), installation(request)
    account = here.people.account(person.name) if session_of(request.headers) else None
    return page_of("account.html", person, "account", plant=here.plan.plant, account=account,
                   characters_min=PASSWORD_CHARACTERS_MIN)  # fmt: skip


@router.get("/people")
def people_page(request: Request) -> Response:
    """Everybody's account, for admins."""
    person, here = require(request, "people"), installation(request)
    return page_of("people.html", person, "people", plant=here.plan.plant, people=here.people.every(),
                   roles=HUMAN_ROLES)  # fmt: skip
