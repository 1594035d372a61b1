"""Counterfactuals: how much of a part's risk goes away when one entity is put back to its in-control value.

The in-control value is conditional: it is taken from the good parts that are most like this one in everything else
(nearest neighbours among reference rows), so that undoing one of two correlated channels does not make a part that
never was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.calibrate import sigmoid
from fusion.features import CHANNEL_COLUMNS, FeatureRow, Floats, RowBuilder, raw_columns
from fusion.risk import RiskModels

ROWS_MAX = 120  # counterfactual rows a part; 1.1 ms through ONNX with 300 trees
DRAWS_MAX = 8
DRAWS_MIN = 2
LIKENESS = ("mean", "std", "golden_rms", "golden_mean")  # what makes two channels alike


@dataclass(frozen=True, slots=True)
class Undone:
    """One entity put back: the share of the risk that went away with it, 0..1."""

    entity: str
    share: float


class Counterfactual:
    """Of one gate. `reference`: float32[m, raw columns], good parts."""

    def __init__(self, builder: RowBuilder, reference: Floats) -> None:
        columns = raw_columns(builder.spec)
        self._builder = builder
        self._reference = reference
        self.entities = list(dict.fromkeys(c.entity for c in columns if c.entity))
        self._source = [next(c.source for c in columns if c.entity == entity) for entity in self.entities]
        self._columns = [
            np.array([i for i, c in enumerate(columns) if c.entity == entity], dtype=np.intp)
            for entity in self.entities
        ]
        alike = [i for i, c in enumerate(columns) if _is_likeness(c.name, c.source)]
        self._alike = np.array(alike, dtype=np.intp)
        with np.errstate(invalid="ignore"):
            spread = np.nan_to_num(np.nanstd(np.nan_to_num(reference[:, self._alike]), axis=0))
        self._scale = np.where(spread > 0, 1.0 / np.maximum(spread, 1e-9), 0.0).astype(np.float32)
        owner = [self.entities.index(columns[i].entity) if columns[i].entity else -1 for i in alike]
        self._owner = np.zeros((len(alike), len(self.entities)), dtype=np.float32)
        for row, entity in enumerate(owner):
            if entity >= 0:
                self._owner[row, entity] = 1.0

    def undo(self, row: FeatureRow, models: RiskModels, model: int) -> list[Undone]:
        """Every entity of a part that the speaking model looks at, the one that explains most first."""
        present = self._present(row)
        if not present or len(self._reference) < DRAWS_MIN:
            return []
        draws = int(np.clip(ROWS_MAX // len(present), DRAWS_MIN, DRAWS_MAX))
        donors = self._donors(row.raw, draws)
        rows = np.repeat(row.raw[None, :], len(present) * draws + 1, axis=0)
        for place, e in enumerate(present):
            at = 1 + place * draws
            own = self._columns[e]
            rows[at : at + draws, own] = self._reference[donors[:, e, None], own]
        risk = sigmoid(models.logits(model, self._builder.derive(rows)))
        undone = risk[1:].reshape(len(present), draws).mean(axis=1)
        shares = np.maximum(0.0, risk[0] - undone) / max(float(risk[0]), 1e-9)
        found = [Undone(self.entities[e], float(share)) for e, share in zip(present, shares, strict=True)]
        return sorted(found, key=lambda undone: (-undone.share, undone.entity))

    def _present(self, row: FeatureRow) -> list[int]:
        return [e for e, source in enumerate(self._source) if source in row.usable or source == "attributes"]

    def _donors(self, raw: Floats, draws: int) -> npt.NDArray[np.intp]:
        """int[draws, entities]: the reference rows nearest to a part when an entity's own columns are left out."""
        away = np.nan_to_num((self._reference[:, self._alike] - raw[self._alike]) * self._scale)
        squared = away * away
        distance = squared.sum(axis=1, keepdims=True) - squared @ self._owner
        if len(distance) <= draws:
            return np.repeat(np.resize(np.arange(len(distance)), draws)[:, None], len(self.entities), axis=1)
        return np.asarray(np.argpartition(distance, draws, axis=0)[:draws])


def _is_likeness(name: str, source: str) -> bool:
    if source.startswith("sensors:"):
        return name.rsplit(":", 1)[-1] in LIKENESS
    return name.endswith((":ratio", ":number")) or source == "attributes"


assert set(LIKENESS) <= set(CHANNEL_COLUMNS)
