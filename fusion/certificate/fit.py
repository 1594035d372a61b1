"""Certify a gate's threshold: risk-controlling prediction sets (Bates et al. 2021) with lots as the unit.

The loss is escapes per made part: it can only rise with the threshold. So an upper bound that holds at each threshold
alone gives a limit up to which every threshold is certified, however it was chosen (Bates et al., theorem 1). Parts of
a lot are not independent; the bound is the larger of two:

- by the lots' own escapes: Clopper-Pearson on parts divided by the design effect (Korn & Graubard 1998);
- by the lots' natural spread: Poisson escapes whose rate varies between lots as the *upper limit* of the spread says
  (`lots.py`), a gamma-Poisson law. Few lots leave that limit high: they certify less, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import beta
from scipy.stats import t as t_distribution

from fusion.certificate.lots import SpreadLimit, fit_spread_limit
from fusion.certificate.promise import Certificate, plan_mark, say_rate
from fusion.decide import ThresholdChoice, choose_threshold
from ingest.plan.plan import Plan

Doubles = npt.NDArray[np.float64]

TESTED_AT = 0.03  # not 1 - CONFIDENCE: the rest pays for a spread that is estimated and for risks that are out of fold;
# so measured over simulated plants the promise is broken in at most 5 % (tests/bench/results_fusion_certificate.py)
LOTS_MIN = 20  # fewer were not measured: one bad lot in twenty would most likely not be among them
UNITS_MAX = 400  # lots that are told apart; more sharpen no bound and take their time
UNIT_PARTS_MIN = 10  # parts of a lot on the average; smaller ones are taken together with their neighbours in time
LABELLED_MIN = 0.9  # of the parts; what was not labelled may be what escaped
PROMISES = tuple(m * 10.0**e for e in (-5, -4, -3, -2) for m in (1.0, 1.5, 2.0, 3.0, 5.0, 8.0))  # rounded up to one
LOTS_TOLD_MAX = 50  # times as many lots as there are: beyond that no number is told
_FACTORS = np.geomspace(1.02, LOTS_TOLD_MAX, 200)


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a certificate is made of. `risk`: float64[n], out of fold; `defect`: bool[n]; `lot`: int[n]; `share`: how
    many of the parts made had a label; `without`: source -> share of parts that came without it."""

    risk: Doubles
    defect: npt.NDArray[np.bool_]
    lot: npt.NDArray[np.intp]
    share: float = 1.0
    without: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        risk: Doubles,
        defect: npt.NDArray[np.bool_],
        lots: npt.NDArray[np.intp],
        judged: npt.NDArray[np.bool_],
        usable: Sequence[frozenset[str]],
        sources: Sequence[str],
    ) -> Labelled:
        """Of all parts of a gate in time order: `judged` bool[all] have a label and a risk; `lots` int[all], `usable`
        sources of each. Parts behind the last label are left out of the share: theirs is still to come."""
        last = int(np.flatnonzero(judged)[-1]) if judged.any() else 0
        without = {source: float(np.mean([source not in had for had in usable])) for source in sources}
        return cls(risk, defect, lots[judged], float(judged[: last + 1].mean()), without)


@dataclass(frozen=True, slots=True)
class Bound:
    """Upper bound of escapes per made part for each number of escapes 0, 1 ... that were seen, float64[defects + 1],
    never falling. `risks`: of the defects, ascending. `sizes`: parts of each lot."""

    upper: Doubles
    risks: Doubles
    lots_of_escapes: npt.NDArray[np.intp]
    sizes: Doubles
    spread: SpreadLimit

    def escapes(self, threshold: float) -> int:
        """Defects below a threshold."""
        return int(np.searchsorted(self.risks, threshold, side="left"))

    def limit(self, rate: float) -> float | None:
        """The highest threshold at which `rate` is certified, above 1 where every part may pass; None: at none."""
        held = np.flatnonzero(self.upper <= rate)
        if not len(held):
            return None
        most = int(held[-1])
        return float(self.risks[most]) if most < len(self.risks) else math.nextafter(1.0, 2.0)


