"""Drift limits after a short history: how soon a shift is seen, how often nothing, and is a slow ramp still found?

python tests/bench/results_drift_growth.py               the table, into deploy/measured.md
python tests/bench/results_drift_growth.py --lines N     so many lines

Simulated lines (`drift_streams.py`) whose channels and cameras wander with a memory of 50 to 1000 parts. The charts are
fitted on 300 to 3000 parts and grow in service (`fusion/drift/growth.py`), or stay, or are fitted on 10 000 parts.
"""

from __future__ import annotations

import argparse
import copy
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from drift_streams import PRODUCTS, SCORE_SD, Plant, Shift
from scipy.stats import chi2
from written_table import machine, markdown_table, rewritten

from fusion.drift.book import DriftBook
from fusion.drift.fit import BLOCK_MAX, BLOCK_MIN, BLOCKS_WANTED
from fusion.drift.limits import ChartLimits, false_probability, fit_limits, slowest_wander
from fusion.drift.signals import RESIDUAL_MAX, DriftNotes, DriftReference, Signal

LONG = 10_000  # parts of the longest history
MIDDLE, SERVICE, LATER = 5000, 12_000, 20_000  # in-control parts: while limits grow, until they have, and behind that
ONSET, FOLLOWED = 1000, 6000
RAMP = 1e-4  # standard deviations a part: .01 in 100 parts
RAMPED = 16_000
CHANNELS = (0, 7)  # that move
#: name -> parts of history, and do limits grow?
ARMS = {
    "300 parts, limits that grow": (300, True),
    "1200 parts, limits that stay": (1200, False),
    "1200 parts, limits that grow": (1200, True),
    "3000 parts, limits that grow": (3000, True),
    "10 000 parts": (LONG, False),
}
HEAD = (
    "history", "false incidents, per 100 000 parts (95 %)", "1.5 sd from the first part: seen, parts",
    "behind 5000 parts", "behind 12 000 parts", "0.8 sd behind 12 000 parts", "ramp from the first part",
    "ramp behind 12 000 parts",
)  # fmt: skip
COLUMNS = ("1.5 at once", "1.5 between", "1.5", "0.8", "early", "late")

Rows = npt.NDArray[np.float32]


def rows_of(plant: Plant, parts: int, shift: Shift | None = None) -> Rows:
    """float32[parts, signals]: residuals of the next parts."""
    made = plant.draw(parts, shift or Shift())
    centred = made.x - plant.offset[made.product]
    rows = np.concatenate([centred, (made.score - 0.4) / SCORE_SD, (made.light - 0.4) / 0.01], axis=1)
    return np.asarray(np.clip(rows, -RESIDUAL_MAX, RESIDUAL_MAX), dtype=np.float32)


