"""The scan of a partition's lines: which attribute value makes more defects or flags than is natural, and since when.

Counted is each part once, at the last gate of its line (there all its attributes are known), with its base risk: a risk
that knows history would explain an excess away.
"""

from __future__ import annotations

from collections.abc import Iterable

from fusion.incidents import Incident
from fusion.judge import Judge
from fusion.labels import PartLabel
from fusion.scan.levels import counted_gates, levels_of
from fusion.scan.line import NONE_ANY_MORE, Blamed, ScanLine
from fusion.scan.memory import ScanPart
from fusion.waiting_room import block_before
from fusion.watch import Judged
from ingest.messages import Instant
from ingest.plan.plan import Plan

_MICRO = 1_000_000  # a risk is kept as whole millionths


class ScanWatch:
    """The `Watch` of excesses."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lines: dict[str, ScanLine] = {}
        self._counted_at = counted_gates(plan)

    def judged(self, judged: Judged) -> None:
        """Count a part at its first verdict."""
        evidence, gate = judged.evidence, judged.gate
        if not judged.first or evidence.gate_id != self._counted_at.get(evidence.line_id):
            return
        line = self._line(evidence.line_id)
        line.notes = gate.scan if gate is not None else None
        line.settle(block_before(evidence.event_at))
        risk = judged.judgement.base_risk
        flag = -1 if risk is None or gate is None else int(risk >= gate.threshold)
        micro = -1 if risk is None else round(risk * _MICRO)
        line.enter(ScanPart(int(evidence.event_at), evidence.part_id, levels_of(evidence, self._plan), micro, flag))

    def label(self, told: PartLabel) -> None:
        label = {"defect": 1, "ok": 0}.get(told.outcome, NONE_ANY_MORE)
        self._line(told.line_id).label(told.part_id, label, told.at)

    def incidents(self) -> list[Incident]:
        return [one for _, line in sorted(self._lines.items()) for one in line.incidents()]

    def blamed_at(self, line_id: str, event_at: Instant, judge: Judge) -> list[Blamed]:
        """What incidents that labels show blame, as of the block before that of this moment. `judge`: who judges now;
        a look may be due before the first part that it judges is counted."""
        line, gate = self._line(line_id), judge.gate(line_id, self._counted_at.get(line_id, ""))
        line.notes = gate.scan if gate is not None else None
        return line.blamed_at(int(event_at))

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        return [(line_id, key, value) for line_id, line in self._lines.items() for key, value in line.changes()]

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        self._line(line_id).restore(key, value)

    def _line(self, line_id: str) -> ScanLine:
        line = self._lines.get(line_id)
        if line is None:
            line = self._lines[line_id] = ScanLine(line_id)
        return line


def told_once(incidents: Iterable[Incident]) -> list[Incident]:
    """One incident per trouble: while a shift of a channel or camera explains a line's flags, an excess that flags
    alone show is not told. It stays in the state: what verdicts are told does not depend on the shift."""
    told = list(incidents)
    shifted = {one.line_id for one in told if one.incident == "shift"}
    return [one for one in told if not (one.incident == "excess" and one.line_id in shifted and by_flags_alone(one))]


def by_flags_alone(incident: Incident) -> bool:
    """Do no labels show this excess?"""
    return "defects_observed" not in incident.measure
