"""Limits of drift charts from a plant's own history, however much that wanders.

A signal's block means are taken as a level plus an AR(1) wander plus white noise. How far and how long it wanders is
not known but has a posterior over a grid, given the training's blocks (exact Gaussian likelihood by a Kalman filter,
level and variance integrated out: Durbin and Koopman 2012, sections 2 and 4). The prior over the grid is learned from
all the signals of the gate together (empirical Bayes: Robbins 1956), for one short series says little of how a plant
wanders and forty say much. Futures drawn from the posterior run through the very charts that will watch; a limit is the
level that their highest point passes with the probability allowed. A short or a long-wandering history thus gets wide
limits by itself, an even one tight limits, and no figure rests on parts being independent.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.drift.charts import CUSUM_K, EWMA_WEIGHT

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

FALSE_PER_100K = 0.4  # incidents of drift per 100 000 parts, all signals of a gate together
CHARTS = 2  # per signal
HORIZON_BLOCKS = 1000  # of each future
FUTURES = 2000  # drawn per signal
STEP_BLOCKS = 100  # of the horizon, between two parts: 6 ms of one core for one signal
TAIL_SHARE = 0.02  # of the futures, which the power law of the highest points is fitted on (Hill 1975)
WANDER_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # of a block mean's variance
CORRELATION_BLOCKS = (0.7, 1.5, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0)  # after which a wander has forgotten 1 - 1/e
SPANS_MIN = 3.0  # correlation times that history must span: a slower wander cannot be told from a shift by anybody
PRIOR_ROUNDS = 20  # of expectation and maximisation; the weights hardly move after ten
PRIOR_SIGNALS = 1.0  # a flat prior's weight beside that of the signals
ROUNDING = 1e-7  # of its size: a signal that varies less does not vary
BLOCKS_MIN = 12  # fewer say nothing of a wander
BEYOND_HISTORY = 1.1  # of the highest point of training's own charts: a limit is never lower


@dataclass(frozen=True, slots=True)
class ChartLimits:
    """float64[signals] each. A block mean y is charted as (y - centre) / scale; `slack`: the CUSUM's k; `ewma` bounds
    the absolute EWMA, `cusum` both one-sided CUSUMs; infinite where history says too little."""

    centre: Doubles
    scale: Doubles
    slack: Doubles
    ewma: Doubles
    cusum: Doubles


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Per combination g of the grid and signal s: weight[g, s] sums to 1 over g; `level`, `rss`, `certain`[g, s]: the
    level, residual sum of squares, and precision of the level, all for variance 1; `n`[s]: blocks seen."""

    phi: Doubles
    share: Doubles
    weight: Doubles
    level: Doubles
    rss: Doubles
    certain: Doubles
    n: Doubles


def false_probability(block: int, signals: int) -> float:
    """The chance that one chart of one signal in control may have within HORIZON_BLOCKS of `block` parts."""
    return min(FALSE_PER_100K * HORIZON_BLOCKS * block / 100_000 / (CHARTS * signals), 0.02)


def fit_limits(blocks: Doubles, false_probability: float, seed: int = 0) -> ChartLimits:
    """Limits of each signal. `blocks`: float64[n, signals], block means in order of time, NaN where not measured;
    `false_probability`: that one chart of one signal in control passes its limit within HORIZON_BLOCKS."""
    *_, found = limits_in_steps(blocks, false_probability, blocks.shape[1], seed)
    assert found is not None
    return found


