"""Training of the origin classifier on labelled defects with cause codes."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold

from fusion.causes.origins import UNKNOWN, OriginModel
from fusion.risk.features import Floats
from fusion.risk.fit import FOLDS, cores, export_trees, probabilities_only

LABELS_MIN = 8  # labelled defects with a cause; below, the counterfactual speaks alone
CLASS_LABELS_MIN = 3  # a cause seen twice is an anecdote
TREES = 150
TREES_TRIED = 60  # when comparing views by held-out lots: a fraction of the time, the same order
FEATURES_MIN = 3  # kept however unequal the importances are


@dataclass(frozen=True, slots=True)
class FittedOrigins:
    model: OriginModel
    onnx: bytes


def fit_origins(
    features: Floats,
    shares: Floats,
    entities: Sequence[str],
    classes: Sequence[Sequence[str]],
    groups: npt.NDArray[np.intp],
    summary: npt.NDArray[np.bool_],
    file: str,
) -> FittedOrigins | None:
    """`features`: float32[n, f], filled, of labelled defects; `shares`: float32[n, entities] of their risks by undoing,
    each by models that saw nothing of its lot; `classes`: the causes of each; `groups`: int[n] lots; `summary`:
    bool[f], the columns that sum entities up: where labels are few, held-out accuracy prefers them, or shares, alone.

    None when too few labels name a cause.
    """
    counts = Counter(kind for kinds in classes for kind in kinds)
    learned = sorted(kind for kind, n in counts.items() if n >= CLASS_LABELS_MIN)
    if not learnable(classes):
        return None
    at = {kind: i for i, kind in enumerate(learned)}
    targets = [[at[kind] for kind in kinds if kind in at] for kinds in classes]
    views = [np.concatenate([features * taken, shares], axis=1) for taken in (1.0, summary, 0.0)]
    accuracies = [_held_out_accuracy(view, targets, groups) for view in views]
    accuracy = max(accuracies)
    model = _fitted(views[accuracies.index(accuracy)], targets, np.ones(len(targets), dtype=np.bool_))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own deprecations are not ours to fix
        onnx = probabilities_only(export_trees(model, views[0].shape[1]))
    kept = [learned[i] for i in model.classes_]
    described = OriginModel(
        file=file,
        classes=tuple(kept),
        accuracy=accuracy,
        learned_from=tuple(counts[kind] for kind in kept),
        entities=tuple(entities),
    )
    return FittedOrigins(described, onnx)


def learnable(classes: Sequence[Sequence[str]]) -> bool:
    """Do enough labelled defects name a cause?"""
    counts = Counter(kind for kinds in classes for kind in kinds)
    return sum(n for kind, n in counts.items() if n >= CLASS_LABELS_MIN and kind != UNKNOWN) >= LABELS_MIN


def _held_out_accuracy(features: Floats, targets: Sequence[Sequence[int]], groups: npt.NDArray[np.intp]) -> float:
    """Share of defects whose most likely class, by a model that saw nothing of their lot, is among their causes."""
    hits, asked = 0, 0
    n_lots = len(np.unique(groups))
    if n_lots < 2:
        return 0.0
    for train, test in GroupKFold(min(FOLDS, n_lots)).split(features, groups=groups):
        chosen = np.zeros(len(targets), dtype=np.bool_)
        chosen[train] = True
        if not any(targets[i] for i in train):
            continue
        model = _fitted(features, targets, chosen, TREES_TRIED)
        guesses = model.classes_[np.argmax(model.predict_proba(features[test]), axis=1)]
        hits += sum(int(guess) in targets[i] for guess, i in zip(guesses, test, strict=True) if targets[i])
        asked += sum(bool(targets[i]) for i in test)
    return hits / (asked + 1.0)


def _fitted(
    features: Floats, targets: Sequence[Sequence[int]], chosen: npt.NDArray[np.bool_], trees: int = TREES
) -> Any:
    """A forest on the features that matter: the rest are blanked, which a tree does not notice in service."""
    rows = [(i, kind, 1.0 / len(kinds)) for i, kinds in enumerate(targets) if chosen[i] for kind in kinds]
    examples = features[np.array([i for i, _, _ in rows])]
    kinds, weights = np.array([k for _, k, _ in rows]), np.array([w for _, _, w in rows])
    model = _forest(trees).fit(examples, kinds, sample_weight=weights)
    importance = model.feature_importances_
    matter = importance >= np.minimum(importance.mean(), np.sort(importance)[-min(FEATURES_MIN, len(importance))])
    return _forest(trees).fit(examples * matter, kinds, sample_weight=weights)


def _forest(trees: int) -> Any:
    return RandomForestClassifier(trees, max_features=0.5, random_state=0, n_jobs=cores())
