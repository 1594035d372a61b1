"""Undo the shift and score again: which channel's or camera's shift explains that more parts are flagged than expected?

The mean shift of one entity is taken from the latest parts (its columns of the raw row, beside the usual ones of the
product) and the gate's own models score them anew. The flags that go away, beside the flags in excess, are the share
explained: one currency for channels, cameras and, as observed minus expected, for tools and lots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import logit
from fusion.drift.recent import Rows
from fusion.risk.features import FeatureSpec, Floats, RowBuilder, raw_columns
from fusion.risk.model import RiskModels

ROWS_SCORED = 256  # of each kind, flagged and not, per entity: 20 ms of scoring
CANDIDATES_MAX = 8  # entities tried: those that moved most
SOFTNESS = 0.25  # logits: a part so near the threshold counts in part, and few parts tell more

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Explained:
    """`flags`: how many flags of the rows go away with the entity's shift; `shift`: its size in spreads of a part."""

    entity: str
    flags: float
    shift: float


class UndoShift:
    """Scores parts anew without the shift of one entity. `typical`: float32[products, raw columns], usual medians."""

    def __init__(self, spec: FeatureSpec, builder: RowBuilder, models: RiskModels, threshold: float) -> None:
        self._builder = builder
        self._models = models
        self._edge = float(logit(np.array([threshold]))[0])
        places: dict[str, list[int]] = {}
        for i, column in enumerate(raw_columns(spec)):
            if column.entity and column.source.startswith(("sensors:", "camera:")):
                places.setdefault(column.entity, []).append(i)
        self._places: Mapping[str, Places] = {e: np.array(at, dtype=np.intp) for e, at in places.items()}

    def explain(self, rows: Rows, typical: Floats, moved: Mapping[str, float]) -> list[Explained]:
        """What each entity's shift explains, most first. `moved`: entity → how far it seems to have moved, in spreads
        of a part; the CANDIDATES_MAX that moved most are tried."""
        tried = sorted((e for e in moved if e in self._places), key=lambda e: (-abs(moved[e]), e))[:CANDIDATES_MAX]
        if not tried or not len(rows):
            return []
        shift = _median_shift(rows.raw, typical[rows.product])
        chosen, weight = self._choose(rows)
        now = self._flags(chosen, chosen.raw)
        found = []
        for entity in tried:
            at = self._places[entity]
            undone = chosen.raw.copy()
            undone[:, at] -= shift[at]
            gone = float(weight @ (now - self._flags(chosen, undone)))
            found.append(Explained(entity, gone, moved[entity]))
        return sorted(found, key=lambda one: (-one.flags, one.entity))

    def _choose(self, rows: Rows) -> tuple[Rows, Doubles]:
        """Some of the rows, and how many each stands for."""
        flagged = logit(rows.risk) >= self._edge
        kept, weights = [], []
        for kind in (np.flatnonzero(flagged), np.flatnonzero(~flagged)):
            some = kind[np.unique(np.linspace(0, len(kind) - 1, ROWS_SCORED).astype(np.intp))] if len(kind) else kind
            kept.append(some)
            weights.append(np.full(len(some), len(kind) / max(len(some), 1)))
        return rows.take(np.concatenate(kept)), np.concatenate(weights)

    def _flags(self, rows: Rows, raw: Floats) -> Doubles:
        """float64[n]: 0 to 1, how far a part is on the side of being flagged."""
        features = self._builder.derive(raw)
        said = np.empty(len(rows))
        for model in np.unique(rows.model):
            own = rows.model == model
            said[own] = self._models.logits(int(model), features[own])
        return np.asarray(0.5 + 0.5 * np.tanh((said - self._edge) / (2.0 * SOFTNESS)))


def _median_shift(raw: Floats, usual: Floats) -> Floats:
    """float32[raw columns]: the median distance from the usual, 0 where nothing was measured. A median: what defects do
    to a few parts is no shift."""
    away = raw - usual
    shift = np.zeros(raw.shape[1], dtype=np.float32)
    seen = np.isfinite(away).any(axis=0)
    shift[seen] = np.nanmedian(away[:, seen], axis=0)
    return shift


def moved_most(residuals: Floats, scale: Doubles, entities: Mapping[str, Sequence[int] | Places]) -> dict[str, float]:
    """Entity → the mean residual, in spreads of a part, of its signal that moved most beside how block means vary.
    `residuals`: float32[n, signals]; `scale`: float64[signals]."""
    seen = np.isfinite(residuals)
    mean = np.where(seen, residuals, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    most = {}
    for entity, members in entities.items():
        own = np.asarray(members, dtype=np.intp)
        most[entity] = float(mean[own[int(np.argmax(np.abs(mean[own]) / scale[own]))]])
    return most
