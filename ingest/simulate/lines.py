"""The lines of the plant as they were run: parts, states and faults drawn, nothing written yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ingest.simulate.covers import draw_covers
from ingest.simulate.cycles import Cycles
from ingest.simulate.housings import draw_housings
from ingest.simulate.plant import HOUSINGS_LINE, LINES, Floats, LineLayout, Texts
from ingest.simulate.roster import Fault, Roster, draw_roster


class Line(Protocol):
    """One line as it was run: its parts, what befell them, what they book and show."""

    @property
    def roster(self) -> Roster: ...
    @property
    def faults(self) -> tuple[Fault, ...]: ...
    def attributes(self, station_id: str) -> Mapping[str, Texts]:
        """What the visits of a station book, by part."""

    def samples(self, seed: int, station_id: str, cycles: Cycles) -> Mapping[str, Floats]:
        """Channel -> samples of a station, in the order of `cycles`."""


def draw_lines(seed: int, parts: int) -> tuple[tuple[LineLayout, Line], ...]:
    """Each line with its share of the parts."""
    first = round(parts * LINES[0].share)
    return tuple(
        (layout, _draw_line(seed, layout, count)) for layout, count in zip(LINES, (first, parts - first), strict=True)
    )


def _draw_line(seed: int, layout: LineLayout, count: int) -> Line:
    roster = draw_roster(seed, layout.line_id, layout.prefix, count)
    return draw_housings(seed, roster) if layout.line_id == HOUSINGS_LINE else draw_covers(seed, roster)
