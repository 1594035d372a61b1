"""Who am I, logging in and out, and the audit trail."""

from __future__ import annotations

import math
import secrets
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.errors import ApiError
from api.gatekeeper import COOKIE, person_of, require, session_of
from api.installation import Installation, installation
from api.passwords import PASSWORD_CHARACTERS_MAX, is_password
from api.queries import read_cursor
from api.schemas import LoginRequest
from api.store_people import Account
from api.store_rows import Person
from api.tokens import NAME_CHARACTERS_MAX, RIGHTS, SESSION_MS, sha256_of
from api.views import json_response, list_response
from ingest.messages import Instant

router = APIRouter()

REFUSED = "name and password do not fit, or the account is shut"  # the same whatever was wrong


def begin_session(here: Installation, token: str, answer: Response, secure: bool) -> Person | None:
    """Start a session for a good token and put its cookie on the answer; None for a bad token."""
    now = here.now()
    person = here.desk.person_of_token(sha256_of(token), now)
    if person is None:
        here.metrics.refused.labels(reason="bad_token").inc()
        return None
    session = secrets.token_urlsafe(32)
    here.desk.begin_session(sha256_of(session), sha256_of(token), now, Instant(now + SESSION_MS))
    here.audit(person, "login", person.name)
    _set_cookie(answer, session, secure)
    return person


def log_in(request: Request, name: str, password: str, answer: Response) -> Person:
    """Begin a session for a name and its password. Raises ApiError: 401, the same whether the name is known or not; 429
    while the name or the address must wait after failures."""
    here = installation(request)
    if len(name) > NAME_CHARACTERS_MAX or "\0" in name or len(password) > PASSWORD_CHARACTERS_MAX:
        raise ApiError(401, REFUSED)
    key, address = f"name {name}", request.client.host if request.client else ""
    if wait_s := max(here.patience.wait_s(key), here.addresses.wait_s(address)):
        here.metrics.refused.labels(reason="too_many").inc()
        said = f"too many attempts: try again in {seconds(wait_s)} s"
        raise ApiError(429, said, None, {"Retry-After": str(seconds(wait_s))})
    here.patience.failed(key)  # before it is looked at: a hundred guesses at once are a hundred
    here.addresses.failed(address)
    account = here.people.account(name)
    good = is_password(password, account.password_hash if account else None)
    if account is None or not good or account.disabled:
        here.metrics.refused.labels(reason="bad_password").inc()
        raise ApiError(401, REFUSED)
    here.patience.forgive(key)
    here.addresses.take_back(address)  # only this attempt: one good account frees no guessing of others
    return begin_account_session(here, account, answer, request.url.scheme == "https")


def begin_account_session(here: Installation, account: Account, answer: Response, secure: bool) -> Person:
    """A fresh session of an account, its cookie on the answer."""
    person, now = Person(account.name, account.role, account.must_change), here.now()
    session = secrets.token_urlsafe(32)
    here.people.begin_session(sha256_of(session), account.name, Instant(now + SESSION_MS), now)
    here.audit(person, "login", person.name)
    _set_cookie(answer, session, secure)
    return person


def seconds(wait_s: float) -> int:
    """A wait as it is told: whole seconds, rounded up."""
    return math.ceil(wait_s)


def _set_cookie(answer: Response, session: str, secure: bool) -> None:
    answer.set_cookie(
        COOKIE, session, max_age=SESSION_MS // 1000, httponly=True, samesite="lax", secure=secure, path="/"
    )


def _describe(person: Person) -> bytes:
    told = {"name": person.name, "role": person.role, "rights": sorted(RIGHTS[person.role])}
    return msgspec.json.encode(told | ({"must_change": True} if person.must_change else {}))


@router.post("/api/login", tags=["people"])
def login(request: Request, asked: LoginRequest) -> Response:
    """Start a session; the answer sets its cookie."""
    answer = json_response(b"")
    if asked.token is not None:
        person = begin_session(installation(request), asked.token, answer, request.url.scheme == "https")
        if person is None:
            raise ApiError(401, "this token is not good here")
    elif asked.name is not None and asked.password is not None:
        person = log_in(request, asked.name, asked.password, answer)
    else:
        raise ApiError(422, "give a token, or a name and a password")
    answer.body = _describe(person)
    answer.headers["content-length"] = str(len(answer.body))
    return answer


@router.post("/api/logout", tags=["people"])
def logout(request: Request) -> Response:
    """End this session."""
    if session := session_of(request.headers):
        installation(request).desk.end_session(sha256_of(session))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/api/me", tags=["people"])
def me(request: Request) -> Response:
    """Whose token or session this is, and what it may do."""
    return json_response(_describe(person_of(request)))


@router.get("/api/audit", tags=["people"])
def audit(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str = "") -> Response:
    """Who did what, newest first."""
    require(request, "audit")
    before = read_cursor(cursor)
    entries = installation(request).reader.audit(limit + 1, before)
    following = str(entries[limit - 1].audit_id) if len(entries) > limit else None
    return list_response(
        [
            msgspec.json.encode(
                {
                    "at": entry.at.isoformat(),
                    "by": entry.by,
                    "role": entry.role,
                    "action": entry.action,
                    "subject": entry.subject,
                    "detail": entry.detail,
                }
            )
            for entry in entries[:limit]
        ],
        following,
    )
