"""Fitting a gate's drift reference on training evidence: which signals, how they usually are, their charts' limits."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.drift.contrast import fit_contrast
from fusion.drift.growth import enough_blocks
from fusion.drift.limits import BLOCKS_MIN, ChartLimits, false_probability, fit_limits, slowest_wander
from fusion.drift.signals import (
    FLAGS,
    PLAIN_MAX,
    RESIDUAL_MAX,
    DriftNotes,
    Signal,
    SignalReader,
    charted,
    proposed_signals,
)
from fusion.drift.structure import fit_structure
from fusion.drift.watched import watched
from fusion.risk.features import FeatureSpec, Floats
from ingest.join.evidence import Evidence

BLOCK_MAX, BLOCK_MIN = 100, 20  # parts of a chart point: 100 where history is long, fewer where it is short,
BLOCKS_WANTED = 60  # for its wander to be known from so many
SEEN_SHARE_MIN = 0.2  # of the parts must have a signal
PRODUCT_PARTS_MIN = 30  # fewer say nothing of a product's usual values: it is not charted
SAME_SIGNAL = 0.98  # correlation from which two signals of one entity are one
SAMPLE_ROWS = 2000  # residual rows kept for the two-sample test

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FittedDrift:
    """A gate's drift reference for the shelf: its notes, and the .npz bytes of its arrays."""

    notes: DriftNotes
    packed: bytes


@dataclass(frozen=True, slots=True)
class _Centred:
    """`residual`: float64[n, signals] unbounded, NaN where missing; `usual`: float64[products + 1, signals]; `spread`,
    `overall`: float64[signals]."""

    residual: Doubles
    usual: Doubles
    spread: Doubles
    overall: Doubles


