"""The figures on people's judgement, worked out slowly and plainly: decision by decision, from what was recorded."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.agreement.draw import CaseKey
from api.agreement.kappa import CASES_MIN, Kappa, cohen_kappa, fleiss_kappa, newcombe, share_of
from api.agreement.report import Contrast, Figure, GroupFigures, KappaFigure, QualityReport, by_group
from api.store.rows import Made

Words = Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class One:
    """A decision as it was recorded. `truth`: of a known part."""

    case: CaseKey
    by: str
    at: int
    outcome: str
    made: Made = field(default_factory=Made)
    truth: str = ""


def plain_report(decided: Sequence[One], truths: Words, groups: Mapping[str, str]) -> QualityReport:
    """All figures, of decisions in their order."""
    final = {one.case: (one.outcome, one.by) for one in decided if one.made.final}
    first: dict[tuple[CaseKey, str, bool], One] = {}
    for one in decided:
        first.setdefault((one.case, one.by, one.made.seeded), one)
    told = [(one, _truth(one, truths, final)) for one in first.values()]
    words: dict[CaseKey, list[str]] = defaultdict(list)
    for one, _ in told:
        if one.made.unaware and not one.made.seeded:
            words[one.case].append(one.outcome)
    together = [said for said in words.values() if len(said) > 1]
    pairs = Counter((said[0], said[1]) for said in together if len(said) == 2)
    several = Counter((said.count("defect"), said.count("ok")) for said in together)
    return QualityReport(
        decisions=len(told),
        blind=sum(one.made.blind for one, _ in told),
        exercises=sum(one.made.seeded for one, _ in told),
        with_truth=sum(bool(truth) for _, truth in told),
        two=_kappa(cohen_kappa(pairs), pairs.total()),
        several=_kappa(fleiss_kappa(several), several.total()),
        bias=_contrast(told, lambda said, truth: said != truth),
        benefit=_contrast(told, lambda said, truth: said == truth),
        groups=[
            _group(name, people, [(one, truth) for one, truth in told if one.by in people])
            for name, people in by_group([one.by for one, _ in told], groups)
        ],
    )


def _truth(one: One, truths: Words, final: Mapping[CaseKey, tuple[str, str]]) -> str:
    if one.truth:
        return one.truth
    if (told := truths.get(one.case[2])) and told[0] > one.at:
        return told[1]
    word, author = final.get(one.case, ("", ""))
    return word if author != one.by else ""


def _contrast(told: list[tuple[One, str]], fits: Callable[[str, str], bool]) -> Contrast:
    follows: dict[bool, list[bool]] = {True: [], False: []}
    for one, truth in told:
        said = one.made.model_said()
        if truth and said and one.made.risk_shown is not None and fits(said, truth):
            follows[one.made.risk_shown].append(said == one.outcome)
    shown, hidden = ((sum(follows[seen]), len(follows[seen])) for seen in (True, False))
    differs = newcombe(shown, hidden)
    return Contrast(_figure(*shown), _figure(*hidden), *(differs or (None, None, None)))


def _group(name: str, people: set[str], told: list[tuple[One, str]]) -> GroupFigures:
    judged = Counter((one.outcome, truth) for one, truth in told if truth)
    good, bad = (sum(judged[said, truth] for said in ("ok", "defect")) for truth in ("ok", "defect"))
    took = {
        shown: [
            min(one.made.took_ms, 3_600_000) for one, _ in told if one.made.risk_shown is shown and one.made.took_ms
        ]
        for shown in (True, False)
    }
    return GroupFigures(
        group=name,
        people=len(people),
        decisions=len(told),
        overkill=_figure(judged["defect", "ok"], good),
        underkill=_figure(judged["ok", "defect"], bad),
        agrees_with_truth=_kappa(cohen_kappa(judged), judged.total()),
        median_ms_shown=_median(took[True]),
        median_ms_hidden=_median(took[False]),
    )


def _median(took_ms: list[int]) -> int | None:
    return round(statistics.median(took_ms)) if len(took_ms) >= CASES_MIN else None


def _figure(hits: int, of: int) -> Figure:
    told: Any = share_of(hits, of)
    return Figure(hits, of, told.value, told.low, told.high) if told else Figure(hits, of, None, None, None)


def _kappa(told: Kappa | None, of: int) -> KappaFigure:
    return KappaFigure(told.value, told.low, told.high, of) if told else KappaFigure(None, None, None, of)
