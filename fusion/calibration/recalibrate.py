"""Recalibration from released labels without retraining: when a model's risks no longer mean what they say, and by how
much.

The correction is `logit(risk) = own + shift + tilt (own - pivot)`, a logistic regression of labels on the model's own
calibrated logit. It is conditional on that logit, so it does not matter that mostly flagged and audited parts get a
label, as long as who gets one is decided by the risk and the lottery and not by the outcome. Where no part of a range
of risks was labelled nothing is known: there a correction may raise a risk, but lowers none below the range's edge.

The unit of evidence is the lot (`lot_spread.py`): each lot counts with its information about the common intercept,
1 / (1 / W + t), never with its number of parts. The prior is one more lot of average size that showed no change.
Groups of parts, by sources and product, have offsets of their own where their labels ask for them (`offsets.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import sigmoid
from fusion.calibration.correction import Recalibration
from fusion.calibration.counts import Counts
from fusion.calibration.lot_spread import REACH_LOTS, Lots, LotSpread, departure
from fusion.calibration.offsets import fit_offsets

Doubles = npt.NDArray[np.float64]

HALF_LIFE = 50.0  # of information, so that the shift is known to some 1 / sqrt(1.44 * 50) = .12 logits in the long run
TILT_OUTCOMES = 25  # defects, and as many good parts, that a slope needs
TILT_LOTS = 5
TILT_MIN, TILT_MAX = -0.8, 1.0  # below -1 the ranking would turn round
TILT_ALARM = 3.0  # standard deviations between lots of a slope that is followed
SHIFT_MAX = 4.0  # odds 55 times off: beyond it the model is another process's
EDGE = 0.01  # share of labels beyond each end of the range that counts as labelled
CLOSE_SHARE = 0.5  # of the alarm level: lower, and the model's own calibration is believed again


def runs_back(counts: Counts, correction: Recalibration | None, spread: LotSpread) -> Doubles:
    """float64[lots]: how far the labels depart from what was said, in level, in slope or in the level of one group,
    from each lot on to the last, as a share of the alarm level (0 beyond REACH_LOTS)."""
    risk = counts.risks(correction)
    tests = [(counts.residuals(risk, spread), spread.doubt, spread.alarm)]
    if spread.tilt is not None:
        tests.append((counts.tilts(risk, spread, spread.tilt), spread.tilt.doubt, spread.tilt.alarm))
    groups = [columns for family in counts.families() for columns in family.values()]
    for columns in groups:
        own = counts.of_columns(columns).residuals(risk[columns], spread)
        tests.append((own, spread.doubt, _alarm_of_many(spread.alarm, len(groups))))
    back = np.max([np.abs(departure(lots.map(_from_here), doubt)) / alarm for lots, doubt, alarm in tests], axis=0)
    back[: max(0, len(back) - REACH_LOTS)] = 0.0
    return np.asarray(back)


def _alarm_of_many(alarm: float, tests: int) -> float:
    """The level that all these tests together reach half as often as one reaches `alarm` (the tail of a normal law)."""
    return math.sqrt(alarm**2 + 2.0 * math.log(2.0 * tests))


def _from_here(side: Doubles) -> Doubles:
    return np.cumsum(side[::-1])[::-1]


def onset(counts: Counts, correction: Recalibration | None, spread: LotSpread) -> int | None:
    """The lot from which on the labels depart most from what was said, None while that is within what lots do."""
    if not counts.tells:
        return None
    back = runs_back(counts, correction, spread)
    lot = int(np.argmax(back))
    return lot if back[lot] > 1.0 and counts.since(lot).tells else None


def rejected(counts: Counts, spread: LotSpread, offsets: Collection[str] = ()) -> bool:
    """Do these labels still speak against the model's own calibration? `offsets`: groups with one now."""
    risk = counts.risks(None)
    level = counts.residuals(risk, spread)
    lasting = _lasting(level.weight, spread)
    tests = [(level, spread.doubt, spread.alarm)]
    if spread.tilt is not None:
        tests.append((counts.tilts(risk, spread, spread.tilt), spread.tilt.doubt, spread.tilt.alarm))
    groups = {group: columns for family in counts.families() for group, columns in family.items()}
    for group in offsets:
        if (columns := groups.get(group)) is not None:
            own = counts.of_columns(columns).residuals(risk[columns], spread)
            tests.append((own, spread.doubt, _alarm_of_many(spread.alarm, len(groups))))
    return any(abs(_faded(lots, lasting, doubt)) > CLOSE_SHARE * alarm for lots, doubt, alarm in tests)


def _faded(lots: Lots, lasting: Doubles, doubt: float) -> float:
    sums = Lots(lasting @ lots.residual, lasting @ lots.weight, lasting @ lots.third, lasting**2 @ lots.variance)
    return float(departure(sums, doubt))


