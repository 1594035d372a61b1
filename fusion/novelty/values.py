"""Attribute values that training never saw: which attributes they are news of, and what they may do to a risk.

Lots are always new and a new lot is no news. An attribute is *closed* when the later half of training's lots brought no
value that the earlier had not; only there a new value is named. What it may do is asked of the model itself: had the
part carried each of the values that were learned, how high would its risk be? Where none of them takes it over the
threshold the attribute does not matter and the part may pass, marked; where one does, little risk may not be believed.
A value counts as learned once history holds enough released labels of its parts: a new tool that runs in needs no
retraining and stops no line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.history import SHRINK_PARTS, HistoryView
from fusion.risk.features import AttributeSlot, FeatureRow, FeatureSpec, Floats, RowBuilder, raw_columns, value_of
from fusion.risk.model import RiskModels

VALUES_MAX = 100  # an attribute with more is no set of tools
LOTS_MIN = 8  # lots of the later half below which "nothing new" says too little (rule of three: at most 3 in 8 lots)
NEGLIGIBLE = 0.05  # logits; what moves the odds by less than a twentieth moves nothing a person would see
LABELS_LEARNED = SHRINK_PARTS  # then the value's own rate weighs as much as the line's


class ClosedAttribute(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute whose values are all known. `station_id` "": of the part. `lots`: that brought nothing new."""

    name: str
    station_id: str
    values: tuple[str, ...]
    lots: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """One value that training never saw. `reach`: logits by which the least and the most favourable of the values that
    were learned would lower and raise the risk."""

    name: str
    value: str
    station_id: str
    reach: tuple[float, float]

    def remark(self) -> str:
        """A sentence for a person."""
        at = f" at {self.station_id}" if self.station_id else ""
        low, high = self.reach
        return (
            f"{self.name}={self.value}{at} is new; the ones that were learned would make the odds "
            f"{math.exp(low):.2g} to {math.exp(high):.2g} times what they are"
            if high - low > NEGLIGIBLE
            else f"{self.name}={self.value}{at} is new; the risk does not depend on it"
        )


def closed_attributes(
    slots: Sequence[AttributeSlot], booked: Sequence[Mapping[tuple[str, str], str]], groups: npt.NDArray[np.intp]
) -> tuple[ClosedAttribute, ...]:
    """Of parts in the order of time, in lots int[n]."""
    lots, first = np.unique(groups, return_index=True)
    order = {int(lot): place for place, lot in enumerate(lots[np.argsort(first)])}
    late = np.array([order[int(group)] >= len(lots) // 2 for group in groups])
    lots_later = len(lots) - len(lots) // 2
    if lots_later < LOTS_MIN:
        return ()
    closed = []
    for slot in slots:
        carried = [value_of(slot, dict(values)) for values in booked]
        earlier = {value for value, later in zip(carried, late, strict=True) if value is not None and not later}
        news = any(
            value not in earlier for value, later in zip(carried, late, strict=True) if later and value is not None
        )
        if earlier and not news and not slot.numeric and len(earlier) <= VALUES_MAX:
            closed.append(
                ClosedAttribute(
                    name=slot.name, station_id=slot.station_id, values=tuple(sorted(earlier)), lots=lots_later
                )
            )
    return tuple(closed)


class KnownValues:
    """The closed attributes of one gate."""

    def __init__(self, closed: Sequence[ClosedAttribute], spec: FeatureSpec, builder: RowBuilder) -> None:
        slots = {(slot.name, slot.station_id): slot for slot in spec.attributes}
        self._closed = [(one, slots[one.name, one.station_id]) for one in closed if (one.name, one.station_id) in slots]
        self._known = {(one.name, one.station_id): frozenset(one.values) for one in closed}
        self._builder = builder
        names = [column.name for column in raw_columns(spec)]
        self._levels = {
            slot.label: np.array([names.index(f"attr:{slot.label}={value}") for value in slot.values], dtype=np.intp)
            for _, slot in self._closed
        }

    def unknown(
        self, booked: dict[tuple[str, str], str], row: FeatureRow, history: HistoryView, models: RiskModels, model: int
    ) -> tuple[Unknown, ...]:
        """The values of a part that are news; mostly none, which costs a look at each attribute."""
        found = []
        for one, slot in self._closed:
            value = value_of(slot, booked)
            if value is None or value in self._known[one.name, one.station_id]:
                continue
            counted = history.counts.get(f"{one.name}={value}")
            if counted is None or counted.labels < LABELS_LEARNED:
                reach = self._reach(row, self._levels[slot.label], models, model)
                found.append(Unknown(one.name, value, one.station_id, reach))
        return _merged(found)

    def _reach(
        self, row: FeatureRow, levels: npt.NDArray[np.intp], models: RiskModels, model: int
    ) -> tuple[float, float]:
        if not len(levels):
            return 0.0, 0.0
        raw: Floats = np.repeat(row.raw[None, :], len(levels) + 1, axis=0)
        raw[1:, levels] = np.eye(len(levels), dtype=np.float32)
        logits = models.logits(model, self._builder.derive(raw))
        moved = logits[1:] - logits[0]
        return min(0.0, float(moved.min())), max(0.0, float(moved.max()))


def _merged(found: Sequence[Unknown]) -> tuple[Unknown, ...]:
    """One of each value, with all the stations that booked it; what it may do at each adds up."""
    merged: dict[tuple[str, str], Unknown] = {}
    for one in found:
        key = (one.name, one.value)
        if (known := merged.get(key)) is not None:
            stations = ", ".join(filter(None, (known.station_id, one.station_id)))
            reach = (known.reach[0] + one.reach[0], known.reach[1] + one.reach[1])
            merged[key] = Unknown(one.name, one.value, stations, reach)
        else:
            merged[key] = one
    return tuple(merged.values())
