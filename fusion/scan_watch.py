"""The scan of a partition's lines: which attribute value makes more defects or flags than is natural, and since when.

Counted is each part once, at the last gate of its line that a model judges (there all its attributes are known), with
its base risk: a risk that knows history would explain an excess away.
"""

from __future__ import annotations

from fusion.history import entities_of
from fusion.incidents import Incident
from fusion.scan_line import ScanLine, block_before
from fusion.scan_memory import ATTRIBUTES_MAX, BATCH, ScanPart
from fusion.scan_rates import ScanNotes
from fusion.watch import Judged
from ingest.evidence import Evidence
from ingest.messages import Defect, Instant
from ingest.plan import Plan

_MICRO = 1_000_000


class ScanWatch:
    """The `Watch` of excesses."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lines: dict[str, ScanLine] = {}
        self._last_gate = {
            line.line_id: max(line.gates, key=lambda gate, line=line: line.order(gate.after)).gate_id  # type: ignore[misc]
            for line in plan.lines if line.gates
        }  # fmt: skip

    def judged(self, judged: Judged) -> None:
        """Count a part at its first verdict."""
        evidence, gate = judged.evidence, judged.gate
        if not judged.first or evidence.gate_id != self._last_gate.get(evidence.line_id):
            return
        line = self._line(evidence.line_id)
        notes = getattr(gate, "scan", None)
        line.notes = notes if isinstance(notes, ScanNotes) else None
        line.settle(block_before(evidence.event_at))
        risk = judged.judgement.base_risk
        flag = -1 if risk is None or gate is None else int(risk >= gate.threshold)
        micro = -1 if risk is None else round(risk * _MICRO)
        line.enter(ScanPart(int(evidence.event_at), evidence.part_id, levels_of(evidence, self._plan), micro, flag))

    def label(self, defect: Defect, logged_at: int) -> None:
        """`unsure` says nothing."""
        if defect.outcome != "unsure":
            label = int(defect.outcome == "defect")
            self._line(defect.line_id).label(defect.part_id, label, int(defect.recorded_at))

    def incidents(self) -> list[Incident]:
        return [one for _, line in sorted(self._lines.items()) for one in line.incidents()]

    def causes_at(self, line_id: str, event_at: Instant) -> list[str]:
        """The causes open as of the block before the one of this moment; whatever the order of judging, the same."""
        return self._line(line_id).causes_at(int(event_at))

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        return [(line_id, key, value) for line_id, line in self._lines.items() for key, value in line.changes()]

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        self._line(line_id).restore(key, value)

    def _line(self, line_id: str) -> ScanLine:
        line = self._lines.get(line_id)
        if line is None:
            line = self._lines[line_id] = ScanLine(line_id)
        return line


def levels_of(evidence: Evidence, plan: Plan) -> list[str]:
    """What a part is counted under: its granted attribute values, and its batch for natural spread."""
    levels = entities_of(evidence, plan)[: ATTRIBUTES_MAX - 1]
    return [*levels, BATCH + evidence.batch_id] if evidence.batch_id else levels
