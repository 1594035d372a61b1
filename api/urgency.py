"""How urgent a look at a part is: the expected loss of letting it go, and how long it can still be stopped.

`weight = risk x cost x 2 ** -(time left / HALF_MS)`, the rule of apparent tardiness cost (Vepsäläinen and Morton,
Management Science 33(8), 1987): a part that is about to leave counts in full, one that can wait counts half as much for
each two minutes that it can. Of two parts on the line the order never changes as time passes, because both weights grow
alike: it is stored. A part that has moved on, or of which nobody knows when it does, counts MOVED_ON of its loss.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from ingest.messages import Instant, Visit
from ingest.plan.plan import Gate, Line, Plan

HALF_MS = 120_000  # four looks of half a minute: what is due later can be seen to after them
MOVED_ON = 0.25  # as four minutes left: it can still be fetched, at a price
URGENCY_MIN = 2.0**-10  # less than this part of an escape is nothing; a logarithm needs an end
URGENCY_MAX = 2.0**10  # an escape may cost a thousand times another; the queue's index is searched from here
VISITS_FOR_PACE = 6  # fewer tell nothing of a line's pace


@dataclass(frozen=True, slots=True)
class Rank:
    """`urgency`: risk in escapes of the plan's usual cost; `moves_on_at`: when the part leaves its gate, as expected or
    as seen; `pressing`: its place among the parts that are still there, None of all others."""

    urgency: float
    moves_on_at: Instant | None
    pressing: float | None


def escape_cost(plan: Plan, line_id: str, gate_id: str, product: str) -> float:
    """What a defect that escapes costs: as stated of its product, else of the gate, else of everything."""
    made, gate = plan.product(product), plan.gate(line_id, gate_id)
    for told in (made, gate):
        if told is not None and told.escape_cost is not None:
            return told.escape_cost
    return plan.objective.escape_cost


def kinds_of_defect(plan: Plan, line_id: str, gate_id: str, product: str) -> list[str]:
    """The kinds of defect that the plan states, of the product first."""
    told = [one.kinds for one in (plan.product(product), plan.gate(line_id, gate_id)) if one is not None]
    return list(dict.fromkeys(kind for kinds in told for kind in kinds))


class Ranking:
    """Ranks the cases of a plan's lines. It learns the pace of each gate from the lines' own visits."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan
        self._pace: dict[tuple[str, str], float] = {}

    def learn(self, visits: list[Visit]) -> None:
        """The pace of each gate by the latest visits; a gate of which they tell too little keeps its last one."""
        if self.plan is not None:
            self._pace |= paces(self.plan, visits)

    def stays_ms(self, line_id: str, gate_id: str) -> float | None:
        """How long a part stays at a gate: as the plan states it, else as the line has shown. None: nobody knows."""
        gate = self.plan.gate(line_id, gate_id) if self.plan else None
        if gate is not None and gate.moves_on_ms is not None:
            return gate.moves_on_ms
        return self._pace.get((line_id, gate_id))

    def urgency(self, line_id: str, gate_id: str, product: str, risk: float | None) -> float:
        """Expected loss in escapes of the usual cost; of an unknown risk the worst is assumed."""
        cost = 1.0
        if self.plan is not None:
            cost = escape_cost(self.plan, line_id, gate_id, product) / self.plan.objective.escape_cost
        return min(URGENCY_MAX, cost * (1.0 if risk is None else risk))

    def rank(self, urgency: float, line_id: str, gate_id: str, event_at: Instant, seen_at: Instant | None) -> Rank:
        """`seen_at`: when the part was seen behind the gate, if it was."""
        if seen_at is not None:
            return Rank(urgency, seen_at, None)
        stays_ms = self.stays_ms(line_id, gate_id)
        if stays_ms is None:
            return Rank(urgency, None, None)
        moves_on_at = Instant(event_at + stays_ms)
        return Rank(urgency, moves_on_at, math.log2(max(urgency, URGENCY_MIN)) - moves_on_at / HALF_MS)

    def moved_on(self, line_id: str, gate_id: str, event_at: Instant, visits: list[Visit]) -> Instant | None:
        """When a part was first seen at a station behind its gate."""
        line = self.plan.line(line_id) if self.plan else None
        gate = self.plan.gate(line_id, gate_id) if self.plan else None
        if line is None or gate is None:
            return None
        behind = stations_behind(line, gate)
        seen = [one.started_at for one in visits if one.line_id == line_id and one.station_id in behind]
        return min((at for at in seen if at >= event_at), default=None)


def stations_behind(line: Line, gate: Gate) -> frozenset[str]:
    """Where a part goes after a gate."""
    after = line.order(gate.after)
    return frozenset(station.station_id for station in line.stations[after + 1 :])


def weight_on_line(pressing: float, as_of: Instant) -> float:
    """What a part that is still at its gate counts at a moment."""
    return float(2.0 ** min(64.0, pressing + as_of / HALF_MS))


def weight_elsewhere(urgency: float) -> float:
    """What any other part counts."""
    return urgency * MOVED_ON


def pressing_bound(as_of: Instant) -> float:
    """Nothing that moves on after this moment presses more."""
    return math.log2(URGENCY_MAX) - as_of / HALF_MS


def paces(plan: Plan, visits: list[Visit]) -> Mapping[tuple[str, str], float]:
    """(line, gate) -> how long parts stay at it, ms: the median time until their next visit begins; at the end of a
    line the median time until the next part comes, which pushes this one on."""
    found: dict[tuple[str, str], float] = {}
    for line in plan.lines:
        own = [visit for visit in visits if visit.line_id == line.line_id]
        for gate in line.gates:
            behind = stations_behind(line, gate)
            stays = _until_next_visit(own, gate.after, behind) if behind else _until_next_part(own, gate.after)
            if len(stays) >= VISITS_FOR_PACE:
                found[(line.line_id, gate.gate_id)] = statistics.median(stays)
    return found


def _until_next_visit(visits: list[Visit], after: str, behind: frozenset[str]) -> list[int]:
    ended: dict[str, int] = {}
    for visit in visits:
        if visit.station_id == after:
            ended[visit.part_id] = max(ended.get(visit.part_id, 0), visit.ended_at)
    left: dict[str, int] = {}
    for visit in visits:
        if visit.station_id in behind and visit.started_at >= ended.get(visit.part_id, visit.started_at + 1):
            left[visit.part_id] = min(left.get(visit.part_id, visit.started_at), visit.started_at)
    return [at - ended[part_id] for part_id, at in left.items()]


def _until_next_part(visits: list[Visit], after: str) -> list[int]:
    ended = sorted({visit.ended_at for visit in visits if visit.station_id == after})
    return [later - earlier for earlier, later in pairwise(ended)]
