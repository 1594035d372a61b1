"""Open excesses of a line: found again they are updated, better explained they are renamed, ended they close."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.incidents import PARTS_NAMED, Incident
from fusion.scan.glr import natural_variance, overdispersion
from fusion.scan.memory import ScanPart
from fusion.scan.rates import RATE_MAX
from fusion.scan.rows import Rows
from fusion.scan.search import Excess, Sides
from fusion.scan.signals import Explanation, Signal
from fusion.scan.words import name_of, say_excess

Positions = npt.NDArray[np.int64]

CLOSE_NATS = 7.0  # 1000 to 1 for the natural rate against the raised one
MILDER = 0.75  # power of the ratio that an excess must have fallen under: lots may run better than others for a while
ABSENT_PARTS = 4096  # a level that no part carried for so long makes no more parts


class Counts(msgspec.Struct, array_like=True, frozen=True):
    """One signal of an excess since its onset, at the last look that showed it. `ratio`: at its `height`, nats;
    `heaviest`: nats of the defect that adds most."""

    observed: int
    parts: int
    expected: float
    statistic: float
    limit: float
    ratio: float
    height: float
    heaviest: float = 0.0


class Onset(msgspec.Struct, frozen=True):
    """Where a look sees an excess begin: `position` and time `at` of its first part; `start`: of the oldest part
    remembered; `ties`: causes as likely."""

    position: int
    at: int
    start: int
    ties: list[list[str]] = []


class OpenExcess(msgspec.Struct, array_like=True):
    """One open incident. `since`: position of its onset, `at` its time; `counts` per signal; `exposed`: parts since the
    onset that carry the cause, of positions before `counted_to`, the latest named in `parts`; `doubted`: defects that
    showed it and were taken back since."""

    cause: list[str]
    since: int
    at: int
    counts: dict[str, Counts]
    ties: list[list[str]] = []
    exposed: int = 0
    counted_to: int = 0
    parts: list[str] = []
    doubted: int = 0

    def doubt(self, position: int, part: ScanPart) -> bool:
        """A defect was taken back or corrected, of the part at this position. Was it one of those that show this?"""
        if "defects" not in self.counts or position < self.since or not set(self.cause) <= set(part.levels):
            return False
        self.doubted += 1
        return True

    def stands(self, found: Collection[Signal]) -> bool:
        """Would it be open without the defects taken back? Either a look finds it in the labels that are left, or it
        stood out by more than these."""
        shows = self.counts.get("defects")
        if shows is not None and self.doubted:
            if "defects" in found:
                del self.counts["defects"]  # to be counted anew
                self.doubted = 0
                return True
            if shows.height - self.doubted * shows.heaviest < shows.limit:
                del self.counts["defects"]
                self.doubted = 0
        return bool(self.counts)

    def shown(self, signal: Signal, excess: Excess, onset: Onset) -> None:
        """A look found it (again). The onset is that of the signal in which it stands out most, and stays when it is
        no longer remembered."""
        seen, before = excess.since, self.counts.get(signal)
        height, ratio = seen.statistic, excess.ratio
        if before is not None and before.height > height:
            height, ratio = before.height, before.ratio
        self.counts[signal] = Counts(
            seen.observed,
            seen.parts,
            round(seen.expected, 3),
            seen.statistic,
            excess.limit,
            ratio,
            height,
            seen.heaviest,
        )
        if seen.statistic >= max(one.statistic for one in self.counts.values()):
            self.ties = onset.ties
            if self.since >= onset.start:
                self.since, self.at, self.counted_to = onset.position, onset.at, onset.position

    def explanation(self, until: int = -1) -> Explanation:
        return Explanation(self.cause, self.since, until, {name: one.ratio for name, one in self.counts.items()})

    @property
    def blamed(self) -> tuple[str, float, int]:
        """Cause, how many times the natural rate (of labels where they show it), since when."""
        shows = self.counts.get("defects") or self.counts["flags"]
        return name_of(self.cause), round(shows.observed / max(shows.expected, 1e-9), 1), self.at

    def told(self, line_id: str) -> Incident:
        counts = {name: (one.observed, one.parts, one.expected) for name, one in sorted(self.counts.items())}
        measure: dict[str, float] = {}
        for name, one in sorted(self.counts.items()):
            measure |= {
                f"{name}_observed": float(one.observed), f"{name}_expected": round(one.expected, 1),
                f"{name}_ratio": round(one.observed / max(one.expected, 1e-9), 2),
                f"{name}_statistic": round(one.statistic, 1), f"{name}_limit": round(one.limit, 1),
            }  # fmt: skip
        return Incident(
            line_id=line_id, incident="excess", cause=name_of(self.cause), since=self.at, parts=list(self.parts),
            parts_count=self.exposed, what=say_excess(self.cause, self.ties, counts), measure=measure,
        )  # fmt: skip


def ended(rows: Mapping[Signal, Rows | None], one: OpenExcess, sides: Sides) -> int | None:
    """Position from which on the rate is natural again in every signal that showed the excess; None: not (yet).

    Log likelihood ratio of the natural rate against the raised one, summed back from now (a CUSUM read backwards).
    """
    from_position = 0
    for signal, counts in one.counts.items():
        known = rows.get(signal)  # type: ignore[call-overload]
        if known is None:
            return None
        at = np.flatnonzero(known.carrying(*sides) & (known.position >= one.since))
        if not len(at):
            continue
        expected = known.expected[at]
        more = (counts.ratio**MILDER - 1.0) * known.natural[at]
        raised = np.minimum(expected + more, np.maximum(expected, RATE_MAX))
        gain = np.where(known.observed[at], np.log(expected / raised), np.log1p(-expected) - np.log1p(-raised))
        back = gain[::-1].cumsum()[::-1]
        first = int(back.argmax())
        after = known.only(np.isin(known.position, known.position[at[first:]]))
        if back[first] / overdispersion(after, natural_variance(after)) < CLOSE_NATS:
            return None
        from_position = max(from_position, int(known.position[at[first]]))
    return from_position


def count_exposed(one: OpenExcess, carrying: Positions, end: int, part_id: Callable[[int], str]) -> None:
    """Count the parts since the onset. `carrying`: positions of remembered parts with the cause; `end`: of the next."""
    if one.counted_to <= one.since:
        one.exposed, one.counted_to, one.parts = 0, one.since, []
    new = carrying[carrying >= one.counted_to]
    one.exposed += len(new)
    one.parts = [*one.parts, *(part_id(int(position)) for position in new[-PARTS_NAMED:])][-PARTS_NAMED:]
    one.counted_to = end
