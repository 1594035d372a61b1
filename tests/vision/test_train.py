from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ingest.errors import BadRecord
from models.shelf import live_names
from vision.inspect import Eyes
from vision.train import train_eyes


def silent(_: str) -> None: ...


def test_every_training_frame_has_findings_by_an_eye_that_did_not_learn_it(plates: Any) -> None:
    findings = plates.trained.findings
    assert set(findings) == {frame.frame_id for frame in plates.frames}
    assert all(one.model is None and one.score is not None for one in findings.values())
    good = [findings[f.frame_id].score for f in plates.frames if f.good]
    bad = [findings[f.frame_id].score for f in plates.frames if not f.good]
    assert min(bad) > np.quantile(good, 0.95)


def test_out_of_fold_scores_of_good_frames_look_like_those_of_new_good_frames(plates: Any, drawing: Any) -> None:
    """An eye scoring what it was trained on would put its own frames visibly lower than new ones."""
    eyes = Eyes.open(plates.shelf, ["top"])
    new = [
        eyes.inspect(drawing.frame(drawing.encode(drawing.draw(seed))), plates.frames[0].captured_at).findings.score
        for seed in range(2000, 2060)
    ]
    held_out = [plates.trained.findings[f.frame_id].score for f in plates.frames if f.good]
    spread = float(np.std(held_out))
    assert abs(np.mean(new) - np.mean(held_out)) < 0.8 * spread  # the final eye knows a third more frames


def test_training_again_gives_the_same_model_byte_for_byte(plates: Any, drawing: Any, tmp_path: Path) -> None:
    again = train_eyes(list(reversed(plates.frames)), tmp_path, silent)
    assert again.manifests == plates.trained.manifests
    assert again.findings == plates.trained.findings


def test_the_manifest_and_card_say_what_the_eye_learned_from(plates: Any) -> None:
    manifest = plates.trained.manifests["top"]
    card = (plates.shelf / "vision-top" / "1" / "card.md").read_text()
    assert (manifest.trained_on.frames, manifest.trained_on.batches) == (64, 4)
    assert manifest.notes["held_out_frames"] == 64
    assert "64 held-out good frames" in card
    assert "At most 2.0%" in card


def test_too_few_good_frames_make_no_eye_and_it_is_said(drawing: Any, tmp_path: Path) -> None:
    said: list[str] = []
    frames = drawing.plate_frames(good=7, bad=3)
    trained = train_eyes(frames, tmp_path, said.append)
    assert "7 good frames, 8 are needed" in trained.skipped["top"]
    assert any("7 good frames" in line for line in said)
    assert live_names(tmp_path) == []
    assert all(one.fitness.problems == ["model_not_ready"] for one in trained.findings.values())
    assert len(trained.findings) == 10


def test_a_few_good_frames_of_one_lot_make_an_eye_that_promises_less(drawing: Any, tmp_path: Path) -> None:
    frames = [dataclasses.replace(f, batch_id="only") for f in drawing.plate_frames(good=10, bad=0)]
    trained = train_eyes(frames, tmp_path, silent)
    card = (tmp_path / "vision-top" / "1" / "card.md").read_text()
    assert trained.manifests["top"].notes["promised"] == 1 / 11
    assert "allow no less than 9.1%" in card
    assert "one batch cut into runs of time" in card


def test_unreadable_and_identical_training_frames_do_no_harm(drawing: Any, tmp_path: Path) -> None:
    def gone() -> bytes:
        raise BadRecord("missing_file", "frames/x.png")

    same = drawing.encode(drawing.draw(5))
    frames = [drawing.training_frame(i, lambda: same, True) for i in range(16)]
    frames += [drawing.training_frame(16, gone, True), drawing.training_frame(17, lambda: b"text", True)]
    trained = train_eyes(frames, tmp_path, silent)
    assert trained.findings["F16"].fitness.problems == trained.findings["F17"].fitness.problems == ["unreadable"]
    assert all(np.isfinite(trained.findings[f"F{i}"].score) for i in range(16))
    assert Eyes.open(tmp_path, ["top"]).refused == {}


def test_frames_that_all_fail_to_load_make_no_eye(drawing: Any, tmp_path: Path) -> None:
    frames = [drawing.training_frame(i, lambda: b"text", True) for i in range(20)]
    assert "cannot be read" in train_eyes(frames, tmp_path, silent).skipped["top"]


def test_flat_black_training_frames_do_not_break_training(drawing: Any, tmp_path: Path) -> None:
    black = drawing.encode(np.zeros((40, 40), np.uint8))
    trained = train_eyes([drawing.training_frame(i, lambda: black, True) for i in range(12)], tmp_path, silent)
    assert all(np.isfinite(one.score) for one in trained.findings.values())
