"""Training of risk models: group-respecting out-of-fold scores, choice of family, calibration, export to ONNX."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType as BoosterTensor
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from fusion.calibrate import Calibration, calibrated, fit_calibration
from fusion.features import Floats
from fusion.risk import INPUT

try:
    from lightgbm import LGBMClassifier
except OSError:  # its OpenMP library (Debian: libgomp1) is not on this machine; the forests do without
    LGBMClassifier = None

Family = Literal["extra_trees", "random_forest", "lightgbm"]
FORESTS: tuple[Family, ...] = ("extra_trees", "random_forest")
BOOSTED_ROWS_MIN = 5000  # below, boosting a few dozen defects learns nothing (AUC .5 by lot) or luck

FOLDS = 5
TREES = 300
TREES_THIN = 100  # of models for evidence with a source missing: there are many of them
TREES_TRIED = 50  # when comparing families: a fraction of the time, the same order
FOLDS_TRIED = 3  # there, and for thin evidence
COLUMNS_TRIED_MAX = 24  # at a split; a third of 20 columns, a tenth of 200: more costs time and gains nothing
BLOCKS = 10  # of consecutive parts, standing in for lots where there are fewer than FOLDS
DEFECTS_MIN = 8  # labelled defects below which nothing is learned: no model, `model_not_ready`
GOODS_MIN = 20
_OPSET = 17
_ONNX_ML = 3


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

    family: Family
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


def choose_family(examples: Examples) -> Family:
    """The family of least log-loss on lots it has not seen. ExtraTrees stands unless another is better by more than
    half the standard error of the difference between lots: with few defects the least loss is mostly luck."""
    tried = {family: _losses(examples, family) for family in families(len(examples.defect))}
    best = min(tried, key=lambda family: float(tried[family].mean()))
    gain = np.bincount(examples.groups, tried[FORESTS[0]] - tried[best])
    error = float(np.sqrt(np.sum((gain - gain.mean()) ** 2)))
    return best if float(gain.sum()) > 0.5 * error else FORESTS[0]


def families(rows: int) -> tuple[Family, ...]:
    """The families worth comparing on so many parts, the one that stands without a reason first."""
    return FORESTS if LGBMClassifier is None or rows < BOOSTED_ROWS_MIN else (*FORESTS, "lightgbm")


def _losses(examples: Examples, family: Family) -> npt.NDArray[np.float64]:
    """float64[n]: log-loss of each part, out of fold and calibrated."""
    risk = np.clip(_out_of_fold(examples, family, TREES_TRIED, FOLDS_TRIED).risk, 1e-9, 1.0 - 1e-9)
    return np.asarray(-np.where(examples.defect, np.log(risk), np.log1p(-risk)))


def fit_risk(examples: Examples, family: Family, trees: int = TREES) -> FittedRisk:
    """A model of one family, calibrated on its out-of-fold scores, refitted on all."""
    held_out = _out_of_fold(examples, family, trees, FOLDS if trees == TREES else FOLDS_TRIED)
    model = _fitted(family, examples.features, examples.defect, trees)
    return FittedRisk(
        family=family,
        onnx=_export(family, model, examples.features.shape[1]),
        predict=lambda features: calibrated(held_out.calibration, _probability(model, features)),
        calibration=held_out.calibration,
        out_of_fold=held_out.risk,
        log_loss=held_out.loss,
        auc=float(roc_auc_score(examples.defect, held_out.risk)),
    )


@dataclass(frozen=True, slots=True)
class _Tried:
    calibration: Calibration
    risk: npt.NDArray[np.float64]
    loss: float


def _out_of_fold(examples: Examples, family: Family, trees: int, n_folds: int) -> _Tried:
    score = np.full(len(examples.defect), float(examples.defect.mean()))
    for train, test in folds(examples, n_folds):
        if 0 < examples.defect[train].sum() < len(train):
            model = _fitted(family, examples.features[train], examples.defect[train], trees)
            score[test] = _probability(model, examples.features[test])
    calibration = fit_calibration(score, examples.defect, examples.groups)
    risk = calibrated(calibration, score)
    return _Tried(
        calibration, risk, float(log_loss(examples.defect, np.clip(risk, 1e-9, 1 - 1e-9), labels=[False, True]))
    )


def folds(examples: Examples, n_folds: int) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """(train, test) indices; a lot is wholly in one fold, defects are spread as evenly as lots allow."""
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # fewer defects than folds: such a fold scores the base rate
        return list(splitter.split(examples.features, examples.defect, examples.groups))


def _fitted(family: Family, features: Floats, defect: npt.NDArray[np.bool_], trees: int) -> Any:
    model = _UNFITTED[family](trees, features.shape[1])
    model.fit(features, defect.astype(np.int64))
    return model


def _probability(model: Any, features: Floats) -> npt.NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")  # LightGBM names its columns
        return np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64)


def _columns_tried(width: int) -> float:
    return min(0.3, COLUMNS_TRIED_MAX / max(width, 1))


def _extra_trees(trees: int, width: int) -> Any:
    """Best of ten families on few groups (measured on weld sessions)."""
    return ExtraTreesClassifier(
        trees, min_samples_leaf=2, max_features=_columns_tried(width), random_state=0, n_jobs=cores()
    )


def _random_forest(trees: int, width: int) -> Any:
    """Finds sharp limits that random cuts blur; half of the rows a tree loses nothing and takes half the time."""
    return RandomForestClassifier(
        trees, min_samples_leaf=2, max_features=_columns_tried(width), max_samples=0.5, random_state=0, n_jobs=cores()
    )


def _lightgbm(trees: int, width: int) -> Any:
    """Best where rows are many. Slow learning, small leaves: defects are few."""
    return LGBMClassifier(
        n_estimators=200 if trees >= TREES_THIN else trees,
        learning_rate=0.05 if trees >= TREES_THIN else 0.15,
        num_leaves=15,
        min_child_samples=10,
        colsample_bytree=0.7,
        reg_lambda=1.0,
        deterministic=True,
        force_row_wise=True,
        random_state=0,
        n_jobs=1,  # rows are few, and its threads spin when the cores are busy: 30 times slower, measured
        verbose=-1,
    )


_UNFITTED: dict[Family, Callable[[int, int], Any]] = {
    "extra_trees": _extra_trees,
    "random_forest": _random_forest,
    "lightgbm": _lightgbm,
}


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def _export(family: Family, model: Any, width: int) -> bytes:
    """ONNX with one input `x` float32[n, width] and one output: float32[n, 2] of class probabilities."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own deprecations are not ours to fix
        if family == "lightgbm":
            graph = convert_lightgbm(
                model, initial_types=[(INPUT, BoosterTensor([None, width]))], zipmap=False, target_opset=15
            )
        else:
            graph = export_trees(model, width)
    return probabilities_only(graph)


def export_trees(model: Any, width: int) -> Any:
    """A scikit-learn forest as an ONNX graph."""
    return convert_sklearn(
        model,
        initial_types=[(INPUT, FloatTensorType([None, width]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": _OPSET, "ai.onnx.ml": _ONNX_ML},
    )


def probabilities_only(graph: Any) -> bytes:
    """Drop every output but the probabilities, so that nothing else is computed."""
    kept = next(output for output in graph.graph.output if "prob" in output.name)
    del graph.graph.output[:]
    graph.graph.output.append(kept)
    return bytes(graph.SerializeToString())
