"""What the sensors saw: all samples of a station's visits as flat arrays, one entry a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from ingest.simulate.plant import Bools, Floats, Ints
from ingest.simulate.schedule import StationVisits


@dataclass(frozen=True, slots=True)
class Cycles:
    """`visit`: place in the station's visits; `part`: place in the roster; `ts_ms`: since 1970; `t_s`: since the visit
    began; `u`: share of the visit gone by, 0..1."""

    visit: Ints
    part: Ints
    ts_ms: Ints
    t_s: Floats
    u: Floats

    def __len__(self) -> int:
        return len(self.visit)


def sample_cycles(visits: StationVisits, rate_hz: int, rng: np.random.Generator) -> Cycles:
    """Sampling times of every visit. The logger runs at its own beat, so that the first sample falls anywhere in the
    first interval; the last one lies within one interval before the visit's end, never on it: whose would it be?"""
    step = 1000 // rate_hz
    duration = visits.ended_at - visits.started_at
    phase = rng.integers(0, step, len(duration))
    counts = (duration - phase - 1) // step + 1
    visit = np.repeat(np.arange(len(duration)), counts)
    place = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
    t_ms = phase[visit] + place * step
    return Cycles(
        visit=visit,
        part=visits.part[visit],
        ts_ms=visits.started_at[visit] + t_ms,
        t_s=t_ms / 1000.0,
        u=t_ms / duration[visit],
    )


def coloured(rng: np.random.Generator, count: int, sd: float, keep: float = 0.6) -> Floats:
    """Measurement noise with a memory of a few samples, as amplifiers and filters leave it; standard deviation `sd`."""
    steps = rng.normal(0.0, sd * float(np.sqrt(1.0 - keep * keep)), count)
    return np.asarray(lfilter([1.0], [1.0, -keep], steps), dtype=np.float64)


def smooth_step(u: Floats, at: Floats | float, width: float) -> Floats:
    """0 before `at`, 1 behind it, with a logistic edge of about 4 x `width`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip((u - at) / width, -40.0, 40.0))), dtype=np.float64)


def sigmoid(z: Floats) -> Floats:
    """The logistic function."""
    return smooth_step(z, 0.0, 1.0)


def scattered(rng: np.random.Generator, count: int, every: int) -> Bools:
    """One of each `every` consecutive parts, at random: rare, without a cause, and never absent for long."""
    hit = np.zeros(count + every, dtype=np.bool_)
    starts = np.arange(0, count, every)
    hit[starts + rng.integers(0, every, len(starts))] = True
    return hit[:count]


def happens(rng: np.random.Generator, chance: Floats) -> Bools:
    """One coin for each entry."""
    return np.asarray(rng.random(len(chance)) < chance, dtype=np.bool_)
