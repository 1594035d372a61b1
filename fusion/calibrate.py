"""Calibration: model scores → probabilities that mean what they say, with an interval.

Platt's logistic fit (Platt 1999, with his smoothed targets) on group-out-of-fold scores: the best of six methods while
groups are few. The interval refits it on resampled groups (lots), because parts of one lot are not independent.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

SCORE_CLIP = 1e-4  # 300 trees cannot tell less than 1 in 300; one in ten thousand bounds the logit at 9.2
SLOPE_MIN = 0.05  # a negative slope would turn the ranking round: an uninformative model says the base rate instead
RESAMPLES = 100
INTERVAL = (0.05, 0.95)
_BINS = 200  # of logits when resampling: a twentieth of a logit wide
_NODES = 33  # of the stored interval between the extreme logits; it is smooth in between


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """`risk = sigmoid(slope · logit(score) + intercept)`. `nodes`: logits at which `low`, `high` hold the interval's
    ends, as logits of risk."""

    slope: float
    intercept: float
    nodes: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def logit(score: Doubles) -> Doubles:
    """log(p / (1 - p)) of scores clipped to [SCORE_CLIP, 1 - SCORE_CLIP]."""
    clipped = np.clip(score, SCORE_CLIP, 1.0 - SCORE_CLIP)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def sigmoid(value: Doubles) -> Doubles:
    """1 / (1 + exp(-value)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * value)))


def calibrated(calibration: Calibration, score: Doubles) -> Doubles:
    """float64[n] of scores → float64[n] of risks."""
    return sigmoid(calibration.slope * logit(score) + calibration.intercept)


def fit_calibration(score: Doubles, defect: npt.NDArray[np.bool_], groups: npt.NDArray[np.intp]) -> Calibration:
    """Fit on out-of-fold scores float64[n] of parts with labels bool[n] in lots int[n] (0..n_groups-1)."""
    place = logit(score)
    slope, intercept = fit_platt(place, defect, np.ones(len(place)))
    bottom, top = logit(np.array([0.0, 1.0])).tolist()
    nodes = np.linspace(bottom, top, _NODES)
    lines = [a * nodes + b for a, b in _resampled(place, defect, groups)]
    low, high = np.quantile(np.array(lines), INTERVAL, axis=0)
    here = slope * nodes + intercept
    return Calibration(
        slope=slope,
        intercept=intercept,
        nodes=tuple(map(float, nodes)),
        low=tuple(map(float, np.minimum(low, here))),
        high=tuple(map(float, np.maximum(high, here))),
    )


def _resampled(
    place: Doubles, defect: npt.NDArray[np.bool_], groups: npt.NDArray[np.intp]
) -> list[tuple[float, float]]:
    """(slope, intercept) on lots drawn with replacement. Logits are binned, so that a resample is a sum of counts."""
    edges = np.linspace(place.min(), place.max() + 1e-9, _BINS + 1)
    at = np.clip(np.searchsorted(edges, place, side="right") - 1, 0, _BINS - 1)
    n_groups = int(groups.max()) + 1
    counts = np.zeros((n_groups, 2 * _BINS))
    np.add.at(counts, (groups, at + _BINS * defect), 1.0)
    centres = np.tile((edges[:-1] + edges[1:]) / 2.0, 2)
    labels = np.repeat([False, True], _BINS)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=RESAMPLES)
    return [fit_platt(centres, labels, weight) for weight in draws @ counts]


def fit_platt(place: Doubles, defect: npt.NDArray[np.bool_], weight: Doubles) -> tuple[float, float]:
    """Slope and intercept of a weighted logistic fit of labels on logits, by Newton's method."""
    n_bad, n_good = float(weight[defect].sum()), float(weight[~defect].sum())
    target = np.where(defect, (n_bad + 1.0) / (n_bad + 2.0), 1.0 / (n_good + 2.0))
    base = float(np.log((n_bad + 1.0) / (n_good + 1.0)))
    used = weight > 0
    x = np.stack([place[used], np.ones(int(used.sum()))], axis=1)
    y, w = target[used], weight[used]
    beta = np.array([0.0, base])
    for _ in range(30):
        p = sigmoid(x @ beta)
        gradient = x.T @ (w * (y - p)) - 1e-6 * beta
        hessian = (x * (w * p * (1.0 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.clip(np.linalg.solve(hessian, gradient), -2.0, 2.0)
        beta = beta + step
        if np.abs(step).max() < 1e-8:
            break
    if beta[0] < SLOPE_MIN:
        return 0.0, base
    return float(beta[0]), float(beta[1])


def expected_calibration_error(risk: Doubles, defect: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """Mean |share of defects - mean risk| over bins of equal count, weighted by count (Naeini 2015, equal-mass)."""
    order = np.argsort(risk, kind="stable")
    error = 0.0
    for part in np.array_split(order, bins):
        if len(part):
            error += len(part) * abs(float(defect[part].mean()) - float(risk[part].mean()))
    return error / max(len(risk), 1)
