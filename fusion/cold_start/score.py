"""Cold start: a gate without defect labels ranks what is unusual, and says that it promises nothing about escapes.

A one-class score of each part becomes p, the share of parts of held-out lots that are at least as unusual. By the model
of Sellke, Bayarri & Berger (2001, The American Statistician 55) the p of a defective part is distributed as Beta(a, 1),
that of a good one evenly; a score of this kind then has AUC 1 / (1 + a). With an assumed defect rate the odds follow:

    risk / (1 - risk) = rate / (1 - rate) · a · p^(a - 1)

Monotone in p, so the ranking is that of the score. Both assumptions are stated on the card; the interval is what they
may be wrong by. The score is one ONNX graph per set of sources, in the place of a trained model: causes are found, and
released labels recalibrate it, in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fusion.calibration.calibrate import Calibration, logit
from fusion.novelty.space import Doubles

ASSUMED_AUC = 0.8  # of one-class scores on welds and machined parts: .75 to .85 measured
AUC_BETWEEN = (0.65, 0.95)
RATE_FACTOR = 5.0  # the assumed defect rate may be this much too high or too low
NODES = 33  # of the interval between the extreme logits, as in a learned calibration
GAP = 0.1  # of the tail's step, between the nodes of a curve
MIDDLE = math.log(2.0)  # -log p of the part in the middle
LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)  # quantiles that fix a tail curve; beyond the last it is exponential


@dataclass(frozen=True, slots=True)
class TailCurve:
    """Score → -log(share of parts beyond), piecewise linear: the sum of `bends[k] · max(0, score - nodes[k])`.

    float64[K] each, or float64[K, columns] for several scores at once.
    """

    nodes: Doubles
    bends: Doubles

    def __call__(self, scores: Doubles) -> Doubles:
        """float64[n] or float64[n, columns] → the same shape."""
        over = np.maximum(0.0, scores[:, None] - self.nodes[None])
        return np.asarray((over * self.bends[None]).sum(axis=1))


def tail_curve(levels: Doubles, step: float) -> TailCurve:
    """The curve through `levels`, float64[len(LEVELS)] ascending quantiles; `step`: mean excess beyond the last."""
    gap = GAP * step  # equal values must not become a cliff
    reach = np.maximum.accumulate(levels - gap * np.arange(len(levels))) + gap * np.arange(len(levels))
    rise = -np.log1p(-np.array(LEVELS))
    slopes = np.append(np.diff(rise) / np.diff(reach), 1.0 / step)
    return TailCurve(reach, np.diff(slopes, prepend=0.0))


def provisional_logit(evidence: Doubles, rate: float, auc: float = ASSUMED_AUC) -> Doubles:
    """float64[n] of -log p → logits of provisional risk."""
    a = 1.0 / auc - 1.0
    return np.asarray(math.log(rate / (1.0 - rate)) + math.log(a) + (1.0 - a) * evidence, dtype=np.float64)


def provisional_calibration(rate: float) -> Calibration:
    """Leaves the score as it is; the interval is what the assumed rate and the assumed AUC may be wrong by."""
    bottom, top = logit(np.array([0.0, 1.0])).tolist()
    nodes = np.linspace(bottom, top, NODES)
    start, slope = float(provisional_logit(np.zeros(1), rate)[0]), 2.0 - 1.0 / ASSUMED_AUC
    evidence = np.maximum(0.0, (nodes - start) / slope)
    rates = (rate / RATE_FACTOR, min(0.5, rate * RATE_FACTOR))
    corners = np.array([provisional_logit(evidence, r, auc) for r in rates for auc in AUC_BETWEEN])
    low, high = np.minimum(corners.min(axis=0), nodes), np.maximum(corners.max(axis=0), nodes)
    return Calibration(
        slope=1.0,
        intercept=0.0,
        nodes=tuple(map(float, nodes)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
    )
