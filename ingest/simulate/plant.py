"""The layout of the simulated plant: its control plan, its stations' timing, and where its randomness comes from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.messages import Instant

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]

#: Half an hour before a change of shift, so that short folders hold two shifts.
STARTED_AT = Instant.parse("2026-01-05T13:30:00.000Z")

HOUSINGS_LINE = "L1"
COVERS_LINE = "L2"
PRODUCTS = ("HSG-4", "HSG-6")

PLAN_YAML = """\
plan: 1
plant: simulated-housings
owners: {objective: qa.director, model: ml.lead, stop: shift.lead}
objective: {escape_cost: 120.0, review_cost: 4.0, currency: USD}
constraints: {escape_rate_max: 0.008, review_share_max: 0.10, latency_ms_max: 500, forbidden_causes: [operator_id]}
grants: {topics: [qc.frames, qc.sensors, qc.production, qc.defects], actions: [flag, divert], retention_days: 400, \
disk_gib_max: 20}
audit: {share: 0.01, per: [product, shift]}
reviews: {blind_share: 0.05, second_share: 0.05, known_share: 0.02}
lines:
  - line_id: L1
    stations:
      - station_id: OP10
        name: Mill the face
        channels:
          - {channel: spindle_current_a, unit: A, lower: 1.0, upper: 9.5, rate_hz: 100}
          - {channel: coolant_c, unit: C, lower: 15.0, upper: 32.0, rate_hz: 100}
          - {channel: vibration_mm_s, unit: mm/s, rate_hz: 100}
      - station_id: OP20
        name: Bore
        channels:
          - {channel: spindle_current_a, unit: A, lower: 0.8, upper: 7.5, rate_hz: 100}
          - {channel: feed_force_n, unit: N, rate_hz: 100}
      - station_id: OP30
        name: Press the bush in
        channels:
          - {channel: press_force_kn, unit: kN, rate_hz: 100}
          - {channel: press_travel_mm, unit: mm, rate_hz: 100}
      - {station_id: OP40, name: Final inspection, channels: []}
    cameras:
      - {camera_id: face, station_id: OP20, pixel_mm: 0.20}
      - {camera_id: side, station_id: OP40, pixel_mm: 0.15}
    gates:
      - {gate_id: MID, after: OP20, deadline_ms: 500, needs: [camera:face, sensors:OP10, sensors:OP20]}
      - gate_id: EOL
        after: OP40
        deadline_ms: 500
        needs: [camera:face, camera:side, sensors:OP10, sensors:OP20, sensors:OP30]
  - line_id: L2
    stations:
      - station_id: OP110
        name: Preheat and bond
        channels:
          - {channel: plate_c, unit: C, lower: 15.0, upper: 140.0, rate_hz: 50}
          - {channel: heater_power_w, unit: W, rate_hz: 50}
      - station_id: OP120
        name: Drive the screws
        channels:
          - {channel: torque_nm, unit: N.m, lower: -0.5, upper: 4.5, rate_hz: 100}
          - {channel: angle_deg, unit: deg, rate_hz: 100}
      - {station_id: OP130, name: Final inspection, channels: []}
    cameras:
      - {camera_id: cover, station_id: OP130, pixel_mm: 0.15}
    gates:
      - {gate_id: EOL, after: OP130, deadline_ms: 500, needs: [camera:cover, sensors:OP110, sensors:OP120]}
"""


@dataclass(frozen=True, slots=True)
class StationTiming:
    """`cycle_ms`: mean duration of a visit; `rate_hz` 0: nothing is sampled there."""

    station_id: str
    cycle_ms: float
    rate_hz: int


@dataclass(frozen=True, slots=True)
class CameraPlace:
    """`period_s`: of the lighting's drift, another one for each camera so that they do not move together."""

    camera_id: str
    station_id: str
    period_s: float


@dataclass(frozen=True, slots=True)
class LineLayout:
    """`rework`: the sequences of stations (by place along the line) that a reworked part takes again.

    `takt_ms`: L1 makes three parts while L2 makes two, so that both lines end together.
    """

    line_id: str
    prefix: str
    share: float
    takt_ms: float
    stations: tuple[StationTiming, ...]
    cameras: tuple[CameraPlace, ...]
    rework: tuple[tuple[int, ...], ...]


LINES = (
    LineLayout(
        line_id=HOUSINGS_LINE,
        prefix="H",
        share=0.6,
        takt_ms=3000.0,
        stations=(
            StationTiming("OP10", 2200.0, 100),
            StationTiming("OP20", 2000.0, 100),
            StationTiming("OP30", 1600.0, 100),
            StationTiming("OP40", 1200.0, 0),
        ),
        cameras=(CameraPlace("face", "OP20", 3100.0), CameraPlace("side", "OP40", 2300.0)),
        rework=((3,), (3,), (1, 3)),
    ),
    LineLayout(
        line_id=COVERS_LINE,
        prefix="C",
        share=0.4,
        takt_ms=4500.0,
        stations=(
            StationTiming("OP110", 3000.0, 50),
            StationTiming("OP120", 2400.0, 100),
            StationTiming("OP130", 1200.0, 0),
        ),
        cameras=(CameraPlace("cover", "OP130", 2700.0),),
        rework=((2,), (1, 2)),
    ),
)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent source of randomness for one purpose: drawing more elsewhere changes nothing here."""
    words = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, *words]))


def wander(rng: np.random.Generator, count: int, memory: int, sd: float) -> Floats:
    """In-control drift: a stationary AR(1) of standard deviation `sd` that forgets in about `memory` steps."""
    keep = 1.0 - 1.0 / memory
    steps = rng.normal(0.0, sd * float(np.sqrt(1.0 - keep * keep)), count)
    level = rng.normal(0.0, sd)
    path = np.empty(count)
    for place, step in enumerate(steps):
        level = keep * level + step
        path[place] = level
    return path
