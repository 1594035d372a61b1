"""Suspects: from what was undone, what labels taught and what incidents are open to one ranked list of causes.

Undoing compares the risk with either of two entities put back, and with both. Either is enough: they act together, as
one combination. Neither is but both are: two causes at once, each of which would do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from fusion.causes.counterfactual import Undoing
from fusion.causes.origins import PAIR, UNKNOWN
from ingest.messages import Instant

STANDS_OUT = 0.15  # undoing the best entity takes away less than this of the risk: nothing stands out
ERRORS = 2.0  # standard errors of the draws that a share must be away from nothing
COMPARABLE = 0.2  # of the first's share: a second that weighs less is not half of a combination
ODDS_FALL = 3.0  # times, by the second alone; where the risk is low, less is noise in a share of little
CONTAINED = 0.5  # of the second's share that the first takes away too
SURPLUS = 0.2  # of the risk that only goes away with both

Named = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A cause in CONTRACT's words with its sides as entities, how sure we are, and sentences to that effect."""

    cause: str
    sides: tuple[str, ...]
    share: float
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenCause:
    """The cause an open incident of the line names. `ratio`: found over expected defects among the parts it befell."""

    cause: str
    ratio: float
    since: Instant

    @property
    def attributable(self) -> float:
        """The share of the defects among exposed parts that would not be there without it (attributable fraction among
        the exposed, 1 - 1/ratio): the probability that it is the cause of one of them."""
        return max(0.0, 1.0 - 1.0 / self.ratio) if self.ratio > 0 else 0.0

    @property
    def told(self) -> str:
        return f"incident since {self.since.isoformat()}: {self.ratio:.1f} times the expected defects"


def nothing() -> list[Suspect]:
    """Nothing stands out."""
    return [Suspect(UNKNOWN, (), 1.0)]


def standing_out(undoing: Undoing, named: Named) -> list[Suspect]:
    """Suspects by undoing, shares together at most 1; `unknown` alone when nothing stands out. `named`: an entity as a
    cause of this part, None when the part lacks it."""
    surplus = _surplus(undoing)
    singles = [
        Suspect(cause, (found.entity,), found.share + surplus.get(found.entity, 0.0) / 2.0)
        for found in undoing.singles
        if (cause := named(found.entity)) is not None
    ]
    errors = {found.entity: found.error for found in undoing.singles}
    singles.sort(key=lambda s: -s.share)
    if not singles or singles[0].share < max(STANDS_OUT, ERRORS * errors[singles[0].sides[0]]):
        return nothing()
    suspects = [*_combination(singles, undoing, errors), *singles]
    total = max(1.0, sum(s.share for s in suspects))
    return [Suspect(s.cause, s.sides, s.share / total) for s in suspects]


def _surplus(undoing: Undoing) -> dict[str, float]:
    """Entity → the share that only went away when it and another were both put back, where that is much."""
    alone = {found.entity: found.share for found in undoing.singles}
    most: dict[str, float] = {}
    for pair in undoing.pairs:
        surplus = pair.share - alone[pair.first] - alone[pair.second]
        if surplus >= SURPLUS and surplus > max(most.values(), default=0.0):
            most = {pair.first: surplus, pair.second: surplus}
    return most


def _combination(singles: Sequence[Suspect], undoing: Undoing, errors: Mapping[str, float]) -> list[Suspect]:
    """The first suspect and the one that acts with it, if there is one. Of several the one that follows the first least
    among good parts: two that always go together are one thing seen twice."""
    first, of = singles[0], {suspect.sides[0]: suspect for suspect in singles}
    best, best_weight = None, 0.0
    for pair in undoing.pairs:
        if first.sides[0] not in (pair.first, pair.second):
            continue
        other = of.get(pair.second if pair.first == first.sides[0] else pair.first)
        weight = other.share * (1.0 - pair.alike) if other is not None else 0.0
        if other is None or weight <= best_weight or not _acts_too(first, other, undoing.risk, errors):
            continue
        if first.share + other.share - pair.share >= CONTAINED * other.share:
            best, best_weight = other, weight
    if best is None:
        return []
    cause = PAIR.join(sorted((first.cause, best.cause)))
    return [Suspect(cause, first.sides + best.sides, first.share + best.share)]


def _acts_too(first: Suspect, other: Suspect, risk: float, errors: Mapping[str, float]) -> bool:
    """Does putting back the other alone take away enough to be half of a combination?"""
    least = max(STANDS_OUT, COMPARABLE * first.share, ERRORS * errors[other.sides[0]])
    left = max(0.0, risk * (1.0 - other.share))
    return other.share >= least and risk * (1.0 - left) >= ODDS_FALL * left * (1.0 - risk)


def merged(groups: Sequence[tuple[float, Sequence[Suspect]]]) -> list[Suspect]:
    """Suspects of several origins, each with its weight; the same cause is one suspect."""
    by_cause: dict[str, Suspect] = {}
    for weight, suspects in groups:
        for suspect in suspects:
            known = by_cause.get(suspect.cause)
            by_cause[suspect.cause] = Suspect(
                suspect.cause,
                suspect.sides or (known.sides if known else ()),
                weight * suspect.share + (known.share if known else 0.0),
                (*(known.told if known else ()), *suspect.told),
            )
    return list(by_cause.values())


def lifted(suspects: Sequence[Suspect], incidents: Sequence[OpenCause], carried: Collection[str]) -> list[Suspect]:
    """The suspects of a part that carries these sides of causes, given the open incidents of its line. What an incident
    has tied the part to comes before the symptom that shows it, by the incident's attributable share."""
    for incident in sorted(incidents, key=lambda one: (one.ratio, one.cause)):
        sides = incident.cause.split(PAIR)
        if incident.attributable > 0.0 and all(side in carried for side in sides):
            befell = Suspect(incident.cause, (), 1.0, (incident.told,))
            suspects = merged([(1.0 - incident.attributable, suspects), (incident.attributable, [befell])])
    return list(suspects)
