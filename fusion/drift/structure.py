"""Do signals still go together as in training? A test of their covariance, for shifts that no signal shows by itself.

A correlation that comes or goes, a second mode, two kinds of parts under one name: each leaves every signal's mean and
nearly its spread as they were, and changes how far parts vary along some combination of signals. Half of the latest
window is asked for the combination along which its parts vary most, and for that along which they vary least, beside
training's (the roots of Roy 1953, with a ridge); the other half says how much (held out, so that a search among many
signals finds nothing of its own). The figure is a log ratio of variances, compared with what the same test said of
training's own windows: how lots and wandering channels vary together is in the null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from fusion.drift.contrast import FALSE_PER_LOOK, upper_limit
from fusion.risk.features import Floats

STRIPE = 25  # parts: halves are alternate stripes, so that each holds parts of every campaign of the window
RIDGE = 0.1  # of the residuals' variance (1 by construction): signals that say nearly the same differ by rounding
SEEN_MIN = 0.5  # of the parts of both sides must have a signal: what comes and goes is the sources' watch's
SIGNALS_MIN = 2  # one alone goes together with nothing

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Structure:
    """What the test said. `score`: log of the held-out variance ratio, of whichever combination differs more, positive
    for both; `more`: is it one along which parts now vary more; `weight`: float64[signals], each one's share of it."""

    score: float
    more: bool
    weight: Doubles

    @property
    def times(self) -> float:
        """How many times as much, or as little, parts vary along the combination."""
        return float(np.exp(self.score))


def structure(recent: Floats, reference: Floats) -> Structure:
    """float32[n, signals] against float32[m, signals], residuals in the order of time, NaN where missing."""
    kept = np.flatnonzero(np.minimum(_seen(recent), _seen(reference)) >= SEEN_MIN)
    if len(kept) < SIGNALS_MIN:
        return Structure(0.0, True, np.zeros(recent.shape[1]))
    new, old = (_halves(_centred(side[:, kept])) for side in (recent, reference))
    scores, weights = np.zeros(2), np.zeros((2, len(kept)))  # along which parts vary least, most
    for asked in (0, 1):
        covariances = [_covariance(side[1 - asked]) for side in (new, old)]
        for end, direction in enumerate(_ends(*covariances)):
            now, then = (float(direction @ _covariance(side[asked]) @ direction) for side in (new, old))
            scores[end] += 0.5 * (1 if end else -1) * float(np.log(now / then))
            weights[end] += np.abs(direction * ((covariances[0] - covariances[1]) @ direction))
    end = int(np.argmax(scores))
    weight = np.zeros(recent.shape[1])
    weight[kept] = weights[end]
    return Structure(float(scores[end]), bool(end), weight)


def fit_structure(residuals: Floats, sample: Floats, window: int) -> float:
    """The score that a window of training passes with FALSE_PER_LOOK; infinite where it has too few windows.
    `residuals`: of all training parts in the order of time; `sample`: of them, evenly."""
    at = np.arange(len(sample)) * len(residuals) / len(sample)
    scores = []
    for first in range(0, len(residuals) - window + 1, window):
        rest = sample[(at < first) | (at >= first + window)]
        scores.append(structure(residuals[first : first + window], rest).score)
    return upper_limit(scores, FALSE_PER_LOOK)


def _seen(side: Floats) -> Doubles:
    return np.asarray(np.isfinite(side).mean(axis=0))


def _centred(side: Floats) -> Doubles:
    """A missing value is the mean; what is there is scaled up so that the variance is that of what is there."""
    there = np.isfinite(side)
    values = np.where(there, side, 0.0).astype(np.float64)
    share = np.maximum(there.mean(axis=0), 1e-9)
    return np.asarray(np.where(there, values - values.mean(axis=0) / share, 0.0) / np.sqrt(share))


def _halves(side: Doubles) -> tuple[Doubles, Doubles]:
    even = np.arange(len(side)) // STRIPE % 2 == 0
    return side[even], side[~even]


def _covariance(side: Doubles) -> Doubles:
    return np.asarray(side.T @ side / len(side) + RIDGE * np.eye(side.shape[1]))


def _ends(new: Doubles, old: Doubles) -> tuple[Doubles, Doubles]:
    """The combinations along which `new` varies least and most beside `old`."""
    last = len(new) - 1
    least, most = (eigh(new, old, subset_by_index=(k, k))[1][:, 0] for k in (0, last))
    return least, most
