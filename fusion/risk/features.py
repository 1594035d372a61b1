"""Features: evidence and history of one part → one row of numbers with the names of what is missing or out of range.

The only feature road: training and serving both call `RowBuilder`. A *raw* row holds what belongs to one entity (a
channel, a camera, an attribute), so that a cause can be undone by replacing its columns; `RowBuilder.derive` adds what
is computed from several (products and differences of channels) and selects the columns the models take.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.history import HistoryView
from fusion.risk.sight import CAMERA_COLUMNS, camera_values
from ingest.join.evidence import CURVE_POINTS, STATS, Evidence

Floats = npt.NDArray[np.float32]

GOLDEN = ("golden_rms", "golden_max", "golden_mean")
#: Shares of the cycle: outside the golden band, above the middle of its own range, where its lowest point lies.
PHASE = ("beyond_share", "high_share", "min_at")
CHANNEL_COLUMNS = (*STATS, *GOLDEN, *PHASE)
PAIR_SIGNS = "-*/"  # how the means of two channels of a station are taken together
BEYOND_SD = 3.0  # the golden band, as on a control chart
FEATURE_MAX = 1e30  # finite in float32, beyond any measurement
AWAY_MAX = 1e6  # standard deviations; its square is finite too
HISTORY_COLUMNS = ("risk", "rate")
RANGED = tuple(CHANNEL_COLUMNS.index(name) for name in ("mean", "min", "max"))  # where "never seen before" is judged


class ChannelSlot(msgspec.Struct, frozen=True, kw_only=True):
    station_id: str
    channel: str
    unit: str = ""
    lower: float | None = None
    upper: float | None = None

    @property
    def entity(self) -> str:
        return f"{self.station_id}.{self.channel}"


class AttributeSlot(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute as booked at one station, or of the part (`station_id` "") when all its visits book the same.

    `values`: the frequent ones, each a column; `numeric`: the value is also taken as a number.
    """

    name: str
    station_id: str
    values: tuple[str, ...]
    numeric: bool

    @property
    def label(self) -> str:
        return f"{self.station_id}:{self.name}" if self.station_id else self.name


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one gate are made of, fitted on training evidence and kept in the model's notes.

    `pairs`: indices into `channels` of the same station whose means are also multiplied and subtracted.
    `kept`: indices into the derived row that vary and are no exact copies of others: the features.
    """

    line_id: str
    gate_id: str
    channels: tuple[ChannelSlot, ...]
    cameras: tuple[str, ...]
    attributes: tuple[AttributeSlot, ...]
    products: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    kept: tuple[int, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources there can be, named as in a gate's `needs`."""
        stations = dict.fromkeys(slot.station_id for slot in self.channels)
        return (*(f"camera:{c}" for c in self.cameras), *(f"sensors:{s}" for s in stations))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a derived row: its name, the source it needs ("attributes" and "history" are always there) and
    the entity it belongs to ("" for none: products, and what several entities make together)."""

    name: str
    source: str
    entity: str


@dataclass(frozen=True, slots=True)
class Norms:
    """What training measured of good parts. `golden_mean`, `golden_sd`: float32[products + 1, channels, CURVE_POINTS],
    the last for any product. `low`, `high`: float32[channels, len(RANGED)], beyond which a value is novel.
    `fill`: float32[features], stands for a missing value."""

    golden_mean: Floats
    golden_sd: Floats
    low: Floats
    high: Floats
    fill: Floats


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One part. `raw`: float32[raw columns]; `features`: float32[len(spec.kept)], NaN where missing; `usable`: the
    sources that spoke; `outside`: names of the channel values never seen in training's range."""

    raw: Floats
    features: Floats
    usable: frozenset[str]
    outside: tuple[str, ...]


