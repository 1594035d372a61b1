"""Offsets of groups beside a gate's correction: of what parts came without, and of products, by empirical Bayes.

Where one source's model alone has shifted, one correction a gate leaves the parts with it too low and those without it
too high. The groups of one kind have offsets that vary around the gate's correction by a variance that their labels
tell (DerSimonian and Laird 1986); each is shrunk by how little its own labels tell. They stand only where Cochran's Q
says that the groups differ at all. The doubt counts lots, not parts (`lot_spread.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from fusion.calibration.calibrate import sigmoid
from fusion.calibration.correction import Recalibration
from fusion.calibration.counts import Counts

Doubles = npt.NDArray[np.float64]
Offset = tuple[float, float]

DIFFER = 0.01  # chance that groups which do not differ get offsets
OFFSET_MAX = 3.0  # odds 20 times off the gate's: beyond it the group's model is another process's
NEWTON_STEPS = 30


def fit_offsets(counts: Counts, variance: float, lasting: Doubles, correction: Recalibration) -> dict[str, Offset]:
    """Group → offset in logits and its variance; empty where one correction does for all. `variance`: of lots'
    intercepts; `lasting`: float64[lots], how much each still counts; `correction`: the gate's, without offsets."""
    risk = np.clip(counts.risks(correction), 1e-9, 1.0 - 1e-9)
    told = np.log(risk) - np.log1p(-risk)
    found: dict[str, Offset] = {}
    for family in counts.families():
        fitted = {
            group: _offset(counts.of_columns(columns), told[columns], variance, lasting)
            for group, columns in family.items()
        }
        offsets = _shrunk(fitted)
        for group, (offset, _) in offsets.items():
            told = told + offset * family[group]
        found |= offsets
    return found


def _offset(counts: Counts, told: Doubles, variance: float, lasting: Doubles) -> Offset:
    """The intercept that fits these parts, and one more as their risks expect, and its variance between lots."""
    at, expected = 0.0, float(counts.parts.sum(axis=0) @ sigmoid(told) / max(float(counts.parts.sum()), 1e-9))
    base = float(np.log(expected) - np.log1p(-expected)) if 0.0 < expected < 1.0 else 0.0
    for _ in range(NEWTON_STEPS):
        risk = sigmoid(told + at)
        weight = counts.parts @ (risk * (1.0 - risk))
        scale = lasting / (1.0 + variance * weight)  # a lot never tells more than 1 / variance
        own = float(sigmoid(np.array(base + at)))
        score = float(scale @ (counts.defects - counts.parts * risk).sum(axis=1)) + expected - own
        information = float(scale @ weight) + own * (1.0 - own)
        step = min(max(score / max(information, 1e-9), -1.0), 1.0)
        at = min(max(at + step, -OFFSET_MAX), OFFSET_MAX)
        if abs(step) < 1e-9:
            break
    return at, float(scale**2 @ (weight + variance * weight**2) + own * (1.0 - own)) / max(information, 1e-9) ** 2


def _shrunk(fitted: Mapping[str, Offset]) -> dict[str, Offset]:
    """Each group's offset drawn to the gate's correction; empty where the groups are alike."""
    offset, doubt = (np.array(side) for side in zip(*fitted.values(), strict=True))
    weight = 1.0 / doubt
    middle = float(weight @ offset / weight.sum())
    departure = float(weight @ (offset - middle) ** 2)
    free = len(fitted) - 1
    if departure <= chi2.ppf(1.0 - DIFFER, free):
        return {}
    between = (departure - free) / float(weight.sum() - (weight**2).sum() / weight.sum())
    return {
        group: (round(float(at * between / (between + own)), 6), float(between * own / (between + own)))
        for group, (at, own) in fitted.items()
    }
