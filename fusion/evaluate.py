"""`qcfuse evaluate`: final verdicts against what is known of the parts (CONTRACT section 4).

Known is `truth.csv` where there is one, else the defect records: a part's latest that is sure and was not taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fusion.calibration.calibrate import expected_calibration_error
from fusion.causes.origins import PAIR
from fusion.labels import standing
from ingest.errors import BadInput
from ingest.folder.replay_folder import Folder
from ingest.messages import Defect, Instant, Verdict, json_decoder
from ingest.plan.plan import Plan

FALSE_ALARMS = 0.05  # of good parts, for recall_at_5pct_fpr

PartKey = tuple[str, str]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, rename={"passed": "pass"}):
    """The JSON of `qcfuse evaluate --json`; null where it cannot be said.

    `parts`: made; `judged`: those with a verdict, split into `pass`, `review`, `cannot_tell`. `escapes`: defective and
    passed; `escape_rate`: of the judged parts whose outcome is known; `review_share`: of the judged. `auc` to `ece`:
    risks against outcomes; `ece` over ten bins of equal count. `cause_*`: of defective parts with a known cause and a
    verdict that names causes; a cause is right when it shares a side with a true one (`cause_top1_exact`: all of it).
    """

    parts: int
    judged: int
    passed: int
    review: int
    cannot_tell: int
    escapes: int
    escape_rate: float | None
    review_share: float | None
    auc: float | None
    ap: float | None
    recall_at_5pct_fpr: float | None
    ece: float | None
    cause_top1: float | None
    cause_top1_exact: float | None
    cause_top3: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of a part."""

    defect: bool
    causes: tuple[str, ...]


def evaluate(path: Path, verdicts: Path, since: Instant | None) -> Evaluation:
    """Compare a file of verdicts (one a line, all revisions) with a folder. Raises BadInput naming file and line."""
    folder = Folder(path)
    made = {
        (part.line_id, part.part_id) for part in folder.parts().values() if since is None or part.started_at >= since
    }
    given = [verdict for verdict in read_verdicts(verdicts) if (verdict.line_id, verdict.part_id) in made]
    return compare(made, given, known_outcomes(folder), folder.plan)


def compare(
    made: Iterable[PartKey], given: Sequence[Verdict], known: Mapping[PartKey, Outcome], plan: Plan
) -> Evaluation:
    """The figures for these parts, verdicts (all revisions) and outcomes."""
    final = final_verdicts(given, plan)
    decisions = Counter(verdict.decision for verdict in final.values())
    told = [(verdict, known[part]) for part, verdict in final.items() if part in known]
    escapes = sum(outcome.defect and verdict.decision == "pass" for verdict, outcome in told)
    scored = [(verdict.risk, outcome.defect) for verdict, outcome in told if verdict.risk is not None]
    risk, defect = np.array([r for r, _ in scored], dtype=np.float64), np.array([d for _, d in scored], dtype=np.bool_)
    auc, ap, recall = _ranking(risk, defect)
    causes = [_cause_hits(verdict, outcome) for verdict, outcome in told if verdict.causes and outcome.causes]
    latencies = [verdict.latency_ms for verdict in given if verdict.latency_ms is not None]
    return Evaluation(
        parts=len(set(made)),
        judged=len(final),
        passed=decisions["pass"],
        review=decisions["review"],
        cannot_tell=decisions["cannot_tell"],
        escapes=escapes,
        escape_rate=escapes / len(told) if told else None,
        review_share=decisions["review"] / len(final) if final else None,
        auc=auc,
        ap=ap,
        recall_at_5pct_fpr=recall,
        ece=expected_calibration_error(risk, defect) if len(risk) else None,
        cause_top1=_mean([hits[0] for hits in causes]),
        cause_top1_exact=_mean([hits[1] for hits in causes]),
        cause_top3=_mean([hits[2] for hits in causes]),
        latency_p50_ms=float(np.percentile(latencies, 50)) if latencies else None,
        latency_p99_ms=float(np.percentile(latencies, 99)) if latencies else None,
    )


def read_verdicts(path: Path) -> list[Verdict]:
    """The verdicts of a JSON-lines file. Raises BadInput naming the line that is none."""
    decoder = json_decoder(Verdict)
    verdicts = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        verdicts.append(decoder.decode(line))
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        raise BadInput(f"{path}:{number}: not a verdict: {error}") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    return verdicts


def final_verdicts(verdicts: Iterable[Verdict], plan: Plan) -> dict[PartKey, Verdict]:
    """(line, part) → the last revision of the last attempt at the last gate the part reached."""
    place = {
        (line.line_id, gate.gate_id): (line.order(gate.after), i)
        for line in plan.lines
        for i, gate in enumerate(line.gates)
    }
    final: dict[PartKey, Verdict] = {}
    ranks: dict[PartKey, tuple[tuple[int, int], int, int]] = {}
    for verdict in verdicts:
        part = (verdict.line_id, verdict.part_id)
        rank = (place.get((verdict.line_id, verdict.gate_id), (-1, -1)), verdict.attempt, verdict.revision)
        if part not in final or rank >= ranks[part]:
            final[part], ranks[part] = verdict, rank
    return final


def known_outcomes(folder: Folder) -> dict[PartKey, Outcome]:
    """What is known of each part: the truth of a simulated plant, else the latest sure record that stands."""
    truth = folder.truth()
    if truth is not None:
        return {
            (told.line_id, told.part_id): Outcome(told.defect, _causes(told.cause) if told.defect else ())
            for told in truth.values()
        }
    latest: dict[PartKey, Defect] = {}
    rows = sorted(folder.defects(), key=lambda row: row.received_at)
    for record in standing((row.defect for row in rows), lambda record: record):
        part = (record.line_id, record.part_id)
        if record.outcome != "unsure" and (part not in latest or record.recorded_at >= latest[part].recorded_at):
            latest[part] = record
    return {
        part: Outcome(record.outcome == "defect", record.causes if record.outcome == "defect" else ())
        for part, record in latest.items()
    }


def _causes(text: str) -> tuple[str, ...]:
    return tuple(cause.strip() for cause in text.split(";") if cause.strip())


def _ranking(
    risk: npt.NDArray[np.float64], defect: npt.NDArray[np.bool_]
) -> tuple[float | None, float | None, float | None]:
    if not defect.any() or defect.all():
        return None, None, None
    false_alarms, recall, _ = roc_curve(defect, risk)
    within = recall[false_alarms <= FALSE_ALARMS]
    return float(roc_auc_score(defect, risk)), float(average_precision_score(defect, risk)), float(within.max())


def _cause_hits(verdict: Verdict, outcome: Outcome) -> tuple[bool, bool, bool]:
    named = [cause.cause for cause in verdict.causes]
    near = [any(_sides(cause) & _sides(true) for true in outcome.causes) for cause in named[:3]]
    return near[0], named[0] in outcome.causes, any(near)


def _sides(cause: str) -> set[str]:
    return set(cause.split(PAIR))


def _mean(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
