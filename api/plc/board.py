"""What a PLC is shown of each gate, apart from any protocol: the last verdict, and whether to hold.

Silence is never a pass: a gate holds until there is a verdict on the part that came last, and whenever the road that
would bring the verdict gives no sign of life.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ingest.messages import Instant, Verdict, Visit
from ingest.plan.plan import Plan

REMEMBERED_PARTS_MAX = 20_000  # a shift of a fast line; older parts are asked of the store

GateKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class GateSign:
    """What stands at one gate. `verdict` None: none has come yet."""

    verdict: Verdict | None
    hold: bool


class Board:
    """The gates of a plan. Feed it visits and verdicts in any order; ask it for signs."""

    def __init__(self, plan: Plan) -> None:
        self.gates: tuple[GateKey, ...] = tuple(
            (line.line_id, gate.gate_id) for line in plan.lines for gate in line.gates
        )
        self._gates_after = {
            (line.line_id, gate.after): [
                (line.line_id, other.gate_id) for other in line.gates if other.after == gate.after
            ]
            for line in plan.lines
            for gate in line.gates
        }
        self._shown: dict[GateKey, Verdict] = {}
        self._awaited: dict[GateKey, Visit] = {}
        self._last: OrderedDict[tuple[str, str, str], Verdict] = OrderedDict()

    def visit(self, visit: Visit) -> None:
        """A part has reached the gates behind this station: they hold for it, unless it is judged already."""
        for gate in self._gates_after.get((visit.line_id, visit.station_id), ()):
            known = self._last.get((*gate, visit.part_id))
            judged = known is not None and known.event_at >= visit.ended_at
            awaited = self._awaited.get(gate)
            if not judged and (awaited is None or visit.ended_at >= awaited.ended_at):
                self._awaited[gate] = visit

    def verdict(self, verdict: Verdict) -> None:
        """Show a verdict. A revision replaces only its own part's: the part now at the gate must not be mistaken."""
        gate = (verdict.line_id, verdict.gate_id)
        if gate not in self.gates:
            return
        key = (*gate, verdict.part_id)
        known = self._last.get(key)
        if known is None or (verdict.attempt, verdict.revision) >= (known.attempt, known.revision):
            self._last[key] = verdict
            self._last.move_to_end(key)
            if len(self._last) > REMEMBERED_PARTS_MAX:
                self._last.popitem(last=False)
        shown = self._shown.get(gate)
        if shown is None or verdict.revision == 1 or _same_case(shown, verdict):
            self._shown[gate] = verdict
        awaited = self._awaited.get(gate)
        if awaited is not None and awaited.part_id == verdict.part_id and verdict.event_at >= awaited.ended_at:
            del self._awaited[gate]

    def sign(self, gate: GateKey, road_is_stale: bool) -> GateSign:
        """What to show at this gate now."""
        verdict = self._shown.get(gate)
        return GateSign(verdict, hold=verdict is None or gate in self._awaited or road_is_stale)

    def last(self, part_id: str, gate: GateKey | None) -> Verdict | None:
        """The last verdict on a part at a gate, or at any; None when it is not remembered."""
        gates = self.gates if gate is None else (gate,)
        found = [verdict for one in gates if (verdict := self._last.get((*one, part_id))) is not None]
        return max(found, key=lambda verdict: verdict.decided_at) if found else None


def _same_case(one: Verdict, other: Verdict) -> bool:
    return (one.part_id, one.attempt) == (other.part_id, other.attempt)


@dataclass(frozen=True, slots=True)
class RoadSigns:
    """Signs of life. `fusion_age_ms` None: no fusion worker has ever shown itself on this machine."""

    log_read_at: Instant
    fusion_age_ms: int | None
    fusion_is_here: bool

    def is_stale(self, now: Instant, stale_ms: int) -> bool:
        """Does the road give no sign of life? Workers on other machines show themselves only by their verdicts."""
        if now - self.log_read_at > stale_ms:
            return True
        if self.fusion_age_ms is None:
            return self.fusion_is_here
        return self.fusion_age_ms > stale_ms
