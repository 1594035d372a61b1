#!/usr/bin/env python3
"""How good the judge is: every table of it, from the folders, no cache.

    python tests/bench/results_fusion.py                    every part; rewrites its tables in deploy/measured.md
    python tests/bench/results_fusion.py risk cold          only these parts; prints, and leaves the document alone
    python tests/bench/results_fusion.py risk:mill,plant    the risk of only these sets

Parts: `risk` (here: families, missing sources, speed), `calibration`, `groups`, `certificate`, `cold`, `history`.
All of them take about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve  # noqa: E402

from fusion.calibration.calibrate import expected_calibration_error  # noqa: E402
from fusion.history import HistoryView  # noqa: E402
from fusion.judge import Judge  # noqa: E402
from fusion.replay import assemble_folder  # noqa: E402
from fusion.risk.families import fit_family, named, probability  # noqa: E402
from fusion.risk.fit import FOLDS_TRIED, TREES, TREES_THIN, Examples, choose_recipe, fit_risk, folds  # noqa: E402
from fusion.risk.model import taken_columns  # noqa: E402
from fusion.train import fit_gates, save_fusion  # noqa: E402
from fusion.training.cases import Case, Released, collect_cases, released_labels  # noqa: E402
from fusion.training.eyes import look_out_of_fold  # noqa: E402
from fusion.training.gate import GateTraining, begin_gate  # noqa: E402
from ingest.folder.replay_folder import Folder  # noqa: E402
from ingest.plan.plan import Plan  # noqa: E402
from ingest.settings import Settings  # noqa: E402
from tests.bench.results import BAD_INPUT, CUTS, Home, real_sets  # noqa: E402
from tests.bench.written_table import machine, markdown_table, rewritten  # noqa: E402

PLANT, PLANT_PARTS = "plant", 3000
RESAMPLES, INTERVAL = 400, (2.5, 97.5)
TIMED = 300  # parts whose CPU is measured
Doubles = npt.NDArray[np.float64]
Figure = Callable[[npt.NDArray[np.bool_], Doubles], float]


@dataclass(frozen=True, slots=True)
class Learned:
    """A folder as training takes it."""

    name: str
    cases: list[Case]
    labels: list[Released]
    plan: Plan


def learn(name: str, folder: Path, scratch: Path) -> Learned:
    """Eyes out of fold, then the join."""
    settings = Settings(home=str(scratch))
    told = Folder(folder, settings)
    labels = released_labels(told.defects(), None)
    findings = look_out_of_fold(told, labels, scratch / "shelf", None, lambda _: None)
    return Learned(
        name, collect_cases(assemble_folder(told, settings, findings, None), labels, told.plan), labels, told.plan
    )


def recall_at(share: float) -> Figure:
    """Of defects, at this share of good parts flagged."""

    def recall(defect: npt.NDArray[np.bool_], risk: Doubles) -> float:
        alarms, found, _ = roc_curve(defect, risk)
        return float(found[alarms <= share].max())

    return recall


def by_lots(examples: Examples, risk: Doubles, figure: Figure) -> str:
    """A figure with its 95 % interval over lots drawn again."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(examples.groups == lot) for lot in np.unique(examples.groups)]
    drawn = []
    for _ in range(RESAMPLES):
        at = np.concatenate([members[lot] for lot in rng.integers(len(members), size=len(members))])
        if 0 < examples.defect[at].sum() < len(at):
            drawn.append(figure(examples.defect[at], risk[at]))
    low, high = np.percentile(drawn, INTERVAL)
    return f"{figure(examples.defect, risk):.3f} ({low:.2f} to {high:.2f})"


FAMILIES = ("gate", "parts", "defects", "lots", "features", "chosen", "AUC", "AP", "recall at 2 %", "at 5 %", "ECE",
            "log-loss", "of extra trees alone")  # fmt: skip


def family_row(name: str, training: GateTraining) -> list[str]:
    """What was chosen for a gate, and how good it is on lots it has not seen."""
    whole = training.base[0]
    examples, risk = whole.examples, whole.fitted.out_of_fold
    alone = fit_risk(examples, ("extra_trees",), TREES_THIN)
    return [
        name, str(len(risk)), str(int(examples.defect.sum())), str(len(np.unique(examples.groups))),
        str(len(training.spec.kept)), named(whole.fitted.recipe), by_lots(examples, risk, roc_auc_score),
        by_lots(examples, risk, average_precision_score), f"{recall_at(0.02)(examples.defect, risk):.2f}",
        f"{recall_at(0.05)(examples.defect, risk):.2f}", f"{expected_calibration_error(risk, examples.defect):.4f}",
        f"{whole.fitted.log_loss:.4f}", f"{alone.log_loss:.4f}",
    ]  # fmt: skip


MISSING = ("gate", "without", "parts", "AUC, the shelf's model", "AUC, learned from these alone with all care",
           "AUC, the whole model imputing")  # fmt: skip


def missing_rows(name: str, training: GateTraining) -> list[list[str]]:
    """Each source left out in turn: the model that would serve, one chosen and grown for it alone, and imputing."""
    rows = []
    whole, sources = training.base[0], training.spec.sources
    features = training.builder.derive(training.raw)
    for source in sources if len(sources) > 1 else ():
        left = tuple(sorted(set(sources) - {source}))
        there = np.array([set(sources) <= usable for usable in training.usable]) & ~np.isnan(training.defect)
        filled = np.where(np.isnan(features), training.fill, features)[there]
        defect, groups = training.defect[there] == 1.0, training.groups[there]
        only = taken_columns(training.spec, left, False)
        alone = Examples((filled * only).astype(np.float32), defect, groups)
        if not alone.learnable:
            continue
        served = fit_risk(alone, whole.fitted.recipe, TREES_THIN).auc
        careful = fit_risk(alone, choose_recipe(alone), TREES).auc
        every = taken_columns(training.spec, tuple(sources), False)
        imputed = np.where(only | ~every, filled, training.fill).astype(np.float32)
        score = np.full(len(defect), float(defect.mean()))
        for train, test in folds(alone, FOLDS_TRIED):
            family = whole.fitted.recipe[0]
            model = fit_family(family, (filled * every).astype(np.float32)[train], defect[train], TREES_THIN)
            score[test] = probability(model, imputed[test])
        rows.append([name, source, str(len(defect)), f"{served:.3f}", f"{careful:.3f}",
                     f"{roc_auc_score(defect, score):.3f}"])  # fmt: skip
    return rows