def reference_of(rows: Rows, grows: bool) -> DriftReference:
    """As training fits it. Each signal is an entity of its own."""
    block, signals = int(np.clip(len(rows) // BLOCKS_WANTED, BLOCK_MIN, BLOCK_MAX)), rows.shape[1]
    blocks = rows[: len(rows) // block * block].reshape(-1, block, signals).mean(axis=1).astype(np.float64)
    limits = fit_limits(blocks, false_probability(block, signals), slowest_wander(block))
    named = tuple(Signal(entity=_entity(i), measure="mean", column=i) for i in range(signals))
    ones = np.ones(signals)
    arrays = {
        "usual": np.zeros((PRODUCTS, signals)), "spread": ones, "overall": 0 * ones, "low": -ones, "high": ones,
        "sample": np.zeros((4, signals)), "typical": np.zeros((PRODUCTS, signals)),
        **({"blocks": blocks} if grows else {}),
        **{name: getattr(limits, name) for name in ChartLimits.__slots__},
    }  # fmt: skip
    return DriftReference(DriftNotes(signals=named, block=block, file=""), arrays, bytes([grows]))


def _entity(signal: int) -> str:
    return f"S{signal:02d}.value"


def watched(book: DriftBook, reference: DriftReference, rows: Rows, entity: str = "") -> int | None:
    """Count the parts; the part behind which the entity's incident was open first, None: never."""
    first = None
    for number, row in enumerate(rows):
        if book.count(reference, row, "", number) and first is None and entity in book.incidents:
            first = number
    return first


def taken_over(book: DriftBook, kept: dict[str, bytes | None]) -> DriftBook:
    """Another worker's, from the state: the fitting in it cannot be copied. `kept`: the state before, brought up."""
    kept.update(book.changes())
    other = DriftBook(book.line_id)
    for key, value in kept.items():
        other.restore(key, value)
    other.opened = book.opened
    return other


class Figures:
    """Of one arm over all lines. Delays: parts, None where not seen."""

    def __init__(self) -> None:
        self.opened = self.lines = 0
        self.delays: defaultdict[str, list[int | None]] = defaultdict(list)
        self.seconds = 0.0

    def measure(self, reference: DriftReference, plant: Plant) -> None:
        """One line, its history already made."""
        book, behind = DriftBook("L1"), copy.deepcopy(plant)
        book.use(reference)
        fresh, kept = copy.deepcopy(book), dict[str, bytes | None]()
        began = time.process_time()
        watched(book, reference, rows_of(behind, MIDDLE))
        between, halfway = taken_over(book, kept), copy.deepcopy(behind)
        watched(book, reference, rows_of(behind, SERVICE - MIDDLE))
        self.seconds += time.process_time() - began
        book = taken_over(book, kept)
        later = copy.deepcopy(book)
        watched(later, reference, rows_of(copy.deepcopy(behind), LATER))
        self.opened, self.lines = self.opened + later.opened, self.lines + 1
        for channel in CHANNELS:
            for name, known, line in (("1.5 at once", fresh, plant), ("1.5 between", between, halfway)):
                self._note(name, known, reference, line, Shift(channel=channel, size=1.5))
            for size in (1.5, 0.8):
                self._note(f"{size}", book, reference, behind, Shift(channel=channel, size=size))
            ramp = Shift(channel=channel, size=RAMP * RAMPED, ramp=RAMPED)
            self._note("early", fresh, reference, plant, ramp)
            self._note("late", book, reference, behind, ramp)

    def _note(self, name: str, book: DriftBook, reference: DriftReference, plant: Plant, shift: Shift) -> None:
        onset = 0 if shift.ramp or name == "1.5 at once" else ONSET
        found = self._shifted(book, reference, plant, shift, onset)
        self.delays[name].append(None if found is None else found - onset)

    def _shifted(
        self, book: DriftBook, reference: DriftReference, plant: Plant, shift: Shift, onset: int
    ) -> int | None:
        book, plant = copy.deepcopy(book), copy.deepcopy(plant)
        shift = Shift(channel=shift.channel, size=shift.size, ramp=shift.ramp, onset=plant.made + onset)
        rows = rows_of(plant, RAMPED if shift.ramp else ONSET + FOLLOWED, shift)
        return watched(book, reference, rows, _entity(shift.channel))

    def row(self, name: str) -> list[str]:
        low = chi2.ppf(0.025, 2 * self.opened) / 2 if self.opened else 0.0
        high = chi2.ppf(0.975, 2 * self.opened + 2) / 2
        scale = 100_000 / (self.lines * (SERVICE + LATER))
        false = f"{self.opened * scale:.1f} ({low * scale:.1f} to {high * scale:.1f})"
        return [name, false, *(_said(self.delays[key]) for key in COLUMNS)]


def _said(delays: Sequence[int | None]) -> str:
    seen = [delay for delay in delays if delay is not None]
    return f"{len(seen)} of {len(delays)}" + (f", {np.median(seen):.0f}" if seen else "")


def table(seed: int, lines: int) -> str:
    """Every arm on the same lines."""
    arms = {name: Figures() for name in ARMS}
    for number in range(lines):
        plant = Plant(seed + number, seed + number)
        history = rows_of(plant, LONG)
        for name, (parts, grows) in ARMS.items():
            arms[name].measure(reference_of(history[-parts:], grows), plant)
    growing, staying = (arms[f"1200 parts, limits that {what}"].seconds for what in ("grow", "stay"))
    more = (growing - staying) / max(lines, 1)
    note = (
        f"{lines} lines, seed {seed}, {SERVICE + LATER} parts of service each. Growing costs {more:.1f} s of one core "
        f"a gate of 28 signals after 1200 parts, once, in steps between parts. Measured on {machine()}."
    )
    return f"{markdown_table(HEAD, [figures.row(name) for name, figures in arms.items()])}\n\n{note}"


def main() -> int:
    """Measure, print, write. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=8)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 30))
    asked = parser.parse_args()
    told = table(asked.seed, asked.lines)
    print(told, flush=True)
    return rewritten("results-drift-growth", told)


if __name__ == "__main__":
    sys.exit(main())