def limits_in_steps(
    blocks: Doubles, false_probability: float, at_once: int, seed: int = 0
) -> Iterator[ChartLimits | None]:
    """The same for whoever has parts to judge meanwhile: of the futures of `at_once` signals STEP_BLOCKS a step, the
    limits at last, equal to the last bit however many signals that is."""
    signals = blocks.shape[1]
    shown = _or_zero(blocks)
    varies = np.nanstd(shown, axis=0) > ROUNDING * np.nanmax(np.abs(shown), axis=0)
    enough = (np.isfinite(blocks).sum(axis=0) >= BLOCKS_MIN) & varies
    centre, scale = np.zeros(signals), np.ones(signals)
    slack, ewma, cusum = np.full(signals, CUSUM_K), np.full(signals, np.inf), np.full(signals, np.inf)
    if not enough.any():
        yield ChartLimits(centre, scale, slack, ewma, cusum)
        return
    seen = blocks[:, enough]
    posterior = _posterior(seen)
    yield None
    expected = (posterior.weight * posterior.level).sum(axis=0)
    variance = (posterior.weight * posterior.rss).sum(axis=0) / np.maximum(posterior.n - 3.0, 1.0)
    centre[enough], scale[enough] = expected, np.sqrt(variance)
    futures = _draw(posterior, expected, np.sqrt(variance), np.random.default_rng(seed))
    slack[enough] = np.maximum(CUSUM_K, _tail_level(np.abs(futures.off), false_probability))
    highest = []
    for first in range(0, len(expected), at_once):
        own = slice(first, first + at_once)
        points = yield from _highest_points(futures.of(own), slack[enough][own], np.random.default_rng(seed))
        highest.append(points)
    of_history = own_highest((seen - expected) / np.sqrt(variance), slack[enough])
    limits = [
        np.maximum(_tail_level(np.concatenate(points), false_probability), BEYOND_HISTORY * own_points)
        for points, own_points in zip(zip(*highest, strict=True), of_history, strict=True)
    ]
    ewma[enough], cusum[enough] = limits
    yield ChartLimits(centre, scale, slack, ewma, cusum)


def own_highest(standard: Doubles, slack: Doubles) -> tuple[Doubles, Doubles]:
    """The highest points of the charts run over float64[n, signals]: (EWMA, CUSUM), float64[signals] each."""
    level = np.zeros(standard.shape[1])
    up, down = np.zeros_like(level), np.zeros_like(level)
    high_level, high_sum = np.zeros_like(level), np.zeros_like(level)
    for row in np.nan_to_num(standard):
        level += EWMA_WEIGHT * (row - level)
        up = np.maximum(0.0, up + row - slack)
        down = np.maximum(0.0, down - row - slack)
        high_level = np.maximum(high_level, np.abs(level))
        high_sum = np.maximum(high_sum, np.maximum(up, down))
    return high_level, high_sum


def _or_zero(blocks: Doubles) -> Doubles:
    """Columns without any figure as zeros, so that their spread is 0."""
    return np.where(np.isfinite(blocks).any(axis=0), blocks, 0.0)


def _posterior(blocks: Doubles) -> _Posterior:
    """The Kalman filter of every combination and signal at once; state: the wander, variance 1 in all."""
    memories = [memory for memory in CORRELATION_BLOCKS if memory <= len(blocks) / SPANS_MIN]
    pairs = [(0.0, 1.0)]  # white noise alone
    pairs += [(float(np.exp(-1.0 / memory)), share) for memory in memories for share in WANDER_SHARES]
    phi, share = (np.array(side)[:, None] for side in zip(*pairs, strict=True))
    shape = (len(pairs), blocks.shape[1])
    variance = np.broadcast_to(share, shape).copy()
    of_y, of_one = (
        np.zeros(shape),
        np.zeros(shape),
    )  # the filter is linear: y's and the level's part run beside each other
    log_f, yy, y1, one1 = (np.zeros(shape) for _ in range(4))
    for row in blocks:
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
    n = np.isfinite(blocks).sum(axis=0).astype(np.float64)
    rss = np.maximum(yy - y1 * y1 / one1, 1e-300)
    log_weight = -0.5 * (log_f + np.log(one1)) - 0.5 * (n - 1.0) * np.log(rss)
    weight = _pooled(np.exp(log_weight - log_weight.max(axis=0)))
    return _Posterior(phi[:, 0], share[:, 0], weight, y1 / one1, rss, one1, n)


