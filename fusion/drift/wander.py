"""How far and how long a plant's signals wander, as far as their history can tell.

A signal's block means are taken as a level plus an AR(1) wander plus white noise. How far and how long it wanders is
not known but has a posterior over a grid, given the training's blocks (exact Gaussian likelihood by a Kalman filter,
level and variance integrated out: Durbin and Koopman 2012, sections 2 and 4). The prior over the grid is learned from
all the signals of the gate together (empirical Bayes: Robbins 1956), for one short series says little of how a plant
wanders and forty say much.

What a history never showed is in the grid too: however short it is, wanders of up to SLOWEST_PARTS are held possible. A
history of some hundred parts sees little of such a wander, neither its height nor where its middle lies, and says so by
a broad posterior.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WANDER_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of a block mean's variance
CORRELATION_BLOCKS = (0.7, 1.5, 3.0, 6.0, 12.0, 25.0, 50.0)  # after which a wander has forgotten 1 - 1/e
SPANS_MIN = 3.0  # correlation times that history must span for a slower wander to show itself in it
SLOWEST_PARTS = 800  # correlation time of wanders that are held possible though history was too short to show them
NEXT_MIN = 1.3  # times the one before: correlation times nearer to each other are one
MEANS_A_STEP = 2000  # block means filtered between two parts: 6 ms of one core
PRIOR_ROUNDS = 20  # of expectation and maximisation; the weights hardly move after ten
PRIOR_SIGNALS = 1.0  # a flat prior's weight beside that of the signals

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Posterior:
    """Per combination g of the grid and signal s: weight[g, s] sums to 1 over g; `level`, `rss`, `certain`[g, s]: the
    level, residual sum of squares, and precision of the level, all for variance 1; `n`[s]: blocks seen."""

    phi: Doubles
    share: Doubles
    weight: Doubles
    level: Doubles
    rss: Doubles
    certain: Doubles
    n: Doubles


def filter_steps(blocks: Doubles) -> int:
    """How many steps the posterior of so many block means takes."""
    rows, at_once = len(blocks), _rows(blocks)
    return -(-rows // at_once)


def posterior(blocks: Doubles, slowest: float) -> Generator[None, None, Posterior]:
    """float64[n, signals], NaN where not measured → what they say of each signal's wander, in `filter_steps` steps.
    `slowest`: correlation time in blocks that is held possible at least. The Kalman filter of every combination and
    signal at once; state: the wander, variance 1 in all."""
    memories = _memories(max(slowest, len(blocks) / SPANS_MIN))
    pairs = [(0.0, 1.0)]  # white noise alone
    pairs += [(float(np.exp(-1.0 / memory)), share) for memory in memories for share in WANDER_SHARES]
    phi, share = (np.array(side)[:, None] for side in zip(*pairs, strict=True))
    shape = (len(pairs), blocks.shape[1])
    variance = np.broadcast_to(share, shape).copy()
    of_y, of_one = np.zeros(shape), np.zeros(shape)  # the filter is linear: the level's part runs beside y's
    log_f, yy, y1, one1 = (np.zeros(shape) for _ in range(4))
    for number, row in enumerate(blocks):
        if number and number % _rows(blocks) == 0:
            yield
        there = np.isfinite(row)
        f = variance + (1.0 - share)
        v, u = np.nan_to_num(row) - of_y, 1.0 - of_one
        log_f += there * np.log(f)
        yy += there * v * v / f
        y1 += there * u * v / f
        one1 += there * u * u / f
        gain = there * variance / f
        of_y, of_one = phi * (of_y + gain * v), phi * (of_one + gain * u)
        variance = phi * phi * variance * (1.0 - gain) + (1.0 - phi * phi) * share
    yield
    n = np.isfinite(blocks).sum(axis=0).astype(np.float64)
    rss = np.maximum(yy - y1 * y1 / one1, 1e-300)
    log_weight = -0.5 * (log_f + np.log(one1)) - 0.5 * (n - 1.0) * np.log(rss)
    weight = _pooled(np.exp(log_weight - log_weight.max(axis=0)))
    return Posterior(phi[:, 0], share[:, 0], weight, y1 / one1, rss, one1, n)


def _rows(blocks: Doubles) -> int:
    """Blocks of a step."""
    signals: int = blocks.shape[1]
    return max(1, MEANS_A_STEP // max(signals, 1))


def _pooled(likelihood: Doubles) -> Doubles:
    """float64[grid, signals] → posterior weights under the prior that the signals make together."""
    flat = 1.0 / len(likelihood)
    prior = np.full(len(likelihood), flat)
    for _ in range(PRIOR_ROUNDS):
        weight: Doubles = likelihood * prior[:, None]
        weight /= weight.sum(axis=0)
        prior = (weight.sum(axis=1) + PRIOR_SIGNALS * flat) / (weight.shape[1] + PRIOR_SIGNALS)
    return weight


def _memories(slowest: float) -> list[float]:
    """The grid's correlation times in blocks, up to the slowest, which is one of them."""
    return [memory for memory in CORRELATION_BLOCKS if NEXT_MIN * memory <= slowest] + [slowest]