def raw_columns(spec: FeatureSpec) -> list[Column]:
    """The columns of a raw row, in order: channels, cameras, attributes, products, history."""
    columns = [
        Column(f"{c.entity}:{name}", f"sensors:{c.station_id}", c.entity)
        for c in spec.channels
        for name in CHANNEL_COLUMNS
    ]
    columns += [
        Column(f"camera:{c}:{name}", f"camera:{c}", f"camera:{c}") for c in spec.cameras for name in CAMERA_COLUMNS
    ]
    for slot in spec.attributes:
        entity = f"attr:{slot.label}"
        columns += [Column(f"{entity}={value}", "attributes", entity) for value in slot.values]
        columns += [Column(f"{entity}:number", "attributes", entity)] if slot.numeric else []
    columns += [Column(f"product={p}", "attributes", "") for p in spec.products]
    columns += [
        Column(f"history:{slot.label}:{name}", "history", f"attr:{slot.label}")
        for slot in spec.attributes
        for name in HISTORY_COLUMNS
    ]
    return columns


def derived_columns(spec: FeatureSpec) -> list[Column]:
    """Raw columns and, behind them, the differences, products and ratios of channel pairs."""
    columns = raw_columns(spec)
    for sign in PAIR_SIGNS:
        for left, right in spec.pairs:
            a, b = spec.channels[left], spec.channels[right]
            columns.append(Column(f"{a.entity}{sign}{b.channel}", f"sensors:{a.station_id}", ""))
    return columns


