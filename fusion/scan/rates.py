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

from fusion.scan.strata import UNSEEN, RiskStrata, edges_of

Numbers = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int32]
Spread = npt.NDArray[np.float64]  # of `weighed`

ALL, NONE = 0, 1  # level numbers: what every part carries, and an empty place
SWEEPS = 5  # of proportional fitting: effects of crossed attributes change by less than 1 % after that
SPREAD_USUAL = 0.0625  # sd .25, as of lots of one supplier; weighs as much as
USUAL_VALUES = 4.0  # values seen
SPREAD_UNSEEN = 0.25  # variance of log rate (sd .5) of an attribute that history does not know
SPREAD_MAX = 4.0
STRETCH_DEFECTS = 20.0  # expected in one stretch of a line: enough to see its rate, few enough to see it change
RATE_MIN, RATE_MAX = 1e-5, 0.95
ADDED_USUAL = 3.0  # times the natural rate that a cause adds: by it defects are weighed
LIMIT_WITHOUT_HISTORY = 14.0  # nats; 2 to 4 above what simulated plants of 50 to 200 levels ask for


class Wander(msgspec.Struct, frozen=True, kw_only=True):
    """How far the whole line's log rate wanders by itself: `variance` among stretches of so many `parts`."""

    variance: float = 0.03
    parts: int = 1000


class Natural(msgspec.Struct, frozen=True, kw_only=True):
    """In control, of one signal. `rate`: mean per part, `variance`: of its log. `effects`: level -> factor on the rate,
    `doubts`: level -> variance of that factor's log, `shares`: level -> share of parts with it; `spread`: attribute ->
    variance among its values; `wander`: of the line, slowly; `strata`: what the risk of a part says of its rate."""

    rate: float
    variance: float
    effects: dict[str, float] = {}
    doubts: dict[str, float] = {}
    shares: dict[str, float] = {}
    wander: Wander = Wander()
    spread: dict[str, float] = {}
    strata: RiskStrata = RiskStrata()

    def effect_of(self, level: str) -> float:
        return self.effects.get(level, 1.0)

    def doubt_of(self, level: str) -> float:
        """Variance of log rate that is natural for a level, its attribute's spread when it was never seen."""
        known = self.doubts.get(level)
        return known if known is not None else self.spread.get(attribute_of(level), SPREAD_UNSEEN)


class ScanNotes(msgspec.Struct, frozen=True, kw_only=True):
    """What training leaves the scan of a line. Limits in nats: a scan statistic above is an incident. `lends`: that of
    defects was drawn with flags lending to them; of models from before, they do not."""

    defects: Natural
    flags: Natural
    defects_limit: float = LIMIT_WITHOUT_HISTORY
    flags_limit: float = LIMIT_WITHOUT_HISTORY
    lends: bool = False


def attribute_of(level: str) -> str:
    return level.partition("=")[0]


def weights_of(expected: Numbers, natural: Numbers) -> Numbers:
    """What a defect of each part says for a raised rate beyond what a good part says, nats, float64[m]."""
    raised = np.minimum(expected + ADDED_USUAL * natural, np.maximum(expected, RATE_MAX))
    weights: Numbers = np.log(raised / expected) - np.log1p(-raised) + np.log1p(-expected)
    return weights


def fit_natural(levels: Levels, names: Sequence[str], outcome: Numbers, risk: Numbers | None = None) -> Natural:
    """Fit to history by proportional fitting with shrinkage.

    `levels`: int32[n, a], column j of values that exclude each other, NONE where a part lacks it; `names`: of each
    number; `outcome`: float64[n], 1 defect, 0 good, or the risk of a part without a label; `risk`: out of fold, NaN
    without.
    """
    fit = _Fit(levels, names, outcome, np.full(len(outcome), np.nan) if risk is None else risk)
    for _ in range(SWEEPS):
        fit.sweep()
    return fit.natural()


