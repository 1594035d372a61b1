"""Limits of a short history, tightened in service by what was quiet.

Limits are wide where training's history is short: how far a signal wanders, and where it lies, is not known yet. Blocks
of service in which nothing moved are more of that history. Whenever there are twice as many as the limits rest on, they
are fitted anew on all there are, up to GROWN_PARTS. So that no slow drift is learned as usual:

- a block counts only when it is QUARANTINE_PARTS old and nothing has been found since: an incident of an entity takes
  its blocks out, a shift, parts unlike training or labels that contradict the risks take out all;
- a limit only ever tightens, in the signal's own units;
- the centre moves by a CENTRE_SHARE of what training left open of it, and never further, however often limits grow;
  where a longer history says that it lies further away, the limits are wider by the rest.

Fitting goes on in small steps between parts (`limits.py`). What it has found is in `qc.state`, so that after a takeover
little is done again, and that in steps no larger than any others; limits take effect SPARE_PARTS and more behind the
last step, by when whoever took over has caught up.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.drift.limits import ChartLimits, LimitsFit, slowest_wander
from fusion.drift.signals import DriftReference

GROWN_PARTS = 10_000  # of history and quiet service: from there on limits are those of a long history
QUARANTINE_PARTS = 1000  # a shift that the charts see at all is mostly seen by then
ENOUGH = 1.5  # a goal less than a third further on is not worth the fitting
STEP_PARTS = 5  # parts between two steps of fitting: 6 ms of one core each, and no part waits longer for it
SPARE_PARTS = 100  # a takeover loses what was prepared and 24 steps at most, done again one a part
CENTRE_SHARE = 1.0 / 3.0  # of the slack, three deviations of where training's level may lie
FIT_VERSION = 1  # of `limits.py`: what another one has found is not gone on with
QUIET, GROWN, GROWING = "quiet:", "grown", "growing"  # keys of the state

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class _Grown(msgspec.Struct, array_like=True):
    """`blocks`: how many the limits rest on; `at`: when they grew, ms since 1970; `limits`: ChartLimits, float64."""

    blocks: int
    at: int
    limits: list[bytes]
    version: int = 0


class _Growing(msgspec.Struct, array_like=True):
    """`goal`: blocks that the limits being fitted rest on; `found`: of `LimitsFit`."""

    version: int
    goal: int
    found: list[tuple[float, float]]


class Growth:
    """The quiet blocks of one gate and the limits they have made. Two that saw the same blocks are equal, whoever took
    over from whom: limits take effect so many parts behind the block that was enough for them. `parts` and `released`
    are kept with the book's block."""

    def __init__(self) -> None:
        self.limits: ChartLimits | None = None
        self.rests_on = self.grown_at = 0
        self._rows: list[Doubles] = []  # charted values, the latest in quarantine; NaN where not quiet
        self._goal = 0  # blocks that the limits being fitted will rest on, 0: none are
        self._fit: LimitsFit | None = None
        self._found: list[tuple[float, float]] = []  # by who fitted before
        self.parts = 0  # since there was enough to fit on
        self.released = 0  # rows that have left quarantine
        self._changed: dict[str, None] = {}

    def take(self, reference: DriftReference, row: Doubles, loud: Bools, quiet: bool) -> None:
        """One block, float64[signals]. `loud`: bool[signals], what belongs to an entity that has moved; `quiet`: is
        nothing found of the gate as a whole?"""
        if self.next_blocks(reference) is None:
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
        """One part was judged: one step of fitting at most. The limits that hold from now on, where they have grown."""
        if not self._goal and not self._begin(reference):
            return None
        self.parts += 1
        fit = self._fit or self._open(reference, false_probability)
        if fit.position < min(self.parts // STEP_PARTS, fit.steps):
            known = len(fit.found)
            fit.step()
            if len(fit.found) > known:
                self._changed[GROWING] = None
        if fit.position < fit.steps or self.parts < STEP_PARTS * fit.steps + fit.prepared + SPARE_PARTS:
            return None
        self.limits = tightened(reference.limits, self.limits or reference.limits, fit.limits())
        self.rests_on, self.grown_at = self._goal, at
        self._changed[GROWN] = None
        self._stop()
        if self.next_blocks(reference) is None:  # all that is wanted is known
            self._forget(0)
            self.released = 0
        return self.limits

    def next_blocks(self, reference: DriftReference) -> int | None:
        """How many blocks of history and quiet service are enough to fit limits anew; None: no others are wanted."""
        return None if reference.history is None else enough_blocks(self.rests_on_now(reference), reference.block)

    def _begin(self, reference: DriftReference) -> bool:
        """Is there enough to fit limits anew?"""
        enough = self.next_blocks(reference)
        if enough is None or reference.history is None:
            return False
        known = len(reference.history) + self.released
        if known < enough:
            return False
        self._goal = min(known, GROWN_PARTS // reference.block)
        self._changed[GROWING] = None
        return True

    def _open(self, reference: DriftReference, false_probability: float) -> LimitsFit:
        assert reference.history is not None
        rows = self._rows[: self._goal - len(reference.history)]
        known = np.concatenate([reference.history, rows])
        self._fit = LimitsFit(known, false_probability, slowest_wander(reference.block), self._found)
        return self._fit

    def _stop(self) -> None:
        """No limits are being fitted."""
        if self._goal:
            self._changed[GROWING] = None
        self._goal, self._fit, self._found, self.parts = 0, None, [], 0

    def rests_on_now(self, reference: DriftReference) -> int:
        """Blocks that limits rest on, 0 where a model does not tell."""
        return max(self.rests_on, 0 if reference.history is None else len(reference.history))

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
        self._stop()

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
            return _PACK.encode(_Grown(self.rests_on, self.grown_at, held, FIT_VERSION))
        if key == GROWING:
            found = self._fit.found if self._fit is not None else self._found
            return _PACK.encode(_Growing(FIT_VERSION, self._goal, found)) if self._goal else None
        number = int(key.removeprefix(QUIET))
        return self._rows[number].astype(np.float32).tobytes() if number < len(self._rows) else None

    def restore(self, key: str, value: bytes | None) -> bool:
        """Put one entry back, rows in any order; False when it is none of these."""
        if key == GROWN:
            held = _GROWNS.decode(value) if value is not None else None
            if held is None or held.version != FIT_VERSION:
                self.limits, self.rests_on, self.grown_at = None, 0, 0
            else:
                self.limits = ChartLimits(*map(np.frombuffer, held.limits))
                self.rests_on, self.grown_at = held.blocks, held.at
            return True
        if key == GROWING:
            going = _GOING.decode(value) if value is not None else _Growing(FIT_VERSION, 0, [])
            self._goal = going.goal
            self._found = going.found if going.version == FIT_VERSION else []
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


def enough_blocks(now: int, block: int) -> int | None:
    """How many blocks are worth fitting anew limits that rest on so many; None: no more are wanted."""
    most = GROWN_PARTS // block
    return None if 2 * now > ENOUGH * most else min(2 * now, most)


def tightened(trained: ChartLimits, now: ChartLimits, found: ChartLimits) -> ChartLimits:
    """Limits no wider than those of now, in units of the signal, around a centre that keeps near training's."""
    open_still = CENTRE_SHARE * trained.slack * trained.scale
    known = np.isfinite(found.ewma)
    moved = np.clip(found.centre - trained.centre, -open_still, open_still)
    centre = np.where(known, trained.centre + moved, now.centre)
    scale = np.where(known, found.scale, now.scale)
    off = np.where(known, np.abs(found.centre - centre), 0.0)
    slack, ewma, cusum = (
        np.where(known, np.fmin(new * found.scale + more, old * now.scale), old * now.scale) / scale
        for new, old, more in (
            (found.slack, now.slack, off), (found.ewma, now.ewma, off), (found.cusum, now.cusum, 0.0)
        )
    )  # fmt: skip
    return ChartLimits(centre, scale, slack, ewma, cusum)


_PACK = msgspec.msgpack.Encoder()
_GROWNS, _GOING = msgspec.msgpack.Decoder(_Grown), msgspec.msgpack.Decoder(_Growing)
