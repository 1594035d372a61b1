"""A correction of risks from released labels, for all of a gate's parts and by group.

A group is what a part came without (`without=camera:top`, `without=` for all sources there) or its product
(`product=R1`). A group has an offset of its own beside the gate's correction only where labels ask for one
(`offsets.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import msgspec

Z90 = 1.6448536269514722
WITHOUT, PRODUCT = "without=", "product="
_BETWEEN = "\x1f"  # groups of one cell; no name has it


class Recalibration(msgspec.Struct, frozen=True, kw_only=True):
    """One correction, a record. `model`: sha256 of the model it corrects; `since`: ms since 1970, the labels it rests
    on were released before; `low`, `high`: range of logits with labels; `variance`: of (shift, both, tilt); `offsets`:
    group → (what is added to its shift, the variance of that)."""

    model: str
    since: int
    shift: float = 0.0
    tilt: float = 0.0
    pivot: float = 0.0
    low: float = 0.0
    high: float = 0.0
    variance: tuple[float, float, float] = (0.0, 0.0, 0.0)
    labels: int = 0
    lots: int = 0
    offsets: dict[str, tuple[float, float]] = {}

    def corrected(self, own: float) -> float:
        """Logit of risk for the model's own logit; rises with it. Without offsets: `narrowed` to a part's groups."""
        moved = self._moved(min(max(own, self.low), self.high))
        if own < self.low:
            return own + moved if moved > 0.0 else min(own, self.low + moved)
        return own + moved

    def half_width(self, own: float) -> float:
        """Half of the 90 % interval of the correction, in logits."""
        x = min(max(own, self.low), self.high) - self.pivot
        a, both, b = self.variance
        return Z90 * math.sqrt(max(a + 2.0 * both * x + b * x * x, 0.0))

    def _moved(self, own: float) -> float:
        return self.shift + self.tilt * (own - self.pivot)

    def narrowed(self, groups: Iterable[str]) -> Recalibration:
        """The same for parts of these groups alone: their offsets are in the shift."""
        own = [self.offsets[group] for group in groups if group in self.offsets]
        if not own:
            return self if not self.offsets else msgspec.structs.replace(self, offsets={})
        variance = (self.variance[0] + sum(v for _, v in own), *self.variance[1:])
        shift = self.shift + sum(offset for offset, _ in own)
        return msgspec.structs.replace(self, shift=round(shift, 6), variance=variance, offsets={})


def cell_of(present: Collection[str], sources: Iterable[str], product: str) -> str:
    """The groups of a part that came with `present` of a gate's `sources`, as one name."""
    missing = "+".join(sorted(source for source in sources if source not in present))
    return _BETWEEN.join((WITHOUT + missing, PRODUCT + product))


def groups_of(cell: str) -> list[str]:
    """The groups of a cell; none of parts that were counted before there were any."""
    return cell.split(_BETWEEN) if cell else []