def pair_sign(spec: FeatureSpec, at: int) -> str:
    """How derived column `at` takes two channels together, of PAIR_SIGNS; "" for a column of one entity."""
    behind = at - len(raw_columns(spec))
    return PAIR_SIGNS[behind // len(spec.pairs)] if behind >= 0 else ""


def feature_columns(spec: FeatureSpec) -> list[Column]:
    """The columns the models take, in their order."""
    columns = derived_columns(spec)
    return [columns[i] for i in spec.kept]


def is_summary(column: Column) -> bool:
    """Is this one of the few columns that sum an entity up? What little evidence can be learned from."""
    if column.source.startswith("sensors:"):
        return column.entity != "" and column.name.endswith((":mean", ":golden_max", ":golden_mean"))
    return column.source.startswith("camera:") or column.source == "history"


class RowBuilder:
    """Builds rows for one gate. Holds no memory from part to part."""

    def __init__(self, spec: FeatureSpec, norms: Norms) -> None:
        self.spec = spec
        self.norms = norms
        self._sources = frozenset(spec.sources)
        self._station_of = [f"sensors:{c.station_id}" for c in spec.channels]
        self._product = {product: i for i, product in enumerate(spec.products)}
        self._width = len(raw_columns(spec))
        self._cameras_at = len(spec.channels) * len(CHANNEL_COLUMNS)
        self._attributes_at = self._cameras_at + len(spec.cameras) * len(CAMERA_COLUMNS)
        self._history_at = self._width - len(spec.attributes) * len(HISTORY_COLUMNS)
        self._left = np.array([a for a, _ in spec.pairs], dtype=np.intp) * len(CHANNEL_COLUMNS)
        self._right = np.array([b for _, b in spec.pairs], dtype=np.intp) * len(CHANNEL_COLUMNS)
        self._kept = np.array(spec.kept, dtype=np.intp)

    def usable(self, evidence: Evidence) -> frozenset[str]:
        """The sources that are there and fit."""
        return self._sources.intersection(evidence.present).difference(evidence.unfit)

    def product_known(self, product: str) -> bool:
        return product in self._product

    def product_at(self, product: str) -> int:
        """Row of the golden cycles for a product; the last is of any product."""
        return self._product.get(product, len(self._product))

    def row(self, evidence: Evidence, history: HistoryView) -> FeatureRow:
        """The row of one part at this gate."""
        usable = self.usable(evidence)
        raw = self.raw(evidence, history, usable)
        features = self.derive(raw[None, :])[0]
        return FeatureRow(raw, features, usable, self._outside(raw))

    def raw(self, evidence: Evidence, history: HistoryView, usable: Collection[str]) -> Floats:
        """float32[raw columns], NaN where missing."""
        raw = np.full(self._width, np.nan, dtype=np.float32)
        if self.spec.channels:
            self._put_channels(raw, evidence, usable)
        for i, camera_id in enumerate(self.spec.cameras):
            if f"camera:{camera_id}" in usable:
                at = self._cameras_at + i * len(CAMERA_COLUMNS)
                raw[at : at + len(CAMERA_COLUMNS)] = camera_values(evidence.findings.get(camera_id, ()))
        self._put_attributes(raw, evidence, history)
        return raw

    def derive(self, raw: Floats) -> Floats:
        """float32[n, raw columns] → float32[n, features]."""
        left, right = raw[:, self._left], raw[:, self._right]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a broken sensor may send 1e38 or 0
            derived: Floats = np.concatenate([raw, left - right, left * right, left / right], axis=1)
        np.clip(derived, -FEATURE_MAX, FEATURE_MAX, out=derived)
        return derived[:, self._kept] if len(self._kept) else derived

    def _put_channels(self, raw: Floats, evidence: Evidence, usable: Collection[str]) -> None:
        block = raw[: self._cameras_at].reshape(len(self.spec.channels), len(CHANNEL_COLUMNS))
        curves = np.full((len(self.spec.channels), CURVE_POINTS), np.nan, dtype=np.float32)
        for i, slot in enumerate(self.spec.channels):
            if self._station_of[i] not in usable:
                continue
            window = evidence.windows.get(slot.station_id)
            channel = window.channels.get(slot.channel) if window is not None else None
            if channel is not None:
                block[i, : len(STATS)] = channel.stats
                curves[i] = channel.curve
        product = self.product_at(evidence.product)
        away = (curves - self.norms.golden_mean[product]) / self.norms.golden_sd[product]
        np.clip(away, -AWAY_MAX, AWAY_MAX, out=away)
        block[:, len(STATS)] = np.sqrt(np.mean(away * away, axis=1))
        block[:, len(STATS) + 1] = np.max(np.abs(away), axis=1)
        block[:, len(STATS) + 2] = np.mean(away, axis=1)
        _put_phase(block[:, len(STATS) + len(GOLDEN) :], curves, away)

    def _put_attributes(self, raw: Floats, evidence: Evidence, history: HistoryView) -> None:
        at, history_at = self._attributes_at, self._history_at
        booked = evidence.attributes
        raw[at:history_at] = 0.0
        for slot in self.spec.attributes:
            value = value_of(slot, booked)
            if value is not None and value in slot.values:
                raw[at + slot.values.index(value)] = 1.0
            at += len(slot.values)
            if slot.numeric:
                raw[at] = as_number(value)
                at += 1
            entity = f"{slot.name}={value}"
            raw[history_at] = history.risk.get(entity, 0.0)
            raw[history_at + 1] = history.rate.get(entity, 0.0)
            history_at += len(HISTORY_COLUMNS)
        product = self._product.get(evidence.product)
        if product is not None:
            raw[at + product] = 1.0

    def _outside(self, raw: Floats) -> tuple[str, ...]:
        if not self.spec.channels:
            return ()
        values = raw[: self._cameras_at].reshape(len(self.spec.channels), len(CHANNEL_COLUMNS))[:, RANGED]
        beyond = (values < self.norms.low) | (values > self.norms.high)
        if not beyond.any():
            return ()
        return tuple(f"{self.spec.channels[i].entity}:{CHANNEL_COLUMNS[RANGED[j]]}" for i, j in np.argwhere(beyond))


def _put_phase(block: Floats, curves: Floats, away: Floats) -> None:
    """Fill PHASE, float32[channels, 3], from curves and their distance from the golden cycle in standard deviations,
    float32[channels, CURVE_POINTS] each; NaN where there is no curve."""
    gone = np.isnan(curves).any(axis=1)
    lowest, highest = curves.min(axis=1), curves.max(axis=1)
    block[:, 0] = np.where(np.isnan(away).any(axis=1), np.nan, (np.abs(away) > BEYOND_SD).mean(axis=1))
    middle = (lowest + highest) / np.float32(2.0)
    block[:, 1] = np.where(gone, np.nan, (curves > middle[:, None]).mean(axis=1))
    block[:, 2] = np.where(gone, np.nan, curves.argmin(axis=1) / (CURVE_POINTS - 1))


def value_of(slot: AttributeSlot, booked: dict[tuple[str, str], str]) -> str | None:
    """The value a part carries in this slot, None when nobody booked it."""
    if slot.station_id:
        return booked.get((slot.station_id, slot.name))
    return next((value for (_, name), value in booked.items() if name == slot.name), None)


def as_number(value: str | None) -> float:
    """The value as a number, NaN when it is none."""
    try:
        number = float(value) if value is not None else np.nan
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan
