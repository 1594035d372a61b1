"""How far lots lie apart: the yardstick of every test of calibration.

Parts of one lot are not independent, so the doubt of an observed defect count is not that of a binomial. With residual
U = defects - sum of risks and information W = sum of risk (1 - risk) of a lot, lots that differ by a random intercept
of variance t (in logits) have E[U^2] = W + t W^2 to first order: t by the method of moments, V = W + t W^2 for a lot.
The alarm level is what training's own lots, drawn with replacement into streams of STREAM_LOTS, do not reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

STREAM_LOTS = 100  # lots of one stream, and of the promise behind the alarm level
STREAMS = 200
FALSE_STREAMS = 0.025  # of such streams in control may reach the alarm level, of level and of slope each
REACH_LOTS = 60  # an onset is looked for so many lots back
RARE_MIN = 4.0  # outcomes that were in doubt or came against the odds: fewer in a run of lots say nothing
ALIKE = 0.05  # sd of own logits below which there is no slope to speak of
SYMMETRIC = 0.01  # skew below which the residual is as good as normal
ALARM_MIN = 3.5
LOTS_MIN = 8  # fewer show too little of their spread
VARIANCE_UNKNOWN = 0.25  # a sd of half a logit where lots are too few to tell
UPPER = 0.9  # quantile of the spread, resampled, that tests reckon with: little by luck must not alarm
RESAMPLES = 200


class Tilt(msgspec.Struct, frozen=True, kw_only=True):
    """The same of the slope: residuals weighted by x = (own logit - `pivot`) / `scale`, which training centred so that
    a lot's intercept hardly shows in them. `variance`: of lots' slopes, its upper end; `doubt`, `alarm` as of the
    intercept."""

    pivot: float
    scale: float
    variance: float
    doubt: float
    alarm: float

    def place(self, own: Doubles) -> Doubles:
        """x of own logits."""
        return (own - self.pivot) / self.scale


class LotSpread(msgspec.Struct, frozen=True, kw_only=True):
    """Of one gate's training parts, out of fold. `variance`: of lots' intercepts, in squared logits; `variance_high`:
    its upper end, for tests; `weight`: information of an average lot; `doubt`: variance of the intercept that was
    fitted on so few lots, in squared logits; `alarm`: level of `departure`, see `highest_runs`."""

    lots: int = 0
    variance: float = VARIANCE_UNKNOWN
    variance_high: float = VARIANCE_UNKNOWN
    weight: float = 5.0
    doubt: float = 0.0
    alarm: float = 4.5
    tilt: Tilt | None = None


def fit_lot_spread(risk: Doubles, defect: npt.NDArray[np.bool_], groups: npt.NDArray[np.intp]) -> LotSpread:
    """Of calibrated out-of-fold risks float64[n], labels bool[n] and lots int[n]."""
    _, lot = np.unique(groups, return_inverse=True)
    n_lots = int(lot.max()) + 1 if len(lot) else 0
    residual = _summed(lot, defect - risk)
    weight = _summed(lot, risk * (1.0 - risk))
    third = _summed(lot, risk * (1.0 - risk) * (1.0 - 2.0 * risk))
    if n_lots < LOTS_MIN:
        return LotSpread(lots=n_lots, weight=float(weight.mean()) if n_lots else 5.0)
    variance, high = _spread(residual, weight)
    doubt, alarm = _alarm(residual, weight, third, weight + high * weight**2)
    return LotSpread(
        lots=n_lots, variance=variance, variance_high=high, weight=float(weight.mean()), doubt=doubt,
        alarm=alarm, tilt=_fit_tilt(risk, defect, lot, high),
    )  # fmt: skip


def _fit_tilt(risk: Doubles, defect: npt.NDArray[np.bool_], lot: npt.NDArray[np.intp], variance: float) -> Tilt | None:
    """None where risks are all alike. `variance`: of lots' intercepts."""
    information = risk * (1.0 - risk)
    own = np.log(np.maximum(risk, 1e-12)) - np.log(np.maximum(1.0 - risk, 1e-12))
    pivot = float(information @ own / information.sum())
    scale = float(np.sqrt(information @ (own - pivot) ** 2 / information.sum()))
    if not scale > ALIKE:
        return None
    x = (own - pivot) / scale
    residual, weight = _summed(lot, (defect - risk) * x), _summed(lot, information * x**2)
    third, leak = _summed(lot, information * (1.0 - 2.0 * risk) * x**3), _summed(lot, information * x)
    _, high = _spread(residual, weight, variance * leak**2)
    doubt, alarm = _alarm(residual, weight, third, weight + variance * leak**2 + high * weight**2)
    return Tilt(pivot=pivot, scale=scale, variance=high, doubt=doubt, alarm=alarm)


