"""Who is asking? Every request but the health routes passes here, also one for a path that does not exist.

A Bearer token or the session cookie that `/?token=` and `/api/login` set. The body of a request is limited here too.
"""

from __future__ import annotations

import time
from functools import partial
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, error_response
from api.installation import Installation, installation
from api.store import StoreUnavailable
from api.store_rows import Person
from api.tokens import Right, may, sha256_of
from ingest.messages import Instant

COOKIE = "qcfuse_session"
BODY_BYTES_MAX = 512 * 1024  # the largest body we take is a review with 20 000 points of brush strokes
REMEMBER_S = 1.0  # a revoked token is worthless after this long
REMEMBERED_MAX = 1000
OPEN_PATHS = ("/healthz", "/readyz", "/api/login", "/login")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
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

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._remembered: dict[str, tuple[float, Person | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        asking = HTTPConnection(scope)
        path = asking.url.path
        try:
            person = None if path in ("/healthz", "/readyz") else await self._who(asking)
        except StoreUnavailable as error:
            await error_response(503, str(error))(scope, receive, send)
            return
        opening = path == "/" and "token" in asking.query_params  # the route judges the token itself
        if person is None and not opening and path not in OPEN_PATHS and not path.startswith("/static/"):
            await _refuse(scope, receive, send, path)
            return
        if person is not None and person.must_change and not _leads_to_the_change(path):
            await _ask_to_change(scope, receive, send, path)
            return
        if scope["method"] in UNSAFE and not _same_origin(asking.headers):
            await error_response(403, "a browser of another site may not do this")(scope, receive, send)
            return
        if b"%00" in scope.get("query_string", b"") or "\0" in path:
            await error_response(422, "the address holds a NUL character, which no id does")(scope, receive, send)
            return
        if int(asking.headers.get("content-length") or 0) > BODY_BYTES_MAX:
            await error_response(413, f"the body is larger than {BODY_BYTES_MAX} bytes")(scope, receive, send)
            return
        scope.setdefault("state", {})["person"] = person
        await self._app(scope, _limited(receive), send)

    async def _who(self, asking: HTTPConnection) -> Person | None:
        scheme, _, token = asking.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return await self._remember("token", token.strip(), asking)
        session = session_of(asking.headers)
        return await self._remember("session", session, asking) if session else None

    async def _remember(self, kind: str, secret: str, asking: HTTPConnection) -> Person | None:
        digest = sha256_of(secret)
        known = self._remembered.get(kind + digest)
        if known and time.monotonic() - known[0] < REMEMBER_S:
            return known[1]
        here = installation(asking)
        find = here.desk.person_of_token if kind == "token" else partial(_person_of_session, here)
        person = await run_in_threadpool(find, digest, here.now())
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[kind + digest] = (time.monotonic(), person)
        return person


def _person_of_session(here: Installation, digest: str, now: Instant) -> Person | None:
    return here.desk.person_of_session(digest, now) or here.people.person_of_session(digest, now)


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


def _same_origin(headers: Headers) -> bool:
    """A browser tells where a request comes from (OWASP, CSRF prevention: verifying the origin), and sends the cookie,
    SameSite=Lax, with no other site's POST. A client that is no browser has no cookie that somebody could misuse."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


def _leads_to_the_change(path: str) -> bool:
    return path in ("/account", "/api/account", "/api/logout", "/api/me") or path.startswith("/static/")


async def _ask_to_change(scope: Scope, receive: Receive, send: Send, path: str) -> None:
    if _wants_page(scope, path):
        await RedirectResponse("/account", 303)(scope, receive, send)
        return
    await error_response(403, "change your one-time password first: POST /api/account")(scope, receive, send)


def _wants_page(scope: Scope, path: str) -> bool:
    accepted = "text/html" in Headers(scope=scope).get("accept", "")
    return accepted and not path.startswith("/api/") and scope["method"] == "GET"


async def _refuse(scope: Scope, receive: Receive, send: Send, path: str) -> None:
    if _wants_page(scope, path):
        await RedirectResponse("/login", 303)(scope, receive, send)
        return
    headers = {"WWW-Authenticate": "Bearer"}
    await error_response(401, "this needs a token: `qcfuse token NAME --role ...` makes one", headers=headers)(
        scope, receive, send
    )


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
