"""What the two-sample tests of drift see that no single signal shows: false alarms and delays, by fresh seeds.

python tests/bench/results_drift_power.py                          the tables, into deploy/measured.md
python tests/bench/results_drift_power.py --streams N --parts N    N lines per change; in-control parts of all lines

Each line is a simulated plant (`drift_streams.py`) with its own history of 10 000 parts, of which one pair of channels
is linked (correlation 0.7). Its tests and its charts are fitted as training fits them and looked at as service does:
the latest 1000 parts every 500. Every channel and camera wanders in control, with a memory of 50 to 1000 parts.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from drift_streams import SCORE_SD, Parts, Plant, Shift
from scipy.stats import beta, chi2
from written_table import machine, markdown_table, rewritten

from fusion.drift.charts import Charts, Gathered
from fusion.drift.contrast import contrast, fit_contrast
from fusion.drift.fit import SAMPLE_ROWS
from fusion.drift.limits import false_probability, fit_limits
from fusion.drift.looks import LOOK_PARTS
from fusion.drift.signals import RESIDUAL_MAX
from fusion.drift.structure import fit_structure, structure

HISTORY, STREAM = 10_000, 20_000  # parts a line's tests are fitted on; in-control parts watched of each line
ONSET, FOLLOWED = 2000, 6000  # parts before a change, and behind it
BLOCK = 100  # parts of a chart point
LINKED, LINK = (1, 2), 0.7  # channels that go together in every history, and their correlation
UNLINKED, NEW_LINK = (5, 9), 0.6
APART = np.array([1.0, -1.0, 1.0, 1.0, -1.0])  # how a second kind of part differs, in these channels:
APART_IN = (4, 5, 6, 9, 11)
TOOLS = 4  # spindles in turns, of which one makes the mix

NO_SHIFT = Shift()

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Change:
    """From part `onset` on: a `link` lost or found; or of every `every`th part a `share` is of a second kind, `apart`
    standard deviations away in five channels, each channel's mean kept."""

    name: str = "in control"
    link: str = ""
    share: float = 0.0
    every: int = 1
    apart: float = 0.0
    together: float = 0.0  # all of them move so far, in eight channels
    onset: int = 1 << 60


CHANGES = (
    Change("a correlation of 0.7 is lost", link="lost"),
    Change("a correlation of 0.6 appears", link="found"),
    Change("a new mode: 8 % of the parts 1.5 sd apart in five channels", share=0.08, apart=1.5),
    Change("a new mode: 8 % of the parts 2.5 sd apart in five channels", share=0.08, apart=2.5),
    Change("one tool of four mixes two kinds, 1.2 sd apart in five channels", share=0.5, every=TOOLS, apart=1.2),
    Change("one tool of four mixes two kinds, 2 sd apart in five channels", share=0.5, every=TOOLS, apart=2.0),
    Change("eight channels move by 0.3 sd each", together=0.3),
)


