"""Evidence: all that is known of one part at one gate, as the join hands it to the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.messages import Findings, Instant, Visit

CURVE_POINTS = 64  # a cycle's shape: enough for a golden band on the screen, 256 bytes a channel in state

#: Order of the exact statistics in `ChannelWindow.stats`.
STATS = ("mean", "std", "min", "max", "median", "slope", "first", "last", "energy", "range_p95", "max_at", "count")


@dataclass(frozen=True, slots=True)
class ChannelWindow:
    """One channel during one visit, reduced.

    `stats`: float32[len(STATS)] computed from the raw samples (NaN where undefined). `curve`: float32[CURVE_POINTS],
    means of equal slices of the visit's duration (empty slices interpolated).
    """

    stats: npt.NDArray[np.float32]
    curve: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StationWindow:
    """The samples of one station during one visit, reduced when they are used.

    `complete`: the plan's need `sensors:<station>` is met by it. `shift_ms`: clock correction added to the
    samples' times before they were assigned to the visit.
    """

    station_id: str
    started_at: Instant
    ended_at: Instant
    samples: int
    complete: bool
    channels: dict[str, ChannelWindow]
    shift_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the judge sees. Pure value: equal inputs in any order give equal evidence (but for `late`, `newest_at`).

    `visits`: of this attempt up to the gate's station, ordered by start; upstream stations that this attempt did not
    revisit carry their latest earlier visit. `windows` and `findings` likewise, by station and by camera
    (latest frame last). `present`/`missing`/`unfit`/`late` name sources as in `needs`; `late` came after the
    gate closed. `event_at`: the end of the visit that brought the part to the gate, else the newest
    evidence's own time.
    `newest_at`: the log's time of the newest evidence used.
    """

    line_id: str
    gate_id: str
    part_id: str
    attempt: int
    product: str
    batch_id: str
    visits: tuple[Visit, ...]
    windows: Mapping[str, StationWindow]
    findings: Mapping[str, tuple[Findings, ...]]
    present: tuple[str, ...]
    missing: tuple[str, ...]
    unfit: tuple[str, ...]
    late: tuple[str, ...]
    complete: bool
    event_at: Instant
    newest_at: Instant
    clock: Mapping[str, float]

    @property
    def attributes(self) -> dict[tuple[str, str], str]:
        """(station_id, attribute) -> value, of the visits above; ungranted ones still in it: the judge filters."""
        return {(v.station_id, name): value for v in self.visits for name, value in v.attributes.items()}
