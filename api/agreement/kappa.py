"""How well people agree with each other and with the truth: shares, differences of shares and kappas, each with the
interval that its numbers allow. Pure functions; where there is too little to say it, they return None.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Z = 1.959963984540054  # of a two-sided interval of 95 %
CASES_MIN = 20  # below this an interval of a share is more than 40 points wide: a figure would only look like one


class Share(NamedTuple):
    """`hits` of `of`, with the interval [low, high] of 95 %."""

    hits: int
    of: int
    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """A share less another, with the interval of 95 %."""

    value: float
    low: float
    high: float


class Kappa(NamedTuple):
    """Agreement beyond chance: 1 perfect, 0 as by chance. `of`: parts it was worked out from."""

    value: float
    low: float
    high: float
    of: int


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Score interval of a share: E. B. Wilson, JASA 22 (1927) 209-212. [0, 1] of nothing."""
    if of == 0:
        return 0.0, 1.0
    share, spread = hits / of, Z * Z / of
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    # At the ends the bounds are 0 and 1 themselves; floating point would miss them by a hair.
    return (0.0 if hits == 0 else max(0.0, centre - half)), (1.0 if hits == of else min(1.0, centre + half))


def share_of(hits: int, of: int, least: int = CASES_MIN) -> Share | None:
    """A share with its interval; None of fewer than `least` cases."""
    if of < max(1, least):
        return None
    return Share(hits, of, hits / of, *wilson(hits, of))


def newcombe(first: tuple[int, int], second: tuple[int, int], least: int = CASES_MIN) -> Difference | None:
    """First less second, each (hits, of), of independent cases: R. G. Newcombe, Statistics in Medicine 17 (1998)
    873-890, method 10, from Wilson's intervals. None where either has fewer than `least` cases."""
    one, other = share_of(*first, least), share_of(*second, least)
    if one is None or other is None:
        return None
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Difference(value, max(-1.0, low), min(1.0, high))


def cohen_kappa(pairs: Mapping[tuple[str, str], int], least: int = CASES_MIN) -> Kappa | None:
    """Of two people who judged the same parts, from how often they said what:
    J. Cohen, Educational and Psychological Measurement 20 (1960) 37-46.

    The interval takes chance agreement as fixed, as Cohen's own does, with Wilson's interval of the observed agreement
    in place of Wald's, which shrinks to nothing where all agree. None of fewer than `least` pairs, or where both said
    the same of every part: by chance they would have too, and nothing is left to be explained."""
    count = sum(pairs.values())
    if count < max(1, least):
        return None
    agreed = sum(often for (one, other), often in pairs.items() if one == other)
    first, second = Counter[str](), Counter[str]()
    for (one, other), often in sorted(pairs.items()):
        first[one] += often
        second[other] += often
    chance = math.fsum((first[word] / count) * (second[word] / count) for word in first)
    if chance >= 1.0:
        return None
    low, high = wilson(agreed, count)

    def beyond(share: float) -> float:
        return max(-1.0, (share - chance) / (1 - chance))

    return Kappa(beyond(agreed / count), beyond(low), beyond(high), count)


def fleiss_kappa(parts: Mapping[tuple[int, ...], int], least: int = CASES_MIN) -> Kappa | None:
    """Of several people: `parts` tells of how many parts so many people said each outcome.
    J. L. Fleiss, Psychological Bulletin 76 (1971) 378-382, for numbers of people that differ from part to part. Parts
    with one person are left out.

    The interval is by the delete-one jackknife over parts (B. Efron, C. Stein, Ann. Statist. 9 (1981) 586-596)."""
    told = {counts: often for counts, often in parts.items() if sum(counts) > 1}
    count = sum(told.values())
    if count < max(2, least):
        return None
    words = [sum(often * of_kind for of_kind, often in kind) for kind in _by_kind(told)]
    agreed = math.fsum(often * _pairs_agreed(counts) for counts, often in told.items())
    value = _fleiss(agreed, words, count)
    if value is None:
        return None
    left_out = []
    for counts, often in told.items():
        rest = [total - own for total, own in zip(words, counts, strict=True)]
        without = _fleiss(agreed - _pairs_agreed(counts), rest, count - 1)
        left_out.append((value if without is None else without, often))
    mean = math.fsum(one * often for one, often in left_out) / count
    half = Z * math.sqrt(math.fsum(often * (one - mean) ** 2 for one, often in left_out) * (count - 1) / count)
    return Kappa(value, max(-1.0, value - half), min(1.0, value + half), count)


def _by_kind(told: Mapping[tuple[int, ...], int]) -> list[list[tuple[int, int]]]:
    """Of each outcome (people who said it, on how many parts)."""
    columns = zip(*told, strict=True)
    return [list(zip(column, told.values(), strict=True)) for column in columns]


def _pairs_agreed(counts: tuple[int, ...]) -> float:
    """Share of the pairs of people who said the same of a part."""
    people = sum(counts)
    return (sum(one * one for one in counts) - people) / (people * (people - 1))


def _fleiss(agreed: float, words: Sequence[int], parts: int) -> float | None:
    every = sum(words)
    chance = sum((one / every) ** 2 for one in words)
    return None if chance >= 1.0 else (agreed / parts - chance) / (1 - chance)
