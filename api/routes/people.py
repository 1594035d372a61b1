"""Who am I, logging in and out, and the audit trail."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.access.gatekeeper import person_of, require
from api.access.log_in import begin_session, end_session, log_in
from api.access.tokens import RIGHTS
from api.http.errors import ApiError
from api.http.lanes import through
from api.http.queries import read_cursor, read_time
from api.http.schemas import LoginRequest
from api.http.views import json_response, list_response
from api.installation import installation
from api.store.audit import AuditWanted
from api.store.rows import Person

router = APIRouter()


def _describe(person: Person) -> bytes:
    told = {"name": person.name, "role": person.role, "rights": sorted(RIGHTS[person.role])}
    return msgspec.json.encode(told | ({"must_change": True} if person.must_change else {}))


@router.post("/api/login", tags=["people"])
@through("log_in")
def login(request: Request, asked: LoginRequest) -> Response:
    """Start a session; the answer sets its cookie."""
    answer = json_response(b"")
    if asked.token is not None:
        person = begin_session(request, asked.token, answer)
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
    answer = RedirectResponse("/login", 303)
    end_session(request, person_of(request), answer)
    return answer


@router.get("/api/me", tags=["people"])
def me(request: Request) -> Response:
    """Whose token or session this is, and what it may do."""
    return json_response(_describe(person_of(request)))


@router.get("/api/audit", tags=["people"])
@through("slow")
def audit(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str = "",
    by: Annotated[str, Query(max_length=200)] = "",
    action: Annotated[str, Query(max_length=200)] = "",
    since: str = "",
    until: str = "",
) -> Response:
    """Who did what, newest first; of one person, of one kind of action, of a time."""
    require(request, "audit")
    wanted = AuditWanted(by, action, read_time("since", since), read_time("until", until))
    entries = installation(request).reader.audit(limit + 1, read_cursor(cursor), wanted)
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
