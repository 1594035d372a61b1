"""What a part is counted under, and at which gate it is counted."""

from __future__ import annotations

from fusion.history import entities_of
from fusion.scan.memory import ATTRIBUTES_MAX, BATCH
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan


def levels_of(evidence: Evidence, plan: Plan) -> list[str]:
    """Its granted attribute values, and its batch for natural spread."""
    levels = entities_of(evidence, plan)[: ATTRIBUTES_MAX - 1]
    return [*levels, BATCH + evidence.batch_id] if evidence.batch_id else levels


def counted_gates(plan: Plan) -> dict[str, str]:
    """line_id -> the gate furthest along the line: there a part carries all its attributes, and is counted once."""
    return {
        line.line_id: max(line.gates, key=lambda gate: line.order(gate.after)).gate_id
        for line in plan.lines
        if line.gates
    }
