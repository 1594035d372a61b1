"""Judge: evidence of one part at one gate in, decision with risk and causes out. Pure: equal inputs, equal outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fusion.causes.suspects import OpenCause
from fusion.decide import Decision, Standing, decide, drawn_for_audit, evidence_reasons
from fusion.exhibit import exhibit
from fusion.gate import GateJudge, Reading, open_gates
from fusion.history import HistoryView
from ingest.errors import ModelRefused
from ingest.join.evidence import Evidence
from ingest.messages import Cause, Instant, ModelName
from ingest.plan.plan import Gate, Plan
from models.open import open_model

MODEL_NAME = "fusion"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judge's part of a verdict. `base_risk`: risk without history, what enters the history; None when no model
    spoke. `blob`: the JSON that `evidence_ref` points to (`fusion/exhibit.py`). `reading`: what the models said, also
    where the decision may not use it. `remarks`: sentences that name what training never saw of the part."""

    decision: Decision
    risk: float | None
    risk_low: float | None
    risk_high: float | None
    threshold: float | None
    reasons: list[str]
    causes: list[Cause]
    model: ModelName | None
    audit: bool
    base_risk: float | None
    blob: bytes
    reading: Reading | None = field(default=None, compare=False)  # follows from the rest
    remarks: list[str] = field(default_factory=list)


class Judge:
    """Judges the parts of every line of a plan. Without an openable model every part is `cannot_tell`."""

    def __init__(
        self, plan: Plan, gates: Mapping[tuple[str, str], GateJudge], model: ModelName | None, problem: str = ""
    ) -> None:
        self.model = model
        self.problem = problem  # why there is no model, one sentence for a person; "" when there is one
        self._plan = plan
        self._gates = gates
        self._asked: dict[tuple[str, str], Gate] = {
            (line.line_id, gate.gate_id): gate for line in plan.lines for gate in line.gates
        }

    @classmethod
    def open(cls, shelf: Path, plan: Plan) -> Judge:
        """The live fusion model of a shelf. Never raises on a missing or refused model: `problem` then says why."""
        try:
            model = open_model(shelf, MODEL_NAME)
            return cls(plan, open_gates(model, plan), model.model_name)
        except ModelRefused as refusal:
            return cls(plan, {}, None, str(refusal))

    def ready(self, line_id: str, gate_id: str) -> bool:
        """Is there a model for this gate?"""
        return (line_id, gate_id) in self._gates

    @property
    def gates(self) -> Mapping[tuple[str, str], GateJudge]:
        """(line, gate) → the judge of it, for every gate that has learned."""
        return self._gates

    def gate(self, line_id: str, gate_id: str) -> GateJudge | None:
        """The trained judge of a gate, None without one."""
        return self._gates.get((line_id, gate_id))

    def history_seed(self, line_id: str) -> Mapping[str, bytes]:
        """What training saw of a line, for `History.seed` of a history that has never begun; may be empty."""
        return next((g.history_seed for (line, _), g in self._gates.items() if line == line_id), {})

    def judge(
        self, evidence: Evidence, history: HistoryView, mode: Literal["auto", "manual"], missed: bool
    ) -> Judgement:
        """One verdict's decision. `missed`: the deadline had passed when the gate was first seen (CONTRACT 6)."""
        gate = self._gates.get((evidence.line_id, evidence.gate_id))
        reading = gate.read(evidence, history) if gate is not None else None
        standing = self._standing(evidence, reading, gate.threshold if gate is not None else 1.0)
        risk = reading.estimate.risk if reading is not None and not missed else None
        threshold = gate.threshold if gate is not None and not missed else None
        drawn = self.model is not None and risk is not None and drawn_for_audit(self._plan, self.model, evidence)
        hold = history.hold_below
        call = decide(risk, threshold, standing, mode=mode, missed=missed, drawn=drawn, hold_below=hold)
        flagged = call.decision == "review" or (risk is not None and threshold is not None and risk >= threshold)
        blamed = [OpenCause(cause, ratio, Instant(since)) for cause, ratio, since in history.blamed]
        causes: list[Cause] = []
        if gate is not None and reading is not None and flagged:
            causes = gate.causes(evidence, reading, blamed, history)
        spoke = reading if risk is not None else None
        return Judgement(
            decision=call.decision,
            risk=spoke.estimate.risk if spoke else None,
            risk_low=spoke.estimate.low if spoke else None,
            risk_high=spoke.estimate.high if spoke else None,
            threshold=threshold,
            reasons=[*call.reasons, *(gate.caveats(spoke) if gate is not None and spoke is not None else ())],
            causes=causes,
            model=self.model if spoke else None,
            audit=call.audit,
            base_risk=reading.base_risk if reading is not None else None,
            blob=exhibit(evidence, self._plan, gate, spoke, causes),
            reading=reading,
            remarks=list(spoke.strange.remarks) if spoke else [],
        )

    def _standing(self, evidence: Evidence, reading: Reading | None, threshold: float) -> Standing:
        asked = self._asked.get((evidence.line_id, evidence.gate_id))
        reasons = evidence_reasons(evidence, asked.needs if asked is not None else ())
        if reading is None:
            return Standing(reasons)
        if not reading.product_known:
            reasons = ("unknown_product", *reasons)
        if reading.strange.novel:
            reasons = (*reasons, "novel")
        if reading.strange.could_reach(reading.estimate.risk, threshold):
            reasons = (*reasons, "unknown_attribute")
        if reading.blind and "evidence_missing" not in reasons:
            reasons = (*reasons, "evidence_missing")
        return Standing(reasons, reading.product_known)
