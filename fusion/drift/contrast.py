"""Do the latest parts differ from training's? A classifier two-sample test (Lopez-Paz and Oquab 2017) of whole parts.

A linear classifier (Fisher 1936, with a ridge) of bounded residuals and their squares learns to tell one half of the
latest window from training and is asked about the other half. How well it does, as the logit of the area under the
curve, is compared with what the same test said of training's own windows: parts of one period are alike by themselves,
and that is in the null. Few windows of training give a wide limit (Student's t).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, t

from fusion.drift.signals import Signal
from fusion.risk.features import Floats

WINDOW_MAX, WINDOW_MIN = 1000, 200  # parts
WINDOWS_WANTED = 8  # of training, for a limit that is not all doubt
FALSE_PER_LOOK = 2.5e-4  # of this test and of `structure.py` each: together 0.1 in 100 000 parts, looking every 500
RIDGE = 0.1  # of the pooled variance (1 by construction)
AUC_MAX = 0.999

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contrast:
    """What the test said: `score` the logit of the held-out AUC; `weight`: float64[signals], how much of what separates
    the two is each signal's."""

    score: float
    weight: Doubles

    @property
    def auc(self) -> float:
        return float(1.0 / (1.0 + np.exp(-self.score)))


def contrast(recent: Floats, reference: Floats) -> Contrast:
    """float32[n, signals] against float32[m, signals], residuals in the order of time, NaN where missing."""
    new, old = _with_squares(recent), _with_squares(reference)
    halves_new, halves_old = np.array_split(new, 2), np.array_split(old, 2)
    scores, weight = [], np.zeros(new.shape[1])
    for fitted in (0, 1):
        direction = _direction(halves_new[fitted], halves_old[fitted])
        asked_new, asked_old = halves_new[1 - fitted], halves_old[1 - fitted]
        scores.append(_auc(asked_new @ direction, asked_old @ direction))
        weight += np.maximum(direction * (asked_new.mean(axis=0) - asked_old.mean(axis=0)), 0.0)
    auc = min(max(float(np.mean(scores)), 1.0 - AUC_MAX), AUC_MAX)
    return Contrast(float(np.log(auc / (1.0 - auc))), weight.reshape(2, -1).sum(axis=0))


def fit_contrast(residuals: Floats, sample: Floats) -> tuple[int, float]:
    """(window, limit): parts of a window, and the score that a window of training passes with FALSE_PER_LOOK; an
    infinite limit where training has too few windows. `residuals`: of all training parts in the order of time."""
    window = int(np.clip(len(residuals) // WINDOWS_WANTED, WINDOW_MIN, WINDOW_MAX))
    scores = []
    for k in range(len(residuals) // window):
        inside = slice(k * window, (k + 1) * window)
        step = len(residuals) / len(sample)
        at = np.arange(len(sample)) * step
        rest = sample[(at < inside.start) | (at >= inside.stop)]
        scores.append(contrast(residuals[inside], rest).score)
    return window, upper_limit(scores, FALSE_PER_LOOK)


def upper_limit(scores: Sequence[float], probability: float) -> float:
    """The score that one more window passes with this probability (Student's t); infinite of fewer than three."""
    if len(scores) < 3:
        return float("inf")
    spread = float(np.std(scores, ddof=1)) * np.sqrt(1.0 + 1.0 / len(scores))
    return float(np.mean(scores) + t.ppf(1.0 - probability, len(scores) - 1) * spread)


def telling(signals: Sequence[Signal], weights: Doubles, most: int = 3) -> list[str]:
    """The entities that separate most, most first. `weights`: float64[signals], what a test found."""
    share: dict[str, float] = {}
    for signal, weight in zip(signals, weights, strict=True):
        if signal.entity:
            share[signal.entity] = share.get(signal.entity, 0.0) + float(weight)
    return [entity for entity, _ in sorted(share.items(), key=lambda one: (-one[1], one[0]))[:most]]


def _with_squares(residuals: Floats) -> Doubles:
    plain = np.nan_to_num(residuals.astype(np.float64))
    return np.concatenate([plain, (plain * plain - 1.0) / 2.0], axis=1)


def _direction(new: Doubles, old: Doubles) -> Doubles:
    middle = new.mean(axis=0), old.mean(axis=0)
    pooled = ((new - middle[0]).T @ (new - middle[0]) + (old - middle[1]).T @ (old - middle[1])) / (len(new) + len(old))
    return np.asarray(np.linalg.solve(pooled + RIDGE * np.eye(len(pooled)), middle[0] - middle[1]))


def _auc(new: Doubles, old: Doubles) -> float:
    ranks = rankdata(np.concatenate([new, old]))
    return float((ranks[: len(new)].sum() - len(new) * (len(new) + 1) / 2.0) / (len(new) * len(old)))