def _pooled(likelihood: Doubles) -> Doubles:
    """float64[grid, signals] → posterior weights under the prior that the signals make together."""
    flat = 1.0 / len(likelihood)
    prior = np.full(len(likelihood), flat)
    for _ in range(PRIOR_ROUNDS):
        weight: Doubles = likelihood * prior[:, None]
        weight /= weight.sum(axis=0)
        prior = (weight.sum(axis=1) + PRIOR_SIGNALS * flat) / (weight.shape[1] + PRIOR_SIGNALS)
    return weight


@dataclass(frozen=True, slots=True)
class _Futures:
    """Laws drawn from the posterior, float32[signals, FUTURES] each, in units of the charts: how far the level is off
    the centre, the wander's memory of a block, its kick, its spread, and the noise's spread."""

    off: Singles
    memory: Singles
    kick: Singles
    wander: Singles
    noise: Singles

    def of(self, signals: slice) -> _Futures:
        """These signals' alone."""
        laws = (self.off, self.memory, self.kick, self.wander, self.noise)
        return _Futures(*(law[signals] for law in laws))


def _draw(posterior: _Posterior, centre: Doubles, scale: Doubles, rng: np.random.Generator) -> _Futures:
    signals = len(centre)
    drawn = (rng.random(FUTURES)[None, :, None] > np.cumsum(posterior.weight.T, axis=1)[:, None, :-1]).sum(axis=2)
    at = np.arange(signals)[:, None]
    sigma = np.sqrt(posterior.rss[drawn, at] / rng.chisquare(posterior.n[:, None] - 1.0, (signals, FUTURES)))
    off = rng.standard_normal((signals, FUTURES)) * sigma / np.sqrt(posterior.certain[drawn, at])
    off += posterior.level[drawn, at] - centre[:, None]
    phi, share, spread = posterior.phi[drawn], posterior.share[drawn], sigma / scale[:, None]
    laws = (
        off / scale[:, None], phi, np.sqrt((1 - phi * phi) * share) * spread,
        np.sqrt(share) * spread, np.sqrt(1 - share) * spread,
    )  # fmt: skip
    return _Futures(*(law.astype(np.float32) for law in laws))


def _highest_points(
    futures: _Futures, slack: Doubles, rng: np.random.Generator
) -> Generator[None, None, tuple[Singles, Singles]]:
    """float32[signals, FUTURES] each: the highest point of the EWMA and of the CUSUMs in each future."""
    k = slack.astype(np.float32)[:, None]
    wander: Singles = futures.wander * rng.standard_normal(FUTURES, dtype=np.float32)
    level, up, down = (np.zeros_like(wander) for _ in range(3))
    high_level, high_sum = np.zeros_like(wander), np.zeros_like(wander)
    for block in range(1, HORIZON_BLOCKS + 1):  # the same dice for every signal: only their laws differ
        dice = rng.standard_normal((2, FUTURES), dtype=np.float32)
        wander = futures.memory * wander + futures.kick * dice[0]
        z = futures.off + wander + futures.noise * dice[1]
        level += np.float32(EWMA_WEIGHT) * (z - level)
        up = np.maximum(0.0, up + z - k)
        down = np.maximum(0.0, down - z - k)
        np.maximum(high_level, np.abs(level), out=high_level)
        np.maximum(high_sum, np.maximum(up, down), out=high_sum)
        if block % STEP_BLOCKS == 0:
            yield None
    return high_level, high_sum


def _tail_level(points: Singles, probability: float) -> Doubles:
    """float64[signals]: the level that a future's highest point passes with this probability, by a power law on the
    highest TAIL_SHARE of the futures: what parameters may be leaves tails heavier than a normal law's."""
    tail = int(FUTURES * TAIL_SHARE)
    ordered = np.sort(points, axis=1)[:, ::-1]
    threshold = np.maximum(ordered[:, tail], 1e-9)
    power = np.mean(np.log(np.maximum(ordered[:, :tail], 1e-9) / threshold[:, None]), axis=1)
    return np.asarray(threshold * max(1.0, TAIL_SHARE / probability) ** power, dtype=np.float64)
