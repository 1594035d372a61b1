"""Which level, or which two together, explains an excess: one cause at a time, then what is left without it.

A cause is chosen by likelihood, each candidate with its own onset; what it raises is then expected, and the rest must
stand out from that. A level that merely goes along with the cause drops out; one that cannot be told apart is named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from fusion.scan_glr import Rows, Since, best_since, screen
from fusion.scan_rates import ALL, NONE, RATE_MAX, Numbers

Sides = tuple[int, ...]  # the level of a cause, or the two of a pair, ascending

EXCESSES_MAX = 5  # found at one look; more troubles at once are found when these are seen to
CANDIDATES = 8  # levels whose onset is sought row by row
PAIRED = 4  # of them, those whose partners are tried
PAIR_FROM = 5.0  # nats of the better side; a pair of which neither side stands out at all is not sought
PAIR_PENALTY = 4.0  # nats: about the log of the partners tried, so that a pair is no likelier by chance than a level
TIE = 3.0  # nats (20 to 1): two causes nearer than this cannot be told apart,
TIE_OVERLAP = 0.5  # if so many of the parts that carry either carry both
HELD = 3.0  # nats that speak for the cause an open incident names already: no hopping between two


@dataclass(frozen=True, slots=True)
class Excess:
    """More than natural, of parts that carry all `sides`, from row `row` on. `ties`: causes as likely."""

    sides: Sides
    row: int
    since: Since
    limit: float
    ties: tuple[Sides, ...] = ()

    @property
    def ratio(self) -> float:
        return self.since.ratio


def find_excesses(rows: Rows, limit: float, held: Collection[Sides] = (), hidden: Collection[int] = ()) -> list[Excess]:
    """All that stands out, the likeliest first. `hidden`: levels that are no causes."""
    found: list[Excess] = []
    while len(found) < EXCESSES_MAX:
        excess = _likeliest(rows, limit, held, hidden)
        if excess is None:
            return found
        found.append(excess)
        rows = rows.expecting(explained(rows, excess.sides, excess.row, excess.ratio))
    return found


def explained(rows: Rows, sides: Sides, row: int, ratio: float, until: int | None = None) -> Numbers:
    """What is expected of each row when parts with `sides` run at `ratio` times their rate from `row` on."""
    expected = rows.expected.copy()
    late = slice(row, until)
    carrying = rows.carrying(*sides)[late]
    expected[late] = np.where(carrying, np.minimum(expected[late] * max(1.0, ratio), RATE_MAX), expected[late])
    return expected


def measured(rows: Rows, sides: Sides) -> tuple[Since, int]:
    """The excess of one cause at its best onset, and that onset as a row of `rows`."""
    at = np.flatnonzero(rows.carrying(*sides))
    since = best_since(rows.only(at_mask(rows, at)))
    return since, int(at[since.row]) if len(at) else 0


def overlap(rows: Rows, one: Sides, other: Sides, row: int) -> float:
    """Share of the parts since a row with either cause that carry both."""
    a, b = rows.carrying(*one)[row:], rows.carrying(*other)[row:]
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))


def at_mask(rows: Rows, at: np.ndarray[tuple[int], np.dtype[np.intp]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask = np.zeros(len(rows.observed), dtype=np.bool_)
    mask[at] = True
    return mask


def _likeliest(rows: Rows, limit: float, held: Collection[Sides], hidden: Collection[int]) -> Excess | None:
    screened = screen(rows)
    screened.statistic[list(hidden)] = 0.0
    first = np.argsort(-screened.statistic, kind="stable")[:CANDIDATES]
    first = first[screened.statistic[first] >= min(limit, PAIR_FROM)]
    if not len(first):
        return None
    candidates: dict[Sides, float] = {(int(level),): float(screened.statistic[level]) for level in first}
    candidates |= dict(_pairs(rows, [int(level) for level in first if level != ALL][:PAIRED], limit, hidden))
    if max(candidates.values()) < limit and not any(sides in candidates for sides in held):
        return None
    tried = {sides: measured(rows, sides) for sides in candidates}
    standing = {
        sides: one for sides, one in tried.items()
        if one[0].statistic - _penalty(sides) >= limit or (sides in held and one[0].statistic > TIE)
    }  # fmt: skip
    if not standing:
        return None
    likely = {
        sides: _likelihood(sides, since, held) for sides, (since, _) in tried.items() if since.statistic > limit / 2
    }
    best = max((sides for sides in likely), key=lambda sides: (likely[sides], len(sides) == 1), default=None)
    if best is None:
        return None
    since, row = tried[best]
    rest = rows.expecting(explained(rows, best, row, since.ratio))
    ties = [
        sides for sides in likely
        if sides != best and likely[sides] > likely[best] - TIE and overlap(rows, best, sides, row) >= TIE_OVERLAP
        and measured(rest, sides)[0].log_ratio < TIE
    ]  # fmt: skip
    return Excess(best, row, since, limit, tuple(sorted(ties, key=lambda sides: -likely[sides])))


def _pairs(rows: Rows, levels: list[int], limit: float, hidden: Collection[int]) -> Iterator[tuple[Sides, float]]:
    """Partners with which a level stands out more than alone."""
    for level in levels:
        screened = screen(rows.only(rows.carrying(level)))
        screened.statistic[[ALL, NONE, level, *hidden]] = 0.0
        partner = int(screened.statistic.argmax())
        statistic = float(screened.statistic[partner]) - PAIR_PENALTY
        if statistic >= min(limit, PAIR_FROM):
            yield (min(level, partner), max(level, partner)), statistic


def _penalty(sides: Sides) -> float:
    return PAIR_PENALTY if len(sides) > 1 else 0.0


def _likelihood(sides: Sides, since: Since, held: Collection[Sides]) -> float:
    return since.log_ratio - _penalty(sides) + (HELD if sides in held else 0.0)
