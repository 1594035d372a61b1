"""The figures on people's judgement, from what they decided. Groups only, never a person: see `by_group`."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from api.agreement.kappa import CASES_MIN, Difference, Kappa, Share, cohen_kappa, fleiss_kappa, newcombe, share_of
from api.agreement.tally import WORDS, Tally, Truths, first_words, holds, said_together, tallied
from api.store.decisions import Decisions, Ints, Said

PEOPLE_MIN = 3  # of two, each would know the other's figures by subtracting his own
UNGROUPED, OTHERS, EVERYBODY = "ungrouped", "other groups", "everybody"


class Figure(msgspec.Struct, frozen=True):
    """A share with its interval of 95 %, or null values where there are too few cases to tell."""

    hits: int
    of: int
    value: float | None
    low: float | None
    high: float | None


class Contrast(msgspec.Struct, frozen=True):
    """A share with the model's word on the screen, the same without it, and how much they differ."""

    shown: Figure
    hidden: Figure
    difference: float | None
    low: float | None
    high: float | None


class KappaFigure(msgspec.Struct, frozen=True):
    """Agreement beyond chance, null where it cannot be told, from `of` parts."""

    value: float | None
    low: float | None
    high: float | None
    of: int


class GroupFigures(msgspec.Struct, frozen=True):
    """Of one group of people. `overkill`: good parts called defective; `underkill`: defective parts called good, both
    of parts whose truth is known; `median_ms`: time for a decision, the model's word on the screen or not."""

    group: str
    people: int
    decisions: int
    overkill: Figure
    underkill: Figure
    agrees_with_truth: KappaFigure
    median_ms_shown: int | None
    median_ms_hidden: int | None


class QualityReport(msgspec.Struct, frozen=True):
    """How people judge. `bias`: how much more often they agree with a wrong model when they see what it says;
    `benefit`: the same of a right one. `two`: of people who saw the same part, `several`: of all who judged a part."""

    decisions: int
    blind: int
    exercises: int
    with_truth: int
    two: KappaFigure
    several: KappaFigure
    bias: Contrast
    benefit: Contrast
    groups: list[GroupFigures]
    cases_min: int = CASES_MIN
    people_min: int = PEOPLE_MIN


def report(decisions: Decisions, truths: Truths, groups: Mapping[str, str]) -> QualityReport:
    """All figures. `truths`: of parts, from elsewhere than a review; `groups`: of people who have an account."""
    first = first_words(decisions)
    tallies, together = tallied(decisions, first, truths), said_together(decisions, first)
    every = tallies.of(decisions.people)
    said = decisions.said[first]
    return QualityReport(
        decisions=len(first),
        blind=int(holds(said, Said.BLIND).sum()),
        exercises=int(holds(said, Said.SEEDED).sum()),
        with_truth=int(every.judged.sum()),
        two=_kappa(cohen_kappa(together.pairs), sum(together.pairs.values())),
        several=_kappa(fleiss_kappa(together.several), sum(together.several.values())),
        bias=_contrast(every, model_is_right=False),
        benefit=_contrast(every, model_is_right=True),
        groups=[_group(name, people, tallies.of(people)) for name, people in by_group(decisions.people, groups)],
    )


def by_group(names: Iterable[str], groups: Mapping[str, str]) -> list[tuple[str, set[str]]]:
    """Groups with their people, of PEOPLE_MIN at least: everybody first, then the large ones, then a pool of all the
    smaller. A pool that is too small takes the smallest large group with it, or it would stand in the difference."""
    everybody = set(names)
    if len(everybody) < PEOPLE_MIN:
        return []
    members: dict[str, set[str]] = defaultdict(set)
    for name in everybody:
        members[groups.get(name, "") or UNGROUPED].add(name)
    large = [(name, people) for name, people in sorted(members.items()) if len(people) >= PEOPLE_MIN]
    pool = everybody.difference(*(people for _, people in large))
    if 0 < len(pool) < PEOPLE_MIN:
        smallest = min(large, key=lambda one: len(one[1]), default=("", set[str]()))
        pool |= smallest[1]
        large = [one for one in large if one != smallest]
    told = [(EVERYBODY, everybody), *large, *([(OTHERS, pool)] if pool else [])]
    return told if len(told) > 2 else told[:1]  # the only group is everybody


def _contrast(every: Tally, *, model_is_right: bool) -> Contrast:
    """How often people agree with the model where it is right, or wrong: with its word on the screen and without."""

    def agreeing(shown: bool) -> tuple[int, int]:
        differ, agree = every.follows[int(model_is_right), int(shown)].tolist()
        return agree, agree + differ

    shown, hidden = agreeing(True), agreeing(False)
    told: Difference | None = newcombe(shown, hidden)
    limits = (told.value, told.low, told.high) if told else (None, None, None)
    return Contrast(_figure(*shown), _figure(*hidden), *limits)


def _group(name: str, people: set[str], tally: Tally) -> GroupFigures:
    (passed_good, passed_bad), (stopped_good, stopped_bad) = tally.judged.tolist()
    told = (passed_good, passed_bad, stopped_good, stopped_bad)
    pairs = dict(zip(itertools.product(WORDS, WORDS), told, strict=True))
    return GroupFigures(
        group=name,
        people=len(people),
        decisions=tally.decisions,
        overkill=_figure(stopped_good, passed_good + stopped_good),
        underkill=_figure(passed_bad, passed_bad + stopped_bad),
        agrees_with_truth=_kappa(cohen_kappa(pairs), sum(told)),
        median_ms_shown=_median(tally.took_ms_shown),
        median_ms_hidden=_median(tally.took_ms_hidden),
    )


def _median(took_ms: Ints) -> int | None:
    return round(float(np.median(took_ms))) if len(took_ms) >= CASES_MIN else None


def _figure(hits: int, of: int) -> Figure:
    told: Share | None = share_of(hits, of)
    return Figure(hits, of, told.value, told.low, told.high) if told else Figure(hits, of, None, None, None)


def _kappa(told: Kappa | None, of: int) -> KappaFigure:
    return KappaFigure(told.value, told.low, told.high, of) if told else KappaFigure(None, None, None, of)
