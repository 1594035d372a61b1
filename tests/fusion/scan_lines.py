"""Small lines for the tests of the scan: parts with a tool of each of two stations, a lot and a shift, and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fusion.scan.fit import fit_scan
from fusion.scan.line import ScanLine
from fusion.scan.memory import ScanPart
from fusion.scan.rates import ScanNotes
from fusion.waiting_room import block_before

START, CYCLE_MS, DELAY_MS = 1_767_592_800_000, 1000, 60_000
BASE = 0.03

Raised = Callable[[Sequence[str], int], float]


@dataclass(frozen=True)
class Made:
    """One part: its levels and whether it is a defect, which also is what the model says of it when `seen`."""

    number: int
    levels: list[str]
    defect: bool
    flag: bool

    @property
    def at(self) -> int:
        return START + self.number * CYCLE_MS

    @property
    def part(self) -> ScanPart:
        return ScanPart(self.at, f"P{self.number}", self.levels, 30_000, int(self.flag))


def make(parts: int, seed: int, raised: Raised = lambda levels, number: 1.0, first: int = 0) -> list[Made]:
    """A line; `raised`: how many times the base rate a part runs at. The fixture goes with tool b of A 85 times in 100;
    the spindle is in tool c of B, always."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(first, first + parts):
        a, b = rng.choice(["a", "b", "c"], 2)
        fixture = "1" if (a == "b") == (rng.random() < 0.85) else "2"
        lot = number // 2000 * 2 + rng.integers(2)
        levels = sorted(
            [f"fixture=F{fixture}", f"lot=S{lot}", f"tool_a=A{a}", f"tool_b=B{b}", f"shift=N{rng.integers(2)}"]
        )
        levels += ["spindle=K1"] if b == "c" else []
        rate = min(0.9, BASE * raised(levels, number))
        made.append(Made(number, sorted(levels), bool(rng.random() < rate), bool(rng.random() < BASE)))
    return made


@cache
def notes_of(seed: int = 900, parts: int = 4000) -> ScanNotes:
    """What training leaves of a line in control."""
    history = make(parts, seed, first=-parts)
    defects, flags = (np.array([float(getattr(one, what)) for one in history]) for what in ("defect", "flag"))
    notes = fit_scan([one.levels for one in history], defects, flags)
    assert notes is not None
    return notes


def feed(line: ScanLine, made: Sequence[Made], labelled: Callable[[Made], bool] = lambda one: True) -> None:
    """Judge parts one after another; labels come DELAY_MS later, at last those that are still to come."""
    for number, one in enumerate(made):
        line.settle(block_before(one.at))
        line.enter(one.part)
        if labelled(one):
            line.label(f"P{one.number}", int(one.defect), one.at + DELAY_MS)
        del number
    if made:
        line.settle(made[-1].at + 10 * DELAY_MS)
