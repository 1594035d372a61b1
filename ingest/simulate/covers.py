"""Line L2, covers: preheated and bonded, screwed. What each part is like, what went wrong, what sensors show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ingest.simulate.cycles import Cycles, coloured, happens, scattered, sigmoid, smooth_step
from ingest.simulate.plant import COVERS_LINE, PRODUCTS, Bools, Floats, Texts, stream, wander
from ingest.simulate.roster import Fault, Roster, choose

DRIVERS = ("D1", "D2")
PLATES = ("F41", "F42", "F43")
RECIPES = ("R1", "R2")
#: Every third batch or so runs the fast adhesive; it must not get hot, the standard one does not mind.
FAST_BATCH_EVERY = 3

PLATE_C, PLATE_SD_C = 118.0, 2.0  # where the plate ends, in control
OVERSHOOT_EVERY_PARTS, OVERSHOOT_PARTS, OVERSHOOT_C = 70, 14, 8.0  # the thermostat's limit cycle
BOND_LIMIT_C, BOND_EDGE_C, BOND_CHANCE = 124.5, 0.8, 0.45
SCREW_EVERY_PARTS = 130
SCREW_NEAR_CHANCE = 0.02  # conspicuous and yet good
SCRATCH_EVERY_PARTS = 160


@dataclass(frozen=True, slots=True)
class CoverState:
    """The physical truth of each part; arrays with one entry a part.

    `plate_c`: end temperature of the plate. `seat`: share of the visit when the head seats (0.55 nominal).
    `prevailing_nm`: torque of the thread before seating. `scratch`: contrast in grey levels.
    """

    driver: Texts
    plate: Texts
    recipe: Texts
    plate_c: Floats
    seat: Floats
    prevailing_nm: Floats
    scratch: Floats
    second: Bools


@dataclass(frozen=True, slots=True)
class Covers:
    """Line L2 as it was run."""

    roster: Roster
    state: CoverState
    faults: tuple[Fault, ...]

    def attributes(self, station_id: str) -> Mapping[str, Texts]:
        """What the visits of a station book, by part."""
        state = self.state
        common = {"supplier_lot": self.roster.lots}
        booked: dict[str, Mapping[str, Texts]] = {
            "OP110": {"recipe": state.recipe, "fixture_id": state.plate},
            "OP120": {"tool_id": state.driver},
        }
        return {**common, **booked.get(station_id, {})}

    def samples(self, seed: int, station_id: str, cycles: Cycles) -> Mapping[str, Floats]:
        """Channel -> samples of a station, in the order of `cycles`."""
        rng = stream(seed, COVERS_LINE, station_id, "samples")
        curve = {"OP110": _preheat, "OP120": _screw}[station_id]
        return curve(self.state, cycles, rng)


def draw_covers(seed: int, roster: Roster) -> Covers:
    """Draw the parts of L2 and what befell them."""
    rng = stream(seed, COVERS_LINE, "state")
    count = len(roster)
    recipe, plate_c = _recipes(rng, roster), _plate_temperature(rng, count)
    fast = recipe == RECIPES[1]
    gap = happens(rng, np.where(fast, BOND_CHANCE * sigmoid((plate_c - BOND_LIMIT_C) / BOND_EDGE_C), 0.0))
    crossed = scattered(rng, count, SCREW_EVERY_PARTS)
    scratched = scattered(rng, count, SCRATCH_EVERY_PARTS)
    seat, prevailing = _thread(rng, crossed)
    hairline = np.where(rng.random(count) < 0.1, rng.uniform(3.0, 11.0, count), 0.0)
    state = CoverState(
        driver=choose(rng, DRIVERS, count),
        plate=choose(rng, PLATES, count),
        recipe=recipe,
        plate_c=plate_c,
        seat=seat,
        prevailing_nm=prevailing,
        scratch=np.where(scratched, rng.uniform(16.0, 65.0, count), hairline),
        second=roster.products == PRODUCTS[1],
    )
    same = np.full(count, "", dtype=np.str_)
    pair = " & ".join(sorted(("OP110.plate_c", f"recipe={RECIPES[1]}")))
    faults = (
        Fault("recipe_heat", "bond_gap", gap, np.char.add(pair, same)),
        Fault("cross_thread", "loose_screw", crossed, np.char.add("OP120.torque_nm", same)),
        Fault("handling", "scratch", scratched, np.char.add("camera:cover", same)),
    )
    return Covers(roster, state, faults)


def _recipes(rng: np.random.Generator, roster: Roster) -> Texts:
    """By batch; one of each three consecutive batches runs the fast adhesive, whatever its product."""
    _, batch = np.unique(roster.batch_ids, return_inverse=True)
    count = int(batch.max()) + 1
    fast = np.zeros(count, dtype=np.bool_)
    for start in range(0, count, FAST_BATCH_EVERY):
        fast[min(start + int(rng.integers(FAST_BATCH_EVERY)), count - 1)] = True
    return np.where(fast[batch], RECIPES[1], RECIPES[0])


def _plate_temperature(rng: np.random.Generator, count: int) -> Floats:
    """In-control wander and scatter, and an overshoot of some parts' length once in each cycle of the thermostat."""
    level = PLATE_C + wander(rng, count, 30, 0.8 * PLATE_SD_C) + rng.normal(0.0, 0.6 * PLATE_SD_C, count)
    for start in range(0, count, OVERSHOOT_EVERY_PARTS):
        begin = start + int(rng.integers(OVERSHOOT_EVERY_PARTS - OVERSHOOT_PARTS))
        bump = OVERSHOOT_C * np.sin(np.pi * (np.arange(OVERSHOOT_PARTS) + 0.5) / OVERSHOOT_PARTS) ** 0.5
        level[begin : begin + OVERSHOOT_PARTS] += bump[: max(count - begin, 0)]
    return level