SPEED = ("gate", "parts", "features, ms", "risk and strangeness, ms", "causes of a flagged part, ms")


def speed_rows(learned: Learned, scratch: Path) -> list[list[str]]:
    """CPU of one thread of a judge opened from a shelf."""
    save_fusion(fit_gates(learned.cases, learned.labels, learned.plan, lambda _: None), learned.cases, learned.plan,
                scratch / "judge")  # fmt: skip
    judge = Judge.open(scratch / "judge", learned.plan)
    rows = []
    for line in learned.plan.lines:
        for at in line.gates:
            gate = judge.gate(line.line_id, at.gate_id)
            mine = [c for c in learned.cases if (c.evidence.line_id, c.evidence.gate_id) == (line.line_id, at.gate_id)]
            if gate is None or not mine:
                continue
            bad = [c for c in mine if c.defect][:TIMED]
            every = [*mine[:TIMED]]
            readings = [(c, gate.read(c.evidence, HistoryView())) for c in bad]
            row_ms = _ms(lambda c, gate=gate: gate.builder.row(c.evidence, HistoryView()), every)
            read_ms = _ms(lambda c, gate=gate: gate.read(c.evidence, HistoryView()), every)
            cause_ms = _ms(lambda pair, gate=gate: gate.causes(pair[0].evidence, pair[1]),
                           [(c, reading) for c, reading in readings if reading is not None])  # fmt: skip
            rows.append([f"{learned.name} {line.line_id}/{at.gate_id}", str(len(every)), f"{row_ms:.3f}",
                         f"{max(0.0, read_ms - row_ms):.3f}", f"{cause_ms:.2f}"])  # fmt: skip
    return rows


def _ms(do: Callable[..., object], things: Sequence[object]) -> float:
    """CPU of one, warmed up."""
    for thing in things[:20]:
        do(thing)
    began = time.process_time()
    for thing in things:
        do(thing)
    return 1000.0 * (time.process_time() - began) / max(len(things), 1)


def risk(asked: Sequence[str] = ()) -> str:
    """Families, missing sources and speed, on the sets asked for."""
    shared = real_sets()
    chosen, missing, speed = [], [], []
    for name in asked or (*CUTS, PLANT):
        if name != PLANT and shared is None:
            print(f"{name}: no real data here, left out", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(prefix=f"qcfuse-risk-{name}-") as text:
            scratch = Path(text)
            folder = scratch / PLANT if shared is None or name == PLANT else shared / name
            if name == PLANT:
                Home(scratch).run("simulate", str(folder), "--parts", str(PLANT_PARTS))
            learned = learn(name, folder, scratch)
            by_gate: dict[tuple[str, str], list[Case]] = {}
            for case in learned.cases:
                by_gate.setdefault((case.evidence.line_id, case.evidence.gate_id), []).append(case)
            for (line_id, gate_id), cases in by_gate.items():
                gate = f"{name} {line_id}/{gate_id}" if len(by_gate) > 1 else name
                training = begin_gate(cases, learned.plan, lambda line: print(line, file=sys.stderr, flush=True))
                if training.learnable:
                    chosen.append(family_row(gate, training))
                    missing += missing_rows(gate, training)
            speed += speed_rows(learned, scratch)
    note = "Out of fold, lots kept together; in brackets 95 % over lots drawn again."
    tables = [markdown_table(FAMILIES, chosen), markdown_table(MISSING, missing), markdown_table(SPEED, speed)]
    return "\n\n".join([note, *tables, f"Measured on {machine()}."])


def certificate(asked: Sequence[str] = ()) -> str:
    """Promises kept on simulated calibrations, and what the sets get."""
    module = importlib.import_module("tests.bench.results_fusion_certificate")
    return f"{module.table()}\n\n{module.sets_table()}"


def _neighbour(name: str) -> Callable[[Sequence[str]], str]:
    def told(asked: Sequence[str] = ()) -> str:
        module = importlib.import_module(f"tests.bench.results_fusion_{name}")
        return str(module.table(asked) if asked else module.table())

    return told


PARTS: dict[str, Callable[[Sequence[str]], str]] = {
    "risk": risk,
    "calibration": _neighbour("calibration"),
    "groups": _neighbour("groups"),
    "certificate": certificate,
    "cold": _neighbour("cold"),
    "history": _neighbour("history"),
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write what was asked for as a whole. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; `risk:mill,tiles` for these sets only")
    words = parser.parse_args(arguments).part
    asked = {part: [s for s in sets.split(",") if s] for part, _, sets in (word.partition(":") for word in words)}
    if unknown := sorted(set(asked) - set(PARTS)):
        print(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}", file=sys.stderr)
        return BAD_INPUT
    for part in asked or PARTS:
        print(f"=== {part}", file=sys.stderr, flush=True)
        text = PARTS[part](asked.get(part, []))
        print(text, flush=True)
        if not asked and (status := rewritten(f"results-fusion-{part}", text)):
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
