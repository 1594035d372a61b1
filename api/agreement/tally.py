"""Decisions, counted: by person, and of cases that several people judged. Columns in, small tables out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.store.decisions import Decisions, Ints, Said

TOOK_MS_MAX = 3_600_000  # a page left open over lunch is no hour of looking
WORDS = ("ok", "defect")  # what 0 and 1 stand for, in every table here

Truths = Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Tallies:
    """What each person said, by place in `people`. `judged[person, said, truth]`; `follows[person, was the model right,
    was its word shown, did they say the same]`; `took_ms` of `took_by`, the model's word on the screen or not
    (`took_shown`)."""

    people: Mapping[str, int]
    decisions: Ints
    judged: Ints
    follows: Ints
    took_ms: Ints
    took_by: Ints
    took_shown: NDArray[np.bool_]

    def of(self, names: Collection[str]) -> Tally:
        """What these said together."""
        places = sorted(self.people[name] for name in names)
        among = np.zeros(len(self.people), dtype=np.bool_)
        among[places] = True
        theirs = among[self.took_by]
        return Tally(
            decisions=int(self.decisions[places].sum()),
            judged=self.judged[places].sum(axis=0),
            follows=self.follows[places].sum(axis=0),
            took_ms_shown=self.took_ms[theirs & self.took_shown],
            took_ms_hidden=self.took_ms[theirs & ~self.took_shown],
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """What some people said; the tables as in `Tallies`."""

    decisions: int
    judged: Ints
    follows: Ints
    took_ms_shown: Ints
    took_ms_hidden: Ints


@dataclass(frozen=True, slots=True)
class Together:
    """Of real cases that several people judged without knowing of each other. `pairs`: of those that two judged, what
    the first and the second said; `several`: how many said `defect` and `ok` -> cases."""

    pairs: Mapping[tuple[str, str], int]
    several: Mapping[tuple[int, ...], int]


def first_words(decisions: Decisions) -> Ints:
    """Places of the first word of each person on each case: a later one has been told what was hidden, or by others."""
    one = (decisions.case * max(1, len(decisions.people)) + decisions.by) * 2 + holds(decisions.said, Said.SEEDED)
    return np.sort(np.unique(one, return_index=True)[1])


def tallied(decisions: Decisions, first: Ints, truths: Truths) -> Tallies:
    """What each person said; of the decisions at the places `first`."""
    truth = _truth_of_each(decisions, truths)[first]
    by, said, took_ms = decisions.by[first], decisions.said[first], decisions.took_ms[first]
    defect, shown = holds(said, Said.DEFECT), holds(said, Said.SHOWN)
    model = holds(said, Said.MODEL_DEFECT)
    known, on_screen = truth >= 0, holds(said, Said.SCREEN_KNOWN) > 0
    told = known & on_screen & (holds(said, Said.MODEL_SPOKE) > 0)
    timed = on_screen & (took_ms != 0)
    right, same = (model == truth).astype(np.int64), (model == defect).astype(np.int64)
    return Tallies(
        people={name: place for place, name in enumerate(decisions.people)},
        decisions=_counted(len(decisions.people), by),
        judged=_counted(len(decisions.people), by[known], defect[known], truth[known]),
        follows=_counted(len(decisions.people), by[told], right[told], shown[told], same[told]),
        took_ms=np.minimum(took_ms[timed], TOOK_MS_MAX),
        took_by=by[timed],
        took_shown=shown[timed] > 0,
    )


def said_together(decisions: Decisions, first: Ints) -> Together:
    """Of each real case that several people judged without knowing of each other, what they said."""
    said = decisions.said[first]
    independent = first[(holds(said, Said.UNAWARE) > 0) & (holds(said, Said.SEEDED) == 0)]
    by_case = independent[np.argsort(decisions.case[independent], kind="stable")]
    begins = np.flatnonzero(np.diff(decisions.case[by_case], prepend=-1))
    people = np.diff(begins, append=len(by_case))
    defect = holds(decisions.said[by_case], Said.DEFECT)
    two = begins[people == 2]
    pairs = np.bincount(2 * defect[two] + defect[two + 1], minlength=4)
    several = begins[people > 1]
    bad = np.add.reduceat(defect, begins)[people > 1] if len(several) else np.empty(0, dtype=np.int64)
    found = np.unique(np.stack([bad, people[people > 1] - bad]), axis=1, return_counts=True)
    return Together(
        {(WORDS[place // 2], WORDS[place % 2]): often for place, often in enumerate(pairs.tolist()) if often},
        {(bad, good): often for (bad, good), often in zip(found[0].T.tolist(), found[1].tolist(), strict=True)},
    )


def _truth_of_each(decisions: Decisions, truths: Truths) -> Ints:
    """What is known beside each decision, -1 nothing: of a known part, by a record from elsewhere that came after it,
    or by the last word of somebody else."""
    heard = [truths.get(case[2], (-1, "")) for case in decisions.cases]
    heard_at = np.array([at for at, _ in heard], dtype=np.int64)
    heard_defect = np.array([word == "defect" for _, word in heard], dtype=np.int64)
    last_by, last_defect = np.full((2, len(decisions.cases)), -1)
    final = holds(decisions.said, Said.FINAL) > 0
    last_by[decisions.case[final]] = decisions.by[final]  # of several the last: they are in their order
    last_defect[decisions.case[final]] = holds(decisions.said[final], Said.DEFECT)
    case = decisions.case
    settled = np.where(last_by[case] == decisions.by, -1, last_defect[case])
    after = np.where(heard_at[case] > decisions.at, heard_defect[case], settled)
    return np.where(decisions.truth >= 0, decisions.truth, after)


def _counted(people: int, by: Ints, *twofold: Ints) -> Ints:
    """How often each person comes with each combination of the others, which are 0 or 1."""
    shape = (max(1, people), *(2 for _ in twofold))
    place = np.ravel_multi_index((by, *twofold), shape)
    return np.bincount(place, minlength=int(np.prod(shape))).reshape(shape)


def holds(said: Ints, flag: Said) -> Ints:
    """1 where a flag is set, else 0."""
    return (said & int(flag)) // int(flag)
