"""Limits of drift charts from a plant's own history, however much that wanders and however short it is.

How a signal wanders, and where its level lies, has a posterior (`wander.py`). Futures drawn from it run through the
very charts that will watch; a limit is the level that their highest point passes with the probability allowed. A short
or a long-wandering history thus gets wide limits by itself, an even one tight limits, and no figure rests on parts
being independent.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fusion.drift.charts import CUSUM_K, EWMA_WEIGHT
from fusion.drift.wander import SLOWEST_PARTS, Posterior, filter_steps, posterior

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

FALSE_PER_100K = 0.4  # incidents of drift per 100 000 parts, all signals of a gate together
CHARTS = 2  # per signal
HORIZON_BLOCKS = 1000  # of each future
FUTURES = 2000  # drawn per signal
GROUP, GROUP_AT_ONCE = 4, 64  # signals whose futures run together, in steps and where nobody waits
STEP_BLOCKS = 40  # of the horizon, between two parts: 6 ms of one core for a group
TAIL_SHARE = 0.02  # of the futures, which the power law of the highest points is fitted on (Hill 1975)
ROUNDING = 1e-7  # of its size: a signal that varies less does not vary
BLOCKS_MIN = 12  # fewer say nothing of a wander
BEYOND_HISTORY = 1.1  # of the highest point of training's own charts: a limit is never lower
DRAWN = 16  # signals whose laws are drawn in a step


@dataclass(frozen=True, slots=True)
class ChartLimits:
    """float64[signals] each. A block mean y is charted as (y - centre) / scale; `slack`: the CUSUM's k; `ewma` bounds
    the absolute EWMA, `cusum` both one-sided CUSUMs; infinite where history says too little."""

    centre: Doubles
    scale: Doubles
    slack: Doubles
    ewma: Doubles
    cusum: Doubles


def false_probability(block: int, signals: int) -> float:
    """The chance that one chart of one signal in control may have within HORIZON_BLOCKS of `block` parts."""
    return min(FALSE_PER_100K * HORIZON_BLOCKS * block / 100_000 / (CHARTS * signals), 0.02)


def slowest_wander(block: int) -> float:
    """Correlation time, in blocks of so many parts, of the slowest wander that limits allow for at least."""
    return SLOWEST_PARTS / block


def fit_limits(blocks: Doubles, false_probability: float, slowest: float = 0.0, seed: int = 0) -> ChartLimits:
    """Limits of each signal. `blocks`: float64[n, signals], block means in order of time, NaN where not measured;
    `false_probability`: that one chart of one signal in control passes its limit within HORIZON_BLOCKS; `slowest`: see
    `slowest_wander`, 0 where history shows all there is."""
    fit = LimitsFit(blocks, false_probability, slowest, group=GROUP_AT_ONCE, seed=seed)
    while fit.position < fit.steps:
        fit.step()
    return fit.limits()


class LimitsFit:
    """The same for whoever has parts to judge meanwhile: after so many `steps` there are `limits`.

    `found`: of the signals that can have limits, the first so many's (ewma, cusum). Whoever takes over a fit that has
    found some goes on behind them, and finds the same limits to the last bit, however many signals a `group` has."""

    def __init__(
        self, blocks: Doubles, false_probability: float, slowest: float,
        found: Sequence[tuple[float, float]] = (), group: int = GROUP, seed: int = 0,
    ) -> None:  # fmt: skip
        shown = np.where(np.isfinite(blocks).any(axis=0), blocks, 0.0)  # without any figure: as zeros, of no spread
        varies = np.nanstd(shown, axis=0) > ROUNDING * np.nanmax(np.abs(shown), axis=0)
        self._enough = (np.isfinite(blocks).sum(axis=0) >= BLOCKS_MIN) & varies
        self._seen = blocks[:, self._enough]
        self._probability, self._slowest, self._group, self._seed = false_probability, slowest, group, seed
        signals = self._seen.shape[1]
        self._centre, self._scale, self._slack = np.zeros(signals), np.ones(signals), np.full(signals, CUSUM_K)
        self.found = list(found)
        self.prepared = filter_steps(self._seen) + 3 * -(-signals // DRAWN) + 1 if signals else 0  # before the futures
        self.steps = self.prepared + -(-signals // group) * (HORIZON_BLOCKS // STEP_BLOCKS)
        self.position = 0  # steps done, those of who was before among them
        self._work = self._run()

    def step(self) -> None:
        """The next one."""
        next(self._work)
        self.position += 1

    def limits(self) -> ChartLimits:
        """Once `position` has come to `steps`."""
        count, of = len(self._enough), self._enough
        centre, scale, slack = np.zeros(count), np.ones(count), np.full(count, CUSUM_K)
        ewma, cusum = np.full(count, np.inf), np.full(count, np.inf)
        if of.any():
            centre[of], scale[of], slack[of] = self._centre, self._scale, self._slack
            ewma[of], cusum[of] = np.array(self.found).T
        return ChartLimits(centre, scale, slack, ewma, cusum)

    def _run(self) -> Iterator[None]:
        known = yield from posterior(self._seen, self._slowest)
        self._centre = (known.weight * known.level).sum(axis=0)
        variance = (known.weight * known.rss).sum(axis=0) / np.maximum(known.n - 3.0, 1.0)
        self._scale = np.sqrt(variance)
        futures = yield from _draw(known, self._centre, self._scale, np.random.default_rng(self._seed))
        for own in _some(len(self._centre)):
            self._slack[own] = np.maximum(CUSUM_K, _tail_level(np.abs(futures.off[own]), self._probability))
            yield
        of_history = own_highest((self._seen - self._centre) / self._scale, self._slack)
        self.position += -(-len(self.found) // self._group) * (HORIZON_BLOCKS // STEP_BLOCKS)
        yield
        for first in range(len(self.found), len(self._centre), self._group):
            own = slice(first, first + self._group)
            points = _highest_points(futures.of(own), self._slack[own], np.random.default_rng(self._seed))
            passed = yield from points
            limits = [
                np.maximum(_tail_level(one, self._probability), BEYOND_HISTORY * highest[own])
                for one, highest in zip(passed, of_history, strict=True)
            ]
            self.found += zip(*(one.tolist() for one in limits), strict=True)
            yield


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


def _some(signals: int) -> Iterator[slice]:
    return (slice(first, first + DRAWN) for first in range(0, signals, DRAWN))


def _draw(
    known: Posterior, centre: Doubles, scale: Doubles, rng: np.random.Generator
) -> Generator[None, None, _Futures]:
    shape = len(centre), FUTURES
    place, drawn, sigma = rng.random(FUTURES)[None, :, None], np.empty(shape, dtype=np.intp), np.empty(shape)
    for own in _some(len(centre)):
        weight = np.cumsum(known.weight.T[own], axis=1)[:, None, :-1]
        drawn[own] = (place > weight).sum(axis=2)
        spread = known.rss[drawn[own], _at(own, len(centre))]
        sigma[own] = np.sqrt(spread / rng.chisquare(known.n[own, None] - 1.0, spread.shape))
        yield
    futures = _Futures(*(np.empty(shape, dtype=np.float32) for _ in _Futures.__slots__))
    for own in _some(len(centre)):
        at, which, width, unit = _at(own, len(centre)), drawn[own], sigma[own], scale[own, None]
        off = rng.standard_normal(width.shape) * width / np.sqrt(known.certain[which, at])
        off += known.level[which, at] - centre[own, None]
        phi, share, spread = known.phi[which], known.share[which], width / unit
        futures.off[own], futures.memory[own] = off / unit, phi
        futures.kick[own] = np.sqrt((1 - phi * phi) * share) * spread
        futures.wander[own], futures.noise[own] = np.sqrt(share) * spread, np.sqrt(1 - share) * spread
        yield
    return futures


def _at(own: slice, signals: int) -> npt.NDArray[np.intp]:
    return np.arange(signals)[own, None]


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
        if block % STEP_BLOCKS == 0 and block < HORIZON_BLOCKS:
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
