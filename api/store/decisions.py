"""Decisions as columns, to be counted: what was said of which case, by whom, when, and how that came about."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.agreement.draw import CaseKey
from api.store.rows import Made

Ints = NDArray[np.int64]
ROWS_AT_ONCE = 500  # few enough to be let go of before Python's collector of garbage looks at them


class Said(enum.IntFlag):
    """What is counted of a decision, in one number. Its record is `made` (`Made`) and the outcome; this is worked out
    from them once, when a review is written: to read a hundred thousand records anew takes longer than to count."""

    DEFECT = 1  # else: ok
    MODEL_SPOKE = 2
    MODEL_DEFECT = 4
    SCREEN_KNOWN = 8  # is it known whether risk and causes were on the screen?
    SHOWN = 16
    BLIND = 32
    FINAL = 64
    UNAWARE = 128
    SEEDED = 256
    WITH_ANOTHER = 512  # settled by the decision on another case of the part


class Decided(NamedTuple):
    """What one person said of one case and did not take back. `took_ms`: 0 where nobody knows; `truth`: of a known
    part, else ""."""

    case: CaseKey
    by: str
    at: int
    said: int
    took_ms: int
    truth: str = ""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Many of them, in their order, a column each. `case` and `by` are places in `cases` and `people`; `truth`: of a
    known part 1 defect, 0 ok, else -1."""

    cases: Sequence[CaseKey]
    people: Sequence[str]
    case: Ints
    by: Ints
    at: Ints
    said: Ints
    took_ms: Ints
    truth: Ints

    def rows(self) -> Iterator[Decided]:
        """One after the other."""
        columns = (self.case, self.by, self.at, self.said, self.took_ms, self.truth)
        for case, by, at, said, took_ms, truth in zip(*(one.tolist() for one in columns), strict=True):
            yield Decided(self.cases[case], self.people[by], at, said, took_ms, _WORDS[truth])


_WORDS = {-1: "", 0: "ok", 1: "defect"}
_TRUTHS = {word: number for number, word in _WORDS.items()}


def said_of(outcome: str, made: Made) -> int:
    """What is counted of one decision (`Said`)."""
    word = made.model_said()
    told = {
        Said.DEFECT: outcome == "defect",
        Said.MODEL_SPOKE: bool(word),
        Said.MODEL_DEFECT: word == "defect",
        Said.SCREEN_KNOWN: made.risk_shown is not None,
        Said.SHOWN: bool(made.risk_shown),
        Said.BLIND: made.blind,
        Said.FINAL: made.final,
        Said.UNAWARE: made.unaware,
        Said.SEEDED: made.seeded,
        Said.WITH_ANOTHER: bool(made.with_gate),
    }
    return sum(int(flag) for flag, holds in told.items() if holds)


class Gathering:
    """Rows into columns, some at a time."""

    def __init__(self) -> None:
        self._cases: dict[CaseKey, int] = {}
        self._people: dict[str, int] = {}
        self._parts: list[Ints] = []

    def take(self, rows: Sequence[Any], of_known: bool) -> None:
        """Rows of line_id, gate_id, part_id, attempt, by, at, said, took_ms, truth, as the database's driver gives
        them. `of_known`: exercises, which at the same instant come after the rest."""
        if not rows:
            return
        lines, gates, parts, attempts, by, at, said, took_ms, truth = zip(*rows, strict=True)
        cases, people = self._cases, self._people
        columns = (
            [cases.setdefault(case, len(cases)) for case in zip(lines, gates, parts, attempts, strict=True)],
            [people.setdefault(name, len(people)) for name in by],
            at,
            said,
            took_ms,
            [_TRUTHS[word] for word in truth] if of_known else [-1] * len(rows),
            [int(of_known)] * len(rows),
        )
        self._parts.append(np.array(columns, dtype=np.int64))

    def decisions(self) -> Decisions:
        """All of them in their order: by time, at the same instant by name."""
        case, by, at, said, took_ms, truth, of_known = np.hstack([np.empty((7, 0), dtype=np.int64), *self._parts])
        names = list(self._people)
        people = sorted(names)
        place = {name: number for number, name in enumerate(people)}
        by = np.array([place[name] for name in names], dtype=np.int64)[by]
        order = np.lexsort((by, of_known, at))
        columns = (one[order] for one in (case, by, at, said, took_ms, truth))
        return Decisions(list(self._cases), people, *columns)


def gathered(decided: Sequence[Decided]) -> Decisions:
    """Decisions one by one into columns."""
    gathering = Gathering()
    for of_known in (False, True):
        gathering.take([(*one.case, *one[1:]) for one in decided if bool(one.truth) is of_known], of_known)
    return gathering.decisions()
