"""What stands behind the `?` of an address. Each function raises ApiError 422 naming what is wrong."""

from __future__ import annotations

import math
from typing import Literal, get_args

from api.errors import ApiError
from api.store_queue import Place
from ingest.messages import Instant

Decision = Literal["pass", "review", "cannot_tell"]
_DECISIONS = frozenset(get_args(Decision))
_CURSOR_DIGITS_MAX = 18  # a row number fits a signed 64-bit integer


def read_cursor(cursor: str) -> int | None:
    """The row a page goes on from."""
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _CURSOR_DIGITS_MAX):
        raise ApiError(422, "cursor: not one that a list gave")
    return int(cursor)


def read_place(cursor: str) -> Place | None:
    """The place in the queue that a page goes on from."""
    if not cursor:
        return None
    urgency, _, row_id = cursor.partition("-")
    number = read_cursor(row_id)
    try:
        value = float.fromhex(urgency.replace("m", "-"))
    except (ValueError, OverflowError):
        value = math.nan
    if number is None or not 0.0 <= value <= 1.0:
        raise ApiError(422, "cursor: not one that a list gave")
    return Place(value, number)


def write_place(place: Place) -> str:
    """A cursor that `read_place` reads to the last bit."""
    return f"{place.urgency.hex().replace('-', 'm')}-{place.row_id}"


def read_decisions(text: str) -> tuple[str, ...]:
    """`review,cannot_tell` -> both."""
    asked = tuple(word for word in text.split(",") if word)
    if wrong := [word for word in asked if word not in _DECISIONS]:
        raise ApiError(422, f"decision: {wrong[0][:40]!r} is none of pass, review, cannot_tell")
    return asked


def read_time(name: str, text: str) -> Instant | None:
    """A time, or none."""
    if not text:
        return None
    try:
        # A `+` that was not escaped in the query arrives as a space.
        return Instant.parse(text.replace(" ", "+") if "T" in text else text)
    except ValueError as error:
        raise ApiError(422, f"{name}: {error}; write it like 2026-11-23T08:26:00.000Z") from error
