"""Monotone maps from a score's logit to a risk's: Platt's line, beta calibration, isotonic; which one stands, by lots.

Beta calibration (Kull, Silva Filho, Flach 2017): logit(risk) = a log(s) - b log(1 - s) + c with a, b >= 0. Isotonic by
pool-adjacent-violators, on bins of logits. Both need many lots or parts; fewer, and Platt's two figures are surer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: (logits, labels, weights, nodes) → logits of risk at the nodes
Fit = Callable[[Doubles, Bools, Doubles, Doubles], Doubles]

SLOPE_MIN = 0.05  # a negative slope would turn the ranking round: an uninformative model says the base rate instead
MANY_LOTS, MANY_PARTS = 100, 5000  # from here on other maps than Platt's are tried; fewer, and they only fit luck
FOLDS = 5
_RIDGE, _STEP_MIN = 1e-6, 1e-8  # of the logistic fit
_POOLS = 100  # bins of equal count that isotonic regression pools


def map_for(place: Doubles, defect: Bools, groups: npt.NDArray[np.intp], nodes: Doubles) -> Fit:
    """The map of least log-loss on lots it has not seen. Platt's stands unless another is better by more than half the
    standard error of the difference between lots. `place`: float64[n] logits, `groups`: int[n] lots."""
    lots, lot = np.unique(groups, return_inverse=True)
    if len(lots) < FOLDS or (len(lots) < MANY_LOTS and len(place) < MANY_PARTS):
        return fit_line
    fold = np.random.default_rng(0).permutation(len(lots))[lot] % FOLDS
    losses = {fit: _losses(place, defect, fold, nodes, fit) for fit in (fit_line, fit_beta, fit_isotonic)}
    best = min(losses, key=lambda fit: float(losses[fit].sum()))
    gain = np.bincount(lot, losses[fit_line] - losses[best])
    error = float(np.sqrt(np.sum((gain - gain.mean()) ** 2)))
    return best if float(gain.sum()) > 0.5 * error else fit_line


def _losses(place: Doubles, defect: Bools, fold: npt.NDArray[np.intp], nodes: Doubles, fit: Fit) -> Doubles:
    """float64[n]: log-loss of each part, by the map of the other folds."""
    risk = np.empty(len(place))
    for k in range(FOLDS):
        held = fold == k
        values = fit(place[~held], defect[~held], np.ones(int((~held).sum())), nodes)
        risk[held] = sigmoid(np.interp(place[held], nodes, values))
    risk = np.clip(risk, 1e-9, 1.0 - 1e-9)
    return np.asarray(-np.where(defect, np.log(risk), np.log1p(-risk)))


def sigmoid(value: Doubles) -> Doubles:
    """1 / (1 + exp(-value)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * value)))


def fit_line(place: Doubles, defect: Bools, weight: Doubles, nodes: Doubles) -> Doubles:
    """Platt's."""
    slope, intercept = fit_platt(place, defect, weight)
    return slope * nodes + intercept


def fit_beta(place: Doubles, defect: Bools, weight: Doubles, nodes: Doubles) -> Doubles:
    """Beta calibration. A coefficient that would be negative is left out, then both: the base rate."""
    for kept in ((0, 1), (0,), (1,)):
        beta = _logistic(_beta_columns(place)[:, [*kept, 2]], *_targets(defect, weight), weight)
        if np.all(beta[:-1] >= 0.0):
            return np.asarray(_beta_columns(nodes)[:, [*kept, 2]] @ beta)
    return fit_line(place, defect, weight, nodes)


def _beta_columns(place: Doubles) -> Doubles:
    """float64[n, 3]: log(s), -log(1 - s), 1 of the score s whose logit is `place`."""
    return np.stack([-np.logaddexp(0.0, -place), np.logaddexp(0.0, place), np.ones(len(place))], axis=1)


def fit_isotonic(place: Doubles, defect: Bools, weight: Doubles, nodes: Doubles) -> Doubles:
    """Pool adjacent violators (Ayer 1955) on bins of equal count, their rates smoothed by one outcome of the base rate;
    linear in logits between the bins' middles, level beyond."""
    order = np.argsort(place, kind="stable")
    order = order[weight[order] > 0]
    gone = np.cumsum(weight[order])
    bin_of = np.minimum((gone / gone[-1] * _POOLS).astype(np.intp), _POOLS - 1)
    parts = np.bincount(bin_of, weight[order], _POOLS)
    bad = np.bincount(bin_of, weight[order] * defect[order], _POOLS)
    middle = np.bincount(bin_of, weight[order] * place[order], _POOLS)
    used = parts > 0
    pooled: list[list[float]] = []  # of each block: parts, defects, sum of logits
    for block in zip(parts[used], bad[used], middle[used], strict=True):
        pooled.append(list(map(float, block)))
        while len(pooled) > 1 and pooled[-2][1] * pooled[-1][0] >= pooled[-1][1] * pooled[-2][0]:
            last = pooled.pop()
            pooled[-1] = [a + b for a, b in zip(pooled[-1], last, strict=True)]
    blocks = np.array(pooled)
    rate = float(bad.sum() / parts.sum())
    smooth = np.maximum.accumulate((blocks[:, 1] + rate) / (blocks[:, 0] + 1.0))  # smoothing may turn neighbours round
    smooth = np.clip(smooth, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.interp(nodes, blocks[:, 2] / blocks[:, 0], np.log(smooth / (1.0 - smooth))))


def fit_platt(place: Doubles, defect: Bools, weight: Doubles) -> tuple[float, float]:
    """Slope and intercept of a weighted logistic fit of labels on logits, by Newton's method."""
    target, base = _targets(defect, weight)
    slope, intercept = _logistic(np.stack([place, np.ones(len(place))], axis=1), target, base, weight).tolist()
    return (0.0, base) if slope < SLOPE_MIN else (slope, intercept)


def _targets(defect: Bools, weight: Doubles) -> tuple[Doubles, float]:
    """Platt's smoothed targets, and the logit of the base rate."""
    n_bad, n_good = float(weight[defect].sum()), float(weight[~defect].sum())
    target = np.where(defect, (n_bad + 1.0) / (n_bad + 2.0), 1.0 / (n_good + 2.0))
    return target, float(np.log((n_bad + 1.0) / (n_good + 1.0)))


def _logistic(columns: Doubles, target: Doubles, base: float, weight: Doubles) -> Doubles:
    """Coefficients of a weighted logistic fit, the last one the intercept's. Newton's steps, halved until they help:
    whole ones overshoot where scores part the labels nearly perfectly."""
    used = weight > 0
    x, y, w = columns[used], target[used], weight[used]
    beta = np.zeros(x.shape[1])
    beta[-1] = base
    best = _regular_loss(beta, x, y, w)
    for _ in range(50):
        p = sigmoid(x @ beta)
        gradient = x.T @ (w * (y - p)) - _RIDGE * beta
        hessian = (x * (w * p * (1.0 - p))[:, None]).T @ x + _RIDGE * np.eye(x.shape[1])
        step = np.linalg.solve(hessian, gradient)
        while (tried := _regular_loss(beta + step, x, y, w)) > best and np.abs(step).max() > _STEP_MIN:
            step = step / 2.0
        beta, best = beta + step, min(best, tried)
        if np.abs(step).max() <= _STEP_MIN:
            break
    return beta


def _regular_loss(beta: Doubles, x: Doubles, y: Doubles, w: Doubles) -> float:
    at = x @ beta
    return float(w @ (np.logaddexp(0.0, at) - y * at) + 0.5 * _RIDGE * (beta @ beta))
