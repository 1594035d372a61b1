"""Sensor curves against the band of good parts, as the points of an SVG drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from api.views import Curve, Exhibit

WIDTH = 320
HEIGHT = 96
MARGIN = 0.08  # of the height above and below, so that a line at the limit is not cut in half


@dataclass(frozen=True, slots=True)
class Drawing:
    """One channel, ready to draw. Coordinates in a box WIDTH x HEIGHT. `outside`: share of points out of the band."""

    station_id: str
    channel: str
    unit: str
    seconds: float | None
    line: str
    band: str
    outside_line: tuple[str, ...]
    limits: tuple[float, ...]
    low: float
    high: float
    mean: float
    outside: float
    is_cause: bool


def draw_curves(exhibit: Exhibit, cause_names: frozenset[str]) -> list[Drawing]:
    """Every channel: those that are causes first, then by how much of them is out of the band."""
    drawings = [
        drawing
        for station_id, channels in exhibit.curves.items()
        for channel, curve in channels.items()
        if (drawing := _draw(station_id, channel, curve, cause_names)) is not None
    ]
    return sorted(drawings, key=lambda one: (not one.is_cause, -one.outside, one.station_id, one.channel))


def _draw(station_id: str, channel: str, curve: Curve, cause_names: frozenset[str]) -> Drawing | None:
    points = [math.nan if value is None else value for value in curve.curve]
    known = [value for value in points if math.isfinite(value)]
    if not known:
        return None
    low_band, high_band = _finite(curve.golden_low, len(points)), _finite(curve.golden_high, len(points))
    shown = known + [value for value in low_band + high_band if math.isfinite(value)]
    lowest, highest = min(shown), max(shown)
    near = [limit for limit in (curve.lower, curve.upper) if limit is not None and _near(limit, lowest, highest)]
    scale = _Scale(min([lowest, *near]), max([highest, *near]), len(points))
    outside = [_is_outside(*three) for three in zip(points, low_band, high_band, strict=True)]
    return Drawing(
        station_id=station_id,
        channel=channel,
        unit=curve.unit,
        seconds=curve.t[-1] if curve.t else None,
        line=_path(scale, points),
        band=_band(scale, low_band, high_band),
        outside_line=_runs(scale, points, outside),
        limits=tuple(round(scale.y(limit), 1) for limit in near),
        low=min(known),
        high=max(known),
        mean=sum(known) / len(known),
        outside=sum(outside) / len(points),
        is_cause=any(f"{station_id}.{channel}" in name for name in cause_names),
    )


def _finite(values: Sequence[float | None] | None, points: int) -> list[float]:
    if values is None or len(values) != points:
        return [math.nan] * points
    return [math.nan if value is None else value for value in values]


def _near(limit: float, lowest: float, highest: float) -> bool:
    """A limit far away would press the curve flat; it is drawn only within one span of it."""
    span = (highest - lowest) or abs(highest) or 1.0
    return lowest - span <= limit <= highest + span


def _is_outside(value: float, low: float, high: float) -> bool:
    return value < low or value > high  # false where any is NaN


@dataclass(frozen=True, slots=True)
class _Scale:
    lowest: float
    highest: float
    points: int

    def x(self, index: int) -> float:
        return WIDTH / 2 if self.points == 1 else index / (self.points - 1) * WIDTH

    def y(self, value: float) -> float:
        span = self.highest - self.lowest
        place = 0.5 if span <= 0 else (value - self.lowest) / span
        return HEIGHT * (1 - MARGIN - place * (1 - 2 * MARGIN))

    def at(self, index: int, value: float) -> str:
        return f"{self.x(index):.1f},{self.y(value):.1f}"


def _path(scale: _Scale, points: Sequence[float]) -> str:
    if len(points) == 1:
        y = scale.y(points[0])
        return f"0,{y:.1f} {WIDTH},{y:.1f}"
    return " ".join(scale.at(index, value) for index, value in enumerate(points) if math.isfinite(value))


def _band(scale: _Scale, low: Sequence[float], high: Sequence[float]) -> str:
    both = [index for index in range(len(low)) if math.isfinite(low[index]) and math.isfinite(high[index])]
    there = [scale.at(index, high[index]) for index in both]
    back = [scale.at(index, low[index]) for index in reversed(both)]
    return " ".join(there + back)


def _runs(scale: _Scale, points: Sequence[float], outside: Sequence[bool]) -> tuple[str, ...]:
    """The stretches out of the band, each with its neighbours so that a single point shows too."""
    runs: list[list[int]] = []
    for index, out in enumerate(outside):
        if not out:
            continue
        if runs and runs[-1][-1] >= index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    lines = []
    for run in runs:
        stretch = range(max(0, run[0] - 1), min(len(points), run[-1] + 2))
        lines.append(" ".join(scale.at(index, points[index]) for index in stretch if math.isfinite(points[index])))
    return tuple(lines)
