"""Held-out shares: what undoing each entity does to the risk of labelled defects, by models that saw nothing of their
lots. In service every part is new to the model; the shares that origins learn from must be too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import Calibration, logit
from fusion.causes.counterfactual import Counterfactual
from fusion.risk.families import Recipe, fit_family
from fusion.risk.features import FeatureRow, Floats
from fusion.risk.fit import FOLDS_TRIED, TREES_TRIED, Examples, folds
from fusion.risk.model import INPUT
from fusion.risk.onnx_export import export
from fusion.risk.subsets import Sources
from models.open import Graph


@dataclass(frozen=True, slots=True)
class _Fold:
    """A model of one fold with the calibration of the whole, as `Scorer`."""

    graph: Graph
    calibration: Calibration
    fill: Floats

    def logits(self, model: int, features: Floats) -> npt.NDArray[np.float64]:
        filled = np.where(np.isnan(features), self.fill, features)
        score = self.graph.run({INPUT: filled.astype(np.float32)})[0][:, 1].astype(np.float64)
        return self.calibration.risk_logit(logit(score))


def held_out_shares(
    counterfactual: Counterfactual,
    rows: Sequence[FeatureRow],
    defect: npt.NDArray[np.float64],
    groups: npt.NDArray[np.intp],
    fill: Floats,
    recipe: Recipe,
    calibration: Calibration,
) -> Floats:
    """float32[defects, entities] of the rows with `defect` 1 in their order; `defect`: float64[n], NaN without a label;
    `recipe`, `calibration`: of the gate's main model."""
    labelled = np.flatnonzero(~np.isnan(defect))
    features = np.stack([rows[i].features for i in labelled.tolist()])
    examples = Examples(
        np.where(np.isnan(features), fill, features).astype(np.float32), defect[labelled] == 1.0, groups[labelled]
    )
    number = {entity: e for e, entity in enumerate(counterfactual.entities)}
    shares = np.zeros((len(defect), len(number)), dtype=np.float32)
    for train, test in folds(examples, FOLDS_TRIED):
        if not 0 < examples.defect[train].sum() < len(train):
            continue
        each = TREES_TRIED // len(recipe)
        models = [fit_family(family, examples.features[train], examples.defect[train], each) for family in recipe]
        fold = _Fold(Graph.open(export(recipe, models, features.shape[1])), calibration, fill)
        for at in labelled[test[examples.defect[test]]].tolist():
            for found in counterfactual.undo(rows[at], fold, 0).singles:
                shares[at, number[found.entity]] = found.share
    return shares[np.flatnonzero(defect == 1.0)]


def rows_of(raw: Floats, features: Floats, usable: Sequence[Sources]) -> list[FeatureRow]:
    """Rows as the counterfactual takes them, from float32[n, raw columns] and float32[n, features]."""
    return [FeatureRow(r, f, u, ()) for r, f, u in zip(raw, features, usable, strict=True)]
