"""Accounts over HTTP: one's own password, and for admins everybody's account."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.errors import ApiError, not_found
from api.gatekeeper import person_of, require, session_of
from api.installation import Installation, installation
from api.passwords import hash_password, is_password, one_time_secret
from api.people import HUMAN_ROLES, new_account
from api.routes_people import begin_account_session, seconds
from api.schemas import PasswordRequest, PersonChange, PersonRequest
from api.store_people import Account
from api.store_rows import Person
from api.views import json_response, list_response
from ingest.messages import Instant, encode

router = APIRouter(tags=["people"])


class PersonView(msgspec.Struct, frozen=True):
    """An account as admins see it."""

    name: str
    role: str
    disabled: bool
    must_change: bool
    made_at: Instant


class SecretAnswer(msgspec.Struct, frozen=True):
    """An account and its one-time password, if it was given one: shown now and never again."""

    person: PersonView
    one_time_password: str | None


@router.post("/api/account", status_code=204)
def change_password(request: Request, asked: PasswordRequest) -> Response:
    """Change one's own password. Every other session of the account ends, this one begins anew."""
    person, here = person_of(request), installation(request)
    account = here.people.account(person.name) if session_of(request.headers) else None
    if account is None:
        raise ApiError(409, "you came with a token, which has no password: `qcfuse token` makes and revokes tokens")
    check_patience(here, key := f"name {person.name}")
    here.patience.failed(key)
    if not is_password(asked.password, account.password_hash):
        raise ApiError(403, "that is not your password")
    here.patience.forgive(key)
    if asked.new_password == asked.password:
        raise ApiError(422, "new_password: it must be another one")
    here.people.change(person.name, password_hash=hash_password(asked.new_password), must_change=False)
    here.audit(person, "password_changed", person.name)
    answer = Response(status_code=204)
    begin_account_session(here, account, answer, request.url.scheme == "https")
    return answer


def check_patience(here: Installation, *keys: str) -> None:
    """Raises ApiError 429 while one of these must wait."""
    if wait_s := here.patience.wait_s(*keys):
        here.metrics.refused.labels(reason="too_many").inc()
        raise ApiError(429, f"too many attempts: try again in {seconds(wait_s)} s", None, _retry_after(wait_s))


def _retry_after(wait_s: float) -> dict[str, str]:
    return {"Retry-After": str(seconds(wait_s))}


@router.get("/api/people")
def people(request: Request) -> Response:
    """Every account."""
    require(request, "people")
    return list_response([encode(_view(one)) for one in installation(request).people.every()], None)


@router.post("/api/people", status_code=201)
def add(request: Request, asked: PersonRequest) -> Response:
    """A new account. The answer holds its one-time password, which is shown this once."""
    admin, here = require(request, "people"), installation(request)
    account, secret = new_account(asked.name, asked.role, here.now())
    if not here.people.add(account):
        raise ApiError(409, f"there is a {asked.name} already")
    here.audit(admin, "person_added", account.name, f"role {account.role}")
    return json_response(encode(SecretAnswer(_view(account), secret)), 201)


@router.post("/api/people/{name:path}")
def change(request: Request, name: str, asked: PersonChange) -> Response:
    """Change an account: role, disabled, or a new one-time password. Its sessions end."""
    admin, here = require(request, "people"), installation(request)
    if here.people.account(name) is None:
        raise not_found(f"there is no {name}")
    changes, secret = _changes(admin, name, asked)
    here.people.change(name, **changes)
    said = ", ".join(f"{what} {value}" for what, value in changes.items() if what in ("role", "disabled"))
    here.audit(admin, "person_changed", name, ", ".join(filter(None, (said, "one-time password" if secret else ""))))
    changed = here.people.account(name)
    assert changed is not None
    return json_response(encode(SecretAnswer(_view(changed), secret)))


def _changes(admin: Person, name: str, asked: PersonChange) -> tuple[dict[str, object], str | None]:
    changes: dict[str, object] = {}
    if asked.role is not None:
        if asked.role not in HUMAN_ROLES:
            raise ApiError(422, f"role: no role of a person; there are {', '.join(HUMAN_ROLES)}")
        changes["role"] = asked.role
    if asked.disabled is not None:
        changes["disabled"] = asked.disabled
    if changes and name == admin.name:
        raise ApiError(409, "nobody changes the own role or shuts the own account: ask another admin")
    secret = one_time_secret() if asked.reset else None
    if secret is not None:
        changes |= {"password_hash": hash_password(secret), "must_change": True}
    if not changes:
        raise ApiError(422, "nothing is to change: give role, disabled or reset")
    return changes, secret


def _view(account: Account) -> PersonView:
    return PersonView(account.name, account.role, account.disabled, account.must_change, account.made_at)
