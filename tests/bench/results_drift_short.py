"""Drift limits after a short history: false incidents on lines that wander, and how soon a shift is seen.

python tests/bench/results_drift_short.py                     the tables, into deploy/measured.md
python tests/bench/results_drift_short.py --lines N --seed S  so many lines of each kind

Simulated lines (`drift_streams.py`) of 28 channels and cameras, each with a history of 300 to 10 000 parts behind which
20 000 parts come. Limits are fitted twice on each: for wanders that the history shows itself (up to a third of it), and
as training does, for all up to `SLOWEST_PARTS`. They stay as they are; what growing in service makes of them is
`results_drift_growth.py`. Shifts are put on every signal, one run each.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from drift_streams import SCORE_SD, Plant
from scipy.stats import chi2
from written_table import machine, markdown_table, rewritten

from fusion.drift.charts import Charts, Gathered
from fusion.drift.fit import BLOCK_MAX, BLOCK_MIN, BLOCKS_WANTED
from fusion.drift.limits import ChartLimits, false_probability, fit_limits, slowest_wander
from fusion.drift.signals import RESIDUAL_MAX
from fusion.drift.watched import WATCHED_SD, least_shift

HISTORIES = (300, 600, 1200, 3000, 10_000)  # parts
SERVICE = 20_000  # parts behind it
ONSET, FOLLOWED = 1000, 6000
RAMP, RAMPED = 1e-4, 16_000  # standard deviations a part; parts
SHIFTS = (1.5, 0.8)
TRUSTING, ALLOWING = "what the history shows", "what it may have missed"

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """How lines wander: `memory` in parts and `size` in standard deviations of a part, each from the least to the
    most."""

    name: str
    memory: tuple[float, float] = (50.0, 1000.0)
    size: tuple[float, float] = (0.1, 0.35)


PLAIN = Kind("memory 50 to 1000 parts, 0.1 to 0.35 sd")
OTHERS = (
    Kind("hardly: memory 50 to 200 parts, 0.05 to 0.15 sd", (50.0, 200.0), (0.05, 0.15)),
    Kind("strongly: memory 50 to 1000 parts, 0.35 to 0.7 sd", size=(0.35, 0.7)),
    Kind("more slowly than allowed for: memory 2000 to 4000 parts, 0.1 to 0.35 sd", memory=(2000.0, 4000.0)),
)


def residuals(kind: Kind, seed: int) -> Doubles:
    """float64[parts, signals] of one line: the longest history and the service behind it, not bounded."""
    plant, rng = Plant(seed, seed), np.random.default_rng([seed, 7])
    plant.memory = np.exp(rng.uniform(np.log(kind.memory[0]), np.log(kind.memory[1]), plant.wanders))
    plant.size = rng.uniform(*kind.size, plant.wanders)
    made = plant.draw(max(HISTORIES) + SERVICE)
    centred = made.x - plant.offset[made.product]
    return np.concatenate([centred, (made.score - 0.4) / SCORE_SD, (made.light - 0.4) / 0.01], axis=1)


def blocks_of(rows: Doubles, block: int, moved: Doubles | float = 0.0) -> Doubles:
    """float64[blocks, signals]: means of bounded parts; `moved`: float64[n] on every signal."""
    shifted = rows + (moved[: len(rows), None] if isinstance(moved, np.ndarray) else moved)
    whole = np.clip(shifted[: len(rows) // block * block], -RESIDUAL_MAX, RESIDUAL_MAX)
    return np.asarray(whole.reshape(-1, block, rows.shape[1]).mean(axis=1))


@dataclass(frozen=True)
class Ran:
    """float64[signals]: incidents opened; parts behind which the first was open, NaN: never."""

    opened: Doubles
    first: Doubles


def run(limits: ChartLimits, blocks: Doubles, block: int) -> Ran:
    """Each signal an entity of its own, judged as `DriftBook` does."""
    signals = blocks.shape[1]
    charts, known = Charts(signals), np.zeros(signals, dtype=np.bool_)
    opened, first, parts = np.zeros(signals), np.full(signals, np.nan), np.full(signals, float(block))
    for number, row in enumerate(blocks, 1):
        z = (row - limits.centre) / limits.scale
        charts.step(z, Gathered(0, row * block, parts), limits.slack, limits.cusum)
        back = known & charts.back(limits.slack)
        new = ~known & charts.beyond(limits.ewma, limits.cusum)
        opened += new
        first[new & np.isnan(first)] = number * block
        charts.forget(back)
        known = (known | new) & ~back
    return Ran(opened, first)


class Figures:
    """Of one history and one way to fit, over all lines."""

    def __init__(self) -> None:
        self.opened = self.lines = 0.0
        self.least: list[Doubles] = []
        self.delays: dict[str, list[Doubles]] = {}

    def measure(self, rows: Doubles, history: int, allowing: bool, shifted: bool) -> None:
        block = int(np.clip(history // BLOCKS_WANTED, BLOCK_MIN, BLOCK_MAX))
        known, came = rows[max(HISTORIES) - history : max(HISTORIES)], rows[max(HISTORIES) :]
        probability = false_probability(block, rows.shape[1])
        limits = fit_limits(blocks_of(known, block), probability, slowest_wander(block) if allowing else 0.0)
        self.opened += float(run(limits, blocks_of(came, block), block).opened.sum())
        self.least.append(least_shift(limits, block))
        self.lines += 1
        for name, onset, moved in _moves() if shifted else ():
            first = run(limits, blocks_of(came[: len(moved)], block, moved), block).first - onset
            self.delays.setdefault(name, []).append(first[~(first <= 0)])  # a false one before is no find

    def false(self) -> str:
        """Incidents per 100 000 parts with the exact Poisson interval."""
        scale = 100_000 / (self.lines * SERVICE)
        low = chi2.ppf(0.025, 2 * self.opened) / 2 if self.opened else 0.0
        high = chi2.ppf(0.975, 2 * self.opened + 2) / 2
        return f"{self.opened * scale:.1f} ({low * scale:.1f} to {high * scale:.1f})"

    def watched(self) -> str:
        return f"{np.mean(np.concatenate(self.least) <= WATCHED_SD):.0%}"

    def seen(self, name: str) -> str:
        delays = np.concatenate(self.delays[name])
        found = np.isfinite(delays)
        return f"{found.mean():.0%}" + (f", {np.median(delays[found]):.0f}" if found.any() else "")


def _moves() -> Iterator[tuple[str, int, Doubles]]:
    """(name, parts before it, float64[parts]: how far signals are moved)."""
    for size in SHIFTS:
        yield f"{size}", ONSET, np.where(np.arange(ONSET + FOLLOWED) >= ONSET, size, 0.0)
    yield "ramp", 0, np.asarray(RAMP * np.arange(RAMPED), dtype=np.float64)


def plain_table(seed: int, lines: int) -> str:
    """Every history, both ways, on the same lines; and the false incidents of all histories together."""
    found = {(history, way): Figures() for history in HISTORIES for way in (TRUSTING, ALLOWING)}
    for number in range(lines):
        rows = residuals(PLAIN, seed + number)
        for (history, way), figures in found.items():
            figures.measure(rows, history, way == ALLOWING, True)
    told = [
        (f"{history} parts", way, figures.false(), figures.watched(), *map(figures.seen, ("1.5", "0.8", "ramp")))
        for (history, way), figures in found.items()
    ]
    for way in (TRUSTING, ALLOWING):
        pooled = Figures()
        pooled.opened = sum(figures.opened for (_, own), figures in found.items() if own == way)
        pooled.lines = sum(figures.lines for (_, own), figures in found.items() if own == way)
        told.append(("all", way, pooled.false(), "", "", "", ""))
    head = (
        "history", "limits allow for", "false incidents per 100 000 parts (95 %)",
        f"signals that show {WATCHED_SD:g} sd", "1.5 sd: seen, parts", "0.8 sd", "ramp",
    )  # fmt: skip
    return markdown_table(head, told)


def others_table(seed: int, lines: int) -> str:
    """Lines that wander otherwise."""
    rows = []
    for kind in OTHERS:
        for history in HISTORIES[:4:2]:
            ways = {way: Figures() for way in (TRUSTING, ALLOWING)}
            for number in range(lines):
                drawn = residuals(kind, seed + number)
                for way, figures in ways.items():
                    figures.measure(drawn, history, way == ALLOWING, False)
            rows.append((kind.name, f"{history} parts", *(figures.false() for figures in ways.values())))
    return markdown_table(("lines that wander", "history", TRUSTING, ALLOWING), rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=24)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 30))
    asked = parser.parse_args(arguments)
    note = (
        f"{asked.lines} lines of 28 signals, {SERVICE} parts each behind their history, seed {asked.seed}; of other "
        f"lines half as many. Shifts and the ramp of {RAMP * 100:g} sd in 100 parts come on every signal by itself. "
        f"Measured on {machine()}."
    )
    plain, others = plain_table(asked.seed, asked.lines), others_table(asked.seed + 1000, max(1, asked.lines // 2))
    told = "\n\n".join([plain, "False incidents per 100 000 parts (95 %) on other lines:", others, note])
    print(told, flush=True)
    return rewritten("results-drift-short", told)


if __name__ == "__main__":
    sys.exit(main())
