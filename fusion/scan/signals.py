"""The two signals of a scan as rows that can be searched: released labels, and flags of the model.

Labels of all parts are held against the rate in control. Labels of a selected set (what was flagged, what was audited)
are not: among them defects are many by selection, so they are held against the base risk of the very parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from fusion.scan.memory import Remembered
from fusion.scan.rates import ALL, NONE, RATE_MAX, RATE_MIN, SPREAD_UNSEEN, Levels, Natural, Numbers, ScanNotes, Wander
from fusion.scan.rows import Mask, Rows
from fusion.scan.search import Sides, explained

Signal = Literal["defects", "flags"]
SIGNALS: tuple[Signal, ...] = ("defects", "flags")
LABELLED_ALIKE = 0.8  # unflagged parts are labelled at least so often as flagged ones: labels are of all parts
PARTS_MIN = 2000  # of a line without history, before it is its own yardstick


class Explanation(msgspec.Struct, array_like=True, frozen=True):
    """A cause that raises rates by `ratios` (per signal) from position `since` to before `until` (-1: still)."""

    cause: list[str]
    since: int
    until: int
    ratios: dict[str, float]


def signal_rows(seen: Remembered, names: Sequence[str], signal: Signal, notes: ScanNotes | None) -> Rows | None:
    """The rows of one signal; None while nothing can be said."""
    outcome = seen.label if signal == "defects" else seen.flag
    at = np.flatnonzero(outcome >= 0)
    if not len(at) or (notes is None and len(at) < PARTS_MIN):
        return None
    levels, observed = seen.levels[at], outcome[at] == 1
    if notes is None:
        wander = Wander()
        expected, doubts = own_yardstick(levels, observed, len(names))
        natural_rates = expected
        shares = np.zeros(len(names))
    else:
        natural = notes.defects if signal == "defects" else notes.flags
        shares = np.array([0.0, 0.0, *(natural.shares.get(name, 0.0) for name in names[NONE + 1 :])])
        wander = natural.wander
        doubts = np.array([natural.variance, 0.0, *(natural.doubt_of(name) for name in names[NONE + 1 :])])
        natural_rates = in_control(levels, names, natural)
        strata = natural.strata
        effects = np.array(strata.effects)[strata.of(seen.risk[at])]
        expected = np.clip(natural_rates * effects, RATE_MIN, RATE_MAX)
    if signal == "defects" and labels_are_selected(seen):
        risk = seen.risk[at]
        expected = np.where(np.isnan(risk), expected, np.clip(risk, RATE_MIN, RATE_MAX))
    return Rows(levels, observed, expected, natural_rates, at + seen.start, doubts, shares, wander)


def in_control(
    levels: np.ndarray[tuple[int, int], np.dtype[np.int32]], names: Sequence[str], known: Natural
) -> Numbers:
    """The natural rate of each part, float64[m]: the plant's, times the effects of what it carries."""
    effects = np.array([1.0, 1.0, *(known.effect_of(name) for name in names[NONE + 1 :])])
    rates: Numbers = np.clip(known.rate * np.prod(effects[levels], axis=1), RATE_MIN, RATE_MAX)
    return rates


def own_yardstick(levels: Levels, observed: Mask, count: int) -> tuple[Numbers, Numbers]:
    """Expected rates and doubts of a line without history: its own older half. What was worse there may be so now:
    the doubt of a level is how much worse it was then, and how little is known of it."""
    older = slice(0, len(observed) // 2)
    total = float(observed[older].sum())
    rate = float(np.clip(observed[older].mean(), RATE_MIN, RATE_MAX))
    seen = np.bincount(levels[older][observed[older]].ravel(), minlength=count)
    usual = rate * np.bincount(levels[older].ravel(), minlength=count)
    strength = 1.0 / SPREAD_UNSEEN
    worse = np.maximum(1.0, (seen + strength) / (usual + strength))
    doubts: Numbers = np.log(worse) ** 2 + 1.0 / (seen + strength)
    doubts[ALL], doubts[NONE] = 1.0 / max(1.0, total), 0.0
    return np.full(len(observed), rate), doubts


def labels_are_selected(seen: Remembered) -> bool:
    """Are flagged parts labelled much more often than others, among those whose labels are due?"""
    labelled = np.flatnonzero(seen.label >= 0)
    if not len(labelled):
        return False
    due = slice(0, int(labelled[-1]) + 1)
    flag, has_label = seen.flag[due], seen.label[due] >= 0
    if not (flag == 1).any() or not (flag == 0).any():
        return False
    return bool(has_label[flag == 0].mean() < LABELLED_ALIKE * has_label[flag == 1].mean())


def expecting(rows: Rows, known: Explanation, sides: Sides, signal: Signal) -> Rows:
    """Rows of which is expected what a known trouble explains."""
    first = int(np.searchsorted(rows.position, known.since))
    until = None if known.until < 0 else int(np.searchsorted(rows.position, known.until))
    ratio = known.ratios.get(signal)
    if ratio is None:  # found in the other signal alone: by as much as this one shows
        late = rows.carrying(*sides) & (rows.position >= known.since)
        if known.until >= 0:
            late &= rows.position < known.until
        more = float(rows.observed[late].sum()) - float(rows.expected[late].sum())
        ratio = 1.0 + more / max(1e-9, float(rows.natural[late].sum()))
    return rows.expecting(explained(rows, sides, first, ratio, until))


def sides_of(cause: Sequence[str], numbers: dict[str, int]) -> Sides | None:
    """Level numbers of a cause, None when no remembered part carries it."""
    if not cause:
        return (ALL,)
    sides = [numbers.get(level) for level in cause]
    return None if None in sides else tuple(sorted(side for side in sides if side is not None))