def units(lot: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """int[n]: the lots, numbered in the order of time, or runs of lots where they are very many or very small: a plant
    that books every part as a lot of its own has not thereby made its parts independent."""
    _, numbered = np.unique(lot, return_inverse=True)
    lots = int(numbered.max()) + 1
    most = max(min(lots, UNITS_MAX, len(lot) // UNIT_PARTS_MIN), 1)
    return np.asarray(numbered * most // lots, dtype=np.intp)


def fit_bound(labelled: Labelled) -> Bound:
    """The bound of labelled parts, one defect at least."""
    lot = units(labelled.lot)
    order = np.argsort(labelled.risk[labelled.defect], kind="stable")
    risks = labelled.risk[labelled.defect][order]
    of_escapes = lot[labelled.defect][order]
    sizes = np.bincount(lot).astype(np.float64)
    spread = fit_spread_limit(labelled.risk, labelled.defect, lot)
    upper = np.maximum(
        np.maximum.accumulate(_by_lots(of_escapes, sizes)),
        _by_spread(np.arange(len(risks) + 1.0), float(sizes.sum()), _variation(spread.high, sizes)),
    )
    return Bound(np.minimum(upper, 1.0), risks, of_escapes, sizes, spread)


def _by_lots(of_escapes: npt.NDArray[np.intp], sizes: Doubles, times: float = 1.0) -> Doubles:
    """Korn & Graubard's bound after 0, 1 ... escapes, on `times` as many lots of the same kind."""
    total, lots = float(sizes.sum()), len(sizes)
    earlier = _earlier_in_lot(of_escapes)
    squares = np.concatenate([[0.0], np.cumsum(2.0 * earlier + 1.0)])  # sum over lots of escapes squared
    crossed = np.concatenate([[0.0], np.cumsum(sizes[of_escapes])])  # of escapes times size
    seen = np.arange(len(of_escapes) + 1.0)
    rate = seen / total
    spread = squares - 2.0 * rate * crossed + rate**2 * float((sizes**2).sum())
    variance = lots / max(lots - 1, 1) * spread / total**2
    independent = np.maximum(rate * (1.0 - rate), 1e-15) / total
    effect = np.where(seen > 0, np.maximum(variance / independent, 1.0), 1.0)
    few = t_distribution.ppf(TESTED_AT, total * times - 1) / t_distribution.ppf(TESTED_AT, max(lots * times - 1, 1))
    parts = total * times / effect * few**2
    return np.asarray(beta.ppf(1.0 - TESTED_AT, rate * parts + 1.0, np.maximum(parts * (1.0 - rate), 1e-9)))


def _earlier_in_lot(of_escapes: npt.NDArray[np.intp]) -> Doubles:
    """For each escape, how many there were of its lot before it."""
    order = np.argsort(of_escapes, kind="stable")
    ranked = of_escapes[order]
    first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    starts = np.maximum.accumulate(np.where(first, np.arange(len(ranked)), 0)) if len(ranked) else ranked
    earlier = np.empty(len(ranked))
    earlier[order] = np.arange(len(ranked)) - starts
    return earlier


def _variation(sd: float, sizes: Doubles) -> float:
    """Squared coefficient of variation of the mean rate of lots of these sizes: lognormal lots, exp(sd²) - 1 each."""
    return float(np.expm1(sd**2) * (sizes**2).sum() / sizes.sum() ** 2)


def _by_spread(seen: Doubles, total: float, variation: float) -> Doubles:
    """The rate at which a gamma-Poisson law gives no more than `seen` escapes in TESTED_AT of the cases."""
    shape = 1.0 / max(variation, 1e-9)
    rest = np.maximum(beta.ppf(TESTED_AT, shape, seen + 1.0), 1e-300)
    return np.asarray(shape * (1.0 - rest) / rest / total)


def certify(labelled: Labelled, plan: Plan, line_id: str, gate_id: str) -> tuple[ThresholdChoice, Certificate]:
    """The plan's threshold, and what is certified at it: lowered where that certifies what the plan asks within its
    review share (the escape bound comes first)."""
    asked, lots = plan.constraints.escape_rate_max, int(units(labelled.lot).max()) + 1
    choice = choose_threshold(labelled.risk, labelled.defect, plan)
    why = _refusal(labelled, lots)
    bound = fit_bound(labelled) if not why else None
    promise, more, spread = None, max(LOTS_MIN - lots, 0) or None, SpreadLimit(0.0, 0.0)
    if bound is not None:
        choice, spread = _lowered(choice, bound.limit(asked), labelled, plan), bound.spread
        promise, more, why = _promise(bound, bound.escapes(choice.threshold), asked, float(labelled.defect.mean()))
    return choice, Certificate(
        asked=asked,
        promise=promise,
        threshold=choice.threshold,
        parts=len(labelled.risk),
        lots=lots,
        escapes=int(np.sum(labelled.defect & (labelled.risk < choice.threshold))),
        lot_sd=round(spread.sd, 3),
        lot_sd_high=round(spread.high, 3),
        more_lots=more,
        why=why,
        without={source: round(share, 4) for source, share in labelled.without.items()},
        rests_on=plan_mark(plan, line_id, gate_id),
    )


def _lowered(choice: ThresholdChoice, limit: float | None, labelled: Labelled, plan: Plan) -> ThresholdChoice:
    if limit is None or choice.threshold <= limit:
        return choice
    lower = choose_threshold(labelled.risk, labelled.defect, plan, at_most=limit)
    return choice if lower.conflict else lower


def _refusal(labelled: Labelled, lots: int) -> str:
    """Why nothing can be certified at all; "" where it can be tried."""
    if lots < LOTS_MIN:
        return f"{lots} lots are too few to know how much lots differ; {LOTS_MIN} at least, {LOTS_MIN - lots} more."
    if labelled.share < LABELLED_MIN:
        return (
            f"only {labelled.share:.0%} of the parts have a label ({LABELLED_MIN:.0%} at least), "
            "and nobody knows what escaped among the others."
        )
    return "" if labelled.defect.any() else "no labelled part was defective."


def _promise(bound: Bound, at: int, asked: float, base: float) -> tuple[float | None, int | None, str]:
    """(promise, lots needed besides, why what is asked is not certified) with `at` escapes below the threshold."""
    upper = float(bound.upper[at])
    if upper <= asked:
        return asked, None, ""
    total = float(bound.sizes.sum())
    if at / total >= asked:
        more, why = None, f"{at} of {total:.0f} parts would have escaped, more than is asked; lower the threshold."
    else:
        more = _lots_needed(bound, at, asked)
        seen = f"{at} of {total:.0f} parts would have escaped, so the rate may be {say_rate(upper)}"
        why = (
            f"{seen}; about {more} lots more would do." if more else f"{seen}; even {LOTS_TOLD_MAX} times would not do."
        )
    promise = next((rate for rate in PROMISES if rate >= upper), None)
    if promise is not None and promise >= base:
        return None, more, f"{why} Without any inspection {say_rate(base)} would escape."
    return promise, more, why


def _lots_needed(bound: Bound, at: int, asked: float) -> int | None:
    """How many lots of the same kind, with the same share of escapes, would certify what is asked. The limit of the
    spread closes in on the spread with the root of their number."""
    total, spread = float(bound.sizes.sum()), bound.spread
    of_escapes = bound.lots_of_escapes[:at]
    for times in _FACTORS:
        sd = spread.sd + max(spread.high - spread.sd, 0.0) / math.sqrt(times)
        variation = _variation(sd, bound.sizes) / times
        by_spread = float(_by_spread(np.array([at * times]), total * times, variation)[0])
        if by_spread <= asked and float(_by_lots(of_escapes, bound.sizes, float(times))[-1]) <= asked:
            return math.ceil(float(times - 1.0) * len(bound.sizes))
    return None
