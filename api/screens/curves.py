"""Sensor curves against the band of good parts, as the points of an SVG drawing with its axes and its values."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from api.http.views import Curve, Exhibit
from api.wording.reader import reader

WIDTH = 320
HEIGHT = 96
MARGIN = 0.08  # of the height above and below, so that a line at the limit is not cut in half


TICKS_X, TICKS_Y = 5, 5  # at most, and one more at the end: a number is as wide as a sixth of the drawing


@dataclass(frozen=True, slots=True)
class Tick:
    """A number on an axis; `at`: its place, % of the drawing from the left or from the top."""

    at: float
    said: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the plan. `y`: where it is drawn; None when it is far off."""

    said: str
    y: float | None


@dataclass(frozen=True, slots=True)
class Readout:
    """What is read out under the pointer: numbers separated by blanks, `-` where there is none. `seconds` since the
    visit began, empty when nobody timed the samples; `low`, `high`: the band's."""

    seconds: str
    values: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """One channel, ready to draw. Coordinates in a box WIDTH x HEIGHT. `outside`: share of points out of the band."""

    station_id: str
    channel: str
    unit: str
    line: str
    band: str
    outside_line: tuple[str, ...]
    lower: Limit | None
    upper: Limit | None
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    readout: Readout
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
        line=_path(scale, points),
        band=_band(scale, low_band, high_band),
        outside_line=_runs(scale, points, outside),
        lower=_limit(curve.lower, near, scale),
        upper=_limit(curve.upper, near, scale),
        ticks_x=_ticks_x(curve.t, len(points)),
        ticks_y=_ticks_y(scale),
        readout=Readout(*map(_listed, (curve.t or (), points, low_band, high_band))),
        low=min(known),
        high=max(known),
        mean=sum(known) / len(known),
        outside=sum(outside) / len(points),
        is_cause=any(f"{station_id}.{channel}" in name for name in cause_names),
    )


def _limit(limit: float | None, near: Sequence[float], scale: _Scale) -> Limit | None:
    if limit is None:
        return None
    return Limit(reader().language.number(limit, ".4g"), round(scale.y(limit), 1) if limit in near else None)


def _listed(values: Sequence[float]) -> str:
    """Four digits are more than a drawing of this height shows."""
    return " ".join(f"{value:.4g}" if math.isfinite(value) else "-" for value in values)


def _ticks_y(scale: _Scale) -> tuple[Tick, ...]:
    ticks = _round_numbers(scale.lowest, scale.highest, TICKS_Y)
    return tuple(Tick(round(100 * scale.y(value) / HEIGHT, 1), said) for value, said in ticks)


def _ticks_x(times: Sequence[float] | None, points: int) -> tuple[Tick, ...]:
    """Seconds since the start of the visit. Samples stand one beside the other, so a time is placed between them."""
    if not times or len(times) != points or points == 1 or times[-1] <= times[0]:
        return ()
    ticks = _round_numbers(times[0], times[-1], TICKS_X)
    return tuple(Tick(round(100 * _place(times, value) / (points - 1), 1), said) for value, said in ticks)


def _place(times: Sequence[float], at: float) -> float:
    after = min(max(bisect_right(times, at), 1), len(times) - 1)
    before = after - 1
    width = times[after] - times[before]
    return before + min(1.0, max(0.0, (at - times[before]) / width)) if width > 0 else float(before)


def _round_numbers(low: float, high: float, at_most: int) -> list[tuple[float, str]]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers, with what is written beside them."""
    span = high - low
    if not math.isfinite(span) or span < max(1e-300, 1e-9 * max(abs(low), abs(high))):  # no two round numbers in it
        return [(low, reader().language.number(low, ".4g"))]
    rough = span / at_most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one for factor in (1, 2, 5, 10, 20) if (one := factor * power) >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    form = f".{digits}f" if 1e-4 <= step < 1e6 else ".3g"
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(n * step, reader().language.number(n * step + 0.0, form)) for n in range(first, last + 1)]


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
