"""`qcfuse teach`: a folder with marks beside it makes a challenger, which takes the eye's place where it helps."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion.teach import teach_folder
from ingest.errors import BadInput
from ingest.settings import Settings
from models.places import live_version
from vision.training.options import EyeOptions

PLAN = """plan: 1
plant: plates
owners: {objective: qa.director, model: ml.lead, stop: shift.lead}
objective: {escape_cost: 450.0, review_cost: 2.5, currency: USD}
constraints: {escape_rate_max: 0.003, review_share_max: 0.3, latency_ms_max: 500}
grants: {topics: [qc.frames, qc.production, qc.defects], actions: [flag], retention_days: 400, disk_gib_max: 20}
audit: {share: 0.01, per: [product]}
lines:
  - line_id: L1
    stations: [{station_id: OP40, name: Press, channels: []}]
    cameras: [{camera_id: top, station_id: OP40}]
    gates: [{gate_id: EOL, after: OP40, deadline_ms: 500, needs: [camera:top]}]
"""
GOOD, SCRATCHED = 48, 12
SILENT = EyeOptions()


def plate(seed: int, scratched: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 14, (96, 128)), (0, 0), sigmaX=0.7, sigmaY=3)
    grey = 120 * rng.uniform(0.9, 1.1) + 3 * grain
    if scratched:
        line = np.zeros_like(grey)
        cv2.line(line, (60, 50), (90, 60), 1.0, 3)
        grey -= 9 * line
    return np.clip(grey, 0, 255).astype(np.uint8)


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def write_folder(path: Path, marked: int) -> Path:
    (path / "frames").mkdir(parents=True)
    (path / "plan.yaml").write_text(PLAN)
    visits, frames, defects, marks = [], [], [], []
    for n in range(GOOD + SCRATCHED):
        part, bad = f"P{n:03d}", n >= GOOD
        cv2.imwrite(str(path / "frames" / f"{part}.png"), plate(n, bad))
        at = f"2026-01-05T06:{n:02d}:00.000Z"
        of = {"part_id": part, "line_id": "L1"}
        visits.append(
            of | {"station_id": "OP40", "started_at": at, "ended_at": at, "batch_id": f"B{n % 4}", "product": "plate"}
        )
        frames.append(of | {"station_id": "OP40", "camera_id": "top", "captured_at": at, "file": f"{part}.png"})
        outcome, code = ("defect", "scratch") if bad else ("ok", "")
        defects.append(
            of | {"recorded_at": at, "source": "history", "outcome": outcome, "defect_code": code, "cause_code": ""}
        )
        if bad and n < GOOD + marked:
            marks.append(of | {"camera_id": "top", "kind": "scratch", "x": 58, "y": 47, "width": 35, "height": 16})
    for name, rows in (("production", visits), ("frames", frames), ("defects", defects), ("marks", marks)):
        if rows:
            write_table(path / f"{name}.csv", rows)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"))


def teach(folder: Path, shelf: Path, settings: Settings, cameras: tuple[str, ...] = ()) -> list[str]:
    return teach_folder(folder, None, cameras, shelf, None, settings, lambda _: None, SILENT)


@pytest.mark.slow
def test_a_marked_folder_makes_an_eye_that_knows_the_kind_and_says_whether_it_finds_more(
    tmp_path: Path, settings: Settings
) -> None:
    folder, shelf = write_folder(tmp_path / "plates", SCRATCHED), tmp_path / "shelf"
    sentences = teach(folder, shelf, settings)
    assert len(sentences) == 1
    assert "camera top: marks:" in sentences[0]
    assert "eye 1 is live" in sentences[0]
    assert live_version(shelf, "vision-top") == "1"
    assert "Taught by marks (scratch on 12 frames)" in (shelf / "vision-top" / "1" / "card.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plates", "shelf"]  # nothing is left lying about


def test_too_few_marks_and_unknown_cameras_are_refused_in_one_sentence(tmp_path: Path, settings: Settings) -> None:
    folder = write_folder(tmp_path / "plates", 7)
    with pytest.raises(BadInput, match="10 marked frames of one kind are needed, there are top: 7 of scratch"):
        teach(folder, tmp_path / "shelf", settings)
    with pytest.raises(BadInput, match="no frame of camera side; it has top"):
        teach(folder, tmp_path / "shelf", settings, ("side",))
    with pytest.raises(BadInput, match="qcfuse marks --out"):
        teach_folder(folder, tmp_path / "no", (), tmp_path / "shelf", None, settings, lambda _: None, SILENT)
