"""For whom something is said: a language, and the plant's clock. Set once a request; whatever says something asks here.

It is a context variable, not an argument, because a sentence is made far below the route that knows who asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from api.wording.clock import UNIVERSAL, zone_named
from api.wording.languages import ENGLISH, Language, load_languages
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


def reader_of(asking: HTTPConnection) -> Reader:
    """Who asks: the language of the account, else the browser's, else the usual one; the clock of the plant."""
    from api.installation import installation

    here = installation(asking)
    person = asking.scope.get("state", {}).get("person")
    accepted = asking.headers.get("accept-language", "")
    return Reader(here.languages.pick(person.language if person is not None else "", accepted), here.zone)


class Reading:
    """ASGI middleware, inside the gatekeeper: what is said below is for who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _reader.set(reader_of(HTTPConnection(scope)))  # each request has a context of its own
        await self._app(scope, receive, send)
