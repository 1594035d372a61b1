"""Pose: a part's shift and rotation are found from its edges, a texture has none, and alignment must earn its place."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.eye.pose import CONFIDENCE_MIN, PoseReference
from vision.image import Grey, blurred, polyline
from vision.training.alignment import alignment_helps

SIDE = 256
Draw = Callable[[float, float, float], Grey]
OUTLINE = np.array([[-48, -58], [62, -48], [52, 62], [-8, 52], [-43, 22], [-48, -58]], np.float64)
SLOT = np.array([[-20, -30], [10, -34]], np.float64)


def part(x: float, y: float, degrees: float, seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Grey:
    """A part with an outline and a slot, turned clockwise about the frame's middle, then moved; the camera is noisy."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rows, columns = size
    middle = np.array([(columns - 1) / 2 + x, (rows - 1) / 2 + y])
    frame = np.full((rows, columns), 60, np.float32)
    for line, width, grey in ((OUTLINE, 6.0, 120.0), (SLOT, 10.0, 80.0)):
        frame += np.float32(grey) * polyline(rows, columns, line @ turn.T + middle, width)
    noise = np.random.default_rng(seed).normal(0, 4, (rows, columns)).astype(np.float32)
    return np.asarray(np.clip(frame + noise, 0, 255), np.float32)


def texture(seed: int, grain: float) -> Grey:
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    smooth = blurred(noise, grain)
    return np.asarray(np.clip(128 + 40 * smooth / smooth.std(), 0, 255), np.float32)


def laid_in(count: int, shift: float, degrees: float, seed: int = 0) -> list[Grey]:
    rng = np.random.default_rng(seed)
    shifts, angles = rng.uniform(-shift, shift, (count, 2)), rng.uniform(-degrees, degrees, count)
    return [part(float(shifts[k, 0]), float(shifts[k, 1]), float(angles[k]), seed * 1000 + k) for k in range(count)]


@pytest.fixture(scope="module")
def reference() -> PoseReference:
    return PoseReference.fit(laid_in(12, 1.0, 0.5))


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-25, 25), y=st.floats(-25, 25), degrees=st.floats(-180, 180))
def test_a_known_shift_and_rotation_are_found(reference: PoseReference, x: float, y: float, degrees: float) -> None:
    pose = reference.estimate(part(x, y, degrees, seed=7))
    assert pose.confidence >= CONFIDENCE_MIN
    assert abs((pose.angle_deg - degrees + 180) % 360 - 180) < 4
    assert np.hypot(pose.shift_x - x, pose.shift_y - y) < 3


@settings(max_examples=40, deadline=None)
@given(x=st.floats(-25, 25), y=st.floats(-25, 25))
def test_a_shift_alone_is_found_to_a_pixel_and_a_half(reference: PoseReference, x: float, y: float) -> None:
    pose = reference.estimate(part(x, y, 0.0, seed=8))
    assert abs(pose.shift_x - x) < 1.5
    assert abs(pose.shift_y - y) < 1.5


def test_alignment_lays_a_part_back_where_the_reference_has_it(reference: PoseReference) -> None:
    straight, askew = part(0, 0, 0, seed=1), part(14, -9, 35, seed=2)
    aligned = reference.align(askew, reference.estimate(askew))
    assert aligned.shape == askew.shape
    middle = slice(SIDE // 5, -SIDE // 5)

    def off(frame: Grey) -> float:
        return float(np.abs(blurred(frame, 2)[middle, middle] - blurred(straight, 2)[middle, middle]).mean())

    assert off(aligned) < 0.25 * off(askew)


def test_frames_that_are_not_square_have_poses_too() -> None:
    size = (200, 331)
    wide = PoseReference.fit([part(0, 0, 0, seed, size) for seed in range(6)])
    pose = wide.estimate(part(12, -7, 0, 9, size))
    assert pose.confidence >= CONFIDENCE_MIN
    assert abs(pose.shift_x - 12) < 2
    assert abs(pose.shift_y + 7) < 2


@pytest.mark.parametrize("grain", [1.0, 3.0, 12.0])
def test_of_a_texture_nothing_is_said(grain: float) -> None:
    learned = PoseReference.fit([texture(seed, grain) for seed in range(20)])
    confidences = [learned.estimate(texture(100 + seed, grain)).confidence for seed in range(20)]
    assert max(confidences) < CONFIDENCE_MIN


def test_of_an_empty_frame_nothing_is_said(reference: PoseReference) -> None:
    flat = np.full((SIDE, SIDE), 128, np.float32)
    assert reference.estimate(flat).confidence == 0
    blind = PoseReference.fit([flat, flat])
    assert blind.estimate(part(0, 0, 0)).confidence == 0
    with pytest.raises(ValueError, match="no frame"):
        PoseReference.fit([])


def test_another_part_is_no_pose_of_this_one(reference: PoseReference) -> None:
    assert reference.estimate(texture(1, 12.0)).confidence < CONFIDENCE_MIN


def test_a_reference_is_small_and_the_same_after_a_trip_through_json(reference: PoseReference) -> None:
    encoded = msgspec.json.encode(reference)
    assert len(encoded) < 10_000
    again = msgspec.json.decode(encoded, type=PoseReference)
    frame = part(5, 6, 70)
    assert again.estimate(frame) == reference.estimate(frame)


def test_parts_that_lie_anyhow_are_aligned() -> None:
    pictures = laid_in(24, 20, 180, seed=3)
    assert alignment_helps(pictures, [k % 4 for k in range(24)])


def test_parts_in_a_fixture_and_textures_are_left_as_they_come() -> None:
    folds = [k % 4 for k in range(24)]
    assert not alignment_helps(laid_in(24, 0.3, 0.1, seed=4), folds)
    assert not alignment_helps([texture(seed, 4.0) for seed in range(24)], folds)


def test_with_one_fold_alignment_is_not_used() -> None:
    assert not alignment_helps(laid_in(4, 20, 180), [0, 0, 0, 0])
    assert not alignment_helps([], [])
