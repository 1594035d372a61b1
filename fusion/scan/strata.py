"""Strata of risk: how often parts of which the model says so much are defects, in control.

Held against its stratum, a defect that the model did not expect says more than one that it did: whatever raises the
rate of every part alike stands out where nearly none was bad before.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Strata = npt.NDArray[np.int64]

CUTS = (0.5, 0.75, 0.9, 0.95, 0.98)  # of parts in history: half of them are of the lowest stratum
KNOWN_MIN = 0.9  # share of history with a risk, out of fold
UNSEEN = 1.0  # a defect more in each stratum than was seen: of a low one little is known


class RiskStrata(msgspec.Struct, frozen=True, kw_only=True):
    """`edges`: risks that part the strata; `effects`: factor on the natural rate of each; `doubts`: variance of its
    log. The last of both is of parts without a risk."""

    edges: list[float] = []
    effects: list[float] = msgspec.field(default_factory=lambda: [1.0])
    doubts: list[float] = msgspec.field(default_factory=lambda: [0.0])

    def of(self, risk: Numbers) -> Strata:
        """The stratum of each part; `risk`: NaN where the model said none."""
        placed = np.searchsorted(np.array(self.edges), risk, side="right")
        return np.where(np.isnan(risk), len(self.effects) - 1, placed)


def edges_of(risk: Numbers) -> list[float]:
    """Where strata of a history part; none when the model said too little of it."""
    known = risk[~np.isnan(risk)]
    if len(known) < KNOWN_MIN * len(risk) or not len(known):
        return []
    edges = np.unique(np.quantile(known, CUTS))
    return [round(float(edge), 7) for edge in edges if known.min() < edge <= known.max()]
