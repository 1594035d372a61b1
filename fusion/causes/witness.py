"""Witness: sentences with numbers that a person can check against the part, one entity at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fusion.history import Counted
from fusion.risk.features import (
    CHANNEL_COLUMNS,
    HISTORY_COLUMNS,
    ChannelSlot,
    FeatureRow,
    Floats,
    RowBuilder,
    raw_columns,
    value_of,
)
from fusion.risk.sight import worst_frame
from ingest.join.evidence import CURVE_POINTS, STATS, Evidence
from ingest.plan.plan import Plan

COMPARED = ("mean", "min", "max", "std", "slope", "first", "last")  # what a person can read off a curve
_COMPARED_AT = tuple(CHANNEL_COLUMNS.index(name) for name in COMPARED)
BOXES_TOLD = 3
RATIO_TOLD = 1.2  # a tool 20 % worse than its line is worth a sentence
GOLDEN_SD = 3.0  # the band drawn on the screen is three standard deviations wide
SHAPE_SAMPLES_MIN = 4  # samples of a visit below which a curve has no when
BAND = (0.005, 0.995)  # where good parts lie in what two channels make together


class Witness:
    """Of one gate. `band_low`, `band_high`: float32[raw columns], where 99 % of good parts lie; `reference`: float32[m,
    raw columns], good parts."""

    def __init__(self, builder: RowBuilder, plan: Plan, band_low: Floats, band_high: Floats, reference: Floats) -> None:
        spec = builder.spec
        self._builder = builder
        self._reference = reference
        self._bands: dict[tuple[str, str], list[tuple[float, float]]] = {}  # of pairs asked for, a function of them
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

    def of(self, entity: str, evidence: Evidence, row: FeatureRow, counts: Mapping[str, Counted]) -> list[str]:
        """What can be said of one entity of this part. `counts`: what history's means of attribute values rest on."""
        if entity in self._channels:
            place, slot = self._channels[entity]
            return [*self._of_channel(place, slot, row), *self._when(place, slot, evidence)]
        if entity.startswith("camera:"):
            return _of_camera(entity.removeprefix("camera:"), evidence)
        return self._of_attribute(entity, evidence, row, counts)

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
        return sentences

    def _when(self, place: int, slot: ChannelSlot, evidence: Evidence) -> list[str]:
        """Where in its cycle a channel left the golden band, longest stretch first."""
        window = evidence.windows.get(slot.station_id)
        channel = window.channels.get(slot.channel) if window is not None else None
        if window is None or channel is None or not channel.stats[STATS.index("count")] >= SHAPE_SAMPLES_MIN:
            return []
        norms, product = self._builder.norms, self._builder.product_at(evidence.product)
        away = np.nan_to_num((channel.curve - norms.golden_mean[product, place]) / norms.golden_sd[product, place])
        out = np.abs(away) > GOLDEN_SD
        if not out.any():
            return []
        edges = np.flatnonzero(np.diff(out, prepend=False, append=False)).reshape(-1, 2)
        begin, end = (int(edge) for edge in edges[np.argmax(edges[:, 1] - edges[:, 0])])
        peak = float(away[begin:end][np.argmax(np.abs(away[begin:end]))])
        lasts_ms = window.ended_at - window.started_at
        since, until = begin * lasts_ms // CURVE_POINTS, end * lasts_ms // CURVE_POINTS
        side = "over" if peak > 0 else "under"
        return [
            f"{slot.entity}: {side} the golden band from {since} to {until} ms of its {lasts_ms} ms cycle, "
            f"{abs(peak):.1f} standard deviations at most; {out.mean():.0%} of the cycle outside"
        ]

    def of_pair(self, first: str, second: str, row: FeatureRow) -> list[str]:
        """What two channels make together, their means' product or difference, where it is out of the usual though
        its band is of good parts too."""
        if first not in self._channels or second not in self._channels:
            return []
        left, right = sorted((first, second))
        a, b = (float(row.raw[self._channels[entity][0] * len(CHANNEL_COLUMNS)]) for entity in (left, right))
        bands = self._pair_bands(left, right)
        return [
            f"{left} {sign} {right}: {value:.4g} of the means, good parts {low:.4g}..{high:.4g}"
            for sign, value, (low, high) in zip("×-", (a * b, a - b), bands, strict=True)
            if math.isfinite(value) and not low <= value <= high
        ]

    def _pair_bands(self, left: str, right: str) -> list[tuple[float, float]]:
        """Where good parts' products and differences of two means lie."""
        if (left, right) not in self._bands:
            a, b = (self._reference[:, self._channels[entity][0] * len(CHANNEL_COLUMNS)] for entity in (left, right))
            both = np.isfinite(a) & np.isfinite(b)
            edges = [np.quantile(good[both], BAND) for good in (a * b, a - b)] if both.any() else [(np.nan, np.nan)] * 2
            self._bands[left, right] = [(float(low), float(high)) for low, high in edges]
        return self._bands[left, right]

    def _of_attribute(
        self, entity: str, evidence: Evidence, row: FeatureRow, counts: Mapping[str, Counted]
    ) -> list[str]:
        slot = self._slots.get(entity)
        value = value_of(slot, evidence.attributes) if slot is not None else None
        if slot is None or value is None:
            return []
        named = f"{slot.name}={value}"
        of = counts.get(named, Counted())
        bases = (
            ("mean risk of its parts", f"{of.parts:.0f} parts"),
            ("released defect rate", f"{of.defects:.1f} of {of.labels:.0f} labelled, {of.expected:.1f} expected"),
        )
        sentences = []
        for name, (said, basis) in zip(HISTORY_COLUMNS, bases, strict=True):
            ratio = math.exp(float(row.raw[self._history_at[f"history:{slot.label}:{name}"]]))
            if ratio >= RATIO_TOLD:
                counted = f" ({basis}, older ones count less)" if of.parts or of.labels else ""
                sentences.append(f"{named}: {said} lately {ratio:.1f} times the line's{counted}")
        return sentences or [f"{named} at {self.station_of(entity, evidence)}"]


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
