"""Requests that another site makes somebody's browser send (cross-site request forgery), and how we tell.

Whatever comes from a browser says so: `Origin`, `Sec-Fetch-Site` or `Referer` (the browser's own headers, which no page
can leave out of a POST nor write). Such a request must come from our own pages and, where it changes anything with a
session's cookie, carry the session's token: as the header `X-CSRF-Token`, or as the field `csrf` of a form. A script
that keeps the cookie itself sends none of the three; nobody can make it ask for something in its owner's name.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from api.http.errors import ApiError

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
HEADER, FIELD = "x-csrf-token", "csrf"
FORM_BYTES_MAX = 16_384  # our forms hold a few short fields


def csrf_token(session: str) -> str:
    """The token of a session: made of its secret, so that it need not be kept, and says nothing about it."""
    return hmac.new(session.encode(), b"csrf", hashlib.sha256).hexdigest()


def by_browser(headers: Headers) -> bool:
    """Does the request bear the marks of a browser?"""
    return any(name in headers for name in ("origin", "sec-fetch-site", "referer"))


def check_origin(headers: Headers) -> None:
    """Raises ApiError 403 for a request from another site's page (OWASP, CSRF prevention: verifying the origin)."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    foreign = origin is not None and urlsplit(origin).netloc != headers.get("host", "")
    if foreign or site not in ("same-origin", "none"):
        raise ApiError(403, "a browser of another site may not do this")


async def check_token(headers: Headers, receive: Receive, expected: str) -> Receive:
    """Raises ApiError 403 for a browser's request without the token of its session; else what is received goes on."""
    if not by_browser(headers):
        return receive
    sent = headers.get(HEADER, "")
    if not sent and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body = await _whole(receive)
        sent = dict(parse_qsl(body.decode("utf-8", "replace"))).get(FIELD, "")
        receive = _again(body, receive)
    if not hmac.compare_digest(sent.encode(), expected.encode()):
        raise ApiError(403, "this page is older than your log-in: load it again", {"header": "X-CSRF-Token"})
    return receive


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > FORM_BYTES_MAX:
            raise ApiError(413, f"a form of more than {FORM_BYTES_MAX} bytes is none of ours")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def receive_again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receive_again
