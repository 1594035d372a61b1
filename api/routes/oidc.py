"""Logging in by the plant's own directory: there and back again. The account follows what the directory says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api.access.log_in import NOBODY, address_of, begin_account_session, note_strangers
from api.access.oidc import ASK_S, Directory, DirectoryUnavailable
from api.access.oidc_claims import Member, NotLetIn
from api.access.people import said_of
from api.http.errors import not_found
from api.http.lanes import through
from api.installation import Installation, installation
from api.screens.people import login_form
from api.store.people import Account
from api.store.rows import AuditEntry
from api.wording.reader import say

router = APIRouter(include_in_schema=False)

COOKIE, PLACE = "qcfuse_oidc", "/oidc"
BY = "directory"  # who changed an account, in the audit


@router.get("/oidc/login")
@through("log_in")
def go(request: Request) -> Response:
    """To the directory; a cookie ties the attempt to this browser."""
    directory = _directory(request)
    try:
        asked = directory.ask(_return_address(request))
    except DirectoryUnavailable as error:
        return _unavailable(request, error)
    answer = RedirectResponse(asked.address, 303, {"Cache-Control": "no-store"})
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, asked.cookie, max_age=ASK_S, httponly=True, samesite="lax", secure=secure, path=PLACE)
    return answer


@router.get("/oidc/callback")
@through("log_in")
def come_back(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
    """Back from the directory: a session, or a sentence that says why there is none."""
    directory, here = _directory(request), installation(request)
    answer: Response = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
    try:
        cookie = request.cookies.get(COOKIE, "")
        member = directory.answered(cookie, state, code, error, _return_address(request))
        begin_account_session(request, account_of(here, member), answer, f"by {BY}, from {address_of(request)}")
    except DirectoryUnavailable as unavailable:
        answer = _unavailable(request, unavailable)
    except NotLetIn as refused:
        here.metrics.refused.labels(reason="directory").inc()
        _note(here, refused, address_of(request))
        answer = login_form(request, str(refused), status=403)
    answer.delete_cookie(COOKIE, path=PLACE)
    return answer


def account_of(here: Installation, member: Member) -> Account:
    """The account of a member, made at the first log-in, its role and names as the directory says now. Raises NotLetIn
    when the account is shut, or somebody else has the name."""
    account = here.people.of_directory(member.directory_id) or _made(here, member)
    if account.disabled:
        raise NotLetIn(say("Your account here is shut. Ask an admin."), account.name)
    told: dict[str, Any] = {"role": member.role, "display_name": member.display_name}
    if member.group is not None:
        told["group_name"] = member.group
    changed = {name: value for name, value in told.items() if getattr(account, name) != value}
    if changed:
        here.people.change(account.name, keep_admin=False, **changed)  # what the directory takes is taken
        said = ", ".join(f"{name} {value}" for name, value in changed.items())
        here.desk.write_audit(AuditEntry(here.now(), BY, "", "person_changed", account.name, said))
    return replace(account, **changed)


def _made(here: Installation, member: Member) -> Account:
    if here.people.bind(member.name, member.directory_id):
        here.desk.write_audit(AuditEntry(here.now(), BY, "", "person_changed", member.name, "found in the directory"))
        bound = here.people.account(member.name)
        assert bound is not None
        return bound
    account = Account(member.name, member.role, "", must_change=False, disabled=False, made_at=here.now(),
                      display_name=member.display_name, group_name=member.group or "",
                      directory_id=member.directory_id)  # fmt: skip
    if here.people.add(account) != "added":
        if (meanwhile := here.people.of_directory(member.directory_id)) is not None:
            return meanwhile
        said = say("Somebody else is {name} here: nobody gets another's account. Ask an admin.", name=member.name)
        raise NotLetIn(said, member.name)
    here.desk.write_audit(AuditEntry(here.now(), BY, "", "person_added", account.name, said_of(account)))
    return account


def _note(here: Installation, refused: NotLetIn, address: str) -> None:
    """Whom the directory has named is written down; anybody can make up the rest, which is counted."""
    if not refused.name:
        note_strangers(here)
        return
    detail = f"by {BY}: {refused}, from {address}"
    here.desk.write_audit(AuditEntry(here.now(), NOBODY, "", "login_refused", refused.name, detail))


def _directory(request: Request) -> Directory:
    directory = installation(request).directory
    if directory is None:
        raise not_found("no directory is set: QCFUSE_OIDC_ISSUER")
    return directory


def _return_address(request: Request) -> str:
    """Where the directory sends the browser: it takes only the addresses it was told before."""
    told = installation(request).settings.oidc_redirect_url
    return told or f"{request.url.scheme}://{request.url.netloc}/oidc/callback"


def _unavailable(request: Request, error: DirectoryUnavailable) -> Response:
    installation(request).metrics.refused.labels(reason="directory_unavailable").inc()
    said = say("The plant's directory cannot be asked now: {reason}. Try again, or use an account of this screen.",
               reason=str(error))  # fmt: skip
    return login_form(request, said, status=503)
