"""evaluate: the last word on each part against what is known of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fusion.evaluate import Outcome, compare, final_verdicts, read_verdicts
from ingest.errors import BadInput
from ingest.messages import Cause, EvidenceSummary, Instant, Verdict, encode
from ingest.plan.plan import Gate, Plan


def verdict(
    part: str, decision: str, risk: float | None = 0.1, causes: tuple[str, ...] = (), **more: object
) -> Verdict:
    fields: dict[str, object] = {
        "verdict_id": f"{part}", "part_id": part, "line_id": "L1", "gate_id": "EOL", "batch_id": "B", "product": "P",
        "attempt": 1, "revision": 1, "sequence": 1, "decision": decision, "risk": risk, "risk_low": None,
        "risk_high": None, "threshold": 0.5, "reasons": [], "model": None, "plan_sha256": "", "mode": "auto",
        "evidence": EvidenceSummary(complete=True, present=[], missing=[], late=[], unfit=[]),
        "causes": [Cause(cause=c, kind="unknown", station_id="", share=0.1) for c in causes],
        "event_at": Instant(0), "decided_at": Instant(0), "latency_ms": 10.0, "audit": False,
    }  # fmt: skip
    return Verdict(**(fields | more))  # type: ignore[arg-type]


def known(**parts: tuple[bool, tuple[str, ...]]) -> dict[tuple[str, str], Outcome]:
    return {("L1", part): Outcome(*outcome) for part, outcome in parts.items()}


def test_the_figures_of_four_parts(plan: Plan) -> None:
    given = [
        verdict("A", "pass", 0.1),
        verdict("B", "pass", 0.2),
        verdict("C", "review", 0.9, ("a & b", "c")),
        verdict("D", "cannot_tell", None),
    ]
    made = [("L1", part) for part in "ABCDE"]
    outcomes = known(A=(False, ()), B=(True, ("x",)), C=(True, ("a",)), D=(False, ()))
    figures = compare(made, given, outcomes, plan)
    assert (figures.parts, figures.judged, figures.passed, figures.review, figures.cannot_tell) == (5, 4, 2, 1, 1)
    assert (figures.escapes, figures.escape_rate, figures.review_share) == (1, 0.25, 0.25)
    assert (figures.auc, figures.ap) == (1.0, 1.0)
    assert (figures.cause_top1, figures.cause_top1_exact, figures.cause_top3) == (1.0, 0.0, 1.0)
    assert (figures.latency_p50_ms, figures.latency_p99_ms) == (10.0, 10.0)
    assert "pass" in msgspec.to_builtins(figures)


def test_what_cannot_be_said_is_null(plan: Plan) -> None:
    figures = compare([("L1", "A")], [verdict("A", "pass")], {}, plan)
    assert (figures.auc, figures.ece, figures.escape_rate, figures.cause_top1) == (None, None, None, None)
    empty = compare([], [], {}, plan)
    assert (empty.parts, empty.review_share, empty.latency_p50_ms) == (0, None, None)


def test_the_last_revision_of_the_last_attempt_at_the_last_gate_is_final(plan: Plan) -> None:
    line = plan.lines[0]
    gates = (Gate(gate_id="MID", after="OP10", deadline_ms=1.0), *line.gates)
    two = msgspec.structs.replace(plan, lines=(msgspec.structs.replace(line, gates=gates),))
    final = verdict("A", "review", attempt=2, revision=2)
    given = [
        final,
        verdict("A", "pass", attempt=2, revision=1),
        verdict("A", "pass", attempt=1, revision=9),
        verdict("A", "pass", gate_id="MID", attempt=3, revision=9),
    ]
    assert final_verdicts(given, two) == {("L1", "A"): final}
    assert final_verdicts(reversed(given), two) == {("L1", "A"): final}


def test_a_line_that_is_no_verdict_is_named(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_bytes(encode(verdict("A", "pass")) + b"\n\n{}\n")
    with pytest.raises(BadInput, match=r"v\.jsonl:3"):
        read_verdicts(path)
    path.write_bytes(encode(verdict("A", "pass")) + b"\n")
    assert read_verdicts(path) == [verdict("A", "pass")]
