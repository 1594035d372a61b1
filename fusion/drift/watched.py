"""Which signals are watched in earnest, and which not yet because their history is too short.

Limits of a short history are wide enough for every wander that it could not show. A signal whose limits only a large
shift passes is called not watched yet, and whoever reads the record is told so, and when it is looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.drift.limits import ChartLimits

WATCHED_SD = 2.0  # of a part: a signal that does not show a shift of so much is not watched in earnest
WITHIN_PARTS = 1000  # behind the onset: later is too late to call it seen

Doubles = npt.NDArray[np.float64]


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's charts. `parts`: that limits rest on, 0 where a model does not tell; `signals`: charted of channels
    and cameras; `not_yet`: of them without limits that a shift of WATCHED_SD passes; `shift_sd`: what half of the
    signals show at least, in standard deviations of a part, 0 where they show nothing; `again_parts`: when limits are
    fitted anew, 0 where never."""

    parts: int
    signals: int
    not_yet: int
    shift_sd: float
    again_parts: int


def least_shift(limits: ChartLimits, block: int) -> Doubles:
    """float64[signals]: the lasting shift, in standard deviations of a part, that takes the EWMA or by WITHIN_PARTS a
    CUSUM to its limit. Infinite where none does."""
    of_cusum = limits.slack + limits.cusum * block / WITHIN_PARTS
    return np.asarray(np.fmin(limits.ewma, of_cusum) * limits.scale)


def watched(entities: Sequence[str], limits: ChartLimits, block: int, blocks: int, again_blocks: int | None) -> Watched:
    """What limits that rest on so many blocks can show, and at how many they are fitted anew. `entities`: of each
    signal, "" of flags."""
    of_things = np.array([bool(entity) for entity in entities])  # flags have no incident of their own
    least = least_shift(limits, block)[of_things]
    half = float(np.median(least)) if len(least) else np.inf
    return Watched(
        parts=blocks * block,
        signals=len(least),
        not_yet=int(np.sum(~(least <= WATCHED_SD))),
        shift_sd=round(half, 2) if np.isfinite(half) else 0.0,
        again_parts=(again_blocks or 0) * block,
    )


def say_watched(told: Watched) -> str:
    """A sentence for whoever relies on the charts; "" where all signals are watched, or where no longer history would
    help: such signals wander as far as that."""
    if not told.not_yet or not told.again_parts:
        return ""
    shown = f"half of the signals show shifts from {told.shift_sd:.1f} standard deviations of a part on"
    return (
        f"History too short for drift: {told.not_yet} of {told.signals} signals are not watched in earnest on "
        f"{told.parts} parts ({shown if told.shift_sd else 'no shift is seen'}); "
        f"looked at again from {told.again_parts} quiet parts on."
    )
