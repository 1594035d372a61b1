"""The figures of the eyes' tables, on scores whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ingest.messages import Instant
from tests.bench.vision_figures import kept, pixels_by_kind, told, told_by_kind
from tests.bench.vision_sets import PictureSet, Shot, frames_of, split
from vision.inspect import Sight


def sight(odd: np.ndarray) -> Sight:
    return Sight(64, 64, "", 0.0, odd.astype(np.float32), np.zeros(1, np.float32), {})


def pictures(good_max: int = 0) -> PictureSet:
    shots = [Shot(f"{i}", "crack" if i % 29 == 0 else "", f"G{i // 4}", Path(f"{i}.png")) for i in range(200)]
    return PictureSet("drawn", shots, good_max)


def test_scores_that_part_good_from_defect_tell_everything_and_equal_ones_nothing() -> None:
    good, bad = np.arange(100.0), np.arange(100.0) + 1000
    assert (told(good, bad).auroc, told(good, bad).recall) == (1, 1)
    assert told(good, good).auroc == pytest.approx(0.5)
    assert told(good, good).recall == pytest.approx(0.02)


def test_a_kind_without_frames_has_no_figure() -> None:
    assert math.isnan(told(np.arange(3.0), np.empty(0)).auroc)


def test_each_kind_is_told_by_itself() -> None:
    by_kind = told_by_kind(np.arange(100.0), np.asarray([500.0, -1.0]), ["seen", "missed"])
    assert (by_kind["seen"].auroc, by_kind["missed"].auroc) == (1, 0)


def test_a_map_that_is_high_where_the_mask_is_finds_every_pixel() -> None:
    odd, mask = np.zeros((16, 16)), np.zeros((64, 64), np.bool_)
    odd[4:8, 4:8], mask[16:32, 16:32] = 1, True
    found = pixels_by_kind([sight(odd), sight(odd)], [mask, None], ["crack", "fray"])
    assert list(found) == ["crack"]
    assert found["crack"] > 0.98


def test_the_cut_keeps_its_promise_on_average_over_groups_of_equal_frames() -> None:
    scores = np.random.default_rng(0).normal(size=800)
    for one in kept(scores, [f"{i}" for i in range(800)]):
        assert one.possible == pytest.approx(one.asked)
        assert one.mean <= one.asked + 0.005


def test_few_frames_say_what_they_allow_instead_of_what_was_asked() -> None:
    first = kept(np.arange(40.0), [f"{i}" for i in range(40)])[0]
    assert (first.asked, first.possible) == (0.01, pytest.approx(1 / 21))


@pytest.mark.parametrize("seed", range(3))
def test_no_group_is_both_learned_and_judged(seed: int) -> None:
    parts = split(pictures(), seed)
    learned = {shot.group for shot in parts.train}
    assert not learned & {shot.group for shot in (*parts.good, *parts.bad)}
    assert not any(shot.kind for shot in (*parts.train, *parts.good))
    assert len(parts.train) + len(parts.good) + len(parts.bad) == 200


def test_another_seed_splits_otherwise_and_the_same_seed_the_same() -> None:
    assert split(pictures(), 0) == split(pictures(), 0)
    assert split(pictures(), 0).train != split(pictures(), 1).train


def test_frames_of_a_set_are_good_and_keep_their_group() -> None:
    first, second = frames_of(pictures().shots[1:3])
    assert (first.good, first.batch_id, first.frame_id) == (True, "G0", "1")
    assert Instant(second.captured_at) > first.captured_at
