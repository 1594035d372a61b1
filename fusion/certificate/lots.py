"""The natural spread of the defect rate between lots, and its upper limit: what a promise about future lots needs.

Model: logit P(defect) = logit(risk) + offset + u, u ~ N(0, sd) once a lot. The likelihood of each lot is integrated
over u by Gauss-Hermite quadrature (Breslow & Clayton 1993, section 2); the upper limit is where the profile likelihood
has fallen by half the chi-square quantile (Venzon & Moolgavkar 1988).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import logit

Doubles = npt.NDArray[np.float64]

SDS = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5, 1.75, 2, 2.5])
OFFSETS = (-4.0, 1.5)  # the larger the spread, the further the middle lot lies below the mean risk: exp(sd² / 2)
OFFSET_STEPS = 14  # golden sections: to a hundredth of a logit
FALL = 1.64  # chi-square(1) at .80: one-sided 90 %
_BINS = 16  # of risk, equally many expected defects in each: finer bins change no second digit
_NODES = 15


@dataclass(frozen=True, slots=True)
class SpreadLimit:
    """Of the defect rate between lots. `sd`: most likely, in logits; `high`: upper limit, one-sided 90 %. Not the
    `LotSpread` of calibration, which is by moments and says when a departure of labels is no longer natural."""

    sd: float
    high: float


def fit_spread_limit(risk: Doubles, defect: npt.NDArray[np.bool_], lot: npt.NDArray[np.intp]) -> SpreadLimit:
    """`risk`: float64[n], calibrated, out of fold; `lot`: int[n], 0..lots-1."""
    made, bad, place = _binned(risk, defect, lot)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    log_weights = np.log(weights / weights.sum())

    def fit(sd: float, offset: float) -> float:
        at = place[None, :] + offset + sd * nodes[:, None]
        each = -bad @ np.logaddexp(0.0, -at).T - (made - bad) @ np.logaddexp(0.0, at).T + log_weights
        top = each.max(axis=1)
        return float((top + np.log(np.exp(each - top[:, None]).sum(axis=1))).sum())

    fits = np.array([_best(partial(fit, float(sd))) for sd in SDS])
    fallen = 2.0 * (fits.max() - fits)
    last = int(np.flatnonzero(fallen <= FALL)[-1])
    high = float(SDS[last])
    if last + 1 < len(SDS):
        high += float((SDS[last + 1] - SDS[last]) * (FALL - fallen[last]) / (fallen[last + 1] - fallen[last]))
    return SpreadLimit(float(SDS[int(fits.argmax())]), high)


def _binned(
    risk: Doubles, defect: npt.NDArray[np.bool_], lot: npt.NDArray[np.intp]
) -> tuple[Doubles, Doubles, Doubles]:
    """Parts and defects of each lot by bins of risk, float64[lots, bins]; the logit of each bin's mean risk."""
    order = np.argsort(risk, kind="stable")
    expected = np.cumsum(risk[order])
    bins = np.empty(len(risk), dtype=np.intp)
    bins[order] = np.minimum((expected / max(float(expected[-1]), 1e-12) * _BINS).astype(np.intp), _BINS - 1)
    made, bad = np.zeros((int(lot.max()) + 1, _BINS)), np.zeros((int(lot.max()) + 1, _BINS))
    np.add.at(made, (lot, bins), 1.0)
    np.add.at(bad, (lot[defect], bins[defect]), 1.0)
    mean = np.bincount(bins, weights=risk, minlength=_BINS) / np.maximum(made.sum(axis=0), 1.0)
    return made, bad, logit(mean)


def _best(fit: Callable[[float], float]) -> float:
    """The highest value of a function with one top between the `OFFSETS`, by golden sections."""
    low, high = OFFSETS
    golden = (np.sqrt(5.0) - 1.0) / 2.0
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = fit(left), fit(right)
    for _ in range(OFFSET_STEPS):
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = fit(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = fit(right)
    return float(max(at_left, at_right))
