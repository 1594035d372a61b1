"""Fitting the feature spec of one gate on training evidence: what there is, what varies, what good parts look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from fusion.history import HistoryView
from fusion.risk.features import (
    CHANNEL_COLUMNS,
    GOLDEN,
    PHASE,
    RANGED,
    AttributeSlot,
    ChannelSlot,
    FeatureSpec,
    Floats,
    Norms,
    RowBuilder,
    as_number,
    derived_columns,
    value_of,
)
from ingest.join.evidence import CURVE_POINTS, STATS, Evidence
from ingest.plan.plan import Channel, Plan

SEEN_SHARE_MIN = 0.02  # what fewer parts than this carry cannot be learned from
PAIR_CHANNELS_MAX = 8  # 28 pairs a station; beyond that products outnumber what they are made of
VALUES_MAX = 40  # columns of one attribute
VALUE_PARTS_MIN = 20  # a value seen less often is left to history
NUMERIC_SHARE_MIN = 0.95
NUMERIC_VALUES_MIN = 6  # fewer distinct numbers are levels, and levels have columns of their own
GOLDEN_PARTS_MIN = 30  # good parts of one product for a golden cycle of its own
SHAPE_SAMPLES_MIN = 4  # samples of a visit below which a cycle has no shape
RANKED_ROWS = 1000  # enough to tell equal orders from similar ones
SAME_ORDER = 0.9995  # rank correlation from which two columns are one to a tree
RANGE_MARGIN = 1.5  # of the range seen: wide enough for drifting temperatures, narrow enough for a broken sensor


def fit_spec(parts: Sequence[Evidence], plan: Plan, line_id: str, gate_id: str) -> FeatureSpec:
    """What the evidence of one gate consists of (before `keep_informative`)."""
    needed = max(1.0, SEEN_SHARE_MIN * len(parts))
    channels = _channels(parts, plan, line_id, needed)
    cameras = Counter(camera for e in parts for camera, found in e.findings.items() if found)
    by_station: dict[str, list[int]] = {}
    for i, slot in enumerate(channels):
        by_station.setdefault(slot.station_id, []).append(i)
    pairs = [pair for members in by_station.values() for pair in combinations(members[:PAIR_CHANNELS_MAX], 2)]
    return FeatureSpec(
        line_id=line_id,
        gate_id=gate_id,
        channels=tuple(channels),
        cameras=tuple(sorted(camera for camera, n in cameras.items() if n >= needed)),
        attributes=tuple(_attributes(parts, plan, needed)),
        products=tuple(sorted({e.product for e in parts})),
        pairs=tuple(pairs),
    )


def fit_norms(parts: Sequence[Evidence], good: npt.NDArray[np.bool_], spec: FeatureSpec) -> Norms:
    """Golden cycles and ranges. `good`: bool[n], parts not known to be defective; ranges are of all parts."""
    shape = (len(spec.products) + 1, len(spec.channels), CURVE_POINTS)
    mean, sd = np.full(shape, np.nan, dtype=np.float32), np.ones(shape, dtype=np.float32)  # NaN: no golden cycle
    low = np.full((len(spec.channels), len(RANGED)), -np.inf, dtype=np.float32)
    high = np.full_like(low, np.inf)
    for i, slot in enumerate(spec.channels):
        curves, stats, at = _channel_rows(parts, slot)
        _fit_golden(mean[:, i], sd[:, i], curves[good[at]], [parts[j].product for j in at if good[j]], spec.products)
        low[i], high[i] = _fit_range(stats[:, RANGED], slot)
    return Norms(mean, sd, low, high, np.zeros(0, dtype=np.float32))


def keep_informative(spec: FeatureSpec, raw: Floats) -> FeatureSpec:
    """The spec with `kept` set: derived columns that vary over float32[n, raw columns] and
    order the parts otherwise than an earlier one does, and all of history."""
    columns = derived_columns(spec)
    derived = RowBuilder(spec, _no_norms(spec)).derive(raw)
    shapeless = _shapeless(spec, raw)
    ranks = _standard_ranks(derived)
    kept: list[int] = []
    for i, column in enumerate(columns):
        if column.source == "history":  # empty in the rows that fit the base models, alive in those behind them
            kept.append(i)
        elif column.name not in shapeless and ranks[:, i].any():
            alike = np.abs(ranks[:, kept].T @ ranks[:, i]) if kept else np.zeros(1)
            if alike.max() < SAME_ORDER:
                kept.append(i)
    return msgspec.structs.replace(spec, kept=tuple(kept))


def _shapeless(spec: FeatureSpec, raw: Floats) -> set[str]:
    """Golden-cycle columns of channels with too few samples for a cycle to have a shape."""
    names = set()
    for i, slot in enumerate(spec.channels):
        counts = raw[:, i * len(CHANNEL_COLUMNS) + STATS.index("count")]
        if not np.any(counts >= SHAPE_SAMPLES_MIN):
            names |= {f"{slot.entity}:{shape}" for shape in (*GOLDEN, *PHASE)}
    return names


def _standard_ranks(derived: Floats) -> Floats:
    """float32[≤ RANKED_ROWS, columns]: ranks (ties averaged) of evenly spaced rows, centred, of length 1; 0 where
    nothing varies. Products of two are Spearman's correlation: trees see no more than the order of values."""
    step = max(1, len(derived) // RANKED_ROWS)
    rows = np.nan_to_num(derived[::step], nan=-1e30)
    ranks = rankdata(rows, axis=0) - (len(rows) + 1) / 2.0
    length = np.sqrt((ranks * ranks).sum(axis=0))
    return np.asarray(ranks / np.maximum(length, 1e-9), dtype=np.float32)


def fit_fill(features: Floats) -> Floats:
    """float32[features]: the median of each, 0 where nothing was ever seen."""
    fill = np.zeros(features.shape[1], dtype=np.float32)
    seen = ~np.all(np.isnan(features), axis=0)
    fill[seen] = np.nanmedian(features[:, seen], axis=0)
    return fill


def raw_rows(parts: Sequence[Evidence], views: Sequence[HistoryView], builder: RowBuilder) -> Floats:
    """float32[n, raw columns]."""
    return np.stack([builder.raw(e, view, builder.usable(e)) for e, view in zip(parts, views, strict=True)])


def _channels(parts: Sequence[Evidence], plan: Plan, line_id: str, needed: float) -> list[ChannelSlot]:
    line = plan.line(line_id)
    declared = {(s.station_id, c.channel): c for s in line.stations for c in s.channels} if line else {}
    seen = Counter((s, name) for e in parts for s, window in e.windows.items() for name in window.channels)
    order = {key: i for i, key in enumerate(declared)}
    found = sorted((key for key, n in seen.items() if n >= needed), key=lambda key: (order.get(key, len(order)), key))
    slots = []
    for station_id, name in found:
        told = declared.get((station_id, name), Channel(channel=name, unit=""))
        slots.append(
            ChannelSlot(station_id=station_id, channel=name, unit=told.unit, lower=told.lower, upper=told.upper)
        )
    return slots


def _attributes(parts: Sequence[Evidence], plan: Plan, needed: float) -> list[AttributeSlot]:
    booked = [e.attributes for e in parts]
    stations: dict[str, Counter[str]] = {}
    differs: set[str] = set()
    for values in booked:
        of_part: dict[str, str] = {}
        for (station_id, name), value in values.items():
            stations.setdefault(name, Counter())[station_id] += 1
            if of_part.setdefault(name, value) != value:
                differs.add(name)
    slots = []
    for name in sorted(filter(plan.may_use, stations)):
        of_part_too = name not in differs and len(stations[name]) > 1
        at = [""] if of_part_too else sorted(s for s, n in stations[name].items() if n >= needed)
        for station_id in at:
            slot = AttributeSlot(name=name, station_id=station_id, values=(), numeric=False)
            slots.append(_levels(slot, [value_of(slot, values) for values in booked]))
    return slots


def _levels(slot: AttributeSlot, carried: Sequence[str | None]) -> AttributeSlot:
    counts = Counter(value for value in carried if value is not None)
    frequent = [value for value, n in counts.most_common(VALUES_MAX) if n >= VALUE_PARTS_MIN]
    numbers = sum(n for value, n in counts.items() if not np.isnan(as_number(value)))
    numeric = len(counts) >= NUMERIC_VALUES_MIN and numbers >= NUMERIC_SHARE_MIN * sum(counts.values())
    return AttributeSlot(name=slot.name, station_id=slot.station_id, values=tuple(sorted(frequent)), numeric=numeric)


def _channel_rows(parts: Sequence[Evidence], slot: ChannelSlot) -> tuple[Floats, Floats, npt.NDArray[np.intp]]:
    at, curves, stats = [], [], []
    for j, evidence in enumerate(parts):
        window = evidence.windows.get(slot.station_id)
        channel = window.channels.get(slot.channel) if window is not None else None
        if channel is not None and f"sensors:{slot.station_id}" in evidence.present:
            at.append(j)
            curves.append(channel.curve)
            stats.append(channel.stats)
    width = len(STATS)
    return (
        np.array(curves, dtype=np.float32).reshape(len(at), CURVE_POINTS),
        np.array(stats, dtype=np.float32).reshape(len(at), width),
        np.array(at, dtype=np.intp),
    )


def _fit_golden(mean: Floats, sd: Floats, curves: Floats, products: list[str], known: Sequence[str]) -> None:
    """Fill mean and sd, float32[products + 1, CURVE_POINTS], of one channel; the last row is of any product."""
    whole = ~np.isnan(curves).any(axis=1)  # a curve of no samples has no shape
    curves, made = curves[whole], np.array(products, dtype=str)[whole]
    if len(curves) < 2:
        return
    # a stuck or quantised channel has no spread: a thousandth of its size keeps a residual finite
    floor = max(1e-3 * float(np.abs(curves).max()), 1e-6)
    mean[:] = curves.mean(axis=0)
    sd[:] = np.maximum(curves.std(axis=0), floor)
    for p, product in enumerate(known):
        own = curves[made == product]
        if len(own) >= GOLDEN_PARTS_MIN:
            mean[p] = own.mean(axis=0)
            sd[p] = np.maximum(own.std(axis=0), floor)


def _fit_range(stats: Floats, slot: ChannelSlot) -> tuple[Floats, Floats]:
    seen = stats[~np.isnan(stats).any(axis=1)]
    if len(seen) < 2:
        return np.full(len(RANGED), -np.inf, dtype=np.float32), np.full(len(RANGED), np.inf, dtype=np.float32)
    bottom, top = float(seen.min()), float(seen.max())
    margin = RANGE_MARGIN * max(top - bottom, 1e-3 * max(abs(top), abs(bottom)), 1e-6)
    low, high = bottom - margin, top + margin
    if slot.lower is not None:
        low = min(low, slot.lower)  # what the plan allows is no news
    if slot.upper is not None:
        high = max(high, slot.upper)
    return np.full(len(RANGED), low, dtype=np.float32), np.full(len(RANGED), high, dtype=np.float32)


def _no_norms(spec: FeatureSpec) -> Norms:
    none = np.zeros((len(spec.products) + 1, len(spec.channels), CURVE_POINTS), dtype=np.float32)
    empty = np.zeros((len(spec.channels), len(RANGED)), dtype=np.float32)
    return Norms(none, none + 1, empty - np.inf, empty + np.inf, np.zeros(0, dtype=np.float32))
