from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.messages import Instant
from vision.image import decode
from vision.inspect import Eyes
from vision.regions import HEATMAP_MIDDLE

NOW = Instant(1_700_000_100_000)


@pytest.fixture(scope="module")
def eyes(plates: Any) -> Eyes:
    return Eyes.open(plates.shelf, ["top"])


def problems(eyes: Eyes, drawing: Any, pixels: Any, suffix: str = ".png") -> list[str]:
    findings = eyes.inspect(drawing.frame(drawing.encode(pixels, suffix)), NOW).findings
    assert findings.fitness.ok == (not findings.fitness.problems)
    return findings.fitness.problems


def test_a_scratch_is_flagged_and_boxed_where_it_is_and_good_parts_are_fit(eyes: Eyes, drawing: Any) -> None:
    good = [eyes.inspect(drawing.frame(drawing.encode(drawing.draw(s))), NOW).findings for s in range(500, 540)]
    bad = [eyes.inspect(drawing.frame(drawing.encode(drawing.draw(s, True))), NOW).findings for s in range(600, 620)]
    assert all(f.fitness.ok for f in good + bad)
    assert sum(f.score > f.threshold for f in good) <= 4
    assert all(f.score > f.threshold for f in bad)
    for findings in bad:
        box = findings.boxes[0]
        assert box.x < 75 < box.x + box.width
        assert box.y < 55 < box.y + box.height


def test_the_same_frame_gives_the_same_findings_and_names_its_model(plates: Any, eyes: Eyes, drawing: Any) -> None:
    frame = drawing.frame(drawing.encode(drawing.draw(77)))
    again = Eyes.open(plates.shelf, ["top"])
    assert eyes.inspect(frame, NOW) == again.inspect(frame, NOW)
    findings = eyes.inspect(frame, NOW).findings
    assert findings.model is not None
    assert (findings.model.name, findings.model.version) == ("vision-top", "1")
    assert findings.frame_id == "top@2023-11-14T22:13:20.000Z"


def test_a_blurred_noisy_overexposed_dark_black_or_other_frame_is_unfit(eyes: Eyes, drawing: Any) -> None:
    part = drawing.draw(300)
    rng = np.random.default_rng(0)
    assert problems(eyes, drawing, part) == []
    assert "blur" in problems(eyes, drawing, cv2.GaussianBlur(part, (0, 0), 2.0))
    assert "noise" in problems(eyes, drawing, np.clip(part + rng.normal(0, 40, part.shape), 0, 255).astype(np.uint8))
    assert "saturated" in problems(eyes, drawing, np.clip(part * 2.2, 0, 255).astype(np.uint8))
    assert "exposure" in problems(eyes, drawing, (part * 0.5).astype(np.uint8))
    assert "no_signal" in problems(eyes, drawing, np.zeros_like(part))
    checkers = (np.indices(part.shape).sum(0) // 6 % 2 * 120 + 60).astype(np.uint8)
    assert "wrong_part" in problems(eyes, drawing, checkers)


def test_an_unreadable_frame_has_findings_without_a_score_and_says_why(eyes: Eyes, drawing: Any) -> None:
    whole = drawing.encode(drawing.draw(1), ".jpg")
    for body, reason in ((whole[: len(whole) // 2], "image_truncated"), (b"no picture", "image_unknown_format")):
        look = eyes.inspect(drawing.frame(body), NOW)
        assert look.trouble is not None
        assert look.trouble.reason == reason
        assert look.heatmap is None
        assert (look.findings.score, look.findings.fitness.problems) == (None, ["unreadable"])
    small = Eyes.open(Path("nowhere"), [], pixels_max=100)
    too_large = small.inspect(drawing.frame(whole), NOW).trouble
    assert too_large is not None
    assert too_large.reason == "image_too_large"


def test_a_camera_without_an_eye_says_so_and_still_knows_a_frozen_picture(drawing: Any, tmp_path: Path) -> None:
    eyes = Eyes.open(tmp_path, ["side"])
    assert "no live version" in eyes.refused["side"]
    one, same, other = (
        eyes.inspect(drawing.frame(drawing.encode(drawing.draw(seed)), "side"), NOW).findings for seed in (1, 1, 2)
    )
    assert (one.score, one.fitness.ok, one.fitness.problems) == (None, False, ["model_not_ready"])
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_an_eye_with_one_byte_changed_is_not_ready(plates: Any, drawing: Any, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shutil.copytree(plates.shelf, shelf)
    graph = shelf / "vision-top" / "1" / "eye.onnx"
    raw = bytearray(graph.read_bytes())
    raw[1000] ^= 4
    graph.write_bytes(raw)
    eyes = Eyes.open(shelf, ["top"])
    assert "eye.onnx: sha256 differs" in eyes.refused["top"]
    findings = eyes.inspect(drawing.frame(drawing.encode(drawing.draw(1))), NOW).findings
    assert (findings.score, findings.fitness.problems) == (None, ["model_not_ready"])


@pytest.mark.parametrize("shape", [(480, 640, 3), (2048, 2448), (1, 1), (3, 500), (500, 2, 3)])
def test_a_frame_of_any_size_and_colour_is_inspected(eyes: Eyes, drawing: Any, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(2).integers(0, 255, shape, np.uint8)
    for suffix in (".jpg", ".png"):
        look = eyes.inspect(drawing.frame(drawing.encode(pixels, suffix)), NOW)
        assert look.trouble is None
        assert look.findings.score is not None
        assert np.isfinite(look.findings.score)
        for box in look.findings.boxes:
            assert box.x >= 0 <= box.y
            assert box.x + box.width <= shape[1]
            assert box.y + box.height <= shape[0]


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=300), flat=st.integers(0, 255))
def test_nothing_in_an_image_makes_the_eyes_raise(eyes: Eyes, drawing: Any, body: bytes, flat: int) -> None:
    assert eyes.inspect(drawing.frame(body), NOW).trouble is not None
    look = eyes.inspect(drawing.frame(drawing.encode(np.full((40, 50), flat, np.uint8))), NOW)
    assert look.findings.score is not None
    assert not look.findings.fitness.ok


def test_the_heatmap_has_its_middle_at_the_box_threshold(eyes: Eyes, drawing: Any) -> None:
    look = eyes.inspect(drawing.frame(drawing.encode(drawing.draw(601, True))), NOW)
    assert look.heatmap is not None
    grey = decode(look.heatmap, 1_000_000).grey
    assert grey.shape == (24, 32)
    best = look.findings.boxes[0]
    assert grey.max() == pytest.approx(min(255, best.score * HEATMAP_MIDDLE), abs=1)
    x, y = np.array([best.x, best.y]) // 4
    assert grey[y : y + best.height // 4, x : x + best.width // 4].max() == grey.max()
