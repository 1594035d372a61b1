"""Training of risk models: group-respecting out-of-fold scores, choice of recipe, calibration, export to ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from fusion.calibration.calibrate import Calibration, calibrated, fit_calibration, logit
from fusion.risk.families import (
    STANDING,
    Family,
    Recipe,
    Scores,
    blended,
    cores,
    families,
    fit_family,
    probability,
    recipes,
)
from fusion.risk.features import Floats
from fusion.risk.onnx_export import export, export_trees, probabilities_only

__all__ = ["cores", "export_trees", "probabilities_only"]  # fit_origins takes them from here

FOLDS = 5
TREES = 300  # of a recipe, shared among its families
TREES_THIN = 100  # of models for evidence with a source missing: there are many of them
TREES_TRIED = 50  # when comparing families: a fraction of the time, the same order
FOLDS_TRIED = 3  # there, and for thin evidence
BLOCKS = 10  # of consecutive parts, standing in for lots where there are fewer than FOLDS
DEFECTS_MIN = 8  # labelled defects below which nothing is learned: no model, `model_not_ready`
GOODS_MIN = 20  # and labelled good parts
ERRORS_BETTER = 0.5  # of the difference between lots: with few defects the least loss is mostly luck


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled rows. `features`: float32[n, f] filled and masked; `defect`: bool[n]; `groups`: int[n] lots."""

    features: Floats
    defect: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.intp]

    @property
    def learnable(self) -> bool:
        return int(self.defect.sum()) >= DEFECTS_MIN and int((~self.defect).sum()) >= GOODS_MIN


@dataclass(frozen=True, slots=True)
class FittedRisk:
    """A trained model. `out_of_fold`: float64[n] calibrated risks of the examples, each by models that saw no part
    of its lot. `predict`: features of other parts → calibrated risks."""

    recipe: Recipe
    onnx: bytes
    predict: Callable[[Floats], npt.NDArray[np.float64]]
    calibration: Calibration
    out_of_fold: npt.NDArray[np.float64]
    log_loss: float
    auc: float


def lots(batch_ids: Sequence[str]) -> npt.NDArray[np.intp]:
    """int[n] group numbers of parts in time order; blocks of consecutive parts where batches are fewer than FOLDS."""
    numbered = {batch: i for i, batch in enumerate(dict.fromkeys(batch_ids))}
    if len(numbered) >= FOLDS:
        return np.array([numbered[batch] for batch in batch_ids], dtype=np.intp)
    return np.asarray(np.arange(len(batch_ids)) * BLOCKS // max(len(batch_ids), 1), dtype=np.intp)


def choose_recipe(examples: Examples) -> Recipe:
    """The recipe of least log-loss on lots it has not seen. ExtraTrees stands unless another is better beyond luck."""
    scores = {family: _held_out(examples, family, TREES_TRIED, FOLDS_TRIED) for family in families()}
    tried = {recipe: losses(examples, blended([scores[f] for f in recipe])) for recipe in recipes(tuple(scores))}
    best = min(tried, key=lambda recipe: float(tried[recipe].mean()))
    return best if is_better(tried[best], tried[STANDING], examples.groups) else STANDING


def held_out_losses(examples: Examples) -> Scores:
    """float64[n]: log-loss of each part by the standing family that saw no part of its lot: to compare features by."""
    return losses(examples, blended([_held_out(examples, f, TREES_TRIED, FOLDS_TRIED) for f in STANDING]))


def is_better(loss: Scores, standing: Scores, groups: npt.NDArray[np.intp]) -> bool:
    """Is the loss of each part, float64[n], less than what stands by more than half the standard error of the
    difference between lots?"""
    gain = np.bincount(groups, standing - loss)
    gain = gain[np.bincount(groups) > 0]
    error = float(np.sqrt(np.sum((gain - gain.mean()) ** 2)))
    return float(gain.sum()) > ERRORS_BETTER * error


def losses(examples: Examples, score: Scores) -> Scores:
    """float64[n]: log-loss of each part by its out-of-fold score through the best logistic line."""
    place = logit(score)[:, None]
    line = LogisticRegression(C=1e4).fit(place, examples.defect)
    risk = np.clip(line.predict_proba(place)[:, 1], 1e-9, 1.0 - 1e-9)
    return np.asarray(-np.where(examples.defect, np.log(risk), np.log1p(-risk)))


def fit_risk(examples: Examples, recipe: Recipe, trees: int = TREES) -> FittedRisk:
    """A model of one recipe, calibrated on its out-of-fold scores, refitted on all."""
    n_folds, each = FOLDS if trees == TREES else FOLDS_TRIED, trees // len(recipe)
    score = blended([_held_out(examples, family, each, n_folds) for family in recipe])
    calibration = fit_calibration(score, examples.defect, examples.groups)
    risk = calibrated(calibration, score)
    models = [fit_family(family, examples.features, examples.defect, each) for family in recipe]

    def predict(features: Floats) -> npt.NDArray[np.float64]:
        return calibrated(calibration, blended([probability(model, features) for model in models]))

    return FittedRisk(
        recipe=recipe,
        onnx=export(recipe, models, examples.features.shape[1]),
        predict=predict,
        calibration=calibration,
        out_of_fold=risk,
        log_loss=float(log_loss(examples.defect, np.clip(risk, 1e-9, 1 - 1e-9), labels=[False, True])),
        auc=float(roc_auc_score(examples.defect, risk)),
    )


def _held_out(examples: Examples, family: Family, trees: int, n_folds: int) -> Scores:
    """float64[n]: score of each part by a model that saw no part of its lot."""
    score = np.full(len(examples.defect), float(examples.defect.mean()))
    for train, test in folds(examples, n_folds):
        if 0 < examples.defect[train].sum() < len(train):
            model = fit_family(family, examples.features[train], examples.defect[train], trees)
            score[test] = probability(model, examples.features[test])
    return score


def folds(examples: Examples, n_folds: int) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """(train, test) indices; a lot is wholly in one fold, defects are spread as evenly as lots allow."""
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer defects than folds: such a fold scores the base rate
        return list(splitter.split(examples.features, examples.defect, examples.groups))
