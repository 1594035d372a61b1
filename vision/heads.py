"""Heads: how far a cell's features are from everything seen on good frames.

A head is a value with one method that writes its ONNX nodes; another kind (a network's own, a fine-tuned one) only has
to offer that method. Both heads here work in coordinates whitened by the covariance of good cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vision.export import GraphPen

Samples = npt.NDArray[np.float32]

MEMORY_POINTS = 384  # the eye's time is mostly theirs: 512 cost 1 ms more and gained nothing measurable
_SAMPLES_CLUSTERED = 20_000  # 40 per memory point: k-means takes half a second
_CLUSTER_ROUNDS = 8
_SHRINKAGE = 0.02  # of the mean variance, added to every axis: axes without variance must not decide
_FLOOR_SHARE = 0.05  # of the median squared distance; keeps the logarithm of an exact hit finite


class Head(Protocol):
    """What the eye needs of a head."""

    def nodes(self, pen: GraphPen, features: str) -> str:
        """From float32[1, channels, h, w] the logarithm of the distance, float32[1, 1, h, w]."""


@dataclass(frozen=True, slots=True)
class Whitening:
    """`(x - mean) @ axes` has unit covariance (but for the shrinkage). mean: float32[c], axes: float32[c, c]."""

    mean: Samples
    axes: Samples

    @classmethod
    def fit(cls, samples: Samples) -> Whitening:
        wide = samples.astype(np.float64)
        variances, vectors = np.linalg.eigh(np.cov(wide, rowvar=False))
        variances = np.maximum(variances, 0) + _SHRINKAGE * max(float(variances.mean()), 1e-12)
        return cls(wide.mean(0).astype(np.float32), (vectors / np.sqrt(variances)).astype(np.float32))

    def apply(self, samples: Samples) -> Samples:
        return np.asarray((samples - self.mean) @ self.axes, np.float32)

    def nodes(self, pen: GraphPen, features: str) -> str:
        weights, bias = self.axes.T[:, :, None, None], -(self.mean @ self.axes)
        return pen.node("Conv", features, pen.constant(weights), pen.constant(bias))


@dataclass(frozen=True, slots=True)
class KnnHead:
    """Distance to the nearest of a few hundred memory points. Needs no aligned frames and may have many modes."""

    whitening: Whitening
    memory: Samples
    floor: float

    @classmethod
    def fit(cls, samples: Samples, rng: np.random.Generator) -> KnnHead:
        """samples: float32[n, channels], cells of good frames."""
        whitening = Whitening.fit(samples)
        white = whitening.apply(samples)
        chosen = white[rng.choice(len(white), min(len(white), _SAMPLES_CLUSTERED), replace=False)]
        seeds = chosen[rng.choice(len(chosen), min(len(chosen), MEMORY_POINTS), replace=False)]
        memory, squared = _cluster(chosen, seeds)
        return cls(whitening, memory, max(_FLOOR_SHARE * float(np.median(squared)), 1e-6))

    def nodes(self, pen: GraphPen, features: str) -> str:
        white = self.whitening.nodes(pen, features)
        weights, bias = -2 * self.memory[:, :, None, None], (self.memory**2).sum(1)
        to_memory = pen.node("Conv", white, pen.constant(weights), pen.constant(bias))
        nearest = pen.node("ReduceMin", to_memory, axes=[1], keepdims=1)
        return _log_distance(pen, pen.node("Add", nearest, _squared_norm(pen, white)), self.floor)


@dataclass(frozen=True, slots=True)
class GaussianHead:
    """Mahalanobis distance to the mean of good cells: smaller and faster, for views with one kind of surface."""

    whitening: Whitening
    floor: float

    @classmethod
    def fit(cls, samples: Samples, rng: np.random.Generator) -> GaussianHead:
        whitening = Whitening.fit(samples)
        chosen = samples[rng.choice(len(samples), min(len(samples), _SAMPLES_CLUSTERED), replace=False)]
        return cls(whitening, max(_FLOOR_SHARE * float(np.median((whitening.apply(chosen) ** 2).sum(1))), 1e-6))

    def nodes(self, pen: GraphPen, features: str) -> str:
        return _log_distance(pen, _squared_norm(pen, self.whitening.nodes(pen, features)), self.floor)


def _cluster(white: Samples, centres: Samples) -> tuple[Samples, Samples]:
    """Lloyd's k-means, a few rounds; a centre nobody is nearest to stays where it is. Centres and squared distances.

    Our own because a library's runs on threads whose order of summing, and so whose eye, differs from run to run.
    """
    norms = (white**2).sum(1)
    for _ in range(_CLUSTER_ROUNDS):
        nearest = ((centres**2).sum(1) - 2 * (white @ centres.T)).argmin(1)
        counts = np.bincount(nearest, minlength=len(centres))
        order = np.argsort(nearest, kind="stable")
        filled = np.flatnonzero(counts)
        starts = np.concatenate([[0], np.cumsum(counts[filled])[:-1]])
        centres = centres.copy()
        centres[filled] = np.add.reduceat(white[order], starts, axis=0) / counts[filled, None]
    squared = norms + ((centres**2).sum(1) - 2 * (white @ centres.T)).min(1)
    return centres, np.maximum(squared, 0).astype(np.float32)


def _squared_norm(pen: GraphPen, white: str) -> str:
    return pen.node("ReduceSumSquare", white, axes=[1], keepdims=1)


def _log_distance(pen: GraphPen, squared: str, floor: float) -> str:
    positive = pen.node("Max", squared, pen.constant(0.0))  # rounding may leave an exact hit below zero
    return pen.node("Mul", pen.node("Log", pen.node("Add", positive, pen.constant(floor))), pen.constant(0.5))
