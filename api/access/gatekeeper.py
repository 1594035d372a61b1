"""Who is asking? Every request but the health routes passes here, also one for a path that does not exist.

A Bearer token or the session cookie that `/?token=`, `/api/login` and the plant's directory set. How often one may ask
and how large a body may be is limited here too, and what another site makes a browser send is refused.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from functools import partial
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.csrf import UNSAFE, by_browser, check_origin, check_token, csrf_token
from api.access.limits import Limits
from api.access.remembered import Remembered
from api.access.tokens import HOUR_MS, Right, may, sha256_of
from api.http.errors import ApiError, answer_error, error_response
from api.installation import Installation, installation
from api.store.database import StoreUnavailable
from api.store.people import Session
from api.store.rows import Person
from ingest.messages import Instant

COOKIE = "qcfuse_session"
BODY_BYTES_MAX = 512 * 1024  # the largest body we take is a review with 20 000 points of brush strokes
TOLD_MAX = 1000
TELL_USE_MS = 60_000.0  # the store hears of a session's use once in a minute: an idle limit is a matter of minutes
STREAM, STREAM_ASKS_S = "/api/verdicts/stream", 15.0  # two hundred streams ask thirteen times a second
OPEN_PATHS = ("/healthz", "/readyz", "/api/login", "/login", "/oidc/login", "/oidc/callback")
ASKED_BY_PAGES = (STREAM, "/api/overview", "/api/queue", "/api/queue/standing", "/api/queue/mine", "/api/views",
                  "/api/incidents", "/metrics")  # fmt: skip
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer a browser's form says Origin: null
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    ),
)


class Gatekeeper:
    """ASGI middleware: puts the `Person` into `request.state.person`, or answers 401."""

    def __init__(self, app: ASGIApp, limits: Limits, here: Installation) -> None:
        self._app = app
        self._limits = limits
        self._here = here
        self._tokens = Remembered(self._people_of_tokens, lambda: 0)  # no route takes a token away
        self._sessions = Remembered(self._find_sessions, lambda: here.people.changes)
        self._told_at: dict[str, Instant] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        asking = HTTPConnection(scope)
        try:
            answer, receive = await self._judge(asking, receive)
        except StoreUnavailable as error:
            answer = answer_error(asking, 503, str(error))
        except ApiError as error:
            answer = answer_error(asking, error.status, error.message, error.detail, error.headers)
            if error.status == 429:
                installation(asking).metrics.refused.labels(reason="too_many").inc()
        if answer is not None:
            await answer(scope, receive, send)
        elif scope["path"] == STREAM:
            await self._stream(asking, receive, send)
        else:
            await self._app(scope, _limited(receive), send)

    async def _stream(self, asking: HTTPConnection, receive: Receive, send: Send) -> None:
        name = asking.state.person.name
        try:
            self._limits.begin_stream(name)
        except ApiError as error:
            await answer_error(asking, error.status, error.message, None, error.headers)(asking.scope, receive, send)
            return
        try:
            await self._app(asking.scope, receive, send)
        finally:
            self._limits.end_stream(name)

    async def _judge(self, asking: HTTPConnection, receive: Receive) -> tuple[Response | None, Receive]:
        """What to answer instead of what was asked for, if anything. Raises ApiError, StoreUnavailable."""
        path, headers = asking.scope["path"], asking.headers
        self._limits.check_address(path, asking.client.host if asking.client else "")
        person = None if path in ("/healthz", "/readyz") else await self._who(asking)
        if person is not None:
            self._limits.check_person(path, person.name)
        elif not _is_open(asking):
            return _refuse(asking), receive
        if person is not None and person.must_change and not (_is_open(asking) or _leads_to_the_change(path)):
            return _ask_to_change(asking), receive
        if asking.scope["method"] in UNSAFE:
            check_origin(headers)
            if person is not None and person.csrf and path not in OPEN_PATHS:
                receive = await check_token(headers, receive, person.csrf)
        if b"%00" in asking.scope.get("query_string", b"") or "\0" in path:
            raise ApiError(422, "the address holds a NUL character, which no id does")
        if int(headers.get("content-length") or 0) > BODY_BYTES_MAX:
            raise ApiError(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
        asking.scope.setdefault("state", {}).update(person=person, is_known=partial(self._is_known, asking))
        return None, receive

    async def _who(self, asking: HTTPConnection) -> Person | None:
        scheme, _, token = asking.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return await self._tokens.find(sha256_of(token.strip()))
        secret = session_of(asking.headers)
        if not secret:
            return None
        digest = sha256_of(secret)
        session = await self._sessions.find(digest)
        if session is None:
            return None
        if not _asks_by_itself(asking):
            await self._tell_use(digest, session)
        return replace(session.person, csrf=csrf_token(secret))

    async def _tell_use(self, digest: str, session: Session) -> None:
        now = self._here.now()
        if now - max(session.seen_at, self._told_at.get(digest, session.seen_at)) <= TELL_USE_MS:
            return
        if len(self._told_at) >= TOLD_MAX:
            self._told_at.clear()
        self._told_at[digest] = now
        await self._here.lanes.run("door", partial(self._here.people.use_session, digest, now))

    async def _people_of_tokens(self, digests: Collection[str]) -> Mapping[str, Person]:
        here = self._here
        return await here.lanes.run("door", lambda: here.desk.people_of_tokens(digests, here.now()))

    async def _find_sessions(self, digests: Collection[str]) -> Mapping[str, Session]:
        here, idle_ms = self._here, self._here.settings.login_idle_h * HOUR_MS
        return await here.lanes.run("door", lambda: here.people.sessions(digests, here.now(), idle_ms))

    async def _is_known(self, asking: HTTPConnection) -> bool:
        try:
            return await self._who(asking) is not None
        except StoreUnavailable:
            return True  # what was begun goes on until the store says otherwise


async def while_known(asking: HTTPConnection, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream, which has no end of its own, until whoever began it may no longer see it."""
    asked_s = time.monotonic()
    async for chunk in chunks:
        if time.monotonic() - asked_s > STREAM_ASKS_S:
            asked_s = time.monotonic()
            if not await asking.state.is_known():
                return
        yield chunk


