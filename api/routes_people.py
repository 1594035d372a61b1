"""Who am I, logging in and out, and the audit trail."""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.errors import ApiError
from api.gatekeeper import COOKIE, person_of, require, session_of
from api.installation import Installation, installation
from api.queries import read_cursor
from api.schemas import LoginRequest
from api.store_rows import Person
from api.tokens import RIGHTS, SESSION_MS, sha256_of
from api.views import json_response, list_response
from ingest.messages import Instant

router = APIRouter()


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
    answer.set_cookie(
        COOKIE, session, max_age=SESSION_MS // 1000, httponly=True, samesite="lax", secure=secure, path="/"
    )
    return person


def _describe(person: Person) -> bytes:
    return msgspec.json.encode({"name": person.name, "role": person.role, "rights": sorted(RIGHTS[person.role])})


@router.post("/api/login", tags=["people"])
def login(request: Request, asked: LoginRequest) -> Response:
    """Start a session; the answer sets its cookie."""
    answer = json_response(b"")
    person = begin_session(installation(request), asked.token, answer, request.url.scheme == "https")
    if person is None:
        raise ApiError(401, "this token is not good here")
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
