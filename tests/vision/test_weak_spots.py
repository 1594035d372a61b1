"""What a card says of where its eye fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vision.train import train_eyes
from vision.training.weak_spots import PaintedDefect, WeakSpots, weak_lines


def painted(kind: str, side: float, found: int, of: int) -> list[PaintedDefect]:
    return [PaintedDefect(kind, side, number < found) for number in range(of)]


def test_the_kind_found_least_is_named_first() -> None:
    spots = WeakSpots([*painted("blob", 20, 9, 10), *painted("dent", 20, 1, 10)], {})
    assert spots.recalls() == {"dent": 0.1, "blob": 0.9}
    assert "finds 50%, by kind, the least first: dent 10%, blob 90%" in weak_lines(spots)


def test_the_smallest_size_is_the_one_from_which_on_all_larger_are_found_half_of_the_time() -> None:
    small, middle, large = painted("blob", 5, 9, 10), painted("blob", 10, 2, 10), painted("blob", 20, 8, 10)
    assert WeakSpots([*small, *middle, *large], {}).smallest_side() == 16
    assert WeakSpots([*small, *large], {}).smallest_side() == 4


def test_sizes_of_which_few_were_painted_say_nothing() -> None:
    assert WeakSpots(painted("blob", 20, 4, 4), []).smallest_side() is None
    assert "No size" in weak_lines(WeakSpots(painted("blob", 20, 4, 4), {}))


def test_without_anything_tried_the_card_says_nothing() -> None:
    assert weak_lines(WeakSpots([], {})) == ""


def test_labelled_frames_are_counted_by_what_their_defect_was_called_the_least_found_first() -> None:
    line = weak_lines(WeakSpots([], {"burr": [True, True, False], "": [True], "pit": [False, False]}))
    assert "Of 6 training frames" in line
    assert "flags 3;" in line
    assert "By code: pit 0 of 2, burr 2 of 3, without 1 of 1." in line


@pytest.mark.slow
def test_the_card_of_a_trained_eye_says_where_it_fails_and_how_many_labelled_defects_it_flags(
    tmp_path: Path, drawing: Any
) -> None:
    train_eyes(drawing.plate_frames(good=48, bad=8), tmp_path, lambda _: None)
    card = (tmp_path / "vision-top" / "1" / "card.md").read_text("utf-8")
    assert "Where it fails: of " in card
    assert "a side (of a square of its area)" in card or "No size" in card
    assert "Of 8 training frames of parts labelled as defective" in card
