#!/usr/bin/env python3
"""How good the eyes are: learned from good frames of some groups, judged on the others, three splits a set.

    python tests/bench/results_vision.py                every set; prints tables, rewrites them in deploy/measured.md
    python tests/bench/results_vision.py tiles          only sets of this name; prints and leaves the document alone
    python tests/bench/results_vision.py --cards DIR    also writes the card of every eye into DIR

The sets: the real tiles (found by `QCFUSE_SHARED_DATA`, else in `../shared/data` beside the project) and the cameras of
a plant that is simulated on the spot.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from vision_figures import Floats, Run, kept, pixels_by_kind, told, told_by_kind
from vision_sets import SHARED, PictureSet, Shot, frames_of, plant, split, tiles
from vision_tables import tables
from written_table import MarkersMissing, machine, write_table

from models.open import OpenModel
from vision.eye.notes import EYE_FILE, EyeNotes, open_eye
from vision.image import decode
from vision.inspect import Sight, eye_feed, see
from vision.train import train_eyes
from vision.training.options import PIXELS_MAX

SEEDS = (0, 1, 2)
CAMERA = "eye"
BAD_INPUT = 2


class NoEye(Exception):
    """A set has too few good frames; the message says why."""


@dataclass(frozen=True, slots=True)
class Looked:
    sights: Sequence[Sight]
    cpu_s: float

    @property
    def scores(self) -> Floats:
        return np.asarray([sight.score for sight in self.sights], np.float64)

    def tops(self, place: int) -> Floats:
        return np.asarray([sight.tops[place] for sight in self.sights], np.float64)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="How good the eyes are.")
    parser.add_argument("sets", nargs="*", help="beginnings of the names of sets; all without")
    parser.add_argument("--cards", type=Path, help="a folder for the eyes' cards")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        every = _sets(Path(scratch) / "plant")
        chosen = [one for one in every if not asked.sets or any(one.name.startswith(name) for name in asked.sets)]
        if not chosen:
            print(f"no such set; there are: {', '.join(one.name for one in every)}", file=sys.stderr)
            return BAD_INPUT
        runs = [_reported(measure(pictures, seed, Path(scratch))) for pictures in chosen for seed in SEEDS]
    if asked.cards:
        asked.cards.mkdir(parents=True, exist_ok=True)
        for run in runs:
            (asked.cards / f"{run.pictures.replace(' ', '-')}-{run.seed}.md").write_text(run.card, "utf-8")
    text = f"{tables(runs)}\n\nMeasured on {machine()}."
    print(text)
    if not asked.sets:
        try:
            write_table("vision", text)
        except MarkersMissing as error:
            print(error, file=sys.stderr)
            return BAD_INPUT
    return 0


def _sets(folder: Path) -> list[PictureSet]:
    real = tiles()
    if real is None:
        print(f"no real tiles at {SHARED / 'tiles'} (set QCFUSE_SHARED_DATA): only the simulated plant is measured")
    return [*([real] if real is not None else []), *plant(folder)]


def measure(pictures: PictureSet, seed: int, scratch: Path) -> Run:
    """Train an eye on one split of the set and judge the rest. Raises NoEye."""
    parts = split(pictures, seed)
    shelf = scratch / f"{pictures.name.replace(' ', '-')}-{seed}"
    began = time.process_time()
    trained = train_eyes(frames_of(parts.train, CAMERA), shelf, lambda _: None)
    train_s = time.process_time() - began
    if trained.skipped:
        raise NoEye(f"{pictures.name}, seed {seed}: {trained.skipped[CAMERA]}")
    model, notes = open_eye(shelf, CAMERA)
    good, bad = _look(parts.good, model, notes), _look(parts.bad, model, notes)
    kinds = [shot.kind for shot in parts.bad]
    folder = next(path.parent for path in sorted(shelf.rglob("card.md")))
    scorers = {name: told(good.tops(k), bad.tops(k)) for k, name in enumerate(notes.scorers)}
    return Run(
        pictures=pictures.name,
        seed=seed,
        trained=len(parts.train),
        good=len(parts.good),
        bad=len(parts.bad),
        all=told(good.scores, bad.scores),
        kinds=told_by_kind(good.scores, bad.scores, kinds),
        counts={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        pixels=pixels_by_kind(bad.sights, [_mask(shot) for shot in parts.bad], kinds),
        scorers=scorers,
        promise=kept(good.scores, [shot.group for shot in parts.good], seed),
        asked=notes.asked,
        promised=notes.promised,
        flagged=float((good.scores > notes.threshold).mean()),
        caught=float((bad.scores > notes.threshold).mean()),
        train_s=train_s,
        look_ms=1000 * (good.cpu_s + bad.cpu_s) / (len(parts.good) + len(parts.bad)),
        kilobytes=sum(path.stat().st_size for path in folder.glob("*.onnx")) / 1024,
        card=(folder / "card.md").read_text("utf-8"),
    )


def _look(shots: Sequence[Shot], model: OpenModel, notes: EyeNotes) -> Looked:
    bodies = [shot.path.read_bytes() for shot in shots]
    began = time.process_time()
    sights = []
    for body in bodies:
        picture = decode(body, PIXELS_MAX, notes.colour)
        feed = eye_feed(picture, model, notes)
        sights.append(see(picture, feed, model.run(EYE_FILE, feed.inputs)))
    return Looked(sights, time.process_time() - began)


def _mask(shot: Shot) -> npt.NDArray[np.bool_] | None:
    if shot.mask is None:
        return None
    return np.asarray(cv2.imdecode(np.frombuffer(shot.mask.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)) > 0


def _reported(run: Run) -> Run:
    said = f"AUROC {run.all.auroc:.3f}, recall {run.all.recall:.2f}, flagged {run.flagged:.3f}, {run.train_s:.0f} s"
    print(f"{run.pictures}, seed {run.seed}: {said}", flush=True)
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