def fit_drift(
    parts: Sequence[Evidence], raw: Floats, flagged: Sequence[bool | None], spec: FeatureSpec, file: str
) -> FittedDrift | None:
    """The reference of one gate; None where the history is too short. `raw`: float32[n, raw columns] of `parts` in the
    order of time; `flagged`: of each, out of fold."""
    block = int(np.clip(len(parts) // BLOCKS_WANTED, BLOCK_MIN, BLOCK_MAX))
    if len(parts) < block * BLOCKS_MIN:
        return None
    proposed = proposed_signals(spec)
    reader = SignalReader(proposed)
    values = np.stack([reader.read(r, e, f) for r, e, f in zip(raw, parts, flagged, strict=True)]).astype(np.float64)
    products = _product_places(parts, spec)
    centred = _centre(values, products, len(spec.products))
    _count_flags(proposed, values, centred)
    kept = _telling(proposed, centred)
    if not kept:
        return None
    signals = tuple(proposed[i] for i in kept)
    centred = _Centred(
        centred.residual[:, kept], centred.usual[:, kept], centred.spread[kept], centred.overall[kept]
    )  # fmt: skip
    limits, blocks, low, high = _fit_charts(signals, centred, block)
    entities = [signal.entity for signal in signals]
    shown = watched(entities, limits, block, len(blocks), enough_blocks(len(blocks), block))
    notes = DriftNotes(signals=signals, block=block, file=file, watched=shown)
    bounded = np.clip(centred.residual, -RESIDUAL_MAX, RESIDUAL_MAX).astype(np.float32)
    sample = bounded[np.unique(np.linspace(0, len(parts) - 1, SAMPLE_ROWS).astype(np.intp))]
    window, limit = fit_contrast(bounded, sample)
    arrays = {
        "usual": centred.usual, "spread": centred.spread, "overall": centred.overall, "low": low, "high": high,
        "sample": sample, "contrast": np.array([window, limit, fit_structure(bounded, sample, window)]),
        "blocks": blocks.astype(np.float32), "typical": _typical(raw, products, len(spec.products)),
        **{name: getattr(limits, name) for name in ChartLimits.__slots__},
    }  # fmt: skip
    target = io.BytesIO()
    np.savez(target, **arrays)
    return FittedDrift(notes, target.getvalue())


def _product_places(parts: Sequence[Evidence], spec: FeatureSpec) -> npt.NDArray[np.intp]:
    place = {product: i for i, product in enumerate(spec.products)}
    return np.array([place.get(e.product, len(place)) for e in parts], dtype=np.intp)


def _centre(values: Doubles, products: npt.NDArray[np.intp], known: int) -> _Centred:
    """Residuals beside each product's mean of bounded values; the last row of `usual` is of no product, NaN."""
    usual = np.full((known + 1, values.shape[1]), np.nan)
    spread = _spread(values)
    for product in range(known):
        own = values[products == product]
        if len(own) >= PRODUCT_PARTS_MIN:
            middle = _median(own)
            usual[product] = middle + _mean(np.clip(own - middle, -RESIDUAL_MAX * spread, RESIDUAL_MAX * spread))
    residual = values - usual[products]
    within = _spread(residual)
    spread = np.where(within > 0, within, spread)
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.clip(residual / np.where(spread > 0, spread, 1.0), -PLAIN_MAX, PLAIN_MAX)
    residual[:, ~(spread > 0)] = np.nan
    return _Centred(residual, usual, np.where(spread > 0, spread, 1.0), _mean(values))


def _count_flags(signals: Sequence[Signal], values: Doubles, centred: _Centred) -> None:
    """Flags are counted as they are."""
    for i, signal in enumerate(signals):
        if signal.measure == FLAGS:
            centred.residual[:, i], centred.usual[:, i], centred.spread[i] = values[:, i], 0.0, 1.0
            centred.overall[i] = 0.0


def _spread(values: Doubles) -> Doubles:
    """float64[signals]: half the width of the middle 68 %, else the standard deviation; 0 where nothing varies."""
    seen = np.isfinite(values).any(axis=0)
    out = np.zeros(values.shape[1])
    if seen.any():
        low, high = np.nanquantile(values[:, seen], (0.16, 0.84), axis=0)
        out[seen] = np.where(high > low, (high - low) / 2.0, np.nanstd(values[:, seen], axis=0))
        size = np.nanmax(np.abs(values[:, seen]), axis=0)
        out[seen] = np.where(out[seen] > 1e-6 * size, out[seen], 0.0)  # rounding is no variation
    return out


def _telling(proposed: Sequence[Signal], centred: _Centred) -> list[int]:
    """Signals that vary, are there often enough, and are no near copies of another of the same entity."""
    bounded = np.clip(centred.residual, -RESIDUAL_MAX, RESIDUAL_MAX)
    seen = np.isfinite(bounded)
    kept: list[int] = []
    for i, signal in enumerate(proposed):
        if seen[:, i].mean() < SEEN_SHARE_MIN:
            continue
        beside = [j for j in kept if proposed[j].entity == signal.entity]
        if all(_correlation(bounded[:, i], bounded[:, j]) < SAME_SIGNAL for j in beside):
            kept.append(i)
    return kept


def _correlation(left: Doubles, right: Doubles) -> float:
    both = np.isfinite(left) & np.isfinite(right)
    if both.sum() < PRODUCT_PARTS_MIN or not left[both].std() or not right[both].std():
        return 0.0
    return abs(float(np.corrcoef(left[both], right[both])[0, 1]))


def _fit_charts(
    signals: Sequence[Signal], centred: _Centred, block: int
) -> tuple[ChartLimits, Doubles, Doubles, Doubles]:
    """Limits of the charts; what is charted of training; its lowest and highest block, in units."""
    whole = len(centred.residual) // block * block
    grouped = np.clip(centred.residual[:whole], -RESIDUAL_MAX, RESIDUAL_MAX).reshape(-1, block, len(signals))
    sums, counts = np.nansum(grouped, axis=1), np.isfinite(grouped).sum(axis=1).astype(np.float64)
    blocks = charted(signals, sums, counts, block)
    limits = fit_limits(blocks, false_probability(block, len(signals)), slowest_wander(block))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), 0.0) * centred.spread + centred.overall
    return limits, blocks, means.min(axis=0), means.max(axis=0)


def _typical(raw: Floats, products: npt.NDArray[np.intp], known: int) -> Floats:
    """float32[products + 1, raw columns]: medians of each product, the last of all."""
    out = np.tile(_median(raw), (known + 1, 1))
    for product in range(known):
        own = raw[products == product]
        if len(own) >= PRODUCT_PARTS_MIN:
            out[product] = _median(own)
    return out.astype(np.float32)


def _median(values: Doubles | Floats) -> Doubles:
    out = np.full(values.shape[1], np.nan)
    seen = np.isfinite(values).any(axis=0)
    out[seen] = np.nanmedian(values[:, seen], axis=0)
    return out


def _mean(values: Doubles) -> Doubles:
    out = np.full(values.shape[1], np.nan)
    seen = np.isfinite(values).any(axis=0)
    out[seen] = np.nanmean(values[:, seen], axis=0)
    return out
