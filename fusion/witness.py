"""Witness: sentences with numbers that a person can check against the part, one entity at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fusion.features import (
    CHANNEL_COLUMNS,
    HISTORY_COLUMNS,
    ChannelSlot,
    FeatureRow,
    FeatureSpec,
    Floats,
    raw_columns,
    value_of,
)
from fusion.sight import worst_frame
from ingest.evidence import Evidence
from ingest.plan import Plan

COMPARED = ("mean", "min", "max", "std", "slope", "first", "last")  # what a person can read off a curve
_COMPARED_AT = tuple(CHANNEL_COLUMNS.index(name) for name in COMPARED)
BOXES_TOLD = 3
RATIO_TOLD = 1.2  # a tool 20 % worse than its line is worth a sentence


class Witness:
    """Of one gate. `band_low`, `band_high`: float32[raw columns], where 99 % of good parts lie."""

    def __init__(self, spec: FeatureSpec, plan: Plan, band_low: Floats, band_high: Floats) -> None:
        self._channels = {slot.entity: (i, slot) for i, slot in enumerate(spec.channels)}
        self._slots = {f"attr:{slot.label}": slot for slot in spec.attributes}
        line = plan.line(spec.line_id)
        self._cameras: Mapping[str, str] = {c.camera_id: c.station_id for c in line.cameras} if line else {}
        self._history_at = {c.name: i for i, c in enumerate(raw_columns(spec)) if c.source == "history"}
        self._low: list[float] = band_low.tolist()
        self._high: list[float] = band_high.tolist()

    def station_of(self, entity: str, evidence: Evidence) -> str:
        """The station an entity belongs to; for an attribute of the whole part, the first that booked it."""
        if entity in self._channels:
            return self._channels[entity][1].station_id
        if entity.startswith("camera:"):
            return self._cameras.get(entity.removeprefix("camera:"), "")
        slot = self._slots.get(entity)
        if slot is None:
            return ""
        return slot.station_id or next((s for s, name in evidence.attributes if name == slot.name), "")

    def of(self, entity: str, evidence: Evidence, row: FeatureRow) -> list[str]:
        """What can be said of one entity of this part."""
        if entity in self._channels:
            return self._of_channel(*self._channels[entity], row)
        if entity.startswith("camera:"):
            return _of_camera(entity.removeprefix("camera:"), evidence)
        return self._of_attribute(entity, evidence, row)

    def _of_channel(self, place: int, slot: ChannelSlot, row: FeatureRow) -> list[str]:
        at = place * len(CHANNEL_COLUMNS)
        values: list[float] = row.raw[at : at + len(CHANNEL_COLUMNS)].tolist()
        sentences = []
        worst, most_beyond = -1, -1.0
        for i in _COMPARED_AT:
            low, high = self._low[at + i], self._high[at + i]
            width = max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-9)
            beyond = max(0.0, round(max(low - values[i], values[i] - high) / width, 6))  # inside the band: the mean
            if not math.isnan(values[i]) and beyond > most_beyond:
                worst, most_beyond = i, beyond
        if worst >= 0:
            unit = "" if CHANNEL_COLUMNS[worst] == "slope" else f" {slot.unit}".rstrip()
            band = f"{self._low[at + worst]:.4g}..{self._high[at + worst]:.4g}{unit}"
            sentences.append(f"{slot.entity}: {CHANNEL_COLUMNS[worst]} {values[worst]:.4g}{unit}, good parts {band}")
        least, most = values[CHANNEL_COLUMNS.index("min")], values[CHANNEL_COLUMNS.index("max")]
        if slot.upper is not None and most > slot.upper:
            sentences.append(f"{slot.entity}: max {most:.4g} {slot.unit} over the limit {slot.upper:g} {slot.unit}")
        if slot.lower is not None and least < slot.lower:
            sentences.append(f"{slot.entity}: min {least:.4g} {slot.unit} under the limit {slot.lower:g} {slot.unit}")
        away = values[CHANNEL_COLUMNS.index("golden_max")]
        if away > 3.0:  # the band drawn on the screen is three standard deviations wide
            sentences.append(f"{slot.entity}: curve up to {away:.1f} standard deviations off the golden cycle")
        return sentences

    def _of_attribute(self, entity: str, evidence: Evidence, row: FeatureRow) -> list[str]:
        slot = self._slots.get(entity)
        value = value_of(slot, evidence.attributes) if slot is not None else None
        if slot is None or value is None:
            return []
        sentences = []
        for name, said in zip(HISTORY_COLUMNS, ("mean risk of its parts", "released defect rate"), strict=True):
            ratio = math.exp(float(row.raw[self._history_at[f"history:{slot.label}:{name}"]]))
            if ratio >= RATIO_TOLD:
                sentences.append(f"{slot.name}={value}: {said} lately {ratio:.1f} times the line's")
        return sentences or [f"{slot.name}={value} at {self.station_of(entity, evidence)}"]


def _of_camera(camera_id: str, evidence: Evidence) -> list[str]:
    worst = worst_frame(evidence.findings.get(camera_id, ()))
    if worst is None or worst.score is None:
        return []
    against = f", threshold {worst.threshold:.4g}" if worst.threshold is not None else ""
    sentences = [f"frame {worst.frame_id}: score {worst.score:.4g}{against}"]
    for box in sorted(worst.boxes, key=lambda box: (-box.score, box.x, box.y))[:BOXES_TOLD]:
        kind = f" {box.kind}" if box.kind else ""
        sentences.append(f"region x {box.x} y {box.y} {box.width} × {box.height} px, score {box.score:.2g}{kind}")
    return sentences
