"""Decide: risk, plan and mode in, decision and reasons out (CONTRACT section 2, `qc.verdicts`)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ingest.join.evidence import Evidence
from ingest.messages import ModelName
from ingest.plan.plan import Plan

Decision = Literal["pass", "review", "cannot_tell"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Why a part may not pass, whatever its risk: the evidence it lacks, or that training never saw its like.

    `reasons`: of CONTRACT, in the order in which they are reported; empty: it may pass.
    `product_known`: False overrules even a high risk, which then means nothing.
    """

    reasons: tuple[str, ...] = ()
    product_known: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """The decision with its reasons. `audit`: it would pass and was drawn."""

    decision: Decision
    reasons: tuple[str, ...]
    audit: bool = False


def decide(
    risk: float | None,
    threshold: float | None,
    standing: Standing,
    *,
    mode: Literal["auto", "manual"],
    missed: bool,
    drawn: bool,
    hold_below: float = 0.0,
) -> Call:
    """One part's decision. `risk` None: no model spoke. `drawn`: the audit lottery's answer for this part.
    `hold_below`: inspectors have no time for parts of less risk than that.

    Enough risk on thin evidence is `review`; little risk on thin evidence is `cannot_tell`; silence is never a pass.
    """
    late = ("deadline_missed",) if missed else ()
    if mode == "manual":
        return Call("cannot_tell", ("manual_mode", *late))
    if missed:
        return Call("cannot_tell", late)
    if risk is None or threshold is None:
        return Call("cannot_tell", ("model_not_ready", *standing.reasons))
    high = risk >= threshold
    if high and standing.product_known and risk < hold_below:
        return Call("cannot_tell", ("capacity", "risk_over_threshold", *standing.reasons))
    if high and standing.product_known:
        return Call("review", ("risk_over_threshold", *standing.reasons))
    if standing.reasons:
        return Call("cannot_tell", standing.reasons)
    if drawn:
        return Call("review", ("audit",), audit=True)
    return Call("pass", ())


def evidence_reasons(evidence: Evidence, needs: Sequence[str]) -> tuple[str, ...]:
    """`evidence_missing`, `evidence_unfit` when a need of the gate is not met, or met by something unfit.

    An alarm of a camera that no gate needs is unfit evidence too: that it may be dirt does not make it a pass."""
    present, unfit = set(evidence.present), set(evidence.unfit)
    reasons = []
    if any(need not in present and need not in unfit for need in needs):
        reasons.append("evidence_missing")
    if any(need in unfit for need in needs) or _doubted_alarm(evidence):
        reasons.append("evidence_unfit")
    return tuple(reasons)


def _doubted_alarm(evidence: Evidence) -> bool:
    """Did a camera of which no frame is fit see something over its threshold?"""
    return any(
        findings.score is not None and findings.threshold is not None and findings.score > findings.threshold
        for camera, kept in evidence.findings.items()
        if f"camera:{camera}" in evidence.unfit
        for findings in kept
    )


def drawn_for_audit(plan: Plan, model: ModelName, evidence: Evidence) -> bool:
    """The lottery: a hash of (plan, model, line, gate, part, attempt) against the plan's share; same answer always."""
    ticket = "\x1f".join(
        (plan.sha256, model.sha256, evidence.line_id, evidence.gate_id, evidence.part_id, str(evidence.attempt))
    )
    drawn = int.from_bytes(hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return drawn < plan.audit.share * 2.0**64


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """The threshold and what it did on the risks it was chosen on. `conflict`: escape bound and review share cannot
    both be held there; the share gave way. `escape_rate_at_share`: what would have escaped within the review share."""

    threshold: float
    escape_rate: float
    review_share: float
    cost_per_part: float
    conflict: bool
    escape_rate_at_share: float = 0.0

    def say_conflict(self, plan: Plan) -> str:
        """Two sentences for who answers for the plan; "" without a conflict."""
        if not self.conflict:
            return ""
        limits, allowed = plan.constraints, f"{100 * plan.constraints.review_share_max:.0f} %"
        said = (
            f"The plan's limits cannot both be held: at most {100 * limits.escape_rate_max:.3g} % escapes takes "
            f"{100 * self.review_share:.0f} % reviews ({allowed} allowed; the share gives way), and "
            f"{allowed} reviews would let {100 * self.escape_rate_at_share:.2g} % escape."
        )
        if self.cost_per_part > plan.objective.review_cost:
            all_cost = f"{plan.objective.review_cost:.2f} {plan.objective.currency}"
            said += f" To review every part would cost less: {all_cost} a part, not {self.cost_per_part:.2f}."
        return said


def choose_threshold(
    risk: npt.NDArray[np.float64], defect: npt.NDArray[np.bool_], plan: Plan, at_most: float = math.inf
) -> ThresholdChoice:
    """Threshold of least expected cost under `escape_rate_max`, then under `review_share_max`; none above `at_most`.

    `risk`: float[n], calibrated, of parts the model was not trained on; `defect`: bool[n]. Escapes are counted per made
    part as the larger of what was seen and what the risks themselves expect, so that luck does not buy a threshold. The
    audit's share of the passing parts counts as reviews too.
    """
    order = np.argsort(-risk, kind="stable")
    ranked, bad = risk[order], defect[order].astype(np.float64)
    n = len(ranked)
    seen = bad.sum() - np.concatenate([[0.0], np.cumsum(bad)])
    expected = ranked.sum() - np.concatenate([[0.0], np.cumsum(ranked)])
    escape = np.maximum(np.maximum(seen, expected), 0.0) / n
    review = np.arange(n + 1) / n
    cost = plan.objective.escape_cost * escape + plan.objective.review_cost * review
    splits = np.concatenate([[True], ranked[1:] < ranked[:-1], [True]])  # equal risks fall on one side together
    splits &= np.append(ranked, -math.inf) < at_most
    allowed = splits & (escape <= plan.constraints.escape_rate_max)
    if not allowed.any():
        allowed = splits & (review == 1.0)
    both = allowed & (review + plan.audit.share * (1.0 - review) <= plan.constraints.review_share_max)
    conflict = not both.any()
    # when the share must give way, the fewest reviews that hold the escape bound
    best = int(np.flatnonzero(allowed)[0]) if conflict else int(np.flatnonzero(both)[np.argmin(cost[both])])
    threshold = min(_between(ranked, best), at_most)
    told = float(escape[int(plan.constraints.review_share_max * n)])
    return ThresholdChoice(threshold, float(escape[best]), float(review[best]), float(cost[best]), conflict, told)


def _between(ranked: npt.NDArray[np.float64], reviewed: int) -> float:
    """A threshold that sends exactly the first `reviewed` parts to review."""
    above = ranked[reviewed - 1] if reviewed > 0 else 1.0
    below = ranked[reviewed] if reviewed < len(ranked) else 0.0
    if reviewed == 0:
        return float(min(1.0, below + 1e-9)) if below < 1.0 else float(np.nextafter(1.0, 2.0))
    return float((above + below) / 2.0) if above > below else float(above)