def session_of(headers: Headers) -> str:
    """The session in the cookie, or empty."""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def person_of(asking: HTTPConnection) -> Person:
    """Who is asking; the gatekeeper has seen to it that it is somebody."""
    person = asking.state.person
    if not isinstance(person, Person):
        raise ApiError(401, "this needs a token")
    return person


def require(asking: HTTPConnection, right: Right) -> Person:
    """Who is asking, if this person has the right. Raises ApiError 403."""
    person = person_of(asking)
    if not may(person, right):
        raise ApiError(403, f"{person.role} {person.name} has no right to {right}", {"right": right})
    return person


def _is_open(asking: HTTPConnection) -> bool:
    path = asking.scope["path"]
    opening = path == "/" and "token" in asking.query_params  # the route judges the token itself
    return opening or path in OPEN_PATHS or path.startswith("/static/")


def _asks_by_itself(asking: HTTPConnection) -> bool:
    """Is it what an open page asks for with nobody before it?"""
    path = asking.scope["path"]
    looked = path in ASKED_BY_PAGES and asking.scope["method"] == "GET"
    return by_browser(asking.headers) and (looked or path.endswith("/hold"))


def _leads_to_the_change(path: str) -> bool:
    leading = ("/account", "/api/account", "/api/account/language", "/api/logout", "/api/me")
    return path in leading or path.startswith("/texts/")


def _ask_to_change(asking: HTTPConnection) -> Response:
    if _wants_page(asking):
        return RedirectResponse("/account", 303)
    return error_response(403, "change your one-time password first: POST /api/account")


def _wants_page(asking: HTTPConnection) -> bool:
    accepted = "text/html" in asking.headers.get("accept", "")
    return accepted and not asking.scope["path"].startswith("/api/") and asking.scope["method"] == "GET"


def _refuse(asking: HTTPConnection) -> Response:
    if _wants_page(asking):
        return RedirectResponse("/login", 303)
    headers = {"WWW-Authenticate": "Bearer"}
    return error_response(401, "this needs a token: `qcfuse token NAME --role ...` makes one", headers=headers)


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def receive_limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_BYTES_MAX:
            raise ApiError(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
        return message

    return receive_limited


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS]
        await send(message)

    return send_with_headers