class _Fit:
    def __init__(self, levels: Levels, names: Sequence[str], outcome: Numbers, risk: Numbers) -> None:
        self._levels, self._names, self._outcome = levels, names, outcome
        self._rate = float(np.clip(outcome.mean(), RATE_MIN, RATE_MAX)) if len(outcome) else RATE_MIN
        self._effects, self._doubts = np.ones(len(names)), np.zeros(len(names))
        self._spread: dict[str, float] = {}
        self._edges = edges_of(risk)
        self._stratum = RiskStrata(edges=self._edges, effects=[1.0] * (len(self._edges) + 2)).of(risk)
        self._strata, self._strata_doubts = np.ones(len(self._edges) + 2), np.zeros(len(self._edges) + 2)

    def sweep(self) -> None:
        """Fit each attribute, and the strata, with the others as they are."""
        counted: dict[str, list[Spread]] = {}
        for column in self._levels.T:
            self._fit_column(column, counted)
        self._spread = {attribute: value_spread(np.concatenate(parts)) for attribute, parts in counted.items()}
        if self._edges:
            natural = self._natural()
            observed = np.bincount(self._stratum, self._outcome, len(self._strata))
            expected = np.bincount(self._stratum, natural, len(self._strata))
            seen = expected > 0
            self._strata[seen] = (observed[seen] + UNSEEN) / expected[seen]
            self._strata *= expected.sum() / float((self._strata * expected).sum())  # together they change nothing
            self._strata_doubts[seen] = 1.0 / (observed[seen] + UNSEEN)
            self._strata[-1] = 1.0  # of parts without a risk

    def _fit_column(self, column: npt.NDArray[np.int32], counted: dict[str, list[Spread]]) -> None:
        natural = self._natural()
        rates = np.clip(natural * self._strata[self._stratum], RATE_MIN, RATE_MAX)
        expected = np.bincount(column, rates / self._effects[column], len(self._names))
        observed = np.bincount(column, self._outcome, len(self._names))
        seen = np.flatnonzero(expected > 0)
        seen = seen[seen > NONE]
        if not len(seen):
            return
        attribute = attribute_of(self._names[int(seen[0])])
        without = rates / self._effects[column], natural / self._effects[column]
        counted.setdefault(attribute, []).append(weighed(column, self._outcome, *without, len(self._names))[seen])
        strength = 1.0 / self._spread.get(attribute, SPREAD_USUAL)
        self._effects[seen] = (observed[seen] + strength) / (expected[seen] + strength)
        self._doubts[seen] = 1.0 / (observed[seen] + strength)

    def _natural(self) -> Numbers:
        rates: Numbers = self._rate * np.prod(self._effects[self._levels], axis=1)
        return rates

    def natural(self) -> Natural:
        """What was found."""
        natural = np.clip(self._natural(), RATE_MIN, RATE_MAX)
        rates = np.clip(natural * self._strata[self._stratum], RATE_MIN, RATE_MAX)
        kept = [int(number) for number in np.flatnonzero(self._doubts > 0)]
        names = self._names
        return Natural(
            rate=self._rate,
            variance=1.0 / max(1.0, float(self._outcome.sum())),
            effects={names[number]: round(float(self._effects[number]), 4) for number in kept},
            doubts={names[number]: round(float(self._doubts[number]), 5) for number in kept},
            shares={names[number]: round(float((self._levels == number).any(axis=1).mean()), 4) for number in kept},
            wander=fit_wander(self._outcome, rates, natural),
            spread={attribute: round(variance, 5) for attribute, variance in self._spread.items()},
            strata=RiskStrata(
                edges=self._edges,
                effects=[round(float(effect), 5) for effect in self._strata],
                doubts=[round(float(doubt), 5) for doubt in self._strata_doubts],
            )
            if self._edges
            else RiskStrata(),
        )


def weighed(of: npt.NDArray[np.int32], outcome: Numbers, rates: Numbers, natural: Numbers, count: int) -> Spread:
    """Per number in `of`, weighed as the scan weighs defects: excess, expected, and variance by chance. float64[count,
    3]."""
    weights = weights_of(np.clip(rates, RATE_MIN, RATE_MAX), natural)
    columns = (weights * (outcome - rates), weights * rates, weights**2 * rates)
    return np.stack([np.bincount(of, column, count) for column in columns], axis=1)


def fit_wander(outcome: Numbers, rates: Numbers, natural: Numbers | None = None) -> Wander:
    """From parts in their order, with the rates that what they carried and their risk explain; `natural`: without
    their risk."""
    parts = max(100, round(STRETCH_DEFECTS / max(float(rates.mean()), RATE_MIN))) if len(rates) else 100
    stretch = (np.arange(len(rates)) // parts).astype(np.int32)
    whole = stretch < len(rates) // parts
    if not whole.any() or stretch[whole].max() < 1:
        return Wander(parts=parts)
    unit = rates if natural is None else natural
    counted = weighed(stretch[whole], outcome[whole], rates[whole], unit[whole], int(stretch[whole].max()) + 1)
    return Wander(variance=round(value_spread(counted), 5), parts=parts)


def value_spread(counted: Spread) -> float:
    """Variance of log rate among an attribute's values beyond chance, by moments, together with what is usual, plus
    its standard error: with few values or few defects the spread is not known, and a natural difference must not become
    an incident. `counted`: of `weighed`, a row a value."""
    excess, expected, chance = counted.T
    if not chance.sum() > 0.0:  # rates that cannot be raised any more weigh nothing
        return SPREAD_USUAL
    spread = float((excess**2 - chance).sum() / (expected**2).sum())
    typical = float((expected**2).sum() / chance.sum())  # expected count of a value, weighted by its parts
    values = float(expected.sum() ** 2 / (expected**2).sum())
    found = (max(0.0, spread) * values + SPREAD_USUAL * USUAL_VALUES) / (values + USUAL_VALUES)
    error = float(np.sqrt(2.0 / values)) * (max(0.0, spread) + 1.0 / typical)
    return float(np.clip(found + error, 1e-4, SPREAD_MAX))
