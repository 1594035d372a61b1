"""Sums per window and level: what every look of the scan adds up, in one pass over the parts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array

from fusion.scan.rates import Levels, Numbers


def windowed(levels: Levels, segment: npt.NDArray[np.integer], windows: int, count: int, values: Numbers) -> Numbers:
    """Sums of `values`, float64[m, k], over the parts of each window with each level: float64[k, windows, count].
    `segment`: int[m], the first window that a part is in; it is in all longer ones too."""
    m, width = levels.shape
    place = (segment[:, None] * count + levels).astype(np.int32).ravel()
    begins = np.arange(0, m * width + 1, width, dtype=np.int32)  # of the type of `place`, or both are copied
    carried = csc_array((np.ones(m * width), place, begins), shape=(windows * count, m))
    sums: Numbers = (carried @ values).reshape(windows, count, values.shape[1]).cumsum(axis=0)
    return np.moveaxis(sums, 2, 0)
