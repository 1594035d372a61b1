"""The common scale of an eye's scores, taken from held-out good frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vision.eye.graph import Scales

SPREAD_MIN = np.float32(0.05)  # of an image score's parts: identical frames have no spread


def fit_scales(tops: Sequence[npt.NDArray[np.float32]], detail: bool) -> Scales:
    """tops: float32[scorers + 1] of each frame, one at least. `detail`: the eye also looks at tiles."""
    every = np.stack(tops)
    scales = Scales(every.mean(0), np.maximum(every.std(0), SPREAD_MIN))
    if not detail:
        return scales
    spread = float(np.std([scales.score(one) for one in tops]))
    return dataclasses.replace(scales, detail_unit=max(spread, float(SPREAD_MIN)))
