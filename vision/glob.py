"""The whole-frame score: how far a frame's gradient statistics are from those of good frames.

Sees what no single cell shows (every cell a little odd), and, far out, that this is another part altogether.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.covariance import LedoitWolf

from vision.export import GraphPen

_SPREAD_MIN = (
    0.02  # of a log statistic (2 %): frames of a simulator or a test chart hardly differ, and must not divide by 0
)


@dataclass(frozen=True, slots=True)
class GlobHead:
    """Mahalanobis distance in bank.GLOB_FEATURES. mean: float32[17], axes: float32[17, 17]."""

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]

    @classmethod
    def fit(cls, statistics: npt.NDArray[np.float32]) -> GlobHead:
        """statistics: float32[frames, 17] of good frames. Covariance shrunk by Ledoit and Wolf (2004)."""
        wide = statistics.astype(np.float64)
        spread = np.maximum(wide.std(0), _SPREAD_MIN)
        centred = (wide - wide.mean(0)) / spread
        covariance = LedoitWolf(assume_centered=True).fit(centred).covariance_
        variances, vectors = np.linalg.eigh(covariance)
        axes = (vectors / np.sqrt(np.maximum(variances, 1e-3))) / spread[:, None]
        return cls(wide.mean(0).astype(np.float32), axes.astype(np.float32))

    def nodes(self, pen: GraphPen, statistics: str) -> str:
        """From float32[17] the distance, a float32 scalar."""
        centred = pen.node("Sub", statistics, pen.constant(self.mean))
        white = pen.node("MatMul", centred, pen.constant(self.axes))
        return pen.node("ReduceL2", white, keepdims=0)
