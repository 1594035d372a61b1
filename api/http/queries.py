"""What stands behind the `?` of an address. Each function raises ApiError 422 naming what is wrong."""

from __future__ import annotations

import math
from typing import Literal, get_args

from api.http.errors import ApiError
from api.store.queue import Mark, Place
from ingest.messages import Instant

Decision = Literal["pass", "review", "cannot_tell"]
_DECISIONS = frozenset(get_args(Decision))
_CURSOR_DIGITS_MAX = 18  # a row number fits a signed 64-bit integer
_INSTANT_MAX = 253_402_300_799_999  # the year 9999


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
    told = cursor.split("_")
    if len(told) != 5 or (as_of := read_cursor(told[0])) is None or as_of > _INSTANT_MAX:
        raise ApiError(422, "cursor: not one that a list gave")
    return Place(Instant(as_of), _read_mark(*told[1:3]), _read_mark(*told[3:]))


def _read_mark(value: str, row_id: str) -> Mark | None:
    if not value and not row_id:
        return None
    number = read_cursor(row_id)
    try:
        reached = float.fromhex(value)
    except (ValueError, OverflowError):
        reached = math.nan
    if number is None or not math.isfinite(reached):
        raise ApiError(422, "cursor: not one that a list gave")
    return reached, number


def write_place(place: Place) -> str:
    """A cursor that `read_place` reads to the last bit. No plus sign: in an address that is a space."""
    marks = [f"{mark[0].hex()}_{mark[1]}" if mark else "_" for mark in (place.on_line, place.elsewhere)]
    return "_".join([str(int(place.as_of)), *marks]).replace("+", "")


def read_age(text: str, now: Instant) -> tuple[Instant | None, Instant | None]:
    """`under:60` -> at the gate within the last hour, `over:60` -> longer ago: (since, until)."""
    if not text:
        return None, None
    side, _, minutes = text.partition(":")
    if side not in ("under", "over") or not (minutes.isascii() and minutes.isdigit() and len(minutes) <= 6):
        raise ApiError(422, f"age: {text[:40]!r} is not under:MINUTES or over:MINUTES")
    at = Instant(now - 60_000 * int(minutes))
    return (at, None) if side == "under" else (None, at)


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
