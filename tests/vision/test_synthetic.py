"""Painted defects: whatever the frame is, they stay in range, local, and where the mask says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.image import blurred
from vision.training.synthetic import KINDS, Kind, paint, paint_some

_PAINTINGS = settings(max_examples=60, deadline=None)


def surface(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Brushed metal of some brightness and roughness."""
    grain = blurred(rng.normal(0, 1, (rows, columns)).astype(np.float32), 0.8) * np.float32(rng.uniform(2, 20))
    return np.clip(rng.uniform(40, 210) + grain, 0, 255).astype(np.float32)


frames = st.tuples(st.integers(0, 2**32 - 1), st.integers(48, 200), st.integers(48, 200), st.sampled_from(KINDS))


@_PAINTINGS
@given(frames)
def test_a_painted_frame_stays_in_range_and_changed_where_the_mask_says(
    drawn: tuple[int, int, int, Kind],
) -> None:
    seed, rows, columns, kind = drawn
    rng = np.random.default_rng(seed)
    picture, other = surface(rng, rows, columns), surface(rng, rows, columns)
    before = picture.copy()
    painted, mask = paint(rng, picture, other, kind)
    change = np.abs(painted - picture)
    np.testing.assert_array_equal(picture, before)
    assert painted.dtype == np.float32
    assert mask.dtype == np.bool_
    assert painted.shape == mask.shape == picture.shape
    assert painted.min() >= 0
    assert painted.max() <= 255
    assert (change[mask] > 0).all()
    assert mask.mean() < 0.75, "a defect is a part of the frame, not the frame"


@_PAINTINGS
@given(frames)
def test_beside_the_mask_only_a_soft_rim_changes(drawn: tuple[int, int, int, Kind]) -> None:
    seed, rows, columns, kind = drawn
    rng = np.random.default_rng(seed)
    picture, other = surface(rng, rows, columns), surface(rng, rows, columns)
    painted, mask = paint(rng, picture, other, kind)
    change = np.abs(painted - picture)
    if not mask.any():
        assert change.max() == 0
    elif kind not in ("paste", "texture"):  # these change some pixels much and their neighbours by nothing
        y, x = np.nonzero(mask)
        rim = 0.3 * np.sqrt(rows * columns)
        top, left = max(int(y.min() - rim), 0), max(int(x.min() - rim), 0)
        change[top : int(y.max() + rim) + 1, left : int(x.max() + rim) + 1] = 0
        assert change.max(initial=0) <= (255 * 0.3 if kind == "step" else 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 7, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (8, 8), (72, 96)])
def test_tiny_flat_black_and_white_frames_can_be_painted(kind: Kind, level: int, shape: tuple[int, int]) -> None:
    picture = np.full(shape, level, np.float32)
    for seed in range(3):
        painted, mask = paint(np.random.default_rng(seed), picture, picture, kind)
        assert np.isfinite(painted).all()
        assert painted.min() >= 0
        assert painted.max() <= 255
        assert mask.shape == shape


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_randomness_paints_the_same(kind: Kind) -> None:
    picture, other = (surface(np.random.default_rng(seed), 96, 120) for seed in (1, 2))
    first, second = (paint(np.random.default_rng(9), picture, other, kind) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("kind", KINDS)
def test_most_paintings_of_each_kind_can_be_seen(kind: Kind) -> None:
    rng = np.random.default_rng(4)
    pictures = [surface(rng, 128, 160) for _ in range(6)]
    seen = [paint(rng, pictures[i % 6], pictures[(i + 1) % 6], kind)[1].any() for i in range(40)]
    assert np.mean(seen) > 0.7


def test_a_rougher_frame_gets_stronger_defects() -> None:
    """Strengths are relative to the texture: else what is plain on a smooth part would drown on a rough one."""
    grain = np.random.default_rng(3).normal(0, 1, (128, 128)).astype(np.float32)
    means = []
    for roughness in (2, 12):
        picture = 128 + roughness * grain
        changes = []
        for seed in range(40):
            painted, mask = paint(np.random.default_rng(seed), picture, picture, "dent")
            changes.append(float(np.abs(painted - picture)[mask].mean()))
        means.append(np.mean(changes))
    assert means[1] > 2 * means[0]


def test_several_defects_on_one_frame_all_count() -> None:
    picture = surface(np.random.default_rng(5), 128, 128)
    painted, mask = paint_some(np.random.default_rng(6), picture, picture, ("blob", "dent"), 4)
    one, one_mask = paint_some(np.random.default_rng(6), picture, picture, ("blob", "dent"), 1)
    assert mask.sum() > one_mask.sum()
    assert (mask | ~one_mask).all()
    assert not np.array_equal(painted, one)
    untouched, none = paint_some(np.random.default_rng(6), picture, picture, KINDS, 0)
    assert untouched is picture
    assert not none.any()
