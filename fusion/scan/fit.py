"""What training leaves the scan of a line: natural rates and spreads, and the limits that its own history asks for.

Limits: the line's parts are run through the scan again and again with defects drawn anew from what is natural (every
value's effect drawn from its doubt, values of lots and batches as if never seen). Of the highest statistic of each
stretch, what is above the usual has an exponential tail (peaks over threshold: Pickands, 1975); the limit is where it
is reached FALSE_PER_PARTS times a part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion.scan.glr import Rows, best_since, screen
from fusion.scan.levels import counted_gates, levels_of
from fusion.scan.memory import ATTRIBUTES_MAX
from fusion.scan.rates import (
    ALL,
    NONE,
    RATE_MAX,
    RATE_MIN,
    Levels,
    Natural,
    Numbers,
    ScanNotes,
    Wander,
    attribute_of,
    fit_natural,
)
from fusion.scan.strata import Strata
from fusion.training.cases import Case
from ingest.plan import Plan

FALSE_PER_PARTS = 1e-6  # of each of the two signals; what history cannot show (slow changes) may cost as much again
DRAWS = 4  # plants like this one, drawn per signal: one draw of its tools alone is a better or a worse plant
NULL_PARTS = 40_000  # of each
STRETCH = 2000  # parts whose highest statistic is one observation
LOOK_PARTS = 500
MEMORY_PARTS = 8192  # of the drawn stream: longer windows are fewer and hold no higher maxima
TRANSIENT_PARTS = 0.2  # a value that history saw during less of its length may never come again
TRIED = 3  # levels per look whose onset is sought row by row, as in service
PEAKS_FROM = 0.8  # of the stretches' highest statistics, the quantile above which the tail begins
TAIL_USUAL, TAIL_PEAKS = 1.0, 10  # e^-h is the tail of a likelihood ratio; weighs as much as so many peaks
LIMIT_MIN = 7.0  # a raised rate 1000 times likelier than the natural, window by window
PARTS_MIN, DEFECTS_MIN = 200, 10  # history with less says too little of what is natural


def fit_scan(
    levels: Sequence[Sequence[str]], outcome: Numbers, flagged: Numbers, risk: Numbers | None = None, seed: int = 0
) -> ScanNotes | None:
    """From a line's parts in their order. `outcome`: 1 defect, 0 good, the base risk where there is no label;
    `flagged`: 1 or 0; `risk`: the base risk, NaN without. None when history is too short."""
    if len(levels) < PARTS_MIN or outcome.sum() < DEFECTS_MIN:
        return None
    table, names = level_table(levels)
    defects, flags = fit_natural(table, names, outcome, risk), fit_natural(table, names, flagged)
    stratum = defects.strata.of(np.full(len(outcome), np.nan) if risk is None else risk)
    rng = np.random.default_rng(seed)
    return ScanNotes(
        defects=defects,
        flags=flags,
        defects_limit=null_limit(table, names, defects, rng, stratum),
        flags_limit=null_limit(table, names, flags, rng),
    )


def fit_gate_scan(
    cases: Sequence[Case], base_risks: Sequence[float | None], threshold: float, plan: Plan
) -> ScanNotes | None:
    """`fit_scan` of the cases of one gate, in their order; None where the line is counted at another gate."""
    if not cases or counted_gates(plan).get(cases[0].evidence.line_id) != cases[0].evidence.gate_id:
        return None
    known = [risk for risk in base_risks if risk is not None]
    usual = float(np.mean(known)) if known else 0.0
    risks = np.array([usual if risk is None else risk for risk in base_risks])
    outcome = np.array([risk if case.defect is None else case.defect for case, risk in zip(cases, risks, strict=True)])
    return fit_scan(
        [levels_of(case.evidence, plan) for case in cases],
        outcome.astype(np.float64),
        (risks >= threshold).astype(np.float64),
        np.array([np.nan if risk is None else risk for risk in base_risks]),
    )


def level_table(levels: Sequence[Sequence[str]]) -> tuple[Levels, list[str]]:
    """int32[n, a] of level numbers, NONE where a part lacks one; and the levels' names.

    A column holds values of one attribute that exclude each other: the tools of one station, where parts book a tool
    at each of several. A value stays in the column where it was first seen, but where two of a part then collide.
    """
    names: list[str] = ["", "-"]
    numbers: dict[str, int] = {}
    home: dict[str, int] = {}
    owners: list[str] = []  # column -> attribute
    placed: list[dict[int, int]] = []
    for row in levels:
        used: dict[int, int] = {}
        for level in row[:ATTRIBUTES_MAX]:
            attribute = attribute_of(level)
            column = home.get(level, -1)
            if column < 0 or column in used:
                free = (k for k, owner in enumerate(owners) if owner == attribute and k not in used)
                column = next(free, len(owners))
                if column == len(owners):
                    owners.append(attribute)
                home.setdefault(level, column)
                if level not in numbers:
                    numbers[level] = len(names)
                    names.append(level)
            used[column] = numbers[level]
        placed.append(used)
    table = np.full((len(levels), max(1, len(owners))), NONE, dtype=np.int32)
    for place, used in enumerate(placed):
        table[place, list(used)] = list(used.values())
    return table, names


def null_limit(
    table: Levels, names: Sequence[str], natural: Natural, rng: np.random.Generator, stratum: Strata | None = None
) -> float:
    """The limit of one signal, nats. `stratum`: of risk, of each part."""
    if stratum is None:
        stratum = np.full(len(table), len(natural.strata.effects) - 1)
    highest: list[float] = []
    for _ in range(DRAWS):
        rows = _null_rows(table, names, natural, rng, stratum)
        for begin in range(0, len(rows.observed), STRETCH):
            looks = range(begin + LOOK_PARTS, min(begin + STRETCH, len(rows.observed)) + 1, LOOK_PARTS)
            highest.append(max((_highest(_until(rows, end)) for end in looks), default=0.0))
    usual = float(np.quantile(highest, PEAKS_FROM))
    peaks = [one - usual for one in highest if one > usual]
    scale = max(TAIL_USUAL, (sum(peaks) + TAIL_USUAL * TAIL_PEAKS) / (len(peaks) + TAIL_PEAKS))
    limit = usual + scale * float(np.log((1.0 - PEAKS_FROM) / (FALSE_PER_PARTS * STRETCH)))
    return round(max(LIMIT_MIN, limit), 2)


def _highest(rows: Rows) -> float:
    """The highest statistic of a look, as the search has it."""
    screened = screen(rows)
    first = np.argsort(-screened.statistic, kind="stable")[:TRIED]
    return max(best_since(rows.only(rows.carrying(int(level)))).statistic for level in first)


def _until(rows: Rows, end: int) -> Rows:
    at = np.arange(len(rows.observed))
    return rows.only((at < end) & (at >= end - MEMORY_PARTS))


def _null_rows(
    table: Levels, names: Sequence[str], natural: Natural, rng: np.random.Generator, stratum: Strata
) -> Rows:
    """The line's parts, repeated, with outcomes drawn from what is natural. Transient values are new in each round."""
    n, rounds = len(table), max(1, -(-NULL_PARTS // len(table)))
    doubts = np.array([natural.variance, 0.0, *(natural.doubt_of(name) for name in names[2:])])
    effects = np.array([1.0, 1.0, *(natural.effect_of(name) for name in names[2:])])
    passing = _transient(table, len(names))
    unseen = np.array([0.0, 0.0, *(natural.spread.get(attribute_of(name), 0.0) for name in names[2:])])
    width = int(passing.sum())
    places = np.zeros(len(names), dtype=np.int32)
    places[passing] = np.arange(width)
    all_doubts = np.concatenate([doubts, np.tile(unseen[passing], rounds)])
    usual = np.array([0.0, 0.0, *(natural.shares.get(name, 0.0) for name in names[2:])])
    shares = np.concatenate([np.where(passing, 0.0, usual), np.zeros(width * rounds)])
    known = np.concatenate([effects, np.ones(width * rounds)])
    noise = _drawn(all_doubts, rng)
    pieces = []
    for one in range(rounds):
        piece = table.copy()
        moved = passing[piece]
        piece[moved] = len(names) + one * width + places[piece[moved]]
        pieces.append(piece)
    levels = np.concatenate(pieces)[: max(n, NULL_PARTS)]
    rates = np.clip(natural.rate * np.prod(known[levels], axis=1), RATE_MIN, RATE_MAX)
    strata = np.tile(stratum, rounds)[: len(levels)]
    expected = np.clip(rates * np.array(natural.strata.effects)[strata], RATE_MIN, RATE_MAX)
    factor = _usual_mix_known(noise, levels, len(names)) * noise[ALL] * _wandering(natural.wander, len(levels), rng)
    actual = np.clip(expected * factor * _drawn(np.array(natural.strata.doubts), rng)[strata], 0.0, RATE_MAX)
    everything = np.full((len(levels), 1), ALL, dtype=np.int32)
    return Rows(
        np.hstack([everything, levels]).astype(np.int32), rng.random(len(levels)) < actual, expected, rates,
        np.arange(len(levels)), all_doubts, shares, natural.wander,
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
