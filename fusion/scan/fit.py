"""What training leaves the scan of a line: natural rates and spreads, and the limits that its own history asks for.

Limits: the line's parts are run through the scan again and again with defects drawn anew from what is natural (every
value's effect drawn from its doubt, values of lots and batches as if never seen). Of the highest statistic of each
stretch, what is above the usual has an exponential tail (peaks over threshold: Pickands, 1975); the limit is where it
is reached FALSE_PER_PARTS times a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fusion.scan.glr import screen
from fusion.scan.levels import counted_gates, levels_of
from fusion.scan.memory import ATTRIBUTES_MAX
from fusion.scan.rates import (
    NONE,
    Levels,
    Natural,
    Numbers,
    ScanNotes,
    attribute_of,
    fit_natural,
)
from fusion.scan.redraw import Plant
from fusion.scan.rows import Rows
from fusion.scan.search import measured
from fusion.training.cases import Case
from ingest.plan.plan import Plan

FALSE_PER_PARTS = 1e-6  # of each of the two signals; what history cannot show (slow changes) may cost as much again
DRAWS = 6  # plants like this one, drawn per signal: of few draws the limit is half a nat to a nat off
STRETCH = 2000  # parts whose highest statistic is one observation
LOOK_PARTS = 500
MEMORY_PARTS = 8192  # of the drawn stream: longer windows are fewer and hold no higher maxima
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
    plant = Plant(table, names, defects.strata.of(np.full(len(outcome), np.nan) if risk is None else risk))
    rng = np.random.default_rng(seed)
    return ScanNotes(
        defects=defects,
        flags=flags,
        defects_limit=null_limit(plant, defects, rng, flags),
        flags_limit=null_limit(plant, flags, rng),
        lends=True,
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


def null_limit(plant: Plant, signal: Natural, rng: np.random.Generator, lending: Natural | None = None) -> float:
    """The limit of one signal, nats. `lending`: flags, where they lend to it."""
    highest: list[float] = []
    for _ in range(DRAWS):
        rows = plant.drawn(signal, rng, lending)
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
    return max(measured(rows, (int(level),))[0].statistic for level in first)


def _until(rows: Rows, end: int) -> Rows:
    at = np.arange(len(rows.observed))
    late = (at < end) & (at >= end - MEMORY_PARTS)
    return replace(rows.only(late), flags=rows.flags and rows.flags.only(late))
