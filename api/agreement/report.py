"""The figures on people's judgement, from what they decided. Groups only, never a person: see `by_group`."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from api.agreement.draw import CaseKey
from api.agreement.kappa import (
    CASES_MIN,
    OUTCOMES,
    Difference,
    Kappa,
    Share,
    cohen_kappa,
    fleiss_kappa,
    newcombe,
    share_of,
)
from api.store.quality import Decided
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


@dataclass(slots=True)
class Tally:
    """What some people said. `judged`: (what was said, the truth); `follows`: (was the model right, was its word shown,
    did they say the same); `took_ms`: was its word shown -> times."""

    decisions: int = 0
    judged: Counter[tuple[str, str]] = field(default_factory=Counter)
    follows: Counter[tuple[bool, bool, bool]] = field(default_factory=Counter)
    took_ms: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})

    def take(self, one: Decided, truth: str) -> None:
        """One decision, and the truth where it is known."""
        made = one.made
        self.decisions += 1
        if made.risk_shown is not None and made.took_ms:
            self.took_ms[made.risk_shown].append(min(made.took_ms, TOOK_MS_MAX))
        if not truth:
            return
        self.judged[one.outcome, truth] += 1
        word = made.model_said()
        if word and made.risk_shown is not None:
            self.follows[word == truth, made.risk_shown, word == one.outcome] += 1

    def add(self, other: Tally) -> None:
        """What these said, too."""
        self.decisions += other.decisions
        self.judged.update(other.judged)
        self.follows.update(other.follows)
        for shown, took in other.took_ms.items():
            self.took_ms[shown] += took


def report(decided: Sequence[Decided], truths: Truths, groups: Mapping[str, str]) -> QualityReport:
    """All figures. `decided`: in their order; `truths`: of parts, from elsewhere than a review; `groups`: of people who
    have an account."""
    final = {one.case: (one.outcome, one.by) for one in decided if one.made.final}
    decided = _firsts(decided)
    persons: dict[str, Tally] = defaultdict(Tally)
    for one in decided:
        persons[one.by].take(one, _truth(one, truths, final))
    every = _sum(persons, persons)
    together = _independent(decided)
    pairs = Counter((said[0], said[1]) for said in together if len(said) == 2)
    several = Counter(tuple(map(said.count, OUTCOMES)) for said in together)
    return QualityReport(
        decisions=len(decided),
        blind=sum(one.made.blind for one in decided),
        exercises=sum(one.made.seeded for one in decided),
        with_truth=every.judged.total(),
        two=_kappa(cohen_kappa(pairs), pairs.total()),
        several=_kappa(fleiss_kappa(several), several.total()),
        bias=_contrast(every, model_is_right=False),
        benefit=_contrast(every, model_is_right=True),
        groups=[_group(name, people, _sum(persons, people)) for name, people in by_group(persons, groups)],
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
    if (told := truths.get(one.case[2])) and told[0] > one.at:
        return told[1]
    word, author = final.get(one.case, ("", ""))
    return word if author != one.by else ""


def _independent(decided: Iterable[Decided]) -> list[list[str]]:
    """Of each real case that several people judged without knowing of each other, what they said, in their order."""
    words: dict[CaseKey, list[str]] = defaultdict(list)
    for one in decided:
        if one.made.unaware and not one.made.seeded:
            words[one.case].append(one.outcome)
    return [said for said in words.values() if len(said) > 1]


def _sum(persons: Mapping[str, Tally], names: Iterable[str]) -> Tally:
    every = Tally()
    for name in names:
        every.add(persons[name])
    return every


def _contrast(every: Tally, *, model_is_right: bool) -> Contrast:
    """How often people agree with the model where it is right, or wrong: with its word on the screen and without."""

    def agreeing(shown: bool) -> tuple[int, int]:
        agree, differ = (every.follows[model_is_right, shown, same] for same in (True, False))
        return agree, agree + differ

    shown, hidden = agreeing(True), agreeing(False)
    told: Difference | None = newcombe(shown, hidden)
    limits = (told.value, told.low, told.high) if told else (None, None, None)
    return Contrast(_figure(*shown), _figure(*hidden), *limits)


def _group(name: str, people: set[str], tally: Tally) -> GroupFigures:
    judged = tally.judged
    good, bad = (sum(judged[said, truth] for said in OUTCOMES) for truth in ("ok", "defect"))
    return GroupFigures(
        group=name,
        people=len(people),
        decisions=tally.decisions,
        overkill=_figure(judged["defect", "ok"], good),
        underkill=_figure(judged["ok", "defect"], bad),
        agrees_with_truth=_kappa(cohen_kappa(judged), judged.total()),
        median_ms_shown=_median(tally.took_ms[True]),
        median_ms_hidden=_median(tally.took_ms[False]),
    )


def _median(took_ms: Sequence[int]) -> int | None:
    return round(statistics.median(took_ms)) if len(took_ms) >= CASES_MIN else None


def _figure(hits: int, of: int) -> Figure:
    told: Share | None = share_of(hits, of)
    return Figure(hits, of, told.value, told.low, told.high) if told else Figure(hits, of, None, None, None)


def _kappa(told: Kappa | None, of: int) -> KappaFigure:
    return KappaFigure(told.value, told.low, told.high, of) if told else KappaFigure(None, None, None, of)
