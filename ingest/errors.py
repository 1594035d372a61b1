"""Three kinds of trouble: bad data, the world is down, our own bug (which has no type here: it crashes)."""

from __future__ import annotations


class QcfuseError(Exception):
    """Base of every error that is not our own bug."""


class BadInput(QcfuseError):
    """A file, plan, setting or argument a person gave is wrong; commands exit 2 with this one sentence.

    The message names what is wrong, where (file, line, column) and what to do.
    """


class BadRecord(QcfuseError):
    """One record cannot be used. It becomes a dead letter with `reason`, and the stream goes on.

    `reason` is a short machine-readable word (`bad_json`, `image_too_large` ...); `detail` is for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class LogUnavailable(QcfuseError):
    """The log (broker, disk) did not answer within its limit; nothing was committed."""


class Fenced(QcfuseError):
    """Another worker has taken this partition over; whatever was being written did not happen."""


class ModelRefused(QcfuseError):
    """A model on the shelf does not open: hash, shape or feature list disagrees with its manifest."""
