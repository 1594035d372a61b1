"""What is measured of an eye: how well it tells good from defect, where it sees it, and what its threshold keeps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from vision.inspect import Sight
from vision.training.conformal import conformal_cut

Floats = npt.NDArray[np.float64]
FALSE_ALARMS = 0.02
ASKED = (0.01, 0.02, 0.05)
RESPLITS = 60


@dataclass(frozen=True, slots=True)
class Told:
    """How well scores tell. `auroc`: of good against defect; `recall`: share of defects above what two good frames in a
    hundred exceed, a cut read off the judged good frames themselves."""

    auroc: float
    recall: float


@dataclass(frozen=True, slots=True)
class Kept:
    """False alarms measured where `asked` were asked, over re-splits: mean and 90th percentile. `possible`: the share
    that so few frames allow."""

    asked: float
    possible: float
    mean: float
    percentile_90: float


@dataclass(frozen=True, slots=True)
class Run:
    """One eye, measured. `flagged`, `caught`: shares of good and of defect frames above the eye's own threshold.
    `train_s`, `look_ms`:
    CPU of training, and of one frame with decoding. `scorers`: each scorer alone."""

    pictures: str
    seed: int
    trained: int
    good: int
    bad: int
    all: Told
    kinds: dict[str, Told]
    counts: dict[str, int]
    pixels: dict[str, float]
    scorers: dict[str, Told]
    promise: list[Kept]
    asked: float
    promised: float
    flagged: float
    caught: float
    train_s: float
    look_ms: float
    kilobytes: float
    card: str


def told(good: Floats, bad: Floats) -> Told:
    """Not a number where either is empty."""
    if not len(good) or not len(bad):
        return Told(math.nan, math.nan)
    truth = np.r_[np.zeros(len(good)), np.ones(len(bad))]
    cut = np.quantile(good, 1 - FALSE_ALARMS)
    return Told(float(roc_auc_score(truth, np.r_[good, bad])), float((bad > cut).mean()))


def told_by_kind(good: Floats, bad: Floats, kinds: Sequence[str]) -> dict[str, Told]:
    """Each kind of defect alone against all good frames."""
    of = np.asarray(kinds)
    return {str(kind): told(good, bad[of == kind]) for kind in sorted(set(kinds))}


def pixels_by_kind(
    sights: Sequence[Sight], masks: Sequence[npt.NDArray[np.bool_] | None], kinds: Sequence[str]
) -> dict[str, float]:
    """AUROC of the pixels of a kind's defect frames, at half their size; kinds without masks are left out."""
    values: dict[str, list[Floats]] = defaultdict(list)
    truths: dict[str, list[npt.NDArray[np.bool_]]] = defaultdict(list)
    for sight, mask, kind in zip(sights, masks, kinds, strict=True):
        if mask is not None:
            rows, columns = mask[::2, ::2].shape
            values[kind].append(np.asarray(cv2.resize(sight.odd.astype(np.float64), (columns, rows)).ravel()))
            truths[kind].append(mask[::2, ::2].ravel())
    return {
        kind: float(roc_auc_score(np.concatenate(truths[kind]), np.concatenate(values[kind])))
        for kind in sorted(values)
    }


def kept(scores: Floats, groups: Sequence[str], seed: int = 0) -> list[Kept]:
    """The promise of split conformal: a cut from the good frames of half of the groups, measured on the other half."""
    rng = np.random.default_rng(seed)
    names, of = np.unique(np.asarray(groups), return_inverse=True)
    found: Mapping[float, list[float]] = {asked: [] for asked in ASKED}
    possible: Mapping[float, list[float]] = {asked: [] for asked in ASKED}
    for _ in range(RESPLITS):
        half = rng.permutation(len(names))[: len(names) // 2]
        first = np.isin(of, half)
        for asked in ASKED:
            cut = conformal_cut(scores[first].tolist(), asked)
            found[asked].append(float((scores[~first] > cut.threshold).mean()))
            possible[asked].append(cut.promised)
    return [
        Kept(asked, float(np.mean(possible[asked])), float(np.mean(of_asked)), float(np.quantile(of_asked, 0.9)))
        for asked, of_asked in found.items()
    ]
