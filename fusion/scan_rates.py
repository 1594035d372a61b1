"""What is natural at a plant: its in-control rate, what each attribute value adds to it, and how far values spread.

Rates of a part multiply: rate x effect of its tool x effect of its lot ... An effect is known as well as its history is
long (gamma posterior); a value never seen has the spread of its attribute. Both go into the null of the scan, so that
a lot a little worse than others is no incident.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int32]

ALL, NONE = 0, 1  # level numbers: what every part carries, and an empty place
SWEEPS = 5  # of proportional fitting: effects of crossed attributes change by less than 1 % after that
SPREAD_USUAL = 0.0625  # sd .25, as of lots of one supplier; weighs as much as
USUAL_VALUES = 4.0  # values seen
SPREAD_UNSEEN = 0.25  # variance of log rate (sd .5) of an attribute that history does not know
SPREAD_MAX = 4.0
STRETCH_DEFECTS = 20.0  # expected in one stretch of a line: enough to see its rate, few enough to see it change
RATE_MIN, RATE_MAX = 1e-5, 0.95
LIMIT_WITHOUT_HISTORY = 14.0  # nats; 2 to 4 above what simulated plants of 50 to 200 levels ask for


class Wander(msgspec.Struct, frozen=True, kw_only=True):
    """How far the whole line's log rate wanders by itself: `variance` among stretches of so many `parts`."""

    variance: float = 0.03
    parts: int = 1000


class Natural(msgspec.Struct, frozen=True, kw_only=True):
    """In control, of one signal. `rate`: mean per part, `variance`: of its log. `effects`: level -> factor on the rate,
    `doubts`: level -> variance of that factor's log, `shares`: level -> share of parts with it; `spread`: attribute ->
    variance among its values; `wander`: of the line, slowly."""

    rate: float
    variance: float
    effects: dict[str, float] = {}
    doubts: dict[str, float] = {}
    shares: dict[str, float] = {}
    wander: Wander = Wander()
    spread: dict[str, float] = {}

    def effect_of(self, level: str) -> float:
        return self.effects.get(level, 1.0)

    def doubt_of(self, level: str) -> float:
        """Variance of log rate that is natural for a level, its attribute's spread when it was never seen."""
        known = self.doubts.get(level)
        return known if known is not None else self.spread.get(attribute_of(level), SPREAD_UNSEEN)


class ScanNotes(msgspec.Struct, frozen=True, kw_only=True):
    """What training leaves the scan of a line. Limits in nats: a scan statistic above is an incident."""

    defects: Natural
    flags: Natural
    defects_limit: float = LIMIT_WITHOUT_HISTORY
    flags_limit: float = LIMIT_WITHOUT_HISTORY


def attribute_of(level: str) -> str:
    return level.partition("=")[0]


def fit_natural(levels: Levels, names: Sequence[str], outcome: Numbers) -> Natural:
    """Fit to history by proportional fitting with shrinkage.

    `levels`: int32[n, a], column j of values that exclude each other, NONE where a part lacks it; `names`: of each
    number; `outcome`: float64[n], 1 defect, 0 good, or the risk of a part without a label.
    """
    rate = float(np.clip(outcome.mean(), RATE_MIN, RATE_MAX)) if len(outcome) else RATE_MIN
    effects, doubts = np.ones(len(names)), np.zeros(len(names))
    spread: dict[str, float] = {}
    for _ in range(SWEEPS):
        counted: dict[str, list[tuple[Numbers, Numbers]]] = {}
        for column in levels.T:
            rates = rate * np.prod(effects[levels], axis=1) / effects[column]
            expected = np.bincount(column, rates, len(names)).astype(np.float64)
            observed = np.bincount(column, outcome, len(names)).astype(np.float64)
            seen = np.flatnonzero(expected > 0)
            seen = seen[seen > NONE]
            if len(seen):
                attribute = attribute_of(names[int(seen[0])])
                counted.setdefault(attribute, []).append((observed[seen], expected[seen]))
                strength = 1.0 / spread.get(attribute, SPREAD_USUAL)
                effects[seen] = (observed[seen] + strength) / (expected[seen] + strength)
                doubts[seen] = 1.0 / (observed[seen] + strength)
        for attribute, pairs in counted.items():
            spread[attribute] = value_spread(
                np.concatenate([o for o, _ in pairs]), np.concatenate([e for _, e in pairs])
            )
    rates = np.clip(rate * np.prod(effects[levels], axis=1), RATE_MIN, RATE_MAX)
    kept = [int(number) for number in np.flatnonzero(doubts > 0)]
    return Natural(
        rate=rate,
        variance=1.0 / max(1.0, float(outcome.sum())),
        effects={names[number]: round(float(effects[number]), 4) for number in kept},
        doubts={names[number]: round(float(doubts[number]), 5) for number in kept},
        shares={names[number]: round(float((levels == number).any(axis=1).mean()), 4) for number in kept},
        wander=fit_wander(outcome, rates),
        spread={attribute: round(variance, 5) for attribute, variance in spread.items()},
    )


def fit_wander(outcome: Numbers, rates: Numbers) -> Wander:
    """From parts in their order, with the rates that what they carried explains."""
    parts = max(100, round(STRETCH_DEFECTS / max(float(rates.mean()), RATE_MIN))) if len(rates) else 100
    stretch = np.arange(len(rates)) // parts
    whole = stretch < len(rates) // parts
    if not whole.any() or stretch[whole].max() < 1:
        return Wander(parts=parts)
    observed = np.bincount(stretch[whole], outcome[whole]).astype(np.float64)
    expected = np.bincount(stretch[whole], rates[whole]).astype(np.float64)
    return Wander(variance=round(value_spread(observed, expected), 5), parts=parts)


def value_spread(observed: Numbers, expected: Numbers) -> float:
    """Variance of log rate among an attribute's values beyond Poisson, by moments, together with what is usual, plus
    its standard error: with few values or few defects the spread is not known, and a natural difference must not become
    an incident."""
    excess = float(((observed - expected) ** 2 - observed).sum() / (expected**2).sum())
    typical = float((expected**2).sum() / expected.sum())  # expected count of a value, weighted by its parts
    values = float(expected.sum() ** 2 / (expected**2).sum())
    found = (max(0.0, excess) * values + SPREAD_USUAL * USUAL_VALUES) / (values + USUAL_VALUES)
    error = float(np.sqrt(2.0 / values)) * (max(0.0, excess) + 1.0 / typical)
    return float(np.clip(found + error, 1e-4, SPREAD_MAX))
