"""The card of a fusion model: what it learned from, how good it was on lots it had not seen, and where it fails."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import average_precision_score, roc_auc_score

from fusion.calibration.card import calibration_lines
from fusion.certificate.promise import say_rate
from fusion.cold_start.card import cold_card
from fusion.drift.watched import say_watched
from fusion.novelty.card import novelty_lines
from fusion.risk.families import named
from fusion.risk.fit import BLOCKS, FOLDS
from fusion.training.gate import FittedGate
from ingest.plan.plan import Plan

WEAK_AUC = 0.7


def write_card(gates: Sequence[FittedGate], plan: Plan, parts: int, batches: int, span: str) -> str:
    """Markdown for a person who has to answer for the model."""
    lines = [
        "# fusion: the risk that a part is defective",
        "",
        f"Plant {plan.plant}, owner of the model: {plan.owners.model}. "
        f"Learned from {parts} parts in {batches} batches, {span}.",
        f"All figures are out of fold: {FOLDS} folds, a batch wholly in one (fewer batches: {BLOCKS} blocks of time).",
    ]
    for gate in gates:
        lines += ["", *_gate_lines(gate, plan), *novelty_lines(gate.notes.novelty, gate.notes.closed)]
    lines += ["", "## Where it fails", "", *_failings(gates)]
    return "\n".join(lines) + "\n"


def _gate_lines(gate: FittedGate, plan: Plan) -> list[str]:
    risk, defect = gate.out_of_fold
    notes, choice = gate.notes, gate.choice
    if notes.provisional:
        return cold_card(gate, plan)
    lines = [
        f"## Line {notes.spec.line_id}, gate {notes.spec.gate_id}",
        "",
        f"{len(risk)} labelled cases, {int(defect.sum())} defective. AUC {roc_auc_score(defect, risk):.3f}, "
        f"AP {average_precision_score(defect, risk):.3f}.",
        *calibration_lines(risk, defect, notes.lot_spread, notes.products),
        f"Threshold {choice.threshold:.4f}: escapes {choice.escape_rate:.4f} of made parts "
        f"(at most {plan.constraints.escape_rate_max}), reviews {choice.review_share:.3f} "
        f"(at most {plan.constraints.review_share_max}), {choice.cost_per_part:.2f} {plan.objective.currency} a part.",
    ]
    if notes.conflict:
        lines.append(notes.conflict)
    if notes.certificate is not None:
        lines.append(f"Certificate: {notes.certificate.say()}")
    lines += ["", "| sources | families | parts | defects | AUC | log-loss |", "|---|---|---|---|---|---|"]
    for model, recipe in zip(notes.risk, gate.recipes, strict=True):
        sources, families = ", ".join(model.sources) or "none (attributes and history)", named(recipe)
        lines.append(
            f"| {sources} | {families} | {model.parts} | {model.defects} | {model.auc:.3f} | {model.log_loss:.4f} |"
        )
    if notes.origins is not None:
        taught = ", ".join(
            f"{kind} ({n})" for kind, n in zip(notes.origins.classes, notes.origins.learned_from, strict=True)
        )
        lines += [
            "",
            f"Origins learned from cause codes: {taught}; first guess right {notes.origins.accuracy:.0%} by lot.",
        ]
    return lines


def _failings(gates: Sequence[FittedGate]) -> list[str]:
    lines = ["- Defects unlike any labelled one: the risk of what training never saw is not known."]
    for gate in gates:
        where = f"{gate.notes.spec.line_id}/{gate.notes.spec.gate_id}"
        if (certificate := gate.notes.certificate) is not None and not certificate.holds_what_is_asked:
            lines.append(f"- {where}: at most {say_rate(certificate.asked)} escapes cannot be certified.")
        for model in gate.notes.risk:
            if model.auc < WEAK_AUC and not gate.notes.provisional:
                sources = ", ".join(model.sources) or "no sources"
                lines.append(f"- {where} with {sources} alone: AUC {model.auc:.3f}, little better than guessing.")
        if gate.notes.drift is None:
            lines.append(f"- {where}: history too short to watch any signal for drift.")
        elif (shown := gate.notes.drift.watched) is not None and (said := say_watched(shown)):
            lines.append(f"- {where}: {said[0].lower()}{said[1:]}")
        if gate.notes.origins is None:
            lines.append(f"- {where}: too few cause codes; causes are counterfactual only.")
    return lines