def _spread(residual: Doubles, weight: Doubles, known: float | Doubles = 0.0) -> tuple[float, float]:
    """The variance between lots beyond `weight` and what is `known`, and its upper end."""
    lots = len(weight)
    draws = np.random.default_rng(0).multinomial(lots, np.full(lots, 1.0 / lots), size=RESAMPLES).astype(np.float64)
    square = residual**2 * lots / (lots - 1.0) - known  # the fit has taken one degree of freedom
    variance = _moments(square, weight, np.ones(lots))
    return variance, max(variance, float(np.quantile([_moments(square, weight, draw) for draw in draws], UPPER)))


def _alarm(residual: Doubles, weight: Doubles, third: Doubles, between: Doubles) -> tuple[float, float]:
    """Variance of what was fitted on these lots, and the level that streams of them do not reach."""
    rng = np.random.default_rng(1)
    doubt = float(between.sum() / max(weight.sum(), 1e-9) ** 2)
    streams = rng.integers(0, len(weight), size=(STREAMS, STREAM_LOTS))
    off = rng.normal(0.0, np.sqrt(doubt), (STREAMS, 1)) * weight[streams]
    lots = Lots(residual[streams] + off, weight[streams], third[streams], between[streams])
    return doubt, max(ALARM_MIN, float(np.quantile(highest_runs(lots, doubt), 1.0 - FALSE_STREAMS)))


def _summed(lot: npt.NDArray[np.intp], values: Doubles) -> Doubles:
    return np.bincount(lot, values).astype(np.float64)


def _moments(square: Doubles, weight: Doubles, times: Doubles) -> float:
    below = float(times @ weight**2)
    return max(0.0, float(times @ (square - weight)) / below) if below > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Lots:
    """Sums over the labelled parts of each lot, float64[..., lots]. `residual`: defects - risks; `weight`, `third`: the
    second and third central moment of that, were parts independent; `variance`: what it is between lots."""

    residual: Doubles
    weight: Doubles
    third: Doubles
    variance: Doubles

    def map(self, change: Callable[[Doubles], Doubles]) -> Lots:
        """The same change of each."""
        return Lots(change(self.residual), change(self.weight), change(self.third), change(self.variance))


def highest_runs(lots: Lots, doubt: float) -> Doubles:
    """float64[streams]: the highest |departure| of any run of at most REACH_LOTS lots that ended when it was looked at,
    for streams of lots, each float64[streams, lots]."""
    sums = lots.map(lambda a: np.concatenate([np.zeros((len(a), 1)), np.cumsum(a, axis=1)], axis=1))
    highest = np.zeros(len(lots.residual))
    for reach in range(1, min(REACH_LOTS, lots.residual.shape[1]) + 1):
        runs = sums.map(partial(_steps, reach=reach))
        highest = np.maximum(highest, np.abs(departure(runs, doubt)).max(axis=1))
    return highest


def _steps(sums: Doubles, reach: int) -> Doubles:
    return sums[:, reach:] - sums[:, :-reach]


def departure(runs: Lots, doubt: float) -> Doubles:
    """Signed root of the deviance of runs of lots, in standard deviations; 0 where they hold too little. Any shape.
    `doubt`: variance of the intercept that the risks were fitted with, which all lots have in common.

    Counts of rare defects are skewed. The residual is taken as s (Poisson(m) - m) with s, m from its second and third
    moment, which is exact for rare defects and for certain ones, and normal in between."""
    weight = np.maximum(runs.weight, 1e-12)
    scale = runs.third / weight
    scale = np.where(np.abs(scale) < SYMMETRIC, np.copysign(SYMMETRIC, scale), scale)
    mean = weight / scale**2
    seen = np.maximum(mean + runs.residual / scale, 0.0)
    deviance = 2.0 * (seen * np.log(np.where(seen > 0, seen, 1.0) / mean) - (seen - mean))
    root = np.sqrt(np.maximum(deviance, 0.0) * weight / np.maximum(runs.variance + doubt * weight**2, 1e-12))
    return np.asarray(np.where(weight + np.abs(runs.residual) >= RARE_MIN, np.sign(runs.residual) * root, 0.0))
