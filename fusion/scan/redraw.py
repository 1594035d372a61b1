"""A plant like the one that history shows, drawn anew: the same parts, with outcomes from what is natural."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion.scan.rates import ALL, NONE, RATE_MAX, RATE_MIN, Levels, Natural, Numbers, Wander, attribute_of
from fusion.scan.rows import Mask, Rows
from fusion.scan.strata import Strata

NULL_PARTS = 40_000  # of each draw
TRANSIENT_PARTS = 0.2  # a value that history saw during less of its length may never come again


@dataclass(frozen=True, slots=True)
class Plant:
    """History as it is redrawn. `table`: int32[n, a] of level numbers; `names`: of each; `stratum`: of risk, of each
    part."""

    table: Levels
    names: Sequence[str]
    stratum: Strata

    def drawn(self, natural: Natural, rng: np.random.Generator, lending: Natural | None = None) -> Rows:
        """The line's parts, repeated, with outcomes of one signal. `lending`: the flags' nature, where they lend to it;
        what is worse by nature in the one need not be in the other: labels are held against the risk."""
        passing = _transient(self.table, len(self.names))
        rounds = max(1, -(-NULL_PARTS // len(self.table)))
        levels = self._repeated(passing, rounds)
        flags = None if lending is None else self._outcomes(lending, levels, passing, rounds, rng)
        return self._outcomes(natural, levels, passing, rounds, rng, flags)

    def _repeated(self, passing: Mask, rounds: int) -> Levels:
        """Transient values are new in each round."""
        width = int(passing.sum())
        places = np.zeros(len(self.names), dtype=np.int32)
        places[passing] = np.arange(width)
        pieces = []
        for one in range(rounds):
            piece = self.table.copy()
            moved = passing[piece]
            piece[moved] = len(self.names) + one * width + places[piece[moved]]
            pieces.append(piece)
        return np.concatenate(pieces)[: max(len(self.table), NULL_PARTS)]

    def _outcomes(
        self, natural: Natural, levels: Levels, passing: Mask, rounds: int, rng: np.random.Generator,
        flags: Rows | None = None,
    ) -> Rows:  # fmt: skip
        names, new = self.names, int(passing.sum()) * rounds
        doubts = np.array([natural.variance, 0.0, *(natural.doubt_of(name) for name in names[2:])])
        effects = np.array([1.0, 1.0, *(natural.effect_of(name) for name in names[2:])])
        unseen = np.array([0.0, 0.0, *(natural.spread.get(attribute_of(name), 0.0) for name in names[2:])])
        all_doubts = np.concatenate([doubts, np.tile(unseen[passing], rounds)])
        usual = np.array([0.0, 0.0, *(natural.shares.get(name, 0.0) for name in names[2:])])
        shares = np.concatenate([np.where(passing, 0.0, usual), np.zeros(new)])
        known = np.concatenate([effects, np.ones(new)])
        rates = np.clip(natural.rate * np.prod(known[levels], axis=1), RATE_MIN, RATE_MAX)
        strata = np.resize(self.stratum, len(levels)) if natural.strata.edges else np.full(len(levels), -1)
        expected = np.clip(rates * np.array(natural.strata.effects)[strata], RATE_MIN, RATE_MAX)
        noise = _drawn(all_doubts, rng)
        factor = _usual_mix_known(noise, levels, len(names)) * noise[ALL] * _wandering(natural.wander, len(levels), rng)
        worse = _drawn(np.array(natural.strata.doubts), rng)
        actual = np.clip(expected * factor * worse[strata], 0.0, RATE_MAX)
        everything = np.full((len(levels), 1), ALL, dtype=np.int32)
        return Rows(
            np.hstack([everything, levels]).astype(np.int32), rng.random(len(levels)) < actual, expected, rates,
            np.arange(len(levels)), all_doubts, shares, natural.wander, flags,
        )  # fmt: skip


def _drawn(doubts: Numbers, rng: np.random.Generator) -> Numbers:
    """Factors with mean 1 and these variances."""
    noise = np.ones(len(doubts))
    wide = doubts > 0
    noise[wide] = rng.gamma(1.0 / doubts[wide], doubts[wide])
    return noise


def _usual_mix_known(noise: Numbers, levels: Levels, seen: int) -> Numbers:
    """What the values of each part do to its rate. Of those that history saw (numbers below `seen`) each is known as
    well as its doubt says, their usual mix as well as the line's rate: together they are drawn to leave it as it is."""
    drawn = noise[levels]
    lasting = np.prod(np.where(levels < seen, drawn, 1.0), axis=1)
    passing = np.prod(np.where(levels < seen, 1.0, drawn), axis=1)
    factor: Numbers = lasting / lasting.mean() * passing
    return factor


def _wandering(wander: Wander, parts: int, rng: np.random.Generator) -> Numbers:
    """How the rate of a line wanders: one factor per stretch, float64[parts]."""
    stretches = parts // wander.parts + 1
    return np.repeat(rng.gamma(1.0 / wander.variance, wander.variance, stretches), wander.parts)[:parts]


def _transient(table: Levels, count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Levels that were there during a short time only: lots, batches."""
    first, last = np.full(count, len(table)), np.full(count, -1)
    at = np.arange(len(table))
    for column in table.T:
        np.minimum.at(first, column, at)
        np.maximum.at(last, column, at)
    short: np.ndarray[tuple[int], np.dtype[np.bool_]] = (last - first) < TRANSIENT_PARTS * len(table)
    short[[ALL, NONE]] = False
    return short
