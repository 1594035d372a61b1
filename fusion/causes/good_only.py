"""Good-only: which channel or camera of a part is unlike good parts, when no labelled defect can say what matters.

Used at cold start, for a part that training never saw the like of, and for a gate whose model has no labels. The
surprise of a channel is |z| x |conditional z| of its most surprising column; on the Tennessee Eastman process it names
the cause as often as contributions to T2 and SPE do, and needs no choice of components.
"""

from __future__ import annotations

import numpy as np

from fusion.causes.in_control import InControl
from fusion.causes.suspects import Named, Suspect, nothing
from fusion.risk.features import FeatureRow, Floats

USUAL = 0.99  # of good parts have no channel or camera more surprising than the limit


class GoodOnly:
    """Of one gate. `entities`: names by number, as in `in_control`."""

    def __init__(self, in_control: InControl, entities: list[str], reference: Floats) -> None:
        self._in_control = in_control
        self._entities = [entities[e] for e in in_control.judged_entities]
        most = [float(in_control.surprise(row).max(initial=0.0)) for row in reference]
        self._limit = float(np.quantile(most, USUAL)) if most else np.inf

    def suspects(self, row: FeatureRow, named: Named) -> list[Suspect]:
        """Channels and cameras more surprising than those of good parts, by how much; else `unknown` alone."""
        surprise = self._in_control.surprise(row.raw)
        beyond = np.maximum(0.0, surprise - self._limit)
        total = float(beyond.sum())
        if total <= 0.0:
            return nothing()
        found = [
            Suspect(cause, (entity,), float(beyond[i]) / total, (self._told(entity, float(surprise[i])),))
            for i, entity in enumerate(self._entities)
            if beyond[i] > 0.0 and (cause := named(entity)) is not None
        ]
        return sorted(found, key=lambda s: (-s.share, s.cause)) or nothing()

    def _told(self, entity: str, surprise: float) -> str:
        return (
            f"{entity}: no label behind this; {surprise**0.5:.1f} standard deviations off good parts, "
            f"{self._limit**0.5:.1f} are usual at most (mean of alone and given the other channels)"
        )
