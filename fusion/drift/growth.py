"""Limits of a short history, tightened in service by what was quiet.

Limits are wide where training's history is short: how far a signal wanders, and where it lies, is not known yet. Blocks
of service in which nothing moved are more of that history. Whenever there are twice as many as the limits rest on, they
are fitted anew, up to GROWN_PARTS. So that no slow drift is learned as usual:

- a block counts only when it is QUARANTINE_PARTS old and nothing has been found since: an incident of an entity takes
  its blocks out, a shift, parts unlike training or labels that contradict the risks take out all;
- a limit only ever tightens, in the signal's own units;
- the centre moves by a CENTRE_SHARE of what training left open of it, and never further, however often limits grow.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.drift.limits import ChartLimits, limits_in_steps
from fusion.drift.signals import DriftReference

GROWN_PARTS = 10_000  # of history and quiet service: from there on limits are those of a long history
QUARANTINE_PARTS = 1000  # a shift that the charts see at all is mostly seen by then
ENOUGH = 1.5  # a goal less than a third further on is not worth the fitting
STEP_PARTS = 5  # parts between two steps of fitting: 6 ms of one core each, and no part waits longer for it
CENTRE_SHARE = 1.0 / 3.0  # of the slack, three deviations of where training's level may lie
QUIET, GROWN = "quiet:", "grown"  # keys of the state

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class _Grown(msgspec.Struct, array_like=True):
    """`blocks`: how many the limits rest on; `at`: when they grew, ms since 1970; `limits`: ChartLimits, float64."""

    blocks: int
    at: int
    limits: list[bytes]


class Growth:
    """The quiet blocks of one gate and the limits they have made. Two that saw the same blocks are equal, whoever took
    over from whom: limits take effect so many parts behind the block that was enough for them. `parts` and `released`
    are kept with the book's block."""

    def __init__(self) -> None:
        self.limits: ChartLimits | None = None
        self.rests_on = self.grown_at = 0
        self._rows: list[Doubles] = []  # charted values, the latest in quarantine; NaN where not quiet
        self._job: Iterator[ChartLimits | None] | None = None
        self._steps = 0  # of the job
        self.parts = 0  # since there was enough to fit on
        self.released = 0  # rows that have left quarantine
        self._changed: dict[str, None] = {}

    def take(self, reference: DriftReference, row: Doubles, loud: Bools, quiet: bool) -> None:
        """One block, float64[signals]. `loud`: bool[signals], what belongs to an entity that has moved; `quiet`: is
        nothing found of the gate as a whole?"""
        if self._goal(reference) is None:
            return
        if not quiet:
            self._forget(self.released)
            return
        for number in range(self.released, len(self._rows)):
            if np.isfinite(self._rows[number][loud]).any():
                self._put(number, np.where(loud, np.nan, self._rows[number]))
        self._put(len(self._rows), np.where(loud, np.nan, row))
        self.released = max(self.released, len(self._rows) - -(-QUARANTINE_PARTS // reference.block))

    def step(self, reference: DriftReference, false_probability: float, at: int) -> ChartLimits | None:
        """One part was judged. The limits that hold from now on, where they have grown."""
        goal = self._goal(reference)
        if goal is None or reference.history is None or len(reference.history) + self.released < goal:
            return None
        self.parts += 1
        found = None
        while found is None and self._steps < self.parts // STEP_PARTS:  # after a takeover: all that was done before
            if self._job is None:
                rows = self._rows[: goal - len(reference.history)]
                self._job = limits_in_steps(np.concatenate([reference.history, rows]), false_probability, 1)
            found = next(self._job)
            self._steps += 1
        if found is None:
            return None
        self.limits = tightened(reference.limits, self.limits or reference.limits, found)
        self._job, self.parts, self._steps = None, 0, 0
        self.rests_on, self.grown_at = goal, at
        self._changed[GROWN] = None
        if self._goal(reference) is None:  # all that is wanted is known
            self._forget(0)
            self.released = 0
        return self.limits

    def _goal(self, reference: DriftReference) -> int | None:
        """How many blocks the next limits will rest on; None: no others are wanted."""
        if reference.history is None:
            return None
        most = GROWN_PARTS // reference.block
        now = max(self.rests_on, len(reference.history))
        return None if 2 * now > ENOUGH * most else min(2 * now, most)

    def _put(self, number: int, row: Doubles) -> None:
        row = row.astype(np.float32).astype(np.float64)  # as it will be read from the state
        self._rows[number : number + 1] = [row]
        self._changed[f"{QUIET}{number}"] = None

    def _forget(self, first: int) -> None:
        for number in range(first, len(self._rows)):
            self._changed[f"{QUIET}{number}"] = None
        del self._rows[first:]

    # -- state ---------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Another reference: all that was quiet was so beside the other."""
        self._forget(0)
        if self.limits is not None:
            self._changed[GROWN] = None
        self.limits, self.rests_on, self.grown_at, self.released = None, 0, 0, 0
        self._job, self.parts, self._steps = None, 0, 0

    def changes(self) -> list[tuple[str, bytes | None]]:
        """(key, value) since the last call."""
        out = [(key, self._packed(key)) for key in self._changed]
        self._changed.clear()
        return out

    def _packed(self, key: str) -> bytes | None:
        if key == GROWN:
            limits = self.limits
            if limits is None:
                return None
            held = [getattr(limits, name).tobytes() for name in ChartLimits.__slots__]
            return _PACK.encode(_Grown(self.rests_on, self.grown_at, held))
        number = int(key.removeprefix(QUIET))
        return self._rows[number].astype(np.float32).tobytes() if number < len(self._rows) else None

    def restore(self, key: str, value: bytes | None) -> bool:
        """Put one entry back, rows in any order; False when it is none of these."""
        if key == GROWN:
            held = _UNPACK.decode(value) if value is not None else None
            self.rests_on, self.grown_at = (held.blocks, held.at) if held is not None else (0, 0)
            self.limits = ChartLimits(*map(np.frombuffer, held.limits)) if held is not None else None
            return True
        if not key.startswith(QUIET):
            return False
        number = int(key.removeprefix(QUIET))
        if value is None:
            del self._rows[number:]
            return True
        row = np.frombuffer(value, dtype=np.float32).astype(np.float64)
        self._rows += [np.full(len(row), np.nan)] * (number + 1 - len(self._rows))
        self._rows[number] = row
        return True


def tightened(trained: ChartLimits, now: ChartLimits, found: ChartLimits) -> ChartLimits:
    """Limits no wider than those of now, in units of the signal, around a centre that keeps near training's."""
    open_still = CENTRE_SHARE * trained.slack * trained.scale
    known = np.isfinite(found.ewma)
    moved = np.clip(found.centre - trained.centre, -open_still, open_still)
    centre = np.where(known, trained.centre + moved, now.centre)
    scale = np.where(known, found.scale, now.scale)
    slack, ewma, cusum = (
        np.where(known, np.fmin(new * found.scale, old * now.scale), old * now.scale) / scale
        for new, old in ((found.slack, now.slack), (found.ewma, now.ewma), (found.cusum, now.cusum))
    )
    return ChartLimits(centre, scale, slack, ewma, cusum)


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(_Grown)
