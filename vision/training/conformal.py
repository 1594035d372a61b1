"""The cut between good and flagged, with a promise: split conformal prediction on held-out good frames.

Papadopoulos et al. (2002), Vovk et al. (2005): with n exchangeable scores the ceil((n + 1)(1 - alpha))-th smallest is
exceeded by a new good frame's score with probability at most alpha. Mean plus k sigma promises nothing and flagged two
to five times as many as asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.02  # share of good frames that may be flagged


@dataclass(frozen=True, slots=True)
class ConformalCut:
    """A score above `threshold` is flagged. `asked`, `promised`: false-alarm share wanted, and possible here."""

    threshold: float
    asked: float
    promised: float
    frames: int


def conformal_cut(scores: Sequence[float], alpha: float = ALPHA) -> ConformalCut:
    """The cut from the scores of good frames that trained nothing. Too few frames: the largest score, and it says so.

    Raises ValueError without scores.
    """
    ordered = np.sort(np.asarray(scores, float))
    frames = len(ordered)
    if not frames:
        raise ValueError("no held-out scores to take a cut from")
    rank = math.ceil((frames + 1) * (1 - alpha) - 1e-9)  # 1e-9: 100 * (1 - 0.02) must be 98, not 98.00000000000001
    if rank > frames:
        return ConformalCut(float(ordered[-1]), alpha, 1 / (frames + 1), frames)
    return ConformalCut(float(ordered[rank - 1]), alpha, alpha, frames)
