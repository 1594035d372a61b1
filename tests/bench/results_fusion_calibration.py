#!/usr/bin/env python3
"""Do risks mean what they say? Per set, evidence and product; and, as labels come, with and without recalibration.

    python tests/bench/results_fusion_calibration.py               every set, and the simulated streams
    python tests/bench/results_fusion_calibration.py mill          only this set
    python tests/bench/results_fusion_calibration.py streams       only the streams

Sets are trained on their earlier parts and the later ones replayed as a user would, also with the frames or the samples
hidden. The floor is what luck alone gives: labels drawn from the risks themselves, of parts, and of lots that differ as
the training lots did. `odds x 2.5`: of the later half of the parts, three good ones in five are taken out.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from fusion.calibration.calibrate import (  # noqa: E402
    calibrated,
    expected_calibration_error,
    fit_calibration,
    logit,
    sigmoid,
)
from fusion.calibration.correction import groups_of  # noqa: E402
from fusion.calibration.counts import LotLabels, bin_of  # noqa: E402
from fusion.calibration.gate import GateMemory, step  # noqa: E402
from fusion.calibration.lot_spread import LotSpread, fit_lot_spread  # noqa: E402
from fusion.evaluate import Outcome, PartKey, final_verdicts, known_outcomes, read_verdicts  # noqa: E402
from fusion.gate import FusionNotes  # noqa: E402
from ingest.folder.replay_folder import Folder  # noqa: E402
from ingest.messages import Verdict  # noqa: E402
from models.open import open_model  # noqa: E402
from tests.bench.results import BAD_INPUT, CUTS, Home, real_sets  # noqa: E402
from tests.bench.results_fusion_cold import PLANT, simulated  # noqa: E402
from tests.bench.written_table import machine, markdown_table  # noqa: E402

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

STREAMS = "streams"
HIDDEN = {"": (), "no frames": ("frames.csv",), "no samples": ("sensors",)}
KEPT_GOOD = 0.4  # of the later half's good parts: odds times 2.5
LABEL_LOTS = 1  # labels come when the next lot is made
DRAWS = 200
PRODUCT_PARTS_MIN = 100
HEAD = ("set", "evidence", "product", "parts", "defects", "lots", "log-loss", "ECE", "floor", "floor by lots (95 %)")
SHIFT_HEAD = ("stream", "streams", "parts after", "incidents before", "lots to it", "ECE without", "ECE with",
              "log-loss without", "log-loss with")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """Later parts in the order of judging. `risk` float64[n], `defect` bool[n], `lot` int[n], `product` of each."""

    risk: Doubles
    defect: Bools
    lot: npt.NDArray[np.intp]
    product: npt.NDArray[np.str_]

    def of(self, kept: Bools) -> Judged:
        return Judged(self.risk[kept], self.defect[kept], self.lot[kept], self.product[kept])

    @property
    def log_loss(self) -> float:
        risk = np.clip(self.risk, 1e-9, 1.0 - 1e-9)
        return float(-np.where(self.defect, np.log(risk), np.log1p(-risk)).mean())

    @property
    def ece(self) -> float:
        return expected_calibration_error(self.risk, self.defect)


# -- real and simulated folders ---------------------------------------------------------------------------------------


def measure(name: str, folder: Path, cut: str, scratch: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the two tables for one set. Raises CommandFailed."""
    home, told = Home(scratch / "home"), Folder(folder)
    known = known_outcomes(told)
    home.run("train", str(folder), "--until", cut)
    spreads = _spreads(scratch / "home" / "shelf")
    rows, shifted = [], []
    for evidence, hidden in HIDDEN.items():
        seen = scratch / evidence.replace(" ", "-") if hidden else folder
        if hidden and not all((folder / file).exists() for file in hidden):
            continue
        if hidden:
            _copy_without(hidden, folder, seen)
        verdicts = scratch / f"{seen.name}.jsonl"
        home.run("replay", str(seen), "--since", cut, "--out", str(verdicts))
        final = final_verdicts(read_verdicts(verdicts), told.plan)
        for line in told.plan.lines:
            judged = _judged([v for v in final.values() if v.line_id == line.line_id], known)
            spread = spreads.get(line.line_id)
            if spread is None or not judged.defect.any():
                continue
            named = name if len(told.plan.lines) == 1 else f"{name} {line.line_id}"
            rows += _rows(named, evidence or "all", judged, spread)
            if not evidence:
                thinned = shift_row(f"{named}, odds x 2.5", [_thinned(judged)], spread, len(judged.lot) // 2)
                shifted += [shift_row(named, [judged], spread, None), thinned]
    return rows, shifted


def _copy_without(hidden: Sequence[str], folder: Path, seen: Path) -> None:
    """A copy, for a link out of a folder is not followed; `frames` may be a file that says where the pictures are."""
    shutil.copytree(folder, seen, ignore=shutil.ignore_patterns(*hidden, "masks"))
    pointer = seen / "frames"
    if pointer.is_file():
        told = (folder / pointer.read_text("utf-8").strip()).resolve()
        pointer.unlink()
        shutil.copytree(told, pointer)


def _spreads(shelf: Path) -> dict[str, LotSpread]:
    """Of the last gate of each line."""
    notes = msgspec.convert(open_model(shelf, "fusion").manifest.notes, FusionNotes)
    return {gate.spec.line_id: gate.lot_spread for gate in notes.gates}


def _judged(final: Sequence[Verdict], known: dict[PartKey, Outcome]) -> Judged:
    rows = [
        (verdict, known[part])
        for verdict in sorted(final, key=lambda v: (v.event_at, v.part_id))
        if (part := (verdict.line_id, verdict.part_id)) in known and verdict.risk is not None
    ]
    batches = {batch: i for i, batch in enumerate(dict.fromkeys(v.batch_id for v, _ in rows))}
    return Judged(
        np.array([verdict.risk for verdict, _ in rows], dtype=np.float64),
        np.array([outcome.defect for _, outcome in rows], dtype=np.bool_),
        np.array([batches[verdict.batch_id] for verdict, _ in rows], dtype=np.intp),
        np.array([verdict.product for verdict, _ in rows], dtype=np.str_),
    )


def _rows(name: str, evidence: str, judged: Judged, spread: LotSpread) -> list[list[str]]:
    products = sorted(set(judged.product.tolist())) if evidence == "all" else []
    parts = [("all", judged), *((p, judged.of(judged.product == p)) for p in products if len(products) > 1)]
    return [_row([name, evidence, product], some, spread) for product, some in parts
            if len(some.risk) >= PRODUCT_PARTS_MIN]  # fmt: skip


def _row(named: list[str], judged: Judged, spread: LotSpread) -> list[str]:
    rng = np.random.default_rng(0)
    own, lot = logit(judged.risk), judged.lot
    luck = [expected_calibration_error(judged.risk, rng.random(len(lot)) < judged.risk) for _ in range(DRAWS)]
    by_lot = []
    for _ in range(DRAWS):
        moved = sigmoid(own + rng.normal(0.0, np.sqrt(spread.variance), int(lot.max()) + 1)[lot])
        by_lot.append(expected_calibration_error(judged.risk, rng.random(len(lot)) < moved))
    return [
        *named, str(len(lot)), str(int(judged.defect.sum())), str(len(set(lot.tolist()))), f"{judged.log_loss:.4f}",
        f"{judged.ece:.4f}", f"{np.mean(luck):.4f}", f"{np.quantile(by_lot, 0.95):.4f}",
    ]  # fmt: skip


def _thinned(judged: Judged) -> Judged:
    later = np.arange(len(judged.lot)) >= len(judged.lot) // 2
    taken = later & ~judged.defect & (np.random.default_rng(0).random(len(later)) >= KEPT_GOOD)
    return judged.of(~taken)


# -- recalibration ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Followed:
    """What recalibration made of a stream. `risk`: float64[n]; `opened`: the lots at which an incident opened."""

    risk: Doubles
    opened: list[int]


def follow(judged: Judged, spread: LotSpread, labelled: Bools, cells: Sequence[str] | None = None) -> Followed:
    """Labels of the `labelled` parts of a lot come LABEL_LOTS lots later; each part uses the correction of its time.
    `cells`: of each part, None: there are no groups."""
    cells = cells if cells is not None else [""] * len(judged.risk)
    memory = GateMemory(model="m", spread=spread, begun=0)
    own, risk = logit(judged.risk), judged.risk.copy()
    lots: dict[str, LotLabels] = {}
    opened = []
    for lot in range(int(judged.lot.max()) + 1):
        here = judged.lot == lot
        correction = memory.at(lot)
        if correction is not None:
            narrowed = {cell: correction.narrowed(groups_of(cell)) for cell in set(cells)}
            at = np.flatnonzero(here).tolist()
            risk[here] = sigmoid(np.array([narrowed[cells[i]].corrected(float(own[i])) for i in at]))
        late = lot - LABEL_LOTS
        for i in np.flatnonzero((judged.lot == late) & labelled):
            lots.setdefault(f"{late:06d}", LotLabels(late)).count(bin_of(own[i]), 1, int(judged.defect[i]), cells[i])
        was = memory.since
        if late >= 0:
            step(memory, lots, lot + 1, "line", "gate")
        if was is None and memory.since is not None:
            opened.append(lot)
    return Followed(risk, opened)


def shift_row(
    name: str, streams: Sequence[Judged], spread: LotSpread, begins: int | None, flagged: float = 0.0
) -> list[str]:
    """One line of the second table. `begins`: part from which the process is another, None: never. `flagged`: only
    parts of at least this risk, and one in a hundred, get a label."""
    rng = np.random.default_rng(1)
    figures, before, delays = [], 0, []
    for judged in streams:
        told = follow(judged, spread, (judged.risk >= flagged) | (rng.random(len(judged.risk)) < 0.01))
        first = judged.lot[begins] if begins is not None else int(judged.lot.max()) + 1
        before += sum(lot <= first for lot in told.opened)
        delays += [lot - first for lot in told.opened if lot > first][:1]
        after = np.arange(len(judged.risk)) >= (begins or 0)
        with_labels = Judged(told.risk, judged.defect, judged.lot, judged.product).of(after)
        without = judged.of(after)
        figures.append((without.ece, with_labels.ece, without.log_loss, with_labels.log_loss, after.sum()))
    ece, ece_with, loss, loss_with, parts = np.mean(figures, axis=0)
    found = f"{np.median(delays):.0f} ({len(delays)} of {len(streams)})" if delays else "–"
    return [name, str(len(streams)), f"{parts:.0f}", str(before), found, f"{ece:.4f}", f"{ece_with:.4f}",
            f"{loss:.4f}", f"{loss_with:.4f}"]  # fmt: skip


def stream_rows(streams: int = 10) -> list[list[str]]:
    """Simulated plants of 60 training lots and 160 lots to judge, 200 parts each, 2.6 % defects, lots apart by a
    natural sd; the process changes in the middle."""
    more = float(np.log(2.5))
    changes = (
        ("in control", 0.0, 1.0, 0.0),
        ("odds x 2.5", more, 1.0, 0.0),
        ("odds / 2.5", -more, 1.0, 0.0),
        ("a sensor that tells half", 0.0, 0.5, 0.0),
        ("odds x 2.5, flagged and 1 % labelled", more, 1.0, 0.05),
    )
    rows = []
    for sd in (0.25, 0.5):
        for named, shift, tilt, flagged in changes:
            made = [_stream(np.random.default_rng(seed), sd, shift, tilt) for seed in range(streams)]
            shown = [shift_row("", [judged], spread, len(judged.lot) // 2 if named != "in control" else None, flagged)
                     for judged, spread in made]  # fmt: skip
            rows.append([f"simulated, lot sd {sd:g}: {named}", str(streams), *_averaged(shown)])
    return rows


def _averaged(rows: Sequence[Sequence[str]]) -> list[str]:
    delays = [int(row[4].split()[0]) for row in rows if row[4] != "–"]
    means = [np.mean([float(row[i]) for row in rows]) for i in (5, 6, 7, 8)]
    found = f"{np.median(delays):.0f} ({len(delays)} of {len(rows)})" if delays else "–"
    return [rows[0][2], str(sum(int(row[3]) for row in rows)), found, *(f"{mean:.4f}" for mean in means)]


def _stream(rng: np.random.Generator, sd: float, shift: float, tilt: float) -> tuple[Judged, LotSpread]:
    """A stream judged by a model calibrated on lots of the same plant, and their spread."""

    def made(lots: int, change: Doubles) -> tuple[Doubles, Bools, npt.NDArray[np.intp]]:
        lot = np.repeat(np.arange(lots), 200)
        own = rng.normal(-4.7, 1.8, len(lot))
        seen = np.where(
            change[lot] > 0, -4.7 + tilt * (own + 4.7) + np.sqrt(1 - tilt**2) * rng.normal(0, 1.8, len(lot)), own
        )
        true = own + shift * change[lot] + rng.normal(0.0, sd, lots)[lot]
        return sigmoid(seen), rng.random(len(lot)) < sigmoid(true), lot

    score, defect, lot = made(60, np.zeros(60))
    calibration = fit_calibration(score, defect, lot)
    spread = fit_lot_spread(calibrated(calibration, score), defect, lot)
    score, defect, lot = made(160, (np.arange(160) >= 80).astype(np.float64))
    risk = calibrated(calibration, score)
    return Judged(risk, defect, lot, np.full(len(risk), "")), spread


def table(asked: Sequence[str] = ()) -> str:
    """The tables of the sets asked for, all without any; real sets that are not on this machine are left out."""
    shared = real_sets()
    rows: list[list[str]] = []
    shifted: list[list[str]] = []
    for name in asked or (*CUTS, PLANT, STREAMS):
        print(f"== {name}", file=sys.stderr)
        if name == STREAMS:
            shifted += stream_rows()
        elif name == PLANT or shared is not None:
            with tempfile.TemporaryDirectory(prefix=f"qcfuse-calibration-{name}-") as scratch:
                folder = Path(scratch) / PLANT if shared is None or name == PLANT else shared / name
                cut = simulated(folder) if name == PLANT else CUTS[name]
                of_set, moved = measure(name, folder, cut, Path(scratch))
            rows, shifted = [*rows, *of_set], [*shifted, *moved]
    tables = [markdown_table(HEAD, rows)] if rows else []
    return "\n\n".join([*tables, markdown_table(SHIFT_HEAD, shifted), f"Measured on {machine()}."])


if __name__ == "__main__":
    unknown = sorted(set(sys.argv[1:]) - {*CUTS, PLANT, STREAMS})
    if unknown:
        print(f"there is no set {unknown[0]!r}; there are {', '.join((*CUTS, PLANT, STREAMS))}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    print(table(sys.argv[1:]))
