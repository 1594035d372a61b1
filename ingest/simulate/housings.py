"""Line L1, housings: milled, bored, a bush pressed in. What each part is like, what went wrong, what sensors show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ingest.simulate.cycles import Cycles, coloured, happens, scattered, smooth_step
from ingest.simulate.plant import HOUSINGS_LINE, PRODUCTS, Bools, Floats, Texts, stream, wander
from ingest.simulate.roster import Fault, Roster, choose

MILLS = ("T1", "T2", "T3")
BORERS = ("T21", "T22")
FIXTURES = ("F21", "F22", "F23")
NESTS = ("F31", "F32")
TANKS = ("K1", "K2")

TOOL_LIFE_PARTS = 110  # a mill is changed after this many parts
WEAR_BAD, WEAR_GOOD = 1.0, 0.45  # wear at the change: one place eats its tools, the others do not
BURR_CHANCE = 0.10  # at full wear; falls with the third power, as flank wear does its harm at the end of life
PIT_CHANCE = 0.05  # in a bad lot
FIXTURE_CHECK_PARTS = 240  # the loose fixture is tightened after this many parts of the line
SHIFT_CHANCE = 0.06  # of the loose fixture, just before it is tightened
PRESS_EVERY_PARTS = 160
PRESS_NEAR_CHANCE = 0.02  # conspicuous and yet good
SCRATCH_EVERY_PARTS = 180
TANK_FOLLOWS = 0.85  # the decoy: how often the coolant tank goes with the bad tool
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class HousingState:
    """The physical truth of each part; arrays with one entry a part.

    `wear`: of the mill, 0 new to 1 worn. `hardness`: of the casting, 1 nominal. `offset_*_px`: of the bore in its boss.
    `interference`: of the bush, relative to nominal. `gall`: stick-slip while pressing. `burr_px`: height of the burr.
    `pits`: pores in the face. `scratch`: contrast of the scratch on the side, grey levels.
    """

    mill: Texts
    borer: Texts
    fixture: Texts
    nest: Texts
    tank: Texts
    wear: Floats
    bore_wear: Floats
    hardness: Floats
    offset_x_px: Floats
    offset_y_px: Floats
    interference: Floats
    gall: Floats
    burr_px: Floats
    pits: Floats
    scratch: Floats
    second: Bools


@dataclass(frozen=True, slots=True)
class Housings:
    """Line L1 as it was run."""

    roster: Roster
    state: HousingState
    faults: tuple[Fault, ...]

    def attributes(self, station_id: str) -> Mapping[str, Texts]:
        """What the visits of a station book, by part."""
        state = self.state
        common = {"supplier_lot": self.roster.lots}
        booked: dict[str, Mapping[str, Texts]] = {
            "OP10": {
                "tool_id": state.mill,
                "coolant_tank": state.tank,
                "recipe": np.where(state.second, "M6", "M4"),
            },
            "OP20": {"tool_id": state.borer, "fixture_id": state.fixture},
            "OP30": {"fixture_id": state.nest},
        }
        return {**common, **booked.get(station_id, {})}

    def samples(self, seed: int, station_id: str, cycles: Cycles) -> Mapping[str, Floats]:
        """Channel -> samples of a station, in the order of `cycles`."""
        rng = stream(seed, HOUSINGS_LINE, station_id, "samples")
        curve = {"OP10": _mill, "OP20": _bore, "OP30": _press}[station_id]
        return curve(self.state, cycles, rng)


def draw_housings(seed: int, roster: Roster) -> Housings:
    """Draw the parts of L1 and what befell them."""
    rng = stream(seed, HOUSINGS_LINE, "state")
    count = len(roster)
    mill, fixture = choose(rng, MILLS, count), choose(rng, FIXTURES, count)
    bad_mill, loose = str(rng.choice(MILLS)), str(rng.choice(FIXTURES))
    wear = _wear(rng, mill, bad_mill)
    burr = happens(rng, BURR_CHANCE * wear**3)
    pitted = happens(rng, np.where(roster.bad_lot, PIT_CHANCE, 0.0002))
    shifted = happens(rng, np.where(fixture == loose, SHIFT_CHANCE * _looseness(count), 0.0002))
    pressed = scattered(rng, count, PRESS_EVERY_PARTS)
    scratched = scattered(rng, count, SCRATCH_EVERY_PARTS)
    interference, gall = _press_fit(rng, pressed)
    offset_x, offset_y = _bore_offset(rng, fixture, shifted)
    follows = rng.random(count) < TANK_FOLLOWS
    state = HousingState(
        mill=mill,
        borer=choose(rng, BORERS, count),
        fixture=fixture,
        nest=choose(rng, NESTS, count),
        tank=np.where((mill == bad_mill) == follows, TANKS[1], TANKS[0]),
        wear=wear,
        bore_wear=(np.arange(count) % 400) / 400.0,
        hardness=_hardness(rng, roster),
        offset_x_px=offset_x,
        offset_y_px=offset_y,
        interference=interference,
        gall=gall,
        burr_px=np.where(burr, rng.uniform(1.6, 6.0, count), np.abs(rng.normal(0.0, 0.3 + 0.6 * wear, count))),
        pits=np.where(pitted, rng.integers(3, 9, count), rng.random(count) < 0.15).astype(np.float64),
        scratch=np.where(
            scratched,
            rng.uniform(18.0, 70.0, count),
            np.where(rng.random(count) < 0.1, rng.uniform(3.0, 12.0, count), 0),
        ),
        second=roster.products == PRODUCTS[1],
    )
    same = np.full(count, "", dtype=np.str_)
    faults = (
        Fault("tool_wear", "burr", burr, np.char.add("tool_id=", mill)),
        Fault("bad_lot", "pits", pitted, np.char.add("supplier_lot=", roster.lots)),
        Fault("loose_fixture", "misplaced_bore", shifted, np.char.add("fixture_id=", fixture)),
        Fault("press_fit", "loose_bush", pressed, np.char.add("OP30.press_force_kn", same)),
        Fault("handling", "scratch", scratched, np.char.add("camera:side", same)),
    )
    return Housings(roster, state, faults)


def _wear(rng: np.random.Generator, mill: Texts, bad_mill: str) -> Floats:
    """A saw-tooth for each mill: wear grows with every part it cut and starts again with the new tool."""
    wear = np.empty(len(mill))
    for name in MILLS:
        mine = mill == name
        cut = np.arange(int(mine.sum())) + int(rng.integers(TOOL_LIFE_PARTS))
        rate = WEAR_BAD if name == bad_mill else WEAR_GOOD
        wear[mine] = rate * (cut % TOOL_LIFE_PARTS) / TOOL_LIFE_PARTS
    return wear


def _looseness(count: int) -> Floats:
    """0 while tight, rising to 1 in the second half of each interval between two checks."""
    age = (np.arange(count) % FIXTURE_CHECK_PARTS) / FIXTURE_CHECK_PARTS
    return np.clip((age - 0.35) / 0.4, 0.0, 1.0)


def _press_fit(rng: np.random.Generator, pressed: Bools) -> tuple[Floats, Floats]:
    """Interference of the bush (sd 6 % in control) and stick-slip. A faulty fit is far too loose, or galls."""
    count = len(pressed)
    natural = 1.0 + wander(rng, count, 60, 0.025) + rng.normal(0.0, 0.045, count)
    near = (rng.random(count) < PRESS_NEAR_CHANCE) & ~pressed
    natural = np.where(near, natural - rng.uniform(0.06, 0.16, count), natural)
    galls = rng.random(count) < 0.4
    loose = natural - rng.uniform(0.20, 0.40, count)
    interference = np.where(pressed, np.where(galls, natural + 0.08, loose), natural)
    gall = np.where(pressed & galls, rng.uniform(0.12, 0.30, count), np.abs(rng.normal(0.0, 0.015, count)))
    return interference, gall


def _bore_offset(rng: np.random.Generator, fixture: Texts, shifted: Bools) -> tuple[Floats, Floats]:
    """Each fixture sits a little off in its own way; a part that slipped in it is off by a millimetre or more."""
    count = len(fixture)
    offset_x, offset_y = rng.normal(0.0, 0.45, count), rng.normal(0.0, 0.45, count)
    for name in FIXTURES:
        offset_x[fixture == name] += rng.normal(0.0, 0.35)
        offset_y[fixture == name] += rng.normal(0.0, 0.35)
    angle, length = rng.uniform(0.0, 2 * np.pi, count), rng.uniform(3.2, 7.0, count)
    offset_x += np.where(shifted, length * np.cos(angle), 0.0)
    offset_y += np.where(shifted, length * np.sin(angle), 0.0)
    return offset_x, offset_y


def _hardness(rng: np.random.Generator, roster: Roster) -> Floats:
    """Of the casting: sd 2 % between lots, 1.5 % within; porous lots cut 3 % softer."""
    _, lot = np.unique(roster.lots, return_inverse=True)
    between = rng.normal(1.0, 0.02, int(lot.max()) + 1)[lot]
    return np.asarray(between - 0.03 * roster.bad_lot + rng.normal(0.0, 0.015, len(roster)), dtype=np.float64)


def _mill(state: HousingState, cycles: Cycles, rng: np.random.Generator) -> Mapping[str, Floats]:
    """Spindle current = idle + cutting force (chip load x hardness x a wear term, Kienzle's law as a factor) while the
    cutter is engaged; vibration grows with wear; the coolant follows the hall's day and warms during the cut."""
    part = cycles.part
    cut = smooth_step(cycles.u, 0.16, 0.012) - smooth_step(cycles.u, 0.88, 0.012)
    width = np.where(state.second[part], 1.12, 1.0)
    load = width * state.hardness[part] * (1.0 + 0.32 * state.wear[part])
    passes = 1.0 + 0.10 * np.sin(2 * np.pi * 3.0 * cycles.u) + 0.04 * np.sin(2 * np.pi * 17.0 * cycles.t_s)
    spread = rng.normal(1.0, 0.03, len(state.wear))[part]
    current = 1.9 + 3.6 * cut * load * passes * spread + coloured(rng, len(cycles), 0.10)
    hour = 2 * np.pi * (cycles.ts_ms / 1000.0 - 9 * 3600.0) / DAY_S
    slow = wander(rng, len(state.wear), 80, 0.5)[part]
    coolant = 21.5 + 2.8 * np.sin(hour) + slow + 0.5 * cycles.u * cut + coloured(rng, len(cycles), 0.05)
    rough = rng.lognormal(0.0, 0.12, len(state.wear))[part] * (0.5 + 1.3 * state.wear[part] ** 1.5)
    vibration = 0.25 + cut * rough * (1.0 + 0.3 * np.abs(coloured(rng, len(cycles), 1.0, 0.2)))
    return {"spindle_current_a": current, "coolant_c": coolant, "vibration_mm_s": vibration}


def _bore(state: HousingState, cycles: Cycles, rng: np.random.Generator) -> Mapping[str, Floats]:
    """Feed force and current rise as the drill enters over its cone, hold, and fall as it leaves."""
    part = cycles.part
    entered = np.clip((cycles.u - 0.2) / 0.15, 0.0, 1.0) * (1.0 - smooth_step(cycles.u, 0.82, 0.015))
    load = entered * state.hardness[part] * (1.0 + 0.12 * state.bore_wear[part])
    spread = rng.normal(1.0, 0.025, len(state.wear))[part]
    chips = 1.0 + 0.05 * np.sin(2 * np.pi * 9.0 * cycles.t_s + part)
    current = 1.3 + 2.4 * load * spread * chips + coloured(rng, len(cycles), 0.08)
    feed = 20.0 + 640.0 * load * spread * chips + coloured(rng, len(cycles), 14.0)
    return {"spindle_current_a": current, "feed_force_n": feed}


def _press(state: HousingState, cycles: Cycles, rng: np.random.Generator) -> Mapping[str, Floats]:
    """Force over travel: contact, friction that grows with the depth pressed in (stiffness x interference, Lame's
    press fit), a seating peak at the shoulder, release. Galling adds stick-slip to the friction."""
    part = cycles.part
    depth = np.clip((cycles.u - 0.22) / 0.45, 0.0, 1.0)
    released = smooth_step(cycles.u, 0.86, 0.01)
    travel = (4.0 * np.clip(cycles.u / 0.22, 0.0, 1.0) + 12.0 * depth) * (1.0 - released)
    travel += coloured(rng, len(cycles), 0.02)
    friction = 5.2 * state.interference[part] * depth
    slip = 9.0 * state.gall[part] * depth * np.sign(np.sin(2 * np.pi * 11.0 * depth)) * (depth < 1.0)
    seated = 2.6 * smooth_step(cycles.u, 0.675, 0.006) * (1.0 - 0.35 * smooth_step(cycles.u, 0.72, 0.01))
    stiffness = rng.normal(1.0, 0.02, len(state.wear))[part]
    force = (friction + slip + seated) * stiffness * (1.0 - released) + coloured(rng, len(cycles), 0.06)
    return {"press_force_kn": force, "press_travel_mm": travel}
