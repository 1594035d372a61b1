"""In control: what good parts look like, each column alone and given the columns of all other entities.

The conditional expectation is linear, from a correlation matrix shrunk towards independence (Ledoit and Wolf 2004, "A
well-conditioned estimator for large-dimensional covariance matrices"), so that it holds with more columns than good
parts. One inverse serves all entities: leaving one out is a block of it (Schur complement).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fusion.risk.features import Floats

Indices = npt.NDArray[np.intp]
Doubles = npt.NDArray[np.float64]

AWAY_MAX = 5.0  # standard deviations: a line fitted among good parts says nothing of what is farther out
Z_MAX = 1e6  # beyond is no news
SD_MIN = 1e-9  # of a column that does not vary
LEFT_MIN = 1e-6  # of a column's variance
DIGITS = 6
NOT_CONSTANT = 1e-6  # of a column's size: less spread than this is rounding


class InControl:
    """Fitted on the rows of good parts, float32[m, k].

    `owner`: int[k], the entity each column belongs to, -1 for none; `given`: columns that are conditioned on;
    `told`: columns whose expectation is asked, all with an owner.
    """

    def __init__(self, good: Floats, owner: Indices, given: Indices, told: Indices) -> None:
        self._given, self._told, self._owner = given, told, owner
        rows = good.astype(np.float64)
        self._mean, self._sd, self._per_sd = _mean_and_sd(rows)
        away = np.nan_to_num(np.clip((rows - self._mean) * self._per_sd, -AWAY_MAX, AWAY_MAX))
        weights, left_variance = _regression(away[:, given], away[:, told], owner[given], owner[told])
        self._weights = np.ascontiguousarray(weights.T, dtype=np.float32)  # a row each, so that few are read
        left = away[:, told] - away[:, given] @ weights
        self._left_sd = np.sqrt(left_variance)
        self.residual: Floats = (left * self._sd[told]).astype(np.float32)
        seen = np.where(np.isnan(rows[:, told]), self._mean[told], rows[:, told])
        self.low: Floats = seen.min(axis=0).astype(np.float32)
        self.high: Floats = seen.max(axis=0).astype(np.float32)
        both = np.isin(told, given)
        self._judged = np.flatnonzero(both)
        self._judged_at = told[both]
        self._judged_weights = np.ascontiguousarray(self._weights[self._judged])
        self._first = np.flatnonzero(np.diff(owner[self._judged_at], prepend=-2))
        self.judged_entities = owner[self._judged_at][self._first]

    def away(self, row: Floats) -> Floats:
        """float32[k] → float32[given]: how far the columns that are conditioned on are from their means."""
        return np.clip(self._z(row)[self._given], -AWAY_MAX, AWAY_MAX).astype(np.float32)

    def expected(self, away: Floats, told: slice) -> Floats:
        """float32[those told]: what these columns would be, given the other entities of a row with this `away`."""
        at = self._told[told]
        return np.asarray(self._mean[at] + (self._weights[told] @ away) * self._sd[at], dtype=np.float32)

    def surprise(self, row: Floats) -> Floats:
        """float32[k] → float32[judged entities]: |z| times |conditional z| of an entity's most surprising column; 0
        where nothing of it is known. A column must be unusual both in itself and for the company it is in: alone, z
        blames the followers of a shifted channel and conditional z its neighbours."""
        z = self._z(row)
        given = self._judged_weights @ z[self._given]
        z = z[self._judged_at]
        conditional = (z - given) / self._left_sd[self._judged]
        return np.asarray(np.maximum.reduceat(np.abs(z * conditional), self._first), dtype=np.float32)

    def _z(self, row: Floats) -> Doubles:
        z = np.clip((row - self._mean) * self._per_sd, -Z_MAX, Z_MAX)  # a broken sensor may send 1e38
        return np.asarray(np.nan_to_num(z), dtype=np.float64)


def _mean_and_sd(rows: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Mean, sd and 1 / sd of each column, missing values left out; both are 0 for a column that does not vary: it never
    stands out and predicts nothing."""
    there = ~np.isnan(rows)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, rows, 0.0).sum(axis=0) / count
    sd = np.sqrt((np.where(there, rows - mean, 0.0) ** 2).sum(axis=0) / count)
    varies = sd > np.maximum(SD_MIN, NOT_CONSTANT * np.abs(mean))
    return mean, np.where(varies, sd, 0.0), np.where(varies, 1.0 / np.maximum(sd, SD_MIN), 0.0)


def _regression(given: Doubles, told: Doubles, given_owner: Indices, told_owner: Indices) -> tuple[Doubles, Doubles]:
    """float64[given, told]: the regression of each told column on the given columns of other entities; float64[told]:
    the variance it leaves. Shrinking keeps that well above nothing where two columns are nearly one."""
    m, width = given.shape
    weights, left = np.zeros((width, told.shape[1])), np.ones(told.shape[1])
    if m < 2 or not width:
        return weights, left
    shrunk = _shrinkage(given)
    correlation = (1.0 - shrunk) * given.T @ given / m + shrunk * np.eye(width)
    cross = (1.0 - shrunk) * given.T @ told / m
    precision = np.linalg.inv(correlation)
    for entity in np.unique(told_owner):
        own, asked = given_owner == entity, told_owner == entity
        rest = ~own
        part = precision[:, rest] @ cross[np.ix_(rest, asked)]
        if own.any():
            within = np.linalg.solve(precision[np.ix_(own, own)], part[own])
            part[rest] -= precision[np.ix_(rest, own)] @ within
        weights[np.ix_(rest, asked)] = part[rest]
    left = np.maximum(left - (weights * cross).sum(axis=0), LEFT_MIN)
    return weights.round(DIGITS), left.round(DIGITS)  # the same whatever number of threads the inverse was computed on


def _shrinkage(rows: Doubles) -> float:
    """Ledoit and Wolf's intensity for standardised rows, float64[m, p]: 0 trusts the sample, 1 independence."""
    m, width = rows.shape
    sample = rows.T @ rows / m
    centre = np.trace(sample) / width
    spread = float((sample * sample).sum() - width * centre**2)
    squared = rows * rows
    noise = float((squared.T @ squared / m - sample * sample).sum()) / m
    return min(1.0, max(1e-3, noise / spread)) if spread > 0 else 1.0
