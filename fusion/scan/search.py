"""Which level, or which two together, explains an excess: one cause at a time, then what is left without it.

A cause is chosen by likelihood, each candidate with its own onset; what it raises is then expected, and the rest must
stand out from that. A level that merely goes along with the cause drops out; one that cannot be told apart is named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fusion.scan.glr import Since, best_since, own_variance, screen
from fusion.scan.lent import contrasts
from fusion.scan.rates import ALL, NONE, RATE_MAX, Numbers
from fusion.scan.rows import Rows

Sides = tuple[int, ...]  # the level of a cause, or the two of a pair, ascending

EXCESSES_MAX = 5  # found at one look; more troubles at once are found when these are seen to
CANDIDATES = 8  # levels whose onset is sought row by row
PAIRED = 4  # of them, those whose partners are tried
PAIR_FROM = 5.0  # nats of the better side; a pair of which neither side stands out at all is not sought
PAIR_PENALTY = 5.0  # nats: about the log of the partners tried, so that a pair is no likelier by chance than a level
TIE = 3.0  # nats (20 to 1): two causes nearer than this cannot be told apart,
TIE_OVERLAP = 0.5  # if so many of the parts that carry either carry both
LEAD = 4.0  # nats ahead of others, which are some 50, when an incident opens: a look or two later, better named;
SURE = 8.0  # or so much more than the limit asks
HELD = 2.0  # nats that speak for the cause an open incident names already: no hopping between two


@dataclass(frozen=True, slots=True)
class Excess:
    """More than natural, of parts that carry all `sides`, from row `row` on. `ties`: causes as likely; `lead`: nats
    ahead of the next that is no tie."""

    sides: Sides
    row: int
    since: Since
    limit: float
    ties: tuple[Sides, ...] = ()
    lead: float = 0.0

    @property
    def clear(self) -> bool:
        """Is it known well enough whose excess it is to call people there?"""
        return self.lead >= LEAD or self.since.statistic >= self.limit + SURE

    @property
    def ratio(self) -> float:
        return self.since.ratio


def find_excesses(rows: Rows, limit: float, held: Collection[Sides] = (), hidden: Collection[int] = ()) -> list[Excess]:
    """All that stands out, the likeliest first. `held`: causes of open incidents; `hidden`: levels that are none."""
    found: list[Excess] = []
    while len(found) < EXCESSES_MAX:
        waiting = [sides for sides in held if all(sides != excess.sides for excess in found)]
        excess = _likeliest(rows, limit, waiting, hidden)
        if excess is None or any(excess.sides == known.sides for known in found):
            return found
        found.append(excess)
        rows = without(rows, excess.sides, excess.row, excess.ratio)
    return found


def explained(rows: Rows, sides: Sides, row: int, ratio: float, until: int | None = None) -> Numbers:
    """What is expected of each row when `sides` adds to its rate, from `row` on, so that alone it is `ratio` times the
    natural one."""
    expected = rows.expected.copy()
    late = slice(row, until)
    carrying = rows.carrying(*sides)[late]
    more = max(0.0, ratio - 1.0) * rows.natural[late]
    expected[late] = np.where(carrying, np.minimum(expected[late] + more, RATE_MAX), expected[late])
    return expected


def measured(rows: Rows, sides: Sides) -> tuple[Since, int]:
    """The excess of one cause at its best onset, and that onset as a row of `rows`."""
    at = np.flatnonzero(rows.carrying(*sides))
    lent = None
    if rows.flags is not None:
        lent = contrasts(rows.flags, sides, rows.position[at]).lent(own_variance(rows.flags)[list(sides)].sum())
    since = best_since(rows.only(at_mask(rows, at)), lent)
    return since, int(at[since.row]) if len(at) else 0


def without(rows: Rows, sides: Sides, row: int, ratio: float) -> Rows:
    """Rows of which is expected what `sides` adds from `row` on, and of the flags that lend what they show."""
    flags = rows.flags
    if flags is not None:
        since = rows.position[row : row + 1]
        raised = float(contrasts(flags, sides, since).ratio[0])
        first = int(np.searchsorted(flags.position, since[0]))
        flags = flags.expecting(explained(flags, sides, first, raised))
    return replace(rows.expecting(explained(rows, sides, row, ratio)), flags=flags)


def overlap(rows: Rows, one: Sides, other: Sides, row: int) -> float:
    """Share of the parts since a row with either cause that carry both."""
    a, b = rows.carrying(*one)[row:], rows.carrying(*other)[row:]
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))


def at_mask(rows: Rows, at: np.ndarray[tuple[int], np.dtype[np.intp]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask = np.zeros(len(rows.observed), dtype=np.bool_)
    mask[at] = True
    return mask


def _likeliest(rows: Rows, limit: float, held: Collection[Sides], hidden: Collection[int]) -> Excess | None:
    candidates = _candidates(rows, limit, hidden)
    if not held and max(candidates.values(), default=0.0) < limit:
        return None
    tried = {sides: measured(rows, sides) for sides in dict.fromkeys([*candidates, *held, (ALL,)])}
    news = any(since.statistic - _penalty(sides) >= limit for sides, (since, _) in tried.items())
    # one level of so many stands out by chance, all parts together do not: ALL is given the log of their number
    several = float(np.log(max(1, len(np.unique(rows.levels)) - 2)))
    likely = {
        sides: since.log_ratio - _penalty(sides) + (HELD if sides in held else 0.0) + several * (sides == (ALL,))
        for sides, (since, _) in tried.items()
        if since.statistic > (limit / 2 if news else TIE) and since.own > TIE and (news or sides in held)
    }
    if not likely:
        return None
    best = max(likely, key=lambda sides: (likely[sides], len(sides) == 1))
    since, row = tried[best]
    ties = _ties(rows, best, row, since.ratio, {sides: tried[sides][0].log_ratio for sides in likely})
    others = [likely[sides] for sides in likely if not set(best) <= set(sides) and sides not in ties]
    return Excess(best, row, since, limit, ties, likely[best] - max(others, default=0.0))


def _candidates(rows: Rows, limit: float, hidden: Collection[int]) -> dict[Sides, float]:
    """Levels and pairs that stand out at first sight, with their statistics."""
    screened = screen(rows)
    screened.statistic[list(hidden)] = 0.0
    first = np.argsort(-screened.statistic, kind="stable")[:CANDIDATES]
    first = first[screened.statistic[first] >= min(limit, PAIR_FROM)]
    candidates: dict[Sides, float] = {(int(level),): float(screened.statistic[level]) for level in first}
    return candidates | dict(_pairs(rows, [int(level) for level in first if level != ALL][:PAIRED], limit, hidden))


def _ties(rows: Rows, best: Sides, row: int, ratio: float, likely: Mapping[Sides, float]) -> tuple[Sides, ...]:
    """Causes of much the same parts that are about as likely (bare of what is owed for choosing), and of which nothing
    is left without the best."""
    rest = without(rows, best, row, ratio)
    ties = [
        sides
        for sides in likely
        if sides != best
        and likely[sides] > likely[best] - TIE
        and overlap(rows, best, sides, row) >= TIE_OVERLAP
        and measured(rest, sides)[0].log_ratio < TIE
    ]
    alone = {best, *(sides for sides in ties if len(sides) == 1)}
    apart = [sides for sides in ties if len(sides) == 1 or not all((side,) in alone for side in sides)]
    return tuple(sorted(apart, key=lambda sides: -likely[sides]))


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
