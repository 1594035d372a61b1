"""What a whole frame's features are like: its usual values, which a defect cannot move, and its extremes.

The usual (median and interquartile range) brings frames of differing exposure and texture to one scale. The extremes,
taken together, show what no single cell does: a crack is not stranger than other cells, but it is the strongest line
in its direction on a frame whose texture is otherwise weak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.eye.bank import Source
from vision.eye.export import GraphPen

Vectors = npt.NDArray[np.float32]

_USUAL_BLOCK = 3  # cells a side whose mean the quartiles are taken of: a ninth to sort, and steadier than single cells
_BLOCK = 2  # cells a side of which only the highest and the lowest count: a quarter to sort, a point of AUROC less
_FEW = 3  # blocks at either end, and this share of all of them: small defects move the first, larger ones the second
_MANY_SHARE = 0.01
_EXTREME_OFFSET, _RANGE_OFFSET, _MEDIAN_OFFSET = 1e-3, 1e-4, 1e-2  # keep logarithms of flat frames finite
_SPREAD_MIN = 0.02  # of a log statistic (2 %): frames of a simulator hardly differ, and must not divide by 0
_CLIP = 8.0  # standard deviations: one statistic alone shall not decide
_VARIANCE_MIN = 1e-3
SUMMARIES = 6  # numbers a channel gives


@dataclass(frozen=True, slots=True)
class Usual:
    """Names of graph values: median and interquartile range of each channel over the frame, float32[channels, 1]."""

    median: str
    range: str


def usual_nodes(pen: GraphPen, features: str, source: Source, shape: tuple[int, int]) -> Usual:
    """Quartiles over the frame of features float32[1, channels, h, w], averaged over blocks of cells."""
    side = min(_USUAL_BLOCK, *shape)
    blocks = pen.node("AveragePool", features, kernel_shape=[side, side], strides=[side, side])
    count = (shape[0] // side) * (shape[1] // side)
    values, quartiles = pen.node("Reshape", blocks, pen.integers(source.channels, count)), []
    for parts in (3, 2, 1):  # of the upper three quarters the least is the lower quartile, and so on
        values = pen.node("TopK", values, pen.integers(count * parts // 4), outputs=2, axis=1, sorted=0)
        quartiles.append(pen.node("ReduceMin", values, axes=[1], keepdims=1))
    lower, median, upper = quartiles
    spread = pen.node("Add", pen.node("Sub", upper, lower), pen.constant(_RANGE_OFFSET))
    return Usual(median, spread)


def summary_nodes(pen: GraphPen, features: str, usual: Usual, source: Source, shape: tuple[int, int]) -> str:
    """float32[SUMMARIES * channels]: log height of the highest blocks (few, many) and log depth of the lowest over
    the median, log range and log median."""
    blocks = (shape[0] // _BLOCK) * (shape[1] // _BLOCK)
    many = pen.integers(min(blocks, max(_FEW + 1, int(blocks * _MANY_SHARE))))
    highest = _highest(pen, features)
    lowest = pen.node("Neg", _highest(pen, pen.node("Neg", features)))
    parts = []
    for largest, peaks in ((1, highest), (0, lowest)):
        flat = pen.node("Reshape", peaks, pen.integers(source.channels, blocks))
        ends = pen.node("TopK", flat, many, outputs=2, axis=1, largest=largest)
        few = pen.node("Slice", ends, pen.integers(0), pen.integers(_FEW), pen.integers(1))
        for some in (few, ends):
            mean = pen.node("ReduceMean", some, axes=[1], keepdims=1)
            pair = (mean, usual.median) if largest else (usual.median, mean)
            parts.append(_log(pen, pen.node("Sub", *pair), _EXTREME_OFFSET))
    parts.append(pen.node("Log", usual.range))
    parts.append(_log(pen, pen.node("Abs", usual.median), _MEDIAN_OFFSET))
    return pen.node("Reshape", pen.node("Concat", *parts, axis=0), pen.integers(SUMMARIES * source.channels))


def _highest(pen: GraphPen, features: str) -> str:
    side = [_BLOCK, _BLOCK]
    return pen.node("MaxPool", features, kernel_shape=side, strides=side)


def _log(pen: GraphPen, value: str, offset: float) -> str:
    return pen.node("Log", pen.node("Add", pen.node("Max", value, pen.constant(0.0)), pen.constant(offset)))


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """Mahalanobis distance of a frame's summary from those of good frames. mean: float32[n], axes: float32[n, n]."""

    mean: Vectors
    spread: Vectors
    axes: Vectors

    @classmethod
    def fit(cls, summaries: Vectors) -> WholeFrame:
        """summaries: float32[frames, n] of good frames. Covariance shrunk by Ledoit and Wolf (2004)."""
        wide = summaries.astype(np.float64)
        mean, spread = wide.mean(0), np.maximum(wide.std(0), _SPREAD_MIN)
        clipped = np.clip((wide - mean) / spread, -_CLIP, _CLIP)
        from sklearn.covariance import LedoitWolf  # 100 MiB that a worker that only looks does not load

        covariance = LedoitWolf(assume_centered=True).fit(clipped).covariance_
        variances, vectors = np.linalg.eigh(covariance)
        axes = vectors / np.sqrt(np.maximum(variances, _VARIANCE_MIN))
        return cls(mean.astype(np.float32), spread.astype(np.float32), axes.astype(np.float32))

    def nodes(self, pen: GraphPen, summary: str) -> str:
        """From float32[n] the logarithm of the distance, a float32 scalar."""
        centred = pen.node("Sub", summary, pen.constant(self.mean))
        scaled = pen.node("Div", centred, pen.constant(self.spread))
        clipped = pen.node("Clip", scaled, pen.constant(-_CLIP), pen.constant(_CLIP))
        white = pen.node("MatMul", clipped, pen.constant(self.axes))
        distance = pen.node("ReduceL2", white, keepdims=0)
        return pen.node("Log", pen.node("Add", distance, pen.constant(_RANGE_OFFSET)))
