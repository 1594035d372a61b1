"""Novelty gate: what training never saw, as a value out of range or as a combination of values, is named.

A part's distance from the bulk of training (Mahalanobis, robust units per product) is held against a limit that lots
held out of training hardly ever pass. It decides only whether little risk may be believed; it is no feature (measured:
it adds nothing to one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.novelty.space import CLIP, Doubles, Space, distance, precision, taken_of, whitener
from fusion.risk.features import (
    CHANNEL_COLUMNS,
    RANGED,
    ChannelSlot,
    FeatureRow,
    FeatureSpec,
    Floats,
    Norms,
    feature_columns,
)
from fusion.risk.subsets import Sources, speaking_subset

REMARKS_MAX = 3  # values named of one part, the most telling first
TELLING_SHARE = 0.15  # of the squared distance; what gives less does not explain it
_SAID = {
    "golden_rms": "distance from the golden cycle",
    "golden_mean": "offset from the golden cycle",
    "ratio": "score over threshold",
    "std": "spread",
}
_UNITS = {"golden_rms": "standard deviations", "golden_mean": "standard deviations", "ratio": "", "slope": ""}


class NoveltyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How far the parts of one set of sources may be from the bulk. `beyond`: the share of held-out parts that were
    further, every lot weighing the same, of `parts` parts in `lots` lots."""

    sources: tuple[str, ...]
    limit: float
    parts: int
    lots: int
    beyond: float


class NoveltyNotes(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest holds of the novelty gate. `space`: the file of its `Space`."""

    space: str
    limits: tuple[NoveltyLimit, ...]


@dataclass(frozen=True, slots=True)
class _Within:
    """One set of sources, ready to measure."""

    limit: float
    taken: npt.NDArray[np.bool_]
    white: Doubles
    precision: Doubles


class NoveltyGate:
    """Of one gate; keeps nothing between parts."""

    def __init__(self, notes: NoveltyNotes, space: Space, spec: FeatureSpec) -> None:
        columns = feature_columns(spec)
        self._space = space
        self._columns = [columns[i] for i in space.columns]
        self._units = {slot.entity: slot.unit for slot in spec.channels}
        self._centre = space.centre.astype(np.float64)
        self._scale, self._mean = space.scale.astype(np.float64), space.mean.astype(np.float64)
        self._sources: list[Sources] = [frozenset(limit.sources) for limit in notes.limits]
        self._within = [self._prepared(limit, taken_of(space, columns, limit.sources)) for limit in notes.limits]

    def _prepared(self, limit: NoveltyLimit, taken: npt.NDArray[np.bool_]) -> _Within:
        return _Within(limit.limit, taken, whitener(self._space, taken), precision(self._space, taken))

    def remarks(self, row: FeatureRow, product_at: int) -> tuple[str, ...]:
        """What is odd in the combination of a part's values, most telling first; empty while it is within the limit."""
        speaking = speaking_subset(row.usable, self._sources)
        if speaking is None:
            return ()
        within = self._within[speaking]
        units = self._units_of(row, product_at)
        turned = within.white @ units[within.taken]
        away = math.sqrt(float(turned @ turned))
        if away <= within.limit or self._like_a_known_defect(units[within.taken], within):
            return ()
        said = self._telling(row, product_at, units, within)
        return said or (f"the values together are {away / within.limit:.1f} times as unusual as any learned",)

    def _units_of(self, row: FeatureRow, product_at: int) -> Doubles:
        """`Space.units` of one part, float64[d]; by hand, because it is asked of every part."""
        units = row.features[self._space.columns] - self._centre[product_at]
        units /= self._scale
        units[np.isnan(units)] = 0.0
        np.maximum(units, -CLIP, out=units)
        np.minimum(units, CLIP, out=units)
        units -= self._mean
        return np.asarray(units, dtype=np.float64)

    def _like_a_known_defect(self, units: Doubles, within: _Within) -> bool:
        """Is it as near to a labelled defect as the bulk's parts are to their middle?"""
        seen = self._space.seen
        if not len(seen):
            return False
        return bool(distance(seen[:, within.taken] - units, within.white).min() <= within.limit)

    def _telling(self, row: FeatureRow, product_at: int, units: Doubles, within: _Within) -> tuple[str, ...]:
        """Each value beside what the others let expect of it (its mean given them, of a normal distribution)."""
        at = np.flatnonzero(within.taken)
        pull = within.precision @ units[at]
        shares = units[at] * pull
        given = units[at] - pull / np.diag(within.precision)
        expected = units.copy()
        expected[at] = given
        values = row.features[self._space.columns]
        usual = self._space.restored(expected, product_at)
        total = float(shares.sum())
        best: dict[str, tuple[float, int]] = {}
        for place, share in zip(at.tolist(), shares.tolist(), strict=True):
            entity = self._columns[place].entity
            if share > TELLING_SHARE * total and share > best.get(entity, (0.0, 0))[0]:
                best[entity] = (share, place)
        ranked = sorted(best.values(), key=lambda found: (-found[0], found[1]))[:REMARKS_MAX]
        return tuple(self._said(place, float(values[place]), float(usual[place])) for _, place in ranked)

    def _said(self, place: int, value: float, usual: float) -> str:
        column = self._columns[place]
        name = column.name.removeprefix(f"{column.entity}:")
        unit = _UNITS[name] if name in _UNITS else self._units.get(column.entity, "")
        tail = f" {unit}".rstrip()
        return (
            f"{column.entity}: {_SAID.get(name, name)} {value:.4g}{tail}; with the rest of the part as it is, "
            f"{usual:.4g}{tail} would be usual"
        )


def say_outside(row: FeatureRow, spec: FeatureSpec, norms: Norms) -> tuple[str, ...]:
    """The values out of training's range, one sentence a channel: which, how much, and the range."""
    if not row.outside:
        return ()
    width = len(CHANNEL_COLUMNS)
    return tuple(
        sentence
        for i, slot in enumerate(spec.channels)
        if (sentence := _beyond(slot, row.raw[i * width : (i + 1) * width], norms.low[i], norms.high[i]))
    )[:REMARKS_MAX]


def _beyond(slot: ChannelSlot, values: Floats, low: Floats, high: Floats) -> str:
    """The statistic furthest beyond its range; empty when none is."""
    worst, most = "", 0.0
    for j, at in enumerate(RANGED):
        over = max(float(low[j]) - float(values[at]), float(values[at]) - float(high[j]))
        if over > most:
            unit = f" {slot.unit}".rstrip()
            told = f"{CHANNEL_COLUMNS[at]} {float(values[at]):.4g}{unit}"
            worst, most = f"{slot.entity}: {told}, beyond {float(low[j]):.4g}..{float(high[j]):.4g}{unit}", over
    return f"{worst}, farther than training ever saw" if worst else ""
