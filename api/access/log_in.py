"""How a session begins and ends, whoever began it: a password, a token, or the plant's own directory (`oidc.py`)."""

from __future__ import annotations

import math
import secrets
import unicodedata

from fastapi import Request
from starlette.responses import Response

from api.access.gatekeeper import COOKIE, session_of
from api.access.passwords import PASSWORD_CHARACTERS_MAX, Busy, hash_password, is_password, is_stale
from api.access.tokens import HOUR_MS, NAME_CHARACTERS_MAX, sha256_of
from api.http.errors import ApiError
from api.installation import Installation, installation
from api.store.people import Account
from api.store.rows import AuditEntry, Person
from ingest.messages import Instant

REFUSED = "name and password do not fit, or the account is shut"  # the same whatever was wrong
NOBODY = "unknown"  # who did it, in the audit, where nobody has shown who it was


def begin_session(request: Request, token: str, answer: Response) -> Person | None:
    """Start a session for a good token and put its cookie on the answer; None for a bad token."""
    here = installation(request)
    person = here.desk.person_of_token(sha256_of(token), here.now())
    if person is None:
        here.metrics.refused.labels(reason="bad_token").inc()
        note_strangers(here)
        return None
    _begin(request, person, answer, token_sha256=sha256_of(token))
    return person


def log_in(request: Request, name: str, password: str, answer: Response) -> Person:
    """Begin a session for a name and its password. Raises ApiError: 401, the same whether the name is known or not; 429
    while the name or the address must wait after failures. Raises Busy."""
    here, name = installation(request), unicodedata.normalize("NFC", name)
    if len(name) > NAME_CHARACTERS_MAX or "\0" in name or len(password) > PASSWORD_CHARACTERS_MAX:
        raise ApiError(401, REFUSED)
    key, address = f"name {name}", address_of(request)
    check_patience(here, max(here.patience.wait_s(key), here.addresses.wait_s(address)))
    here.patience.failed(key)  # before it is looked at: a hundred guesses at once are a hundred
    here.addresses.failed(address)
    account = here.people.account(name)
    try:
        good = is_password(password, account.password_hash if account else None)
    except Busy:
        here.patience.take_back(key)  # it was not looked at
        here.addresses.take_back(address)
        raise
    if account is None or not good or account.disabled:
        here.metrics.refused.labels(reason="bad_password").inc()
        _note_refused(here, account, "the account is shut" if good else "wrong password", address)
        raise ApiError(401, REFUSED)
    here.patience.forgive(key)
    here.addresses.take_back(address)  # only this attempt: one good account frees no guessing of others
    if is_stale(account.password_hash):
        here.people.rehash(account.name, account.password_hash, hash_password(password, chosen=False))
    return begin_account_session(request, account, answer)


def begin_account_session(request: Request, account: Account, answer: Response, how: str = "") -> Person:
    """A fresh session of an account, its cookie on the answer. `how`: what the audit says of it."""
    _begin(request, account.person, answer, account=account.name, how=how)
    return account.person


def _begin(
    request: Request, person: Person, answer: Response, account: str = "", token_sha256: str = "", how: str = ""
) -> None:
    here, session = installation(request), secrets.token_urlsafe(32)
    now = here.now()
    life_ms = here.settings.login_h_max * HOUR_MS
    if earlier := session_of(request.headers):
        here.people.end_session(sha256_of(earlier))  # a browser has one
    ends_at = Instant(now + life_ms)
    here.people.begin_session(sha256_of(session), now, ends_at, account=account, token_sha256=token_sha256)
    here.audit(person, "login", person.name, how)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, session, max_age=int(life_ms / 1000), httponly=True, samesite="lax", secure=secure, path="/"
    )


def end_session(request: Request, person: Person, answer: Response) -> None:
    """End this session, if there is one, and take its cookie back."""
    here = installation(request)
    if session := session_of(request.headers):
        here.people.end_session(sha256_of(session))
        here.audit(person, "logout", person.name)
    answer.delete_cookie(COOKIE, path="/")


def address_of(request: Request) -> str:
    """Where the request came from; empty where that cannot be said."""
    return request.client.host if request.client else ""


def check_patience(here: Installation, wait_s: float) -> None:
    """Raises ApiError 429 while there is a wait."""
    if wait_s:
        here.metrics.refused.labels(reason="too_many").inc()
        whole_s = math.ceil(wait_s)
        raise ApiError(429, f"too many attempts: try again in {whole_s} s", None, {"Retry-After": str(whole_s)})


def _note_refused(here: Installation, account: Account | None, why: str, address: str) -> None:
    """Patience bounds how often this happens to one name; names that nobody has are counted, not listed."""
    if account is None:
        note_strangers(here)
        return
    here.desk.write_audit(AuditEntry(here.now(), NOBODY, "", "login_refused", account.name, f"{why}, from {address}"))


def note_strangers(here: Installation) -> None:
    """One more log-in by nobody we know: in the audit a line an hour at most, with how many there were."""
    if count := here.strangers.one_more():
        told = f"{count} with names, tokens or answers that are none of ours"
        here.desk.write_audit(AuditEntry(here.now(), NOBODY, "", "login_refused", "", told))
