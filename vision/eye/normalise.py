"""Normalising a score map: what is usual for this place and this frame is taken out.

Which of it to take out is decided without labels. Subtracting the frame's own median is worth ten points of AUROC where
frames differ in exposure or texture strength, and costs as much on rotated, structured parts; likewise the usual score
of a place (rims score high on every frame). Each is used only when it shrinks the variance of the map of frames of
*other* batches. Dividing by the frame's own spread cannot be told by variance; painted defects on held-out frames tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from vision.eye.export import GraphPen

Map = npt.NDArray[np.float64]
Centring = Literal["raw", "median", "half", "spread"]
CENTRINGS: tuple[Centring, ...] = ("raw", "median", "half", "spread")
#: To which power the frame's own spread divides its map: rough frames score higher, but less than in proportion.
POWERS: dict[Centring, float] = {"raw": 0.0, "median": 0.0, "half": 0.5, "spread": 1.0}

_PLACE_GAIN_MIN = 0.97  # a place's mean must explain 3 % of the variance of other batches to be worth its noise
_PLACE_FRAMES_MIN = 8  # fewer frames say nothing about a single cell
_PLACE_BLUR_CELLS = 1.0  # neighbours share their statistics
_SPREAD_SHRINKAGE = 0.1  # towards the mean variance of all cells
_SPREAD_MIN = 0.02  # of a log distance (2 %)


@dataclass(frozen=True, slots=True)
class Normaliser:
    """`(centred map - mean) / spread`; mean and spread: float32[h, w]. `centring`: raw, less the frame's median, or
    that over (the root of) the frame's own spread, its upper quartile less its median."""

    centring: Centring
    by_place: bool
    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]

    def nodes(self, pen: GraphPen, raw: str, median: str, upper: str) -> str:
        """From the raw map float32[1, 1, h, w], its median and upper quartile the normalised map of the same shape."""
        if self.centring != "raw":
            raw = pen.node("Sub", raw, median)
        if power := POWERS[self.centring]:
            spread = pen.node("Add", pen.node("Sub", upper, median), pen.constant(_SPREAD_MIN))
            raw = pen.node("Div", raw, pen.node("Pow", spread, pen.constant(power)))
        return pen.node("Div", pen.node("Sub", raw, pen.constant(self.mean)), pen.constant(self.spread))

    def apply(self, raw: Map) -> Map:
        """The same in numpy, float64[h, w]."""
        return np.asarray((centred(raw, self.centring) - self.mean) / self.spread, np.float64)


def quartiles(raw: Map) -> tuple[float, float]:
    """Median and upper quartile of a map, both values of the map: of an even number of cells the lower middle one."""
    flat = np.sort(raw, axis=None)
    return float(flat[_rank(flat.size, 2)]), float(flat[_rank(flat.size, 4)])


def quartile_nodes(pen: GraphPen, raw: str, shape: tuple[int, int]) -> tuple[str, str]:
    """The same in the graph, two scalars: ONNX has no median, but the least of the upper half is one."""
    cells = shape[0] * shape[1]
    flat = pen.node("Reshape", raw, pen.integers(cells))
    upper_half = pen.node("TopK", flat, pen.integers(cells - _rank(cells, 2)), outputs=2, sorted=0)
    upper_quarter = pen.node("TopK", upper_half, pen.integers(cells - _rank(cells, 4)), outputs=2, sorted=0)
    return pen.node("ReduceMin", upper_half, keepdims=0), pen.node("ReduceMin", upper_quarter, keepdims=0)


def centred(raw: Map, centring: Centring) -> Map:
    """The map as a normaliser of this centring takes it, before places."""
    if centring == "raw":
        return raw
    median, upper = quartiles(raw)
    return np.asarray((raw - median) / (upper - median + _SPREAD_MIN) ** POWERS[centring], np.float64)


def _rank(cells: int, parts: int) -> int:
    """Index, counted from the least, of the value with a `parts`-th of the cells above it."""
    return cells - (cells // parts + 1)


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

    def __init__(self, folds: int, knows_place: bool = False) -> None:
        """knows_place: the scorer sees the place of a cell itself, and is not to be told twice."""
        self._knows_place = knows_place
        self._sums = {centring: [_Sums() for _ in range(folds)] for centring in CENTRINGS}

    def add(self, fold: int, raw: Map) -> None:
        """raw: the map [h, w] of a good frame of `fold`, by an eye that was not trained on the fold."""
        for centring in CENTRINGS:
            self._sums[centring][fold].add(centred(raw, centring))

    def median_ratio(self) -> float:
        """var(map - its median) / var(map): below 1 the median carries what differs between frames."""
        plain, less = (_variance(_total(self._sums[centring])) for centring in ("raw", "median"))
        return less / max(plain, 1e-12)

    def place_ratio(self, centring: Centring) -> float:
        """Variance left by a place's mean, learned on other folds, over that left by the overall mean."""
        folds = [fold for fold in self._sums[centring] if fold.frames]
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

    def normaliser(self, centring: Centring, without_fold: int | None = None) -> Normaliser:
        """The normaliser of all held-out maps, or of those outside one fold. By place or not, all folds decide."""
        by_place = not self._knows_place and self.place_ratio(centring) < _PLACE_GAIN_MIN
        sums = self._sums[centring]
        total = _total(sums)
        chosen = total if without_fold is None else total.without(sums[without_fold])
        if not chosen.frames:
            chosen = total
        mean = chosen.first / chosen.frames
        if not by_place:
            flat = np.full_like(mean, float(mean.mean()))
            return _make(centring, False, flat, np.full_like(mean, np.sqrt(_variance(chosen))))
        variance = np.maximum(chosen.second / chosen.frames - mean**2, 0)
        shrunk = (1 - _SPREAD_SHRINKAGE) * _smooth(variance) + _SPREAD_SHRINKAGE * float(variance.mean())
        return _make(centring, True, _smooth(mean), np.sqrt(shrunk))


def _make(centring: Centring, by_place: bool, mean: Map, spread: Map) -> Normaliser:
    spread = np.maximum(spread, _SPREAD_MIN)
    return Normaliser(centring, by_place, mean.astype(np.float32), spread.astype(np.float32))


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
