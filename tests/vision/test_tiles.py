"""Real pictures: magnetic tiles, learned on the lots before a cut, judged on the lots after it."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ingest.messages import Findings, Frame, Instant
from vision.inspect import Eyes
from vision.train import train_eyes
from vision.training.folds import TrainingFrame

SHARED = Path(os.environ.get("QCFUSE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
CUT = Instant.parse("2026-01-05T06:51:20.000Z")

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not (SHARED / "tiles").is_dir(), reason=f"no real tiles at {SHARED / 'tiles'}"),
]


class Judged(NamedTuple):
    defect: list[bool]
    findings: list[Findings]

    def scores(self, defect: bool) -> list[float]:
        return [f.score for f, is_defect in zip(self.findings, self.defect, strict=True) if is_defect == defect]  # type: ignore[misc]


def rows(name: str) -> list[dict[str, str]]:
    with (SHARED / "tiles" / name).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    shelf = tmp_path_factory.mktemp("shelf")
    good = {row["part_id"]: row["outcome"] == "ok" for row in rows("defects.csv")}
    batch = {row["part_id"]: row["batch_id"] for row in rows("production.csv")}
    frames = [
        TrainingFrame(
            frame_id=row["part_id"],
            line_id=row["line_id"],
            station_id=row["station_id"],
            camera_id=row["camera_id"],
            part_id=row["part_id"],
            batch_id=batch[row["part_id"]],
            product="tile",
            captured_at=Instant.parse(row["captured_at"]),
            load=(SHARED / "tiles" / "frames" / row["file"]).read_bytes,
            good=good[row["part_id"]],
        )
        for row in rows("frames.csv")
    ]
    train_eyes([frame for frame in frames if frame.captured_at < CUT], shelf, lambda _: None)
    eyes = Eyes.open(shelf, ["top"])
    later = [frame for frame in frames if frame.captured_at >= CUT]
    looks = [
        eyes.inspect(Frame(f.part_id, f.line_id, f.camera_id, f.captured_at, "image/jpeg", f.load()), CUT).findings
        for f in later
    ]
    return Judged([not frame.good for frame in later], looks)


def test_defects_rank_above_good_tiles(judged: Judged) -> None:
    assert roc_auc_score(judged.defect, [f.score for f in judged.findings]) >= 0.85


def test_the_cut_holds_its_promise_on_later_lots_and_catches_a_third(judged: Judged) -> None:
    threshold = judged.findings[0].threshold
    assert threshold is not None
    assert np.mean(np.array(judged.scores(defect=False)) > threshold) <= 0.035
    assert np.mean(np.array(judged.scores(defect=True)) > threshold) >= 0.30


def test_no_defect_is_called_unfit_or_another_part(judged: Judged) -> None:
    assert [f.fitness.problems for f in judged.findings if not f.fitness.ok] == []
