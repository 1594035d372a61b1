"""How far lots lie apart: the yardstick of every test of calibration.

Parts of one lot are not independent, so the doubt of an observed defect count is not that of a binomial. With residual
U = defects - sum of risks and information W = sum of risk (1 - risk) of a lot, lots that differ by a random intercept
of variance t (in logits) have E[U^2] = W + t W^2 to first order: t by the method of moments, V = W + t W^2 for a lot.
The alarm level is what training's own lots, drawn with replacement into streams of STREAM_LOTS, do not reach.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

STREAM_LOTS = 100  # lots of one stream, and of the promise behind the alarm level
STREAMS = 200
FALSE_STREAMS = 0.05  # of streams in control may reach the alarm level: one false incident in some 2000 lots
REACH_LOTS = 60  # an onset is looked for so many lots back
RARE_MIN = 4.0  # of the rarer outcome, seen and expected together: fewer in a run of lots say nothing
ALARM_MIN = 3.5
LOTS_MIN = 8  # fewer show too little of their spread
VARIANCE_UNKNOWN = 0.25  # a sd of half a logit where lots are too few to tell
UPPER = 0.8  # quantile of the spread, resampled, that tests reckon with: little by luck must not alarm
RESAMPLES = 200


class LotSpread(msgspec.Struct, frozen=True, kw_only=True):
    """Of one gate's training parts, out of fold. `variance`: of lots' intercepts, in squared logits; `variance_high`:
    its upper end, for tests; `weight`: information of an average lot; `alarm`: level of `run_of_lots`."""

    lots: int = 0
    variance: float = VARIANCE_UNKNOWN
    variance_high: float = VARIANCE_UNKNOWN
    weight: float = 5.0
    alarm: float = 4.5


def fit_lot_spread(risk: Doubles, defect: npt.NDArray[np.bool_], groups: npt.NDArray[np.intp]) -> LotSpread:
    """Of calibrated out-of-fold risks float64[n], labels bool[n] and lots int[n]."""
    _, lot = np.unique(groups, return_inverse=True)
    count: Doubles = np.bincount(lot).astype(np.float64)
    expected: Doubles = np.bincount(lot, risk).astype(np.float64)
    weight: Doubles = np.bincount(lot, risk * (1.0 - risk)).astype(np.float64)
    observed: Doubles = np.bincount(lot, defect).astype(np.float64)
    n_lots = len(count)
    if n_lots < LOTS_MIN:
        return LotSpread(lots=n_lots, weight=float(weight.mean()) if n_lots else 5.0)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n_lots, np.full(n_lots, 1.0 / n_lots), size=RESAMPLES).astype(np.float64)
    square: Doubles = (observed - expected) ** 2 * n_lots / (n_lots - 1.0)  # the fit has taken one degree of freedom
    variance = _moments(square, weight, np.ones(n_lots))
    high = max(variance, float(np.quantile([_moments(square, weight, draw) for draw in draws], UPPER)))
    streams = rng.integers(0, n_lots, size=(STREAMS, STREAM_LOTS))
    own = weight + high * weight**2
    highest = highest_runs(observed[streams], expected[streams], own[streams], count[streams])
    alarm = float(np.quantile(highest, 1.0 - FALSE_STREAMS))
    return LotSpread(
        lots=n_lots, variance=variance, variance_high=high, weight=float(weight.mean()), alarm=max(alarm, ALARM_MIN)
    )


def _moments(square: Doubles, weight: Doubles, times: Doubles) -> float:
    below = float(times @ weight**2)
    return max(0.0, float(times @ (square - weight)) / below) if below > 0 else 0.0


def highest_runs(observed: Doubles, expected: Doubles, variance: Doubles, count: Doubles) -> Doubles:
    """float64[streams]: the highest |departure| of any run of at most REACH_LOTS lots that ended when it was looked at.
    All float64[streams, lots]."""
    sums = [np.concatenate([np.zeros((len(a), 1)), np.cumsum(a, axis=1)], axis=1) for a in
            (observed, expected, variance, count)]  # fmt: skip
    highest = np.zeros(len(observed))
    for reach in range(1, min(REACH_LOTS, observed.shape[1]) + 1):
        runs = [total[:, reach:] - total[:, :-reach] for total in sums]
        highest = np.maximum(highest, np.abs(departure(*runs)).max(axis=1))
    return highest


def departure(observed: Any, expected: Any, variance: Any, count: Any) -> Doubles:
    """Signed root of the deviance of runs of lots, in standard deviations; 0 where they hold too little.

    The Poisson deviance of the rarer outcome, because a count of rare defects is skewed, scaled from its own variance
    to that of lots. Any shape."""
    rare = expected <= count / 2.0
    seen = np.where(rare, observed, count - observed)
    due = np.maximum(np.where(rare, expected, count - expected), 1e-12)
    ratio = np.where(seen > 0, seen / due, 1.0)
    deviance = 2.0 * np.maximum(seen * np.log(ratio) - (seen - due), 0.0)
    root = np.sqrt(deviance * due / np.maximum(variance, 1e-12))
    sign = np.where(rare, 1.0, -1.0) * np.sign(seen - due)
    return np.asarray(np.where(seen + due >= RARE_MIN, sign * root, 0.0))
