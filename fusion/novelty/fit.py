"""Fitting a space on the bulk of parts, and what held-out lots look like in it.

Lots are held out twice: each fifth of time by a space of all the others, and by a space of those before it alone. The
second is what service will be: a line wanders, and the future is no mixture of the past.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.covariance import ledoit_wolf

from fusion.novelty.space import CLIP, Doubles, Space
from fusion.risk.features import Floats
from fusion.risk.fit_features import GOLDEN_PARTS_MIN

TRIMMED = 0.1  # of parts, the farthest: they are what defects and faults would be among
ROUNDS = 2  # of fitting and trimming again
BLOCKS = 5  # of time, each held out in turn
INNER = (0.05, 0.95)  # quantiles whose distance is 3.29 standard deviations of a normal channel
INNER_WIDTH = 3.29
TAIL_FROM = 0.95  # beyond this quantile the tail is taken for exponential


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Units float64[n, d] of each part by spaces that saw nothing of its block of lots, with those spaces.
    `block`: int[n]. `earlier`: units by the lots before its block alone, NaN for the first two blocks."""

    units: Doubles
    spaces: tuple[Space, ...]
    block: npt.NDArray[np.intp]
    earlier: Doubles
    earlier_spaces: tuple[Space | None, ...]


def fit_space(
    features: Floats, product_at: npt.NDArray[np.intp], products: int, columns: npt.NDArray[np.intp]
) -> Space:
    """Fit on float[n, features] of parts that are mostly good; `product_at`: int[n] below `products`."""
    values = features[:, columns].astype(np.float64)
    centre = np.tile(_median(values), (products + 1, 1))
    for product in range(products):
        own = values[product_at == product]
        if len(own) >= GOLDEN_PARTS_MIN:
            centre[product] = np.where(np.isnan(_median(own)), centre[-1], _median(own))
    centre = np.nan_to_num(centre)
    away = values - centre[product_at]
    scale = _spread(away)
    units = np.clip(np.nan_to_num(away / scale), -CLIP, CLIP)
    mean, covariance = _bulk(units)
    return Space(
        columns, centre.astype(np.float32), scale.astype(np.float32), mean.astype(np.float32),
        covariance.astype(np.float32),
    )  # fmt: skip


def held_out(
    features: Floats, product_at: npt.NDArray[np.intp], products: int, columns: npt.NDArray[np.intp],
    groups: npt.NDArray[np.intp], chosen: npt.NDArray[np.bool_],
) -> HeldOut:  # fmt: skip
    """`groups`: int[n], lots in the order of time; `chosen`: bool[n], the parts a space is fitted on."""
    block = time_blocks(groups)
    units = np.zeros((len(features), len(columns)))
    earlier = np.full_like(units, np.nan)
    spaces: list[Space] = []
    before: list[Space | None] = []

    def fitted(rows: npt.NDArray[np.bool_]) -> Space:
        return fit_space(features[rows], product_at[rows], products, columns)

    for k in range(int(block.max()) + 1):
        here = block == k
        others = chosen & ~here
        spaces.append(fitted(others if others.any() else chosen))
        units[here] = spaces[-1].units(features[here], product_at[here])
        before.append(fitted(chosen & (block < k)) if k >= 2 else None)
        if (space := before[-1]) is not None:
            earlier[here] = space.units(features[here], product_at[here])
    return HeldOut(units, tuple(spaces), block, earlier, tuple(before))


def time_blocks(groups: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """int[n]: which fifth of the lots, in the order of their first parts, each part's lot belongs to."""
    lots, first = np.unique(groups, return_index=True)
    place = np.empty(len(lots), dtype=np.intp)
    place[np.argsort(first)] = np.arange(len(lots))
    blocks = min(BLOCKS, len(lots))
    return np.asarray(place[np.searchsorted(lots, groups)] * blocks // len(lots), dtype=np.intp)


def lot_weights(groups: npt.NDArray[np.intp]) -> Doubles:
    """float64[n], of sum 1: every lot weighs the same, however many parts it has."""
    _, at, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[at] * len(counts)), dtype=np.float64)


def upper_quantile(scores: Doubles, weights: Doubles, share: float) -> float:
    """The least score that at most `share` of the weight lies beyond."""
    order = np.argsort(scores)
    beyond = 1.0 - np.cumsum(weights[order])
    return float(scores[order][np.argmax(beyond <= share + 1e-12)])


def tail(scores: Doubles, weights: Doubles) -> tuple[float, float]:
    """Where the tail begins and the mean excess there: beyond, a share falls by e for each such step (the exponential
    is the generalised Pareto of shape 0; heavier ones cannot be told apart on a few lots)."""
    start = upper_quantile(scores, weights, 1.0 - TAIL_FROM)
    over = scores > start
    if not over.any():
        return start, max(1e-6, 1e-3 * abs(start))
    return start, max(float(np.average(scores[over] - start, weights=weights[over])), 1e-6, 1e-3 * abs(start))


def _median(values: Doubles) -> Doubles:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column that no part of a product has
        return np.asarray(np.nanmedian(values, axis=0))


def _spread(away: Doubles) -> Doubles:
    """float64[d] > 0: from the inner quantiles; from all values where those do not move."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(away, INNER, axis=0)
        whole = np.nanstd(away, axis=0)
    inner = np.nan_to_num((high - low) / INNER_WIDTH)
    return np.where(inner > 0, inner, np.where(np.nan_to_num(whole) > 0, np.nan_to_num(whole), 1.0))


def _bulk(units: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and shrunk covariance (Ledoit & Wolf 2004) of the parts that are not farthest from them."""
    kept = np.ones(len(units), dtype=np.bool_)
    mean, covariance = _shrunk(units)
    for _ in range(ROUNDS):
        away = units - mean
        squared = np.einsum("ij,ij->i", away @ np.linalg.inv(covariance), away)
        kept = squared <= np.quantile(squared, 1.0 - TRIMMED)
        mean, covariance = _shrunk(units[kept])
    return mean, covariance


def _shrunk(units: Doubles) -> tuple[Doubles, Doubles]:
    covariance, _ = ledoit_wolf(units)
    floor = 1e-3 * max(float(np.trace(covariance)) / len(covariance), 1e-6)
    return units.mean(axis=0), np.asarray(covariance + floor * np.eye(len(covariance)))


def enough(sources: Sequence[frozenset[str]], wanted: frozenset[str], least: int) -> bool:
    """Did `least` parts come with all these sources?"""
    return sum(wanted <= usable for usable in sources) >= least
