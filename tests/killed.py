"""Killing a worker in the middle of its work, in the same process."""

from __future__ import annotations

from collections.abc import Callable


class Killed(BaseException):
    """Nothing catches it: what was not committed is gone, as with the process."""


def dying_at(place: int, put: Callable[[str, bytes], None]) -> Callable[[str, bytes], None]:
    """`put` of a picture store; before the blob of this number (the first is 0) whoever keeps it is killed."""
    count = iter(range(1000))

    def dying(name: str, body: bytes) -> None:
        if next(count) == place:
            raise Killed
        put(name, body)

    return dying
