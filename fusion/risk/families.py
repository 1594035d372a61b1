"""The families of models that training compares: how each is set up, fitted, asked and blended.

A *recipe* is one family, or several whose scores are averaged as logits: trees that cut at random, trees that look for
the best cut, boosting and a smooth line err differently, and their mean is rarely worse than the best of them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from fusion.calibration.calibrate import logit, sigmoid
from fusion.risk.features import Floats
from fusion.risk.quantile_line import QuantileLine

try:
    from lightgbm import LGBMClassifier
except OSError:  # its OpenMP library (Debian: libgomp1) is not on this machine; the forests do without
    LGBMClassifier = None

Family = Literal["extra_trees", "random_forest", "bagged_trees", "lightgbm", "quantile_line"]
Recipe = tuple[Family, ...]
Scores = npt.NDArray[np.float64]

STANDING: Recipe = ("extra_trees",)  # what stands when nothing is better beyond luck
BLENDED_MAX = 3
COLUMNS_TRIED_MAX = 24  # at a split; a third of 20 columns, a tenth of 200: more costs time and gains nothing
COLUMNS_BAGGED_MAX = 48  # at a split of a bagged tree, that lives on comparing nearly all
BAGGED_SHARE = 3  # so many times fewer bagged trees: each costs as much more, and is worth it
ROUNDS = 200


def families() -> tuple[Family, ...]:
    """The families there are on this machine, the one that stands without a reason first."""
    told: tuple[Family, ...] = ("extra_trees", "random_forest", "bagged_trees", "quantile_line")
    return told if LGBMClassifier is None else (*told, "lightgbm")


def recipes(known: Sequence[Family]) -> list[Recipe]:
    """Each family alone and every blend of up to BLENDED_MAX."""
    return [blend for n in range(1, BLENDED_MAX + 1) for blend in combinations(known, n)]


def named(recipe: Recipe) -> str:
    """As written on the card and in the log."""
    return " + ".join(recipe)


def blended(scores: Sequence[Scores]) -> Scores:
    """Mean as logits of what each family of a recipe says, float64[n] each."""
    return scores[0] if len(scores) == 1 else sigmoid(np.mean([logit(score) for score in scores], axis=0))


def fit_family(family: Family, features: Floats, defect: npt.NDArray[np.bool_], trees: int) -> Any:
    """A fitted model with `predict_proba`. `trees`: of a forest; boosting has its own number."""
    model = _UNFITTED[family](trees, features.shape[1])
    model.fit(features, defect.astype(np.int64))
    return model


def probability(model: Any, features: Floats) -> Scores:
    """float64[n]: uncalibrated score of a fitted model."""
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


def _bagged_trees(trees: int, width: int) -> Any:
    """Bagging (Breiman 1996): every cut is the best of nearly all columns. Best where few columns hold the limits."""
    return RandomForestClassifier(
        max(trees // BAGGED_SHARE, 25),
        min_samples_leaf=2,
        max_features=min(1.0, COLUMNS_BAGGED_MAX / max(width, 1)),
        max_samples=0.5,
        random_state=0,
        n_jobs=cores(),
    )


def _lightgbm(trees: int, width: int) -> Any:
    """Slow learning, small leaves: defects are few. Overconfident by itself; calibration and blending see to that."""
    return LGBMClassifier(
        n_estimators=ROUNDS,
        learning_rate=0.05,
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
    "bagged_trees": _bagged_trees,
    "lightgbm": _lightgbm,
    "quantile_line": lambda trees, width: QuantileLine(),
}


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
