"""Heads: how odd a cell is, from its features.

A head is a value with one method that writes its ONNX nodes; another kind only has to offer that method. Cells come as
rows of a matrix: as a product of matrices the nearest neighbours take a third of the time they take as a convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vision.eye.export import GraphPen

Samples = npt.NDArray[np.float32]

MEMORY_POINTS = 192  # a quarter of the eye's time is theirs; 384 gained nothing measurable
_SAMPLES_CLUSTERED = 20_000  # 100 per memory point: k-means takes half a second
_CLUSTER_ROUNDS = 8
_SHRINKAGE = 0.02  # of the mean variance, added to every axis: axes without variance must not decide
_FLOOR_SHARE = 0.05  # of the median squared distance; keeps the logarithm of an exact hit finite


class Head(Protocol):
    """What the eye needs of a head."""

    def nodes(self, pen: GraphPen, cells: str) -> str:
        """From float32[cells, channels] how odd each is, float32[cells, 1]."""


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

    def nodes(self, pen: GraphPen, cells: str) -> str:
        return pen.node("Gemm", cells, pen.constant(self.axes), pen.constant(-(self.mean @ self.axes)))


@dataclass(frozen=True, slots=True)
class KnnHead:
    """Logarithm of the distance to the nearest of a few hundred memory points. Needs no aligned frames and may have
    many modes."""

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

    def nodes(self, pen: GraphPen, cells: str) -> str:
        white = self.whitening.nodes(pen, cells)
        weights, bias = -2 * self.memory.T, (self.memory**2).sum(1)
        to_memory = pen.node("Gemm", white, pen.constant(weights), pen.constant(bias))
        nearest = pen.node("ReduceMin", to_memory, axes=[1], keepdims=1)
        squared = pen.node("Add", nearest, pen.node("ReduceSumSquare", white, axes=[1], keepdims=1))
        return _log_distance(pen, squared, self.floor)


@dataclass(frozen=True, slots=True)
class LayersHead:
    """A small network on each cell by itself: dense layers with ReLU between, one logit or several at the end.

    weights: float32[in, out] and float32[out] of each layer, on features scaled by mean and spread."""

    mean: Samples
    spread: Samples
    weights: tuple[Samples, ...]
    biases: tuple[Samples, ...]

    @property
    def outputs(self) -> int:
        return len(self.biases[-1])

    def apply(self, samples: Samples) -> Samples:
        """The same as the nodes, in numpy: float32[n, outputs]."""
        value = (samples - self.mean) / self.spread
        for place, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            value = np.maximum(value, 0) if place else value
            value = value @ weights + bias
        return np.asarray(value, np.float32)

    def nodes(self, pen: GraphPen, cells: str) -> str:
        """From float32[cells, channels] float32[cells, outputs]."""
        first = (self.weights[0] / self.spread[:, None]).astype(np.float32)
        shifted = (self.biases[0] - self.mean @ first).astype(np.float32)
        value = pen.node("Gemm", cells, pen.constant(first), pen.constant(shifted))
        for weights, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            value = pen.node("Gemm", pen.node("Relu", value), pen.constant(weights), pen.constant(bias))
        return value


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


def _log_distance(pen: GraphPen, squared: str, floor: float) -> str:
    positive = pen.node("Max", squared, pen.constant(0.0))  # rounding may leave an exact hit below zero
    return pen.node("Mul", pen.node("Log", pen.node("Add", positive, pen.constant(floor))), pen.constant(0.5))