def _lasting(weight: Doubles, spread: LotSpread) -> Doubles:
    """float64[lots]: how much of each lot still counts; halves with each HALF_LIFE of information behind it."""
    information = weight / (1.0 + spread.variance * weight)
    newer = np.concatenate([np.cumsum(information[::-1])[::-1][1:], [0.0]])
    return np.asarray(np.exp2(-newer / HALF_LIFE))


def fit_recalibration(counts: Counts, spread: LotSpread, model: str, since: int) -> Recalibration:
    """The correction that these lots ask for. `since`: when it takes effect."""
    risk, pivot, shift, tilt = counts.risks(None), 0.0, 0.0, 0.0
    inverse = np.zeros((2, 2))
    for _ in range(2):  # what a lot weighs depends on its risks, and those on the correction
        weight = counts.parts @ (risk * (1.0 - risk))
        lasting = _lasting(weight, spread)
        scale = lasting / (1.0 + spread.variance * weight)  # a lot never tells more than 1 / variance
        parts, defects = scale @ counts.parts, scale @ counts.defects
        information = parts * risk * (1.0 - risk)
        pivot = float(information @ counts.own / information.sum())
        x = counts.own - pivot
        one_lot = 1.0 / (1.0 / max(spread.weight, 1e-6) + spread.variance)
        prior = np.array([one_lot, one_lot * float(information @ x**2 / information.sum()) + 1e-6])
        shift, tilt, inverse = _newton(counts.own, x, parts, defects, prior, _tilts(counts))
        if tilt and abs(tilt) < TILT_ALARM * math.sqrt(_variance_of_tilt(counts, lasting, x, shift, tilt)):
            shift, tilt, inverse = _newton(counts.own, x, parts, defects, prior, False)
        risk = sigmoid(counts.own + shift + tilt * x)
    labelled = np.cumsum(counts.parts.sum(axis=0)) / counts.parts.sum()
    low, high = np.searchsorted(labelled, EDGE), np.searchsorted(labelled, 1.0 - EDGE)
    correction = Recalibration(
        model=model, since=since, shift=round(shift, 6), tilt=round(tilt, 6), pivot=round(pivot, 6),
        low=float(counts.own[low]), high=float(counts.own[min(int(high), len(counts.own) - 1)]),
        variance=(float(inverse[0, 0]), float(inverse[0, 1]), float(inverse[1, 1])),
        labels=int(counts.parts.sum()), lots=int((counts.parts.sum(axis=1) > 0).sum()),
    )  # fmt: skip
    offsets = fit_offsets(counts, spread.variance, lasting, correction)
    return msgspec.structs.replace(correction, offsets=offsets)


def _tilts(counts: Counts) -> bool:
    bad = float(counts.defects.sum())
    return min(bad, float(counts.parts.sum()) - bad) >= TILT_OUTCOMES and len(counts.at) >= TILT_LOTS


def _newton(
    own: Doubles, x: Doubles, parts: Doubles, defects: Doubles, prior: Doubles, tilts: bool
) -> tuple[float, float, Doubles]:
    """Shift and tilt of greatest posterior density, and their covariance float64[2, 2] (Laplace)."""
    beta = np.zeros(2)
    design = np.stack([np.ones_like(x), x if tilts else np.zeros_like(x)], axis=1)
    lowest, highest = np.array([-SHIFT_MAX, TILT_MIN]), np.array([SHIFT_MAX, TILT_MAX])
    hessian = np.diag(prior)
    for _ in range(30):
        p = sigmoid(own + design @ beta)
        hessian = (design.T * (parts * p * (1.0 - p))) @ design + np.diag(prior)
        step = np.linalg.solve(hessian, design.T @ (defects - parts * p) - prior * beta)
        moved = np.clip(beta + np.clip(step, -1.0, 1.0), lowest, highest)
        done = float(np.abs(moved - beta).max()) < 1e-9
        beta = moved
        if done:
            break
    inverse: Doubles = np.linalg.inv(hessian).astype(np.float64)
    if not tilts:
        inverse[1, :] = inverse[:, 1] = 0.0
    return float(beta[0]), float(beta[1]), inverse


def _variance_of_tilt(counts: Counts, lasting: Doubles, x: Doubles, shift: float, tilt: float) -> float:
    """Of the slope, from the spread of its score between lots (sandwich, Liang and Zeger 1986), never below the
    model's own."""
    p = sigmoid(counts.own + shift + tilt * x)
    information = counts.parts * p * (1.0 - p)
    total = lasting @ information
    centred = x - float(total @ x / total.sum())
    score = (counts.defects - counts.parts * p) @ centred
    lots = len(counts.at)
    between = float(lasting**2 @ score**2) * lots / max(lots - 1.0, 1.0)
    within = float(lasting**2 @ (information @ centred**2))
    return max(between, within) / max(float(total @ centred**2), 1e-12) ** 2
