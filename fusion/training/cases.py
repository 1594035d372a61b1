"""Cases: what training learns from. One case is one part at one gate in one attempt, with its label."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusion.causes.origins import PAIR
from fusion.history import HistoryView
from fusion.labels import LabelBook, standing
from fusion.paced_history import PacedHistory
from ingest.folder.replay_folder import DefectRow
from ingest.join.evidence import Evidence
from ingest.join.gates import Closing
from ingest.messages import CONCLUSIVE, Defect, Instant
from ingest.plan.plan import Plan

CaseKey = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Case:
    """`evidence`: the last look, what the final verdict saw; `first`: the first closing's, which history was asked
    about; `closed_at`: the log's time of it. `defect` None: no label. `causes`: as the label names them."""

    evidence: Evidence
    first: Evidence
    closed_at: int
    defect: bool | None
    causes: tuple[str, ...]

    @property
    def key(self) -> CaseKey:
        return (self.evidence.line_id, self.evidence.gate_id, self.evidence.part_id, self.evidence.attempt)


@dataclass(frozen=True, slots=True)
class Released:
    """A label and the time at which it was released to the system."""

    at: Instant
    defect: Defect


def released_labels(rows: Iterable[DefectRow], labels_until: Instant | None) -> list[Released]:
    """Labels in the order of release; only those that had come by `labels_until`, and had not been taken back by then:
    a taken back one teaches as if it had never been."""
    kept = [
        Released(row.received_at, row.defect) for row in rows if labels_until is None or row.received_at < labels_until
    ]
    return standing(sorted(kept, key=lambda released: released.at), lambda released: released.defect)


def collect_cases(closings: Iterable[Closing], labels: Sequence[Released], plan: Plan) -> list[Case]:
    """One case per (line, gate, part, attempt) in the order of the first closings."""
    first: dict[CaseKey, tuple[Evidence, int]] = {}
    last: dict[CaseKey, Evidence] = {}
    for closing in closings:
        e = closing.evidence
        key = (e.line_id, e.gate_id, e.part_id, e.attempt)
        first.setdefault(key, (e, closing.at))
        last[key] = e
    of_part: dict[tuple[str, str], list[Defect]] = {}
    for released in labels:
        of_part.setdefault((released.defect.line_id, released.defect.part_id), []).append(released.defect)
    cases = []
    for key, (evidence, closed_at) in first.items():
        line_id, gate_id, part_id, attempt = key
        following = first.get((line_id, gate_id, part_id, attempt + 1))
        label = label_of(of_part.get((line_id, part_id), ()), closed_at, following[1] if following else None)
        booked = booked_values(last[key])
        defect, causes = (
            outcome_at_gate(label.outcome, label.causes, line_id, gate_id, booked, plan)
            if label is not None
            else (None, ())
        )
        cases.append(Case(last[key], evidence, closed_at, defect, causes))
    return cases


def booked_values(evidence: Evidence) -> set[str]:
    """The attribute values of a part as `attribute=value`."""
    return {f"{name}={value}" for (_, name), value in evidence.attributes.items()}


def outcome_at_gate(
    outcome: str, causes: Sequence[str], line_id: str, gate_id: str, booked: Collection[str], plan: Plan
) -> tuple[bool, tuple[str, ...]]:
    """Was the part defective when it stood at this gate, and why? What went wrong behind the gate was still to come.
    `booked`: `booked_values` of the part."""
    if outcome != "defect":
        return False, ()
    here = tuple(cause for cause in causes if not _lies_behind(cause, line_id, gate_id, booked, plan))
    return (True, here) if here or not causes else (False, ())


def _lies_behind(cause: str, line_id: str, gate_id: str, booked: Collection[str], plan: Plan) -> bool:
    """Does a cause name a station, camera or booked attribute that the part meets only behind this gate?"""
    line = plan.line(line_id)
    gate = next((g for g in line.gates if g.gate_id == gate_id), None) if line else None
    if line is None or gate is None:
        return False
    reached = line.order(gate.after)
    cameras = {f"camera:{c.camera_id}": line.order(c.station_id) for c in line.cameras}
    for side in cause.split(PAIR):
        if side in cameras:
            behind = cameras[side] > reached
        elif "=" in side:
            # every gate but the last may be too early for it; at the last, it was booked wrongly
            behind = side not in booked and reached < max(line.order(g.after) for g in line.gates)
        else:
            behind = line.order(side.split(".", 1)[0]) > reached
        if behind:
            return True
    return False


def label_of(defects: Sequence[Defect], closed_at: int, next_closed_at: int | None) -> Defect | None:
    """The record that labels an attempt: the latest of those between its gate and that of the next attempt, or of all
    when there is none between. `unsure` is no label, and takes none back."""
    sure = [defect for defect in defects if defect.outcome in CONCLUSIVE]
    between = [
        d for d in sure if d.recorded_at >= closed_at and (next_closed_at is None or d.recorded_at < next_closed_at)
    ]
    return max(between or sure, key=lambda defect: defect.recorded_at, default=None)


def history_views(
    cases: Sequence[Case],
    base_risks: Mapping[CaseKey, float | None],
    labels: Sequence[Released],
    plan: Plan,
    line_id: str,
) -> tuple[dict[CaseKey, HistoryView], PacedHistory]:
    """What history said of each case of a line when its gate first closed, and the history at the end.

    `base_risks` are out of fold; labels count from the moment they were released, as they will in service.
    """
    history, book = PacedHistory(plan, line_id), LabelBook()
    views: dict[CaseKey, HistoryView] = {}
    waiting = iter([released for released in labels if released.defect.line_id == line_id])
    following = next(waiting, None)
    for case in sorted((c for c in cases if c.evidence.line_id == line_id), key=lambda c: c.closed_at):
        while following is not None and following.at < case.closed_at:
            if (told := book.take(following.defect, following.at)) is not None:
                history.label(told)
            following = next(waiting, None)
        views[case.key] = history.view(case.first)
        history.enter(case.first, base_risks.get(case.key))
    return views, history
