"""Cursors of lists whose places have several keys: opaque to whoever pages, read strictly when they come back."""

from __future__ import annotations

import base64
import binascii
from dataclasses import astuple
from typing import Any, TypeVar

import msgspec

from api.http.errors import ApiError
from api.store.exposed import VisitPlace
from api.store.rows import MarkPlace

_CHARACTERS_MAX = 4000  # ids are at most some hundred characters
_NUMBER_MAX = 2**63 - 1  # what a column of the store holds

Stands = TypeVar("Stands", VisitPlace, MarkPlace)


def write_stands(stands: VisitPlace | MarkPlace) -> str:
    """A cursor that `read_stands` reads back."""
    return base64.urlsafe_b64encode(msgspec.json.encode(astuple(stands))).rstrip(b"=").decode()


def read_stands(kind: type[Stands], cursor: str) -> Stands | None:
    """The place that a page goes on from; None at the beginning. Raises ApiError 422."""
    if not cursor:
        return None
    refused = ApiError(422, "cursor: not one that a list gave")
    if len(cursor) > _CHARACTERS_MAX:
        raise refused
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        keys: list[Any] = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=list[Any])
        found = msgspec.convert(dict(zip(kind.__dataclass_fields__, keys, strict=True)), kind)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise refused from error
    if any((isinstance(key, int) and abs(key) > _NUMBER_MAX) or (isinstance(key, str) and "\0" in key) for key in keys):
        raise refused
    return found
