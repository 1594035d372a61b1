"""`qcfuse train`: a replay folder in, eyes and a fusion model on the shelf out.

The folder runs through the very code that serves: eyes give out-of-fold findings, the join makes evidence, the row
builder makes rows. A gate with too few labelled defects starts cold: it ranks what is unusual, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from fusion.cold_start.fit import PARTS_MIN, ColdTraining, begin_cold, finish_cold
from fusion.gate import NOTES_VERSION, FusionNotes
from fusion.history import HistoryView
from fusion.judge import MODEL_NAME
from fusion.novelty.limit import with_novelty
from fusion.replay import assemble_folder
from fusion.risk.features import feature_columns
from fusion.risk.fit import DEFECTS_MIN
from fusion.training.card import write_card
from fusion.training.cases import Case, CaseKey, Released, collect_cases, history_views, released_labels
from fusion.training.eyes import look_out_of_fold
from fusion.training.gate import FittedGate, GateTraining, begin_gate, finish_gate
from ingest.folder.replay_folder import Folder
from ingest.folder.rows import write_dead_rows
from ingest.messages import Instant
from ingest.plan.plan import Plan
from ingest.settings import Settings
from models.manifest import Manifest, TrainedOn
from models.shelf import save_model
from vision.training.options import EyeOptions

Progress = Callable[[str], None]
GateKey = tuple[str, str]


def train_folder(
    path: Path,
    shelf: Path,
    until: Instant | None,
    labels_until: Instant | None,
    settings: Settings,
    progress: Progress,
    options: EyeOptions | None = None,
) -> Manifest | None:
    """Train everything a folder can teach. `until`: parts that began before; `labels_until`: labels released before.

    Returns the fusion model's manifest, None when too few labels allow none. Raises BadInput on a wrong folder.
    """
    folder = Folder(path, settings)
    labels = released_labels(folder.defects(), labels_until)
    findings = look_out_of_fold(folder, labels, shelf, until, progress, options)
    cases = collect_cases(assemble_folder(folder, settings, findings, until), labels, folder.plan)
    write_dead_rows(Path(settings.home), folder.dead_letters, progress)
    progress(f"{len(cases)} cases, {sum(case.defect is not None for case in cases)} with a label")
    gates = fit_gates(cases, labels, folder.plan, progress)
    if not gates:
        progress(
            f"no gate has {DEFECTS_MIN} labelled defects, nor {PARTS_MIN} parts with sensors or findings that may be "
            "good and tell what is usual: no risk model; every part will be cannot_tell"
        )
        return None
    manifest = save_fusion(gates, cases, folder.plan, shelf)
    progress(f"fusion {manifest.version} is live on {shelf}")
    return manifest


def fit_gates(cases: list[Case], labels: list[Released], plan: Plan, progress: Progress) -> list[FittedGate]:
    """Every gate in the order of the plan; one without enough labels starts cold, one without enough parts has none."""
    by_gate: dict[GateKey, list[Case]] = {}
    for case in cases:
        by_gate.setdefault((case.evidence.line_id, case.evidence.gate_id), []).append(case)
    begun = {key: begin_gate(by_gate[key], plan, progress) for key in _gate_keys(plan) if key in by_gate}
    fitted: list[FittedGate] = []
    for line in plan.lines:
        of_line = {key: gate for key, gate in begun.items() if key[0] == line.line_id}
        cold = {key: begin_cold(gate, progress) for key, gate in of_line.items() if not gate.learnable}
        views, seed = _line_history(of_line, cold, labels, plan, line.line_id)
        for key, training in of_line.items():
            prefix = f"g{len(fitted)}"
            if training.learnable:
                asked = [views[case.key] for case in training.cases]
                fitted.append(with_novelty(finish_gate(training, asked, seed, prefix, progress), training, prefix))
            elif (unlabelled := cold[key]) is not None:
                fitted.append(with_novelty(finish_cold(unlabelled, seed, prefix), training, prefix))
    return fitted


def _gate_keys(plan: Plan) -> list[GateKey]:
    return [(line.line_id, gate.gate_id) for line in plan.lines for gate in line.gates]


def _line_history(
    gates: Mapping[GateKey, GateTraining],
    cold: Mapping[GateKey, ColdTraining | None],
    labels: list[Released],
    plan: Plan,
    line_id: str,
) -> tuple[dict[CaseKey, HistoryView], dict[str, bytes]]:
    """A part enters at the first gate it reaches, as in service: where that has no model, without a risk."""
    cases = [case for gate in gates.values() for case in gate.cases]
    base_risks: dict[CaseKey, float | None] = {}
    for key, gate in gates.items():
        speaking = cold.get(key) or gate
        base_risks |= {case.key: risk for case, risk in zip(gate.cases, speaking.base_risks(), strict=True)}
    views, history = history_views(cases, base_risks, labels, plan, line_id)
    return views, history.snapshot()


def save_fusion(gates: list[FittedGate], cases: list[Case], plan: Plan, shelf: Path) -> Manifest:
    """Put the gates' models on the shelf as one model, `fusion`."""
    starts = [case.evidence.visits[0].started_at for case in cases if case.evidence.visits]
    since, last = (min(starts), max(starts)) if starts else (None, None)
    parts = len({(case.evidence.line_id, case.evidence.part_id) for case in cases})
    batches = len({(case.evidence.line_id, case.evidence.batch_id) for case in cases})
    span = f"{since.isoformat()} to {last.isoformat()}" if since is not None and last is not None else "no visits"
    features = [
        f"{gate.notes.spec.line_id}/{gate.notes.spec.gate_id}/{column.name}"
        for gate in gates
        for column in feature_columns(gate.notes.spec)
    ]
    notes = FusionNotes(version=NOTES_VERSION, gates=tuple(gate.notes for gate in gates))
    return save_model(
        shelf,
        name=MODEL_NAME,
        kind="fusion",
        files={name: content for gate in gates for name, content in gate.files.items()},
        features=features,
        threshold=gates[0].notes.threshold if len(gates) == 1 else None,  # each gate has its own, in the notes
        trained_on=TrainedOn(parts=parts, batches=batches, since=since, until=last),
        notes=msgspec.to_builtins(notes),
        card=write_card(gates, plan, parts, batches, span),
    )
