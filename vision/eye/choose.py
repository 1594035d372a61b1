"""How the map of a scorer is brought to a common scale, chosen without labels.

The variance of held-out good maps tells whether frames differ as a whole: then the frame's median goes out. Whether
they also differ in how rough they are is told by their scores: where rough frames score higher than smooth ones, a cut
between them would flag the rough and pass the smooth whatever is on them, and the frame's own spread, or its root, is
divided out where that makes the score depend on it least. Painted defects are only reported: on the magnetic tiles they
favour leaving the spread in by 6 points of AUROC, where real defects lose 4 by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from vision.eye.graph import top_of
from vision.eye.normalise import CENTRINGS, Centring, Map, MapStatistics, quartiles

FoldMap = tuple[int, Map]


@dataclass(frozen=True, slots=True)
class Choice:
    """The centring of one scorer and what each would have meant: `painted_auroc` of painted against good held-out
    frames, `dependence` of a good frame's score on its roughness (absolute correlation with the log spread)."""

    centring: Centring
    painted_auroc: Mapping[Centring, float]
    dependence: Mapping[Centring, float]


def choose_centring(statistics: MapStatistics, good: Sequence[FoldMap], painted: Sequence[FoldMap]) -> Choice:
    """Maps come with their fold, made by an eye that has not seen the fold."""
    rough = [np.log(max(upper - median, 1e-6)) for median, upper in (quartiles(raw) for _, raw in good)]
    auroc: dict[Centring, float] = {}
    dependence: dict[Centring, float] = {}
    for centring in CENTRINGS:
        normalisers = {fold: statistics.normaliser(centring, fold) for fold in {fold for fold, _ in (*good, *painted)}}
        tops = [[top_of(normalisers[fold].apply(raw)) for fold, raw in maps] for maps in (good, painted)]
        labels = [0] * len(good) + [1] * len(painted)
        auroc[centring] = float(roc_auc_score(labels, [*tops[0], *tops[1]])) if good and painted else 0.5
        dependence[centring] = _correlation(tops[0], rough)
    if statistics.median_ratio() >= 1.0:
        return Choice("raw", auroc, dependence)
    return Choice(min(CENTRINGS[1:], key=lambda centring: dependence[centring]), auroc, dependence)


def _correlation(scores: Sequence[float], rough: Sequence[float]) -> float:
    """Absolute; 0 where one of them does not vary."""
    if len(scores) < 3 or np.std(scores) < 1e-9 or np.std(rough) < 1e-9:
        return 0.0
    return abs(float(np.corrcoef(scores, rough)[0, 1]))
