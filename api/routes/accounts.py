"""Accounts over HTTP: one's own password and language, and for admins everybody's account."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import person_of, require, session_of
from api.access.log_in import begin_account_session, check_patience
from api.access.passwords import hash_password, is_password
from api.access.people import Refused, Wish, add, change, new_account, said_of
from api.http.errors import ApiError, not_found
from api.http.lanes import through
from api.http.schemas import LanguageRequest, PasswordRequest, PersonChange, PersonRequest
from api.http.views import json_response, list_response
from api.installation import Installation, installation
from api.store.people import Account
from api.store.rows import Person
from ingest.messages import Instant, encode

router = APIRouter(tags=["people"])


class PersonView(msgspec.Struct, frozen=True):
    """An account as admins see it. `directory`: logs in by the plant's own directory, which keeps the password."""

    name: str
    role: str
    disabled: bool
    must_change: bool
    made_at: Instant
    display_name: str
    group: str
    language: str
    directory: bool


class SecretAnswer(msgspec.Struct, frozen=True):
    """An account and its one-time password, if it was given one: shown now and never again."""

    person: PersonView
    one_time_password: str | None


def own_account(request: Request, person: Person) -> Account | None:
    """The account of whoever asks; None for a token."""
    return installation(request).people.account(person.name) if session_of(request.headers) else None


@router.post("/api/account", status_code=204)
@through("log_in")
def change_password(request: Request, asked: PasswordRequest) -> Response:
    """Change one's own password. Every other session of the account ends, this one begins anew."""
    person, here = person_of(request), installation(request)
    account = own_account(request, person)
    if account is None:
        raise ApiError(409, "you came with a token, which has no password: `qcfuse token` makes and revokes tokens")
    if account.directory_id:
        raise ApiError(409, "the plant's directory keeps your password: change it there")
    check_patience(here, here.patience.wait_s(key := f"name {person.name}"))
    here.patience.failed(key)
    if not is_password(asked.password, account.password_hash):
        raise ApiError(403, "that is not your password")
    here.patience.forgive(key)
    if asked.new_password == asked.password:
        raise ApiError(422, "new_password: it must be another one")
    here.people.change(person.name, password_hash=hash_password(asked.new_password), must_change=False)
    here.audit(person, "password_changed", person.name)
    answer = Response(status_code=204)
    begin_account_session(request, account, answer)
    return answer


@router.post("/api/account/language", status_code=204)
def choose_language(request: Request, asked: LanguageRequest) -> Response:
    """Choose the language of one's own screens; empty: the browser's own."""
    person, here = person_of(request), installation(request)
    if own_account(request, person) is None:
        raise ApiError(409, "you came with a token, which keeps no language: the browser's is taken")
    _check_language(here, asked.language)
    here.people.change(person.name, language=asked.language)
    here.audit(person, "language_chosen", person.name, asked.language)
    return Response(status_code=204)


@router.get("/api/people")
def people(request: Request) -> Response:
    """Every account."""
    require(request, "people")
    return list_response([encode(_view(one)) for one in installation(request).people.every()], None)


@router.post("/api/people", status_code=201)
@through("log_in")
def add_one(request: Request, asked: PersonRequest) -> Response:
    """A new account. The answer holds its one-time password, which is shown this once."""
    admin, here = require(request, "people"), installation(request)
    wish = Wish(asked.role, display_name=asked.display_name, group_name=asked.group, language=asked.language)
    account, secret = new_account(asked.name, here.now(), wish)
    _check_language(here, wish.language)
    try:
        add(here.people, account)
    except Refused as error:
        raise ApiError(409, str(error)) from error
    here.audit(admin, "person_added", account.name, said_of(account))
    return json_response(encode(SecretAnswer(_view(account), secret)), 201)


@router.post("/api/people/{name:path}")
@through("log_in")
def change_one(request: Request, name: str, asked: PersonChange) -> Response:
    """Change an account: role, disabled, group, names, language, or a new one-time password. With another role, when it
    is shut, or with a new password its sessions end."""
    admin, here = require(request, "people"), installation(request)
    account = here.people.account(name)
    if account is None:
        raise not_found(f"there is no {name}")
    if name == admin.name and not (asked.role is None and asked.disabled is None):
        raise ApiError(409, "nobody changes the own role or shuts the own account: ask another admin")
    wish = Wish(
        asked.role, asked.disabled, asked.reset, asked.display_name, asked.group, asked.language, asked.by_directory
    )
    if wish.by_directory and here.directory is None:
        raise ApiError(409, "no directory is set: QCFUSE_OIDC_ISSUER")
    _check_language(here, wish.language)
    try:
        said, secret = change(here.people, account, wish)
    except Refused as error:
        raise ApiError(409, str(error)) from error
    here.audit(admin, "person_changed", name, said)
    changed = here.people.account(name)
    assert changed is not None
    return json_response(encode(SecretAnswer(_view(changed), secret)))


def _check_language(here: Installation, language: str | None) -> None:
    if language and language not in here.languages.spoken:
        raise ApiError(422, f"language: there are {', '.join(sorted(here.languages.spoken))}")


def _view(account: Account) -> PersonView:
    return PersonView(
        account.name, account.role, account.disabled, account.must_change, account.made_at, account.display_name,
        account.group_name, account.language, bool(account.directory_id),
    )  # fmt: skip
