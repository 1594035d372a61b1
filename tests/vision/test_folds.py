from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vision.training.folds import FOLDS_MAX, assign_folds, draw_evenly, usable_as_good


def of_batches(drawing: Any, batches: list[str]) -> list[Any]:
    import dataclasses

    frames = [drawing.training_frame(i, bytes, True) for i in range(len(batches))]
    return [dataclasses.replace(frame, batch_id=batch) for frame, batch in zip(frames, batches, strict=True)]


@given(batches=st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f"]), min_size=8, max_size=60))
def test_a_lot_never_lies_in_two_folds(drawing: Any, batches: list[str]) -> None:
    frames = of_batches(drawing, batches)
    folds, number = assign_folds(frames, [True] * len(frames))
    assert 2 <= number <= FOLDS_MAX
    assert set(folds) == set(range(number))
    if len(set(batches)) > 1:
        for batch in set(batches):
            assert len({fold for fold, b in zip(folds, batches, strict=True) if b == batch}) == 1


def test_one_lot_is_cut_into_runs_of_time(drawing: Any) -> None:
    folds, number = assign_folds(of_batches(drawing, ["a"] * 12), [True] * 12)
    assert (folds, number) == (sorted(folds), 4)


def test_a_lot_without_good_frames_does_not_make_a_fold_of_its_own(drawing: Any) -> None:
    frames = of_batches(drawing, ["a"] * 6 + ["b"] * 6 + ["bad"] * 6)
    folds, number = assign_folds(frames, [True] * 12 + [False] * 6)
    assert number == 2
    assert set(folds[:12]) == {0, 1}


def test_unlabelled_frames_teach_only_while_nearly_nothing_is_labelled(drawing: Any) -> None:
    frames = [drawing.training_frame(i, bytes, good) for i, good in enumerate([True, None, None, False])]
    assert usable_as_good(frames) == [True, False, False, False]
    assert usable_as_good([*frames, drawing.training_frame(4, bytes, None)]) == [True, True, True, False, True]


@given(batches=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=80), most=st.integers(1, 100))
def test_a_draw_is_a_bounded_subset_and_takes_all_when_all_fit(drawing: Any, batches: list[str], most: int) -> None:
    frames = of_batches(drawing, batches)
    drawn = draw_evenly(frames, range(len(frames)), most)
    assert len(set(drawn)) == len(drawn) <= most
    assert set(drawn) <= set(range(len(frames)))
    if most >= len(frames):
        assert drawn == list(range(len(frames)))
