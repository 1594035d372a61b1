"""The figures on people's judgement, from what they decided. Groups only, never a person: see `by_group`."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from api.agreement import CASES_MIN, OUTCOMES, Difference, Kappa, Share, cohen_kappa, fleiss_kappa, newcombe, share_of
from api.blind_draw import CaseKey
from api.store_quality import Decided
from ingest.messages import Instant

PEOPLE_MIN = 3  # of two, each would know the other's figures by subtracting his own
TOOK_MS_MAX = 3_600_000  # a page left open over lunch is no hour of looking
UNGROUPED, OTHERS, EVERYBODY = "ungrouped", "other groups", "everybody"

Truths = Mapping[str, tuple[Instant, str]]


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


def report(decided: Sequence[Decided], truths: Truths, groups: Mapping[str, str]) -> QualityReport:
    """All figures. `truths`: of parts, from elsewhere than a review; `groups`: of people who have an account."""
    final = {one.case: (one.outcome, one.by) for one in decided if one.made.final}
    decided = _firsts(decided)
    judged = [(one, truth) for one in decided if (truth := _truth(one, truths, final))]
    truth_of = {id(one): truth for one, truth in judged}
    first = _independent(decided)
    return QualityReport(
        decisions=len(decided),
        blind=sum(one.made.blind for one in decided),
        exercises=sum(one.made.seeded for one in decided),
        with_truth=len(judged),
        two=_kappa(cohen_kappa([(one[0], one[1]) for one in first if len(one) == 2]), first, lambda n: n == 2),
        several=_kappa(fleiss_kappa([tuple(map(one.count, OUTCOMES)) for one in first]), first, lambda n: n > 1),
        bias=_contrast([(one, truth) for one, truth in judged if one.made.model_said() not in ("", truth)]),
        benefit=_contrast([(one, truth) for one, truth in judged if one.made.model_said() == truth]),
        groups=[_group(name, people, decided, truth_of) for name, people in by_group(decided, groups)],
    )


def by_group(decided: Iterable[Decided], groups: Mapping[str, str]) -> list[tuple[str, set[str]]]:
    """Groups with their people, of PEOPLE_MIN at least: everybody first, then the large ones, then a pool of all the
    smaller. A pool that is too small takes the smallest large group with it, or it would stand in the difference."""
    members: dict[str, set[str]] = defaultdict(set)
    for one in decided:
        members[groups.get(one.by, "") or UNGROUPED].add(one.by)
    everybody: set[str] = set().union(*members.values()) if members else set()
    if len(everybody) < PEOPLE_MIN:
        return []
    large = [(name, people) for name, people in sorted(members.items()) if len(people) >= PEOPLE_MIN]
    pool = everybody.difference(*(people for _, people in large))
    if 0 < len(pool) < PEOPLE_MIN:
        smallest = min(large, key=lambda one: len(one[1]), default=("", set[str]()))
        pool |= smallest[1]
        large = [one for one in large if one != smallest]
    told = [(EVERYBODY, everybody), *large, *([(OTHERS, pool)] if pool else [])]
    return told if len(told) > 2 else told[:1]  # the only group is everybody


def _firsts(decided: Iterable[Decided]) -> list[Decided]:
    """Of each person on each case the first word: a later one has been told what was hidden, or by others."""
    first: dict[tuple[CaseKey, str, bool], Decided] = {}
    for one in decided:
        first.setdefault((one.case, one.by, one.made.seeded), one)
    return list(first.values())


def _truth(one: Decided, truths: Truths, final: Mapping[CaseKey, tuple[str, str]]) -> str:
    """What is known beside this decision: of a known part, by a record from elsewhere that came after it, or by the
    last word of somebody else."""
    if one.truth:
        return one.truth
    at, outcome = truths.get(one.case[2], (Instant(0), ""))
    if outcome and at > one.at:
        return outcome
    word, author = final.get(one.case, ("", ""))
    return word if author != one.by else ""


def _independent(decided: Iterable[Decided]) -> list[list[str]]:
    """Of each real case that several people judged without knowing of each other, what they said, in their order."""
    words: dict[CaseKey, list[str]] = defaultdict(list)
    for one in decided:
        if one.made.unaware and not one.made.seeded:
            words[one.case].append(one.outcome)
    return [said for said in words.values() if len(said) > 1]


def _contrast(judged: Sequence[tuple[Decided, str]]) -> Contrast:
    """How often people agree with the model, with its word on the screen and without."""
    shown = _agreeing(one for one, _ in judged if one.made.risk_shown is True)
    hidden = _agreeing(one for one, _ in judged if one.made.risk_shown is False)
    told: Difference | None = newcombe(shown, hidden)
    limits = (told.value, told.low, told.high) if told else (None, None, None)
    return Contrast(_figure(*shown), _figure(*hidden), *limits)


def _agreeing(decided: Iterable[Decided]) -> tuple[int, int]:
    agrees = [one.outcome == one.made.model_said() for one in decided]
    return sum(agrees), len(agrees)


def _group(name: str, people: set[str], decided: Sequence[Decided], truths: Mapping[int, str]) -> GroupFigures:
    own = [one for one in decided if one.by in people]
    judged = [(one.outcome, truths[id(one)]) for one in own if id(one) in truths]
    good = [said for said, truth in judged if truth == "ok"]
    bad = [said for said, truth in judged if truth == "defect"]
    return GroupFigures(
        group=name,
        people=len(people),
        decisions=len(own),
        overkill=_figure(good.count("defect"), len(good)),
        underkill=_figure(bad.count("ok"), len(bad)),
        agrees_with_truth=_kappa(cohen_kappa(judged), judged, lambda _: True),
        median_ms_shown=_median(one for one in own if one.made.risk_shown is True),
        median_ms_hidden=_median(one for one in own if one.made.risk_shown is False),
    )


def _median(decided: Iterable[Decided]) -> int | None:
    took = [min(one.made.took_ms, TOOK_MS_MAX) for one in decided if one.made.took_ms]
    return round(statistics.median(took)) if len(took) >= CASES_MIN else None


def _figure(hits: int, of: int) -> Figure:
    told: Share | None = share_of(hits, of)
    return Figure(hits, of, told.value, told.low, told.high) if told else Figure(hits, of, None, None, None)


def _kappa(told: Kappa | None, cases: Sequence[Sequence[str]], counts: Callable[[int], bool]) -> KappaFigure:
    if told is not None:
        return KappaFigure(told.value, told.low, told.high, told.of)
    return KappaFigure(None, None, None, sum(counts(len(one)) for one in cases))
