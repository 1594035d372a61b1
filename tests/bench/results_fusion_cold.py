#!/usr/bin/env python3
"""How far a cold start comes: trained with every label hidden, beside the same plant trained with them.

    python tests/bench/results_fusion_cold.py               every set
    python tests/bench/results_fusion_cold.py mill tiles    only these

Both are trained on the earlier parts and judge the later ones as a user would, each command as a process of its own.
The sets: the real ones of `results.py` and a plant that is simulated on the spot. Intervals: 90 %, later lots
drawn again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from fusion.evaluate import Outcome, PartKey, final_verdicts, known_outcomes, read_verdicts  # noqa: E402
from ingest.folder.replay_folder import Folder  # noqa: E402
from ingest.messages import Verdict  # noqa: E402
from tests.bench.results import BAD_INPUT, CUTS, Home, real_sets  # noqa: E402
from tests.bench.written_table import machine, markdown_table  # noqa: E402

PLANT, PLANT_PARTS, PLANT_CUT_SHARE = "plant", 3000, 0.6
HIDDEN = ("defects.csv", "truth.csv", "marks.csv")
RESAMPLES = 400
INTERVAL = (5.0, 95.0)
HEAD = (
    "set", "parts", "defects", "lots", "AUC, no labels", "AUC, labels", "AP, no labels", "AP, labels",
    "reviews, no labels", "allowed", "novel among good",
)  # fmt: skip

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """The later parts with a risk. `lot`: int[n]; `reviewed`, `novel`: bool[n]."""

    risk: Doubles
    defect: npt.NDArray[np.bool_]
    lot: npt.NDArray[np.intp]
    reviewed: npt.NDArray[np.bool_]
    novel: npt.NDArray[np.bool_]


def measure(folder: Path, cut: str, scratch: Path) -> tuple[Judged, Judged, float]:
    """Without labels, with them, and the review share that the plan allows. Raises CommandFailed."""
    blind = scratch / "blind"
    blind.mkdir()
    for path in folder.iterdir():
        target = path.resolve()
        if path.name == "frames" and target.is_file():  # a link, where git could not make one
            target = (folder / target.read_text().strip()).resolve()
        if path.name not in HIDDEN:
            (blind / path.name).symlink_to(target)
    told = Folder(folder)
    known, allowed = known_outcomes(told), told.plan.constraints.review_share_max
    made = []
    for name, learned in (("cold", blind), ("taught", folder)):
        home = Home(scratch / name)
        verdicts = scratch / f"{name}.jsonl"
        home.run("train", str(learned), "--until", cut)
        home.run("replay", str(learned), "--since", cut, "--out", str(verdicts))
        made.append(_judged(final_verdicts(read_verdicts(verdicts), told.plan), known))
    return made[0], made[1], allowed


def _judged(final: Mapping[PartKey, Verdict], known: Mapping[PartKey, Outcome]) -> Judged:
    rows = [(verdict, known[part]) for part, verdict in final.items() if part in known and verdict.risk is not None]
    batches = {batch: i for i, batch in enumerate(dict.fromkeys((v.line_id, v.batch_id) for v, _ in rows))}
    return Judged(
        risk=np.array([verdict.risk for verdict, _ in rows], dtype=np.float64),
        defect=np.array([outcome.defect for _, outcome in rows]),
        lot=np.array([batches[verdict.line_id, verdict.batch_id] for verdict, _ in rows], dtype=np.intp),
        reviewed=np.array([verdict.decision == "review" and not verdict.audit for verdict, _ in rows]),
        novel=np.array(["novel" in verdict.reasons for verdict, _ in rows]),
    )


def with_interval(judged: Judged, figure: Callable[[npt.NDArray[np.bool_], Doubles], float]) -> str:
    """A figure with its interval over lots drawn again with replacement."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(judged.lot == lot) for lot in range(int(judged.lot.max()) + 1)]
    drawn = []
    for _ in range(RESAMPLES):
        at = np.concatenate([members[lot] for lot in rng.integers(len(members), size=len(members))])
        if 0 < judged.defect[at].sum() < len(at):
            drawn.append(figure(judged.defect[at], judged.risk[at]))
    low, high = np.percentile(drawn, INTERVAL)
    return f"{figure(judged.defect, judged.risk):.3f} ({low:.2f} to {high:.2f})"


def row(name: str, cold: Judged, taught: Judged, allowed: float) -> list[str]:
    """One line of the table."""
    return [
        name, str(len(cold.risk)), str(int(cold.defect.sum())), str(int(cold.lot.max()) + 1),
        with_interval(cold, roc_auc_score), with_interval(taught, roc_auc_score),
        with_interval(cold, average_precision_score), with_interval(taught, average_precision_score),
        f"{cold.reviewed.mean():.3f}", f"{allowed:g}", f"{taught.novel[~taught.defect].mean():.4f}",
    ]  # fmt: skip


def simulated(folder: Path) -> str:
    """Simulate the plant into `folder`; the cut of its parts in time."""
    Home(folder.parent).run("simulate", str(folder), "--parts", str(PLANT_PARTS))
    starts = sorted(part.started_at for part in Folder(folder).parts().values())
    return starts[int(PLANT_CUT_SHARE * len(starts))].isoformat()


def table(asked: Sequence[str] = ()) -> str:
    """The table of the sets asked for, all without any; real sets that are not on this machine are left out."""
    shared = real_sets()
    rows = []
    for name in asked or (*CUTS, PLANT):
        if name != PLANT and shared is None:
            continue
        print(f"== {name}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix=f"qcfuse-cold-{name}-") as scratch:
            folder = Path(scratch) / PLANT if shared is None or name == PLANT else shared / name
            cut = simulated(folder) if name == PLANT else CUTS[name]
            rows.append(row(name, *measure(folder, cut, Path(scratch))))
    return markdown_table(HEAD, rows) + f"\n\nMeasured on {machine()}."


if __name__ == "__main__":
    unknown = sorted(set(sys.argv[1:]) - {*CUTS, PLANT})
    if unknown:
        print(f"there is no set {unknown[0]!r}; there are {', '.join((*CUTS, PLANT))}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    print(table(sys.argv[1:]))