def _thread(rng: np.random.Generator, crossed: Bools) -> tuple[Floats, Floats]:
    """Where the head seats and what the thread resists. A crossed thread resists more and stops the screw early."""
    count = len(crossed)
    seat = rng.normal(0.55, 0.012, count)
    prevailing = rng.lognormal(np.log(0.42), 0.10, count)
    near = rng.random(count) < SCREW_NEAR_CHANCE
    seat -= np.where(near, rng.uniform(0.02, 0.05, count), 0.0)
    prevailing *= np.where(near, rng.uniform(1.1, 1.5, count), 1.0)
    seat -= np.where(crossed, rng.uniform(0.045, 0.13, count), 0.0)
    prevailing *= np.where(crossed, rng.uniform(1.3, 2.4, count), 1.0)
    return seat, prevailing


def _preheat(state: CoverState, cycles: Cycles, rng: np.random.Generator) -> Mapping[str, Floats]:
    """A first-order lag from the hall's temperature towards the plate's, and the heater's power that goes with it."""
    part = cycles.part
    hall = 22.0 + 3.0 * np.sin(2 * np.pi * (cycles.ts_ms / 1000.0 - 9 * 3600.0) / 86_400.0)
    lag_s = 0.55 * rng.normal(1.0, 0.03, len(state.plate_c))[part]
    grown = 1.0 - np.exp(-cycles.t_s / lag_s)
    plate = hall + (state.plate_c[part] - hall) * grown + coloured(rng, len(cycles), 0.4)
    spread = rng.normal(1.0, 0.02, len(state.plate_c))[part]
    power = 180.0 + 1450.0 * (1.0 - grown) * spread + coloured(rng, len(cycles), 12.0)
    return {"plate_c": plate, "heater_power_w": power}


def _screw(state: CoverState, cycles: Cycles, rng: np.random.Generator) -> Mapping[str, Floats]:
    """Run-down at the thread's prevailing torque, then from the seating point torque rises with the angle (joint
    stiffness) until the driver stops at its target."""
    part = cycles.part
    seat = state.seat[part]
    turning = smooth_step(cycles.u, 0.08, 0.008)
    rise = np.clip((cycles.u - seat) / 0.16, 0.0, 1.0)
    target = np.where(state.second[part], 3.3, 3.0) * rng.normal(1.0, 0.012, len(state.seat))[part]
    stopped = smooth_step(cycles.u, seat + 0.22, 0.008)
    prevailing = state.prevailing_nm[part]
    torque = (turning * prevailing + rise**1.3 * (target - prevailing)) * (1.0 - stopped)
    torque += coloured(rng, len(cycles), 0.04)
    turned = np.clip(cycles.u - 0.08, 0.0, None)
    angle = 2600.0 * np.minimum(turned, seat - 0.08) / 0.47 + 95.0 * rise + coloured(rng, len(cycles), 1.5)
    return {"torque_nm": torque, "angle_deg": angle}
