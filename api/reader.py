"""For whom something is said: a language, and the plant's clock. Set once a request; whatever says something asks here.

It is a context variable, not an argument, because a sentence is made far below the route that knows who asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from api.clock import UNIVERSAL, zone_named
from api.languages import ENGLISH, Language, load_languages
from ingest.settings import Settings


@dataclass(frozen=True, slots=True)
class Reader:
    """Outside of a request, and where nobody said otherwise: English and universal time."""

    language: Language = ENGLISH
    zone: ZoneInfo = UNIVERSAL


_NOBODY = Reader()
_reader: ContextVar[Reader] = ContextVar("reader", default=_NOBODY)


def reader() -> Reader:
    """Who reads what is said now."""
    return _reader.get()


def say(text: str, /, **values: object) -> str:
    """A text of the screen in the reader's language, its `{names}` filled in."""
    return reader().language.say(text, values)


@contextmanager
def reading(who: Reader) -> Iterator[None]:
    """What is said within is for this reader."""
    token = _reader.set(who)
    try:
        yield
    finally:
        _reader.reset(token)


def usual_reader(settings: Settings) -> Reader:
    """For what is said outside of a request: a command's report. Raises BadInput: no such language or zone."""
    languages = load_languages(settings.home, settings.language)
    return Reader(languages.spoken[languages.usual], zone_named(settings.time_zone))


class Reading:
    """ASGI middleware, inside the gatekeeper: finds out in which language the answer is read.

    The reader stays set after the answer: a server's own mistake is told outside of here, by the same task."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            from api.installation import installation

            here = installation(HTTPConnection(scope))
            person = scope.get("state", {}).get("person")
            chosen = person.language if person is not None else ""
            accepted = Headers(scope=scope).get("accept-language", "")
            _reader.set(Reader(here.languages.pick(chosen, accepted), here.zone))
        await self._app(scope, receive, send)
