"""The defect records of the simulated plant: what its final test books some time after a part has left the line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.simulate.plant import Ints
from ingest.simulate.roster import Fault, Roster, joined

DELAY_MS = 600_000  # from the part's last visit to its functional test
DELAY_SPREAD_MS = 90_000
LOST_SHARE = 0.02  # parts that nobody booked
UNSURE_SHARE = 0.03  # of the defective ones
NO_CAUSE_SHARE = 0.12  # of the defective ones: booked without a cause


@dataclass(frozen=True, slots=True)
class Label:
    """One defect record. `recorded_at` in ms since 1970."""

    part_id: str
    recorded_at: int
    outcome: str
    defect_code: str
    cause_code: str


def draw_labels(rng: np.random.Generator, roster: Roster, faults: tuple[Fault, ...], left_at: Ints) -> list[Label]:
    """The records of one line: a little imperfect, as records are, but never of a part that was good."""
    count = len(roster)
    delay = DELAY_MS + rng.integers(0, DELAY_SPREAD_MS, count)
    lost, unsure, silent = rng.random(count), rng.random(count), rng.random(count)
    labels: list[Label] = []
    for part in range(count):
        if lost[part] < LOST_SHARE:
            continue
        mechanism, code, cause = joined(faults, part)
        outcome = "ok"
        if mechanism:
            outcome = "unsure" if unsure[part] < UNSURE_SHARE else "defect"
            cause = "" if outcome == "unsure" or silent[part] < NO_CAUSE_SHARE else cause
        recorded_at = int(left_at[part] + delay[part])
        labels.append(Label(str(roster.part_ids[part]), recorded_at, outcome, code if mechanism else "", cause))
    return labels
