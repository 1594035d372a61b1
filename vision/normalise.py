"""Normalising a score map: what is usual for this place and this frame is taken out.

Which of it to take out is decided by held-out good frames, without labels. Subtracting the frame's own median is worth
ten points of AUROC where frames differ in exposure or texture strength, and costs as much on rotated, structured parts;
likewise the usual score of a place (rims score high on every frame). Each is used only when it shrinks the variance of
the map of frames of *other* batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from vision.export import GraphPen

Map = npt.NDArray[np.float64]

_PLACE_GAIN_MIN = 0.97  # a place's mean must explain 3 % of the variance of other batches to be worth its noise
_PLACE_FRAMES_MIN = 8  # fewer frames say nothing about a single cell
_PLACE_BLUR_CELLS = 1.0  # neighbours share their statistics
_SPREAD_SHRINKAGE = 0.1  # towards the mean variance of all cells
_SPREAD_MIN = 0.02  # of a log distance (2 %)


@dataclass(frozen=True, slots=True)
class Normaliser:
    """`(map [- its median] - mean) / spread`; mean and spread: float32[h, w]."""

    subtract_median: bool
    by_place: bool
    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]

    def nodes(self, pen: GraphPen, raw: str, median: str) -> str:
        """From the log distance float32[1, 1, h, w] and its median the normalised map of the same shape."""
        if self.subtract_median:
            raw = pen.node("Sub", raw, median)
        return pen.node("Div", pen.node("Sub", raw, pen.constant(self.mean)), pen.constant(self.spread))


def lower_median(raw: Map) -> float:
    """The median of a map: of an even number of cells the lower middle one, which is a value of the map."""
    flat = np.sort(raw, axis=None)
    return float(flat[flat.size - (flat.size // 2 + 1)])


def lower_median_node(pen: GraphPen, raw: str, shape: tuple[int, int]) -> str:
    """The same in the graph, a scalar: ONNX has no median, but the least of the upper half is one."""
    cells = shape[0] * shape[1]
    flat = pen.node("Reshape", raw, pen.integers(cells))
    upper = pen.node("TopK", flat, pen.integers(cells // 2 + 1), outputs=2, sorted=0)
    return pen.node("ReduceMin", upper, keepdims=0)


@dataclass(slots=True)
class _Sums:
    frames: int = 0
    first: Map = field(default_factory=lambda: np.zeros(()))
    second: Map = field(default_factory=lambda: np.zeros(()))

    def add(self, raw: Map) -> None:
        self.frames += 1
        self.first = self.first + raw
        self.second = self.second + raw * raw

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.frames + other.frames, self.first + other.first, self.second + other.second)

    def without(self, other: _Sums) -> _Sums:
        return _Sums(self.frames - other.frames, self.first - other.first, self.second - other.second)


class MapStatistics:
    """Sums over held-out good maps, kept by fold, so that a fold's normaliser never saw the fold."""

    def __init__(self, folds: int) -> None:
        self._sums = {median: [_Sums() for _ in range(folds)] for median in (False, True)}

    def add(self, fold: int, raw: Map) -> None:
        """raw: the log distance [h, w] of a good frame of `fold`, by an eye that was not trained on the fold."""
        self._sums[False][fold].add(raw)
        self._sums[True][fold].add(raw - lower_median(raw))

    def median_ratio(self) -> float:
        """var(map - its median) / var(map): below 1 the median carries what differs between frames."""
        plain, centred = (_variance(_total(self._sums[median])) for median in (False, True))
        return centred / max(plain, 1e-12)

    def place_ratio(self, subtract_median: bool) -> float:
        """Variance left by a place's mean, learned on other folds, over that left by the overall mean."""
        folds = [fold for fold in self._sums[subtract_median] if fold.frames]
        total = _total(folds)
        left = {"place": 0.0, "overall": 0.0}
        for fold in folds:
            others = total.without(fold)
            if others.frames < _PLACE_FRAMES_MIN:
                return 1.0
            place = _smooth(others.first / others.frames)
            left["place"] += _residual(fold, place)
            left["overall"] += _residual(fold, np.full_like(place, float(place.mean())))
        return left["place"] / max(left["overall"], 1e-12)

    def normaliser(self, without_fold: int | None = None) -> Normaliser:
        """The normaliser of all held-out maps, or of those outside one fold. Which kind it is, all folds decide."""
        subtract = self.median_ratio() < 1.0
        by_place = self.place_ratio(subtract) < _PLACE_GAIN_MIN
        sums = self._sums[subtract]
        total = _total(sums)
        chosen = total if without_fold is None else total.without(sums[without_fold])
        if not chosen.frames:
            chosen = total
        mean = chosen.first / chosen.frames
        overall = _variance(chosen)
        if not by_place:
            flat = np.full_like(mean, float(mean.mean()))
            return _make(subtract, False, flat, np.full_like(mean, np.sqrt(overall)))
        variance = np.maximum(chosen.second / chosen.frames - mean**2, 0)
        shrunk = (1 - _SPREAD_SHRINKAGE) * _smooth(variance) + _SPREAD_SHRINKAGE * float(variance.mean())
        return _make(subtract, True, _smooth(mean), np.sqrt(shrunk))


def _make(subtract: bool, by_place: bool, mean: Map, spread: Map) -> Normaliser:
    spread = np.maximum(spread, _SPREAD_MIN)
    return Normaliser(subtract, by_place, mean.astype(np.float32), spread.astype(np.float32))


def _total(folds: list[_Sums]) -> _Sums:
    return sum(folds[1:], folds[0])


def _variance(sums: _Sums) -> float:
    count = sums.frames * sums.first.size
    mean = float(sums.first.sum()) / count
    return max(float(sums.second.sum()) / count - mean**2, 0.0)


def _residual(sums: _Sums, mean: Map) -> float:
    return float((sums.second - 2 * mean * sums.first + sums.frames * mean**2).sum())


def _smooth(raw: Map) -> Map:
    return np.asarray(gaussian_filter(raw, _PLACE_BLUR_CELLS, mode="nearest"), np.float64)
