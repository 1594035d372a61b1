"""Pictures whose truth is known, to measure eyes on: the real tiles, and the cameras of the simulated plant."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.messages import Instant
from vision.training.folds import TrainingFrame

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("QCFUSE_SHARED_DATA", ROOT.parent / "shared" / "data"))

#: What of the simulated plant's truth shows in a camera's picture; no eye can see the rest.
SHOWS = {
    "face": {"tool_wear", "bad_lot", "loose_fixture"},
    "side": {"handling"},
    "cover": {"handling"},
}
_PLANT_PARTS = 4000  # some twenty defects of each kind: fewer would say nothing of a kind
_PLANT_GOOD_MAX = 320  # good frames to learn from, and as many to judge: three cameras and three seeds in two minutes
_TEST_SHARE = 0.27  # of the good frames


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture. `kind`: of the defect in it, empty where it is good. `group`: pictures that must not be split.
    `mask`: a picture that is not black where the defect is."""

    name: str
    kind: str
    group: str
    path: Path
    mask: Path | None = None


@dataclass(frozen=True, slots=True)
class PictureSet:
    """`good_max`: good frames at most to learn from, and to judge; 0 for all."""

    name: str
    shots: Sequence[Shot]
    good_max: int = 0

    @property
    def kinds(self) -> list[str]:
        return sorted({shot.kind for shot in self.shots} - {""})


@dataclass(frozen=True, slots=True)
class Split:
    """`train` and `good` have no group in common, nor have `train` and `bad`."""

    train: Sequence[Shot]
    good: Sequence[Shot]
    bad: Sequence[Shot]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tiles() -> PictureSet | None:
    """The magnetic tiles; a group is the pictures of one tile. None where they are not."""
    folder = SHARED / "tiles"
    if not (folder / "groups.csv").is_file():
        return None
    about = {row["part_id"]: row for row in rows(folder / "groups.csv")}
    shots = []
    for row in rows(folder / "frames.csv"):
        name = row["part_id"]
        kind = about[name]["class"].replace("free", "")
        mask = folder / "masks" / f"{name}.png"
        found = mask if kind and mask.is_file() else None
        shots.append(Shot(name, kind, about[name]["group"], folder / "frames" / row["file"], found))
    return PictureSet("tiles", shots)


def plant(folder: Path) -> list[PictureSet]:
    """The cameras of a plant simulated into `folder`; a group is a batch. Raises CalledProcessError."""
    command = [sys.executable, "-m", "api.cli", "simulate", str(folder), "--parts", str(_PLANT_PARTS)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    truth = {row["part_id"]: row for row in rows(folder / "truth.csv")}
    shots: dict[str, list[Shot]] = defaultdict(list)
    for number, row in enumerate(rows(folder / "frames.csv")):
        about, camera = truth[row["part_id"]], row["camera_id"]
        faults = set(filter(None, about["mechanism"].split(";")))
        seen = sorted(faults & SHOWS[camera])
        if faults and not seen:
            continue
        path = folder / "frames" / row["file"]
        shots[camera].append(Shot(f"{number}", "+".join(seen), about["batch_id"], path))
    return [PictureSet(f"plant {camera}", few, _PLANT_GOOD_MAX) for camera, few in sorted(shots.items())]


def split(pictures: PictureSet, seed: int) -> Split:
    """Whole groups at random. A group that also holds defects is judged, so that nothing of it is learned."""
    rng = np.random.default_rng(100 + seed)
    groups: dict[str, list[Shot]] = defaultdict(list)
    for shot in pictures.shots:
        groups[shot.group].append(shot)
    mixed = [group for group, shots in groups.items() if any(shot.kind for shot in shots)]
    pure = [str(group) for group in rng.permutation(sorted(set(groups) - set(mixed)))]
    good = [shot for group in mixed for shot in groups[group] if not shot.kind]
    wanted = _TEST_SHARE * sum(not shot.kind for shot in pictures.shots)
    taken = 0
    while len(good) < wanted and taken < len(pure) - 1:
        good += groups[pure[taken]]
        taken += 1
    train = [shot for group in pure[taken:] for shot in groups[group]]
    bad = [shot for shot in pictures.shots if shot.kind]
    if pictures.good_max:
        train = train[: pictures.good_max]
        good = [good[i] for i in sorted(rng.permutation(len(good))[: pictures.good_max])]
    return Split(train, good, bad)


def frames_of(shots: Sequence[Shot], camera: str = "eye") -> list[TrainingFrame]:
    """Good frames to learn from, a minute between two."""
    return [
        TrainingFrame(
            frame_id=shot.name,
            line_id="L",
            station_id="S",
            camera_id=camera,
            part_id=shot.name,
            batch_id=shot.group,
            product="part",
            captured_at=Instant(1_700_000_000_000 + 60_000 * number),
            load=shot.path.read_bytes,
            good=True,
        )
        for number, shot in enumerate(shots)
    ]