class Line(Plant):
    """A plant of which two channels are linked. `change`: what becomes of it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, seed)
        self.change = Change()
        history = self._rows(HISTORY)
        self.middle = np.median(history, axis=0)
        self.spread = np.diff(np.quantile(history, (0.16, 0.84), axis=0), axis=0)[0] / 2.0
        self.residuals = self._bounded(history)
        self.sample = self.residuals[np.linspace(0, HISTORY - 1, SAMPLE_ROWS).astype(np.intp)]
        self.window, self.by_means = fit_contrast(self.residuals, self.sample)
        self.by_structure = fit_structure(self.residuals, self.sample, self.window)

    def draw(self, parts: int, shift: Shift = NO_SHIFT) -> Parts:
        made = super().draw(parts, shift)
        x, change, rng = made.x - self.offset[made.product], self.change, self._rng
        number = np.arange(made.first, made.first + parts)
        after = number >= change.onset
        for (a, b), strength, linked in (
            (LINKED, LINK, ~(after & (change.link == "lost"))),
            (UNLINKED, NEW_LINK, after & (change.link == "found")),
        ):
            x[:, b] = np.where(linked, strength * x[:, a] + np.sqrt(1 - strength**2) * x[:, b], x[:, b])
        second = (rng.random(parts) < change.share) - change.share
        x[:, APART_IN] += ((after & (number % change.every == 0)) * second)[:, None] * change.apart * APART
        x[:, 8:16] += after[:, None] * change.together
        made.x[:] = x + self.offset[made.product]
        return made

    def rows(self, parts: int) -> Rows:
        """float32[parts, signals], residuals of the next parts."""
        return self._bounded(self._rows(parts))

    def _rows(self, parts: int) -> npt.NDArray[np.float64]:
        made = self.draw(parts)
        centred = made.x - self.offset[made.product]
        return np.concatenate(
            [centred, (made.spread - 0.2) / 0.02, (made.score - 0.4) / SCORE_SD, (made.light - 0.4) / 0.01], axis=1
        )

    def _bounded(self, rows: npt.NDArray[np.float64]) -> Rows:
        bounded = np.clip((rows - self.middle) / self.spread, -RESIDUAL_MAX, RESIDUAL_MAX)
        return np.asarray(bounded, dtype=np.float32)


@dataclass(frozen=True)
class Looked:
    """Of one stream: parts behind each look, and whether each test was beyond its limit there."""

    ends: npt.NDArray[np.intp]
    means: npt.NDArray[np.bool_]
    structure: npt.NDArray[np.bool_]

    @property
    def either(self) -> npt.NDArray[np.bool_]:
        return self.means | self.structure


def looked(line: Line, rows: Rows) -> Looked:
    """Every look at a stream."""
    ends = np.arange(line.window, len(rows) + 1, LOOK_PARTS)
    windows = [rows[end - line.window : end] for end in ends.tolist()]
    means = [contrast(window, line.sample).score > line.by_means for window in windows]
    apart = [structure(window, line.sample).score > line.by_structure for window in windows]
    return Looked(ends, np.array(means), np.array(apart))


def charted(line: Line, rows: Rows) -> Iterator[int]:
    """Parts behind each chart point of single signals that is beyond a limit."""
    blocks = line.residuals.reshape(-1, BLOCK, line.residuals.shape[1]).mean(axis=1).astype(np.float64)
    limits, charts = fit_limits(blocks, false_probability(BLOCK, blocks.shape[1])), Charts(blocks.shape[1])
    for first in range(0, len(rows), BLOCK):
        own = rows[first : first + BLOCK].astype(np.float64)
        z = (own.mean(axis=0) - limits.centre) / limits.scale
        gathered = Gathered(first, own.sum(axis=0), np.full(own.shape[1], float(BLOCK)))
        charts.step(z, gathered, limits.slack, limits.cusum)
        if charts.beyond(limits.ewma, limits.cusum).any():
            yield first + BLOCK


def opened(beyond: npt.NDArray[np.bool_]) -> int:
    """How many incidents a test opens: looks beyond the limit behind one that was not."""
    return int(np.sum(beyond & ~np.concatenate([[False], beyond[:-1]])))


def false_table(seed: int, parts: int) -> str:
    """Incidents in control, of each test and of both, with the exact Poisson interval."""
    counts, seconds, lines = np.zeros(3, dtype=np.intp), 0.0, max(1, parts // STREAM)
    for number in range(lines):
        line = Line(seed + number)
        rows = line.rows(STREAM)
        began = time.process_time()
        found = looked(line, rows)
        seconds += time.process_time() - began
        counts += [opened(found.means), opened(found.structure), opened(found.either)]
    made = lines * STREAM
    names = ("parts as a whole (`contrast.py`)", "how signals go together (`structure.py`)", "either")
    rows_of = [(name, str(count), _rate(int(count), made)) for name, count in zip(names, counts, strict=True)]
    head = ("false incidents in control", "seen", "per 100 000 parts (95 %)")
    told = f"{made} parts of {lines} lines; both tests take {1e6 * seconds / made:.0f} µs a part of one core."
    return f"{markdown_table(head, rows_of)}\n\n{told}"


def _rate(count: int, parts: int) -> str:
    scale = 100_000 / parts
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = chi2.ppf(0.975, 2 * count + 2) / 2
    return f"{count * scale:.1f} ({low * scale:.1f} to {high * scale:.1f})"


def power_table(seed: int, streams: int) -> str:
    """Of each change: how many of the streams told it, and how soon."""
    rows = []
    for number, change in enumerate(CHANGES):
        delays: dict[str, list[int]] = {"means": [], "structure": [], "charts": []}
        for stream in range(streams):
            line = Line(seed + 10_000 * (number + 1) + stream)
            line.change = Change(**{**vars(change), "onset": line.made + ONSET})
            came = line.rows(ONSET + FOLLOWED)
            found = looked(line, came)
            for name, ends in (
                ("means", found.ends[found.means].tolist()),
                ("structure", found.ends[found.structure].tolist()),
                ("charts", charted(line, came)),
            ):
                delays[name] += [end - ONSET for end in ends if end > ONSET][:1]
        rows.append((change.name, *(_seen(delays[name], streams) for name in ("charts", "means", "structure"))))
    head = ("change, told within 6000 parts", "charts of single signals", "parts as a whole", "how signals go together")
    return markdown_table(head, rows)


def _seen(delays: Sequence[int], streams: int) -> str:
    """Share of streams with its exact 95 % interval (Clopper and Pearson 1934), and the median delay."""
    k = len(delays)
    low = float(beta.ppf(0.025, k, streams - k + 1)) if k else 0.0
    high = float(beta.ppf(0.975, k + 1, streams - k)) if k < streams else 1.0
    middle = f", {np.median(delays):.0f} parts" if delays else ""
    return f"{k} of {streams} ({low:.2f} to {high:.2f}){middle}"


def main() -> int:
    """Measure, print, write. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=12)
    parser.add_argument("--parts", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    asked = parser.parse_args()
    note = f"Seed {asked.seed}. Measured on {machine()}."
    table = "\n\n".join([power_table(asked.seed, asked.streams), false_table(asked.seed, asked.parts), note])
    print(table, flush=True)
    return rewritten("results-drift-power", table)


if __name__ == "__main__":
    sys.exit(main())
