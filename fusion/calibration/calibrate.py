"""Calibration: model scores → probabilities that mean what they say, with an interval.

Platt's logistic fit (Platt 1999, with his smoothed targets) on group-out-of-fold scores: the best of six methods while
groups are few. With many, another monotone map may stand instead, chosen by held-out lots (`maps.py`). The
interval refits the map on resampled groups (lots), because parts of one lot are not independent, and is widened by
Student's t for how few lots there are.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from fusion.calibration.maps import Bools, Doubles, Fit, fit_line, fit_platt, map_for
from fusion.calibration.maps import sigmoid as sigmoid

SCORE_CLIP = 1e-4  # 300 trees cannot tell less than 1 in 300; one in ten thousand bounds the logit at 9.2
RESAMPLES = 100
INTERVAL = (0.05, 0.95)
_BINS = 200  # of logits when resampling: a twentieth of a logit wide
_NODES = 33  # of the stored interval between the extreme logits; it is smooth in between


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """`risk = sigmoid(slope · logit(score) + intercept)`. `nodes`: logits at which `low`, `high` hold the interval's
    ends, as logits of risk. `centre`: the map itself at the nodes where it is no line; the line is then its nearest."""

    slope: float
    intercept: float
    nodes: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    centre: tuple[float, ...] = ()

    def risk_logit(self, place: Doubles) -> Doubles:
        """Logits of scores → logits of risk."""
        if self.centre:
            return np.asarray(np.interp(place, self.nodes, self.centre))
        return np.asarray(self.slope * place + self.intercept)


def logit(score: Doubles) -> Doubles:
    """log(p / (1 - p)) of scores clipped to [SCORE_CLIP, 1 - SCORE_CLIP]."""
    clipped = np.clip(score, SCORE_CLIP, 1.0 - SCORE_CLIP)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def calibrated(calibration: Calibration, score: Doubles) -> Doubles:
    """float64[n] of scores → float64[n] of risks."""
    return sigmoid(calibration.risk_logit(logit(score)))


def fit_calibration(score: Doubles, defect: Bools, groups: npt.NDArray[np.intp]) -> Calibration:
    """Fit on out-of-fold scores float64[n] of parts with labels bool[n] in lots int[n]."""
    place = logit(score)
    slope, intercept = fit_platt(place, defect, np.ones(len(place)))
    bottom, top = logit(np.array([0.0, 1.0])).tolist()
    nodes = np.linspace(bottom, top, _NODES)
    fit = map_for(place, defect, groups, nodes)
    here = fit(place, defect, np.ones(len(place)), nodes)
    low, high = np.quantile(_resampled(place, defect, groups, nodes, fit), INTERVAL, axis=0)
    lots = len(np.unique(groups))
    wider = _wider(lots)
    return Calibration(
        slope=slope,
        intercept=intercept,
        nodes=tuple(map(float, nodes)),
        low=tuple(map(float, here - wider * np.maximum(here - low, 0.0))),
        high=tuple(map(float, here + wider * np.maximum(high - here, 0.0))),
        centre=() if fit is fit_line else tuple(map(float, here)),
    )


def _wider(lots: int) -> float:
    """What a percentile bootstrap lacks with few lots: it is narrow by the two figures that were fitted, its tails are
    normal (Hesterberg 2015, section 3.2)."""
    if lots < 3:
        return 4.0
    return float(stdtrit(lots - 2, INTERVAL[1]) / ndtri(INTERVAL[1]) * np.sqrt(lots / (lots - 2.0)))


def _resampled(place: Doubles, defect: Bools, groups: npt.NDArray[np.intp], nodes: Doubles, fit: Fit) -> Doubles:
    """float64[RESAMPLES, nodes]: the map on lots drawn with replacement. Logits are binned, so that a resample is a sum
    of counts."""
    edges = np.linspace(place.min(), place.max() + 1e-9, _BINS + 1)
    at = np.clip(np.searchsorted(edges, place, side="right") - 1, 0, _BINS - 1)
    n_groups = int(groups.max()) + 1
    counts = np.zeros((n_groups, 2 * _BINS))
    np.add.at(counts, (groups, at + _BINS * defect), 1.0)
    counts = counts[counts.any(axis=1)]  # lots without a part among these
    n_groups = len(counts)
    centres = np.tile((edges[:-1] + edges[1:]) / 2.0, 2)
    labels = np.repeat([False, True], _BINS)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=RESAMPLES)
    return np.array([fit(centres, labels, weight, nodes) for weight in draws @ counts])


def expected_calibration_error(risk: Doubles, defect: Bools, bins: int = 10) -> float:
    """Mean |share of defects - mean risk| over bins of equal count, weighted by count (Naeini 2015, equal-mass)."""
    order = np.argsort(risk, kind="stable")
    error = 0.0
    for part in np.array_split(order, bins):
        if len(part):
            error += len(part) * abs(float(defect[part].mean()) - float(risk[part].mean()))
    return error / max(len(risk), 1)


def calibration_floor(risk: Doubles, bins: int = 10, draws: int = 200) -> float:
    """The mean `expected_calibration_error` of labels drawn from the risks themselves: what luck alone gives."""
    rng = np.random.default_rng(0)
    return float(np.mean([expected_calibration_error(risk, rng.random(len(risk)) < risk, bins) for _ in range(draws)]))
