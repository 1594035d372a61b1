"""What the card says of a gate that learned without defect labels."""

from __future__ import annotations

from fusion.cold_start.score import ASSUMED_AUC, AUC_BETWEEN, RATE_FACTOR
from fusion.training.gate import FittedGate
from ingest.plan.plan import Plan

PROMISES_NOTHING = "Learned without defect labels: ranks what is unusual, promises nothing about escapes."


def cold_card(gate: FittedGate, plan: Plan) -> list[str]:
    """Markdown lines of one gate."""
    notes, choice = gate.notes, gate.choice
    _, defect = gate.out_of_fold
    lines = [
        f"## Line {notes.spec.line_id}, gate {notes.spec.gate_id}",
        "",
        PROMISES_NOTHING,
        f"Risks are provisional: they assume {notes.provisional:.1%} defective parts (`objective.defect_rate_assumed`) "
        f"that stand out with AUC {ASSUMED_AUC:.2f}; intervals are what {RATE_FACTOR:g} times more or fewer and AUC "
        f"{AUC_BETWEEN[0]} to {AUC_BETWEEN[1]} would make of them.",
        f"Threshold {choice.threshold:.4f}: reviews {choice.review_share:.3f} of parts of held-out lots "
        f"(at most {plan.constraints.review_share_max}).",
        f"{len(defect)} labelled cases, {int(defect.sum())} defective: too few to learn from; they only checked the "
        "ranking.",
        *([f"Certificate: {notes.certificate.say()}"] if notes.certificate else []),
        "",
        "| sources | parts | defects | AUC of the ranking |",
        "|---|---|---|---|",
    ]
    for model in notes.risk:
        named = ", ".join(model.sources) or "none (every part alike)"
        checked = f"{model.auc:.3f}" if model.defects and model.sources else "not checked"
        lines.append(f"| {named} | {model.parts} | {model.defects} | {checked} |")
    return lines
