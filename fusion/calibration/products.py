"""A product's own intercept on top of the common calibration, shrunk to it by empirical Bayes, where lots ask for it.

Between products the offsets have a variance, estimated by DerSimonian and Laird 1986 from each product's offset and its
doubt; the doubt counts lots, not parts (`lot_spread.py`). An offset stands only if it lowers the log-loss of lots it
has not seen by more than half the standard error of the difference between lots, the rule of every choice in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import sigmoid
from fusion.calibration.lot_spread import fit_lot_spread

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

FOLDS = 5
OFFSET_MAX = 2.0  # odds 7.4 times off: more is another process, not another intercept


def fit_product_offsets(risk: Doubles, defect: Bools, products: Sequence[str], groups: Ints) -> dict[str, float]:
    """product → offset in logits; empty where one calibration does for all. `risk`: float64[n], calibrated, out of
    fold; `defect`: bool[n]; `products`: of n parts; `groups`: int[n] lots."""
    names, product = np.unique(np.asarray(products, dtype=np.str_), return_inverse=True)
    lots, lot = np.unique(groups, return_inverse=True)
    if len(names) < 2 or len(lots) < FOLDS:
        return {}
    own = np.log(np.clip(risk, 1e-9, 1.0 - 1e-9)) - np.log1p(-np.clip(risk, 1e-9, 1.0 - 1e-9))
    variance = fit_lot_spread(risk, defect, groups).variance
    fold = np.random.default_rng(0).permutation(len(lots))[lot] % FOLDS
    gain = np.zeros(len(own))
    for k in range(FOLDS):
        held, seen = fold == k, fold != k
        offset = _offsets(own[seen], defect[seen], product[seen], lot[seen], len(names), variance)
        gain[held] = _loss(own[held], defect[held]) - _loss(own[held] + offset[product[held]], defect[held])
    by_lot = np.bincount(lot, gain)
    if float(by_lot.sum()) <= 0.5 * float(np.sqrt(np.sum((by_lot - by_lot.mean()) ** 2))):
        return {}
    offset = _offsets(own, defect, product, lot, len(names), variance)
    return {str(name): float(value) for name, value in zip(names, offset, strict=True) if value}


def offset_risk(risk: Doubles, products: Sequence[str], offsets: Mapping[str, float]) -> Doubles:
    """float64[n] of risks with their products' offsets; a product without one keeps its risk."""
    if not offsets:
        return risk
    odds = risk / np.maximum(1.0 - risk, 1e-12) * np.exp([offsets.get(name, 0.0) for name in products])
    return np.asarray(odds / (1.0 + odds))


def _loss(own: Doubles, defect: Bools) -> Doubles:
    return np.logaddexp(0.0, np.where(defect, -own, own))


def _offsets(own: Doubles, defect: Bools, product: Ints, lot: Ints, count: int, variance: float) -> Doubles:
    """float64[products]: each one's offset, shrunk. `variance`: of lots' intercepts."""
    offset, doubt = np.zeros(count), np.full(count, np.inf)
    for k in range(count):
        mine = product == k
        if mine.any():
            offset[k], doubt[k] = _offset(own[mine], defect[mine], lot[mine], variance)
    told = np.isfinite(doubt)
    if told.sum() < 2:
        return np.zeros(count)
    weight = 1.0 / doubt[told]
    middle = float(weight @ offset[told] / weight.sum())
    excess = float(weight @ (offset[told] - middle) ** 2) - (int(told.sum()) - 1)
    between = max(0.0, excess / float(weight.sum() - (weight**2).sum() / weight.sum()))
    return np.where(told, np.clip(offset, -OFFSET_MAX, OFFSET_MAX) * between / (between + doubt), 0.0)


def _offset(own: Doubles, defect: Bools, lot: Ints, variance: float) -> tuple[float, float]:
    """The intercept that fits these parts and one more as their risks expect, and its variance between lots."""
    at = 0.0
    expected = float(sigmoid(own).mean())
    for _ in range(20):
        risk = sigmoid(own + at)
        score = float(defect.sum() - risk.sum()) + expected - float(sigmoid(np.array(at) + _logit(expected)))
        weight = float((risk * (1.0 - risk)).sum()) + expected * (1.0 - expected)
        step = min(max(score / max(weight, 1e-9), -1.0), 1.0)
        at += step
        if abs(step) < 1e-9:
            break
    by_lot = np.bincount(lot, risk * (1.0 - risk))
    by_lot = by_lot[by_lot > 0]
    total = float(by_lot.sum())
    return at, float((by_lot + variance * by_lot**2).sum()) / max(total, 1e-9) ** 2


def _logit(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))
