"""Parts that lie freely: the eye looks at them laid straight, and what it saw lies where the defect is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.eye.pose import Pose
from vision.eye.posing import Posing, laid_back, learn_posing
from vision.inspect import Eyes
from vision.train import train_eyes

ROWS, COLUMNS = 128, 160


def bracket(seed: int, degrees: float, x: float, y: float, scratch: bool = False) -> np.ndarray:
    """A bright bracket with two holes on a dark belt, turned and moved; `scratch`: a bright scratch on its arm."""
    rng = np.random.default_rng(seed)
    part = np.full((ROWS, COLUMNS), 30.0, np.float32)
    cv2.rectangle(part, (50, 36), (112, 62), 170, -1)
    cv2.rectangle(part, (50, 36), (72, 96), 170, -1)
    cv2.circle(part, (61, 84), 6, 60, -1)
    cv2.circle(part, (100, 49), 6, 60, -1)
    if scratch:
        cv2.line(part, (76, 44), (92, 50), 235, 2)
    turn = cv2.getRotationMatrix2D(((COLUMNS - 1) / 2, (ROWS - 1) / 2), -degrees, 1.0)
    turn[:, 2] += (x, y)
    laid = cv2.warpAffine(part, turn, (COLUMNS, ROWS), borderValue=30)
    return np.clip(cv2.GaussianBlur(laid, (0, 0), 0.7) + rng.normal(0, 4, laid.shape), 0, 255).astype(np.uint8)


def anyhow(rng: np.random.Generator) -> tuple[float, float, float]:
    return float(rng.uniform(-25, 25)), float(rng.uniform(-10, 10)), float(rng.uniform(-8, 8))


@settings(max_examples=40, deadline=None)
@given(st.floats(-180, 180), st.floats(-12, 12), st.floats(-12, 12))
def test_what_is_laid_straight_is_laid_back_where_it_was(degrees: float, x: float, y: float) -> None:
    spot = np.zeros((48, 64), np.float32)
    cv2.circle(spot, (34, 22), 3, 1.0, -1)
    pose = Pose(x, y, degrees, 1.0)
    turn = cv2.getRotationMatrix2D((63 / 2, 47 / 2), -degrees, 1.0)
    turn[:, 2] += (x / 4, y / 4)
    where = turn @ np.array([34, 22, 1.0])
    if not (4 < where[0] < 60 and 4 < where[1] < 44):
        return
    back = laid_back(spot, pose, 4.0)
    rows, columns = np.nonzero(back > 0.5)
    assert abs(columns.mean() - where[0]) < 0.7
    assert abs(rows.mean() - where[1]) < 0.7


def test_parts_that_lie_freely_are_aligned_and_parts_in_a_fixture_are_not() -> None:
    rng = np.random.default_rng(0)
    freely = [bracket(n, *anyhow(rng)).astype(np.float32) for n in range(24)]
    fixed = [bracket(n, 0, 0, 0).astype(np.float32) for n in range(24)]
    folds = [n % 4 for n in range(24)]
    posing = learn_posing(freely, folds, may_align=True)
    assert isinstance(posing, Posing)
    assert posing.aligned
    still = learn_posing(fixed, folds, may_align=True)
    assert still is not None
    assert not still.aligned
    noise = [rng.uniform(0, 255, (ROWS, COLUMNS)).astype(np.float32) for _ in range(12)]
    assert learn_posing(noise, [n % 4 for n in range(12)], may_align=True) is None


@pytest.mark.slow
def test_an_eye_for_parts_that_lie_freely_finds_the_scratch_and_boxes_it_where_it_lies(
    drawing: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    poses = [anyhow(rng) for _ in range(72)]
    frames = [
        drawing.training_frame(n, lambda n=n: drawing.encode(bracket(n, *poses[n])), True) for n in range(len(poses))
    ]
    train_eyes(frames, tmp_path, lambda _: None)
    assert "laid straight" in (tmp_path / "vision-top" / "1" / "card.md").read_text()
    eyes = Eyes.open(tmp_path, ["top"])
    boxed, scores = 0, {True: [], False: []}
    for n in range(20):
        degrees, x, y = anyhow(rng)
        turn = cv2.getRotationMatrix2D(((COLUMNS - 1) / 2, (ROWS - 1) / 2), -degrees, 1.0)
        turn[:, 2] += (x, y)
        across, down = turn @ np.array([84, 47, 1.0])
        for scratched in (True, False):
            body = drawing.encode(bracket(5000 + n, degrees, x, y, scratched))
            seen = eyes.inspect(drawing.frame(body), frames[0].captured_at).findings
            assert seen.score is not None
            scores[scratched].append(seen.score)
            assert {"shift_x", "shift_y", "angle_deg", "pose_confidence"} <= set(seen.fitness.measures)
            boxed += scratched and any(
                box.x - 4 <= across <= box.x + box.width + 4 and box.y - 4 <= down <= box.y + box.height + 4
                for box in seen.boxes
            )
    assert boxed >= 18
    assert np.mean(np.array(scores[True]) > np.quantile(scores[False], 0.9)) >= 0.9


def test_a_texture_costs_no_pose(drawing: Any, tmp_path: Path) -> None:
    frames = [dataclasses.replace(f, batch_id=f"B{n % 4}") for n, f in enumerate(drawing.plate_frames(good=12, bad=0))]
    rng = np.random.default_rng(3)
    pixels = [cv2.GaussianBlur(rng.uniform(0, 255, (96, 128)), (0, 0), 1.5).astype(np.uint8) for _ in frames]
    frames = [dataclasses.replace(f, load=lambda n=n: drawing.encode(pixels[n])) for n, f in enumerate(frames)]
    train_eyes(frames, tmp_path, lambda _: None)
    findings = Eyes.open(tmp_path, ["top"]).inspect(drawing.frame(frames[0].load()), frames[0].captured_at).findings
    assert "shift_x" not in findings.fitness.measures
