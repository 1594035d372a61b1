"""Marks become the pixels a person meant, at the frame's size and at any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import BadRecord
from ingest.folder.marks import MaskFile
from ingest.messages import Mark, MarkBox, Stroke
from vision.image import encode_png
from vision.marks import check_fits, covered, drawn, kinds_of


def box(x: int, y: int, width: int, height: int, kind: str = "burr") -> Mark:
    return Mark(camera_id="top", frame_id="f", kind=kind, box=MarkBox(x=x, y=y, width=width, height=height))


def stroke(*points: tuple[float, float], width_px: float = 6.0) -> Mark:
    return Mark(camera_id="top", frame_id="f", kind="scratch", stroke=Stroke(points=list(points), width_px=width_px))


def mask_file(folder: Path, pixels: np.ndarray) -> MaskFile:
    path = folder / "mask.png"
    path.write_bytes(encode_png(pixels.astype(np.uint8)))
    return MaskFile("dent", path, 1_000_000)


def test_a_box_covers_its_pixels_and_no_other() -> None:
    expected = np.zeros((60, 80), np.bool_)
    expected[20:30, 10:25] = True
    assert np.array_equal(covered([box(10, 20, 15, 10)], 80, 60, 60, 80), expected)


@given(
    st.floats(20, 180), st.floats(20, 130), st.floats(20, 180), st.floats(20, 130), st.floats(2, 20)
)  # fmt: skip
def test_a_stroke_covers_what_lies_within_half_its_width_of_the_line(
    x0: float, y0: float, x1: float, y1: float, width: float
) -> None:
    seen = drawn(stroke((x0, y0), (x1, y1), width_px=width), 200, 150) > 0
    y, x = np.mgrid[0:150, 0:200] + 0.5  # middles of pixels
    length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
    along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
    distance = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
    assert seen[distance < width / 2 - 0.5].all()
    assert not seen[distance > width / 2 + 1.2].any()


def test_a_touch_of_the_brush_is_a_disc() -> None:
    seen = drawn(stroke((50, 40), width_px=20), 100, 80) > 0
    assert np.pi * 100 * 0.9 < seen.sum() < np.pi * 100 * 1.2


@given(st.integers(0, 630), st.integers(0, 470), st.sampled_from([1, 2, 3, 4, 8]))
def test_no_mark_vanishes_when_the_picture_shrinks(x: int, y: int, times: int) -> None:
    found = covered([box(x, y, 2, 2)], 640, 480, 480 // times, 640 // times)
    assert found[min(y // times, 480 // times - 1), min(x // times, 640 // times - 1)]


def test_a_thin_scratch_stays_whole_at_an_eighth_of_the_size() -> None:
    found = covered([stroke((40, 100), (600, 380), width_px=2)], 640, 480, 60, 80)
    assert found.any(axis=0)[6:74].all()


def test_a_mask_is_what_is_not_zero_whatever_its_values(tmp_path: Path) -> None:
    pixels = np.zeros((60, 80), np.uint8)
    pixels[10:20, 30:50] = 1  # a mask of class numbers looks black to a person
    assert np.array_equal(covered([mask_file(tmp_path, pixels)], 80, 60, 60, 80), pixels > 0)


def test_a_mask_of_the_same_aspect_is_scaled_and_one_of_another_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[10:20, 10:20] = 255
    small = mask_file(tmp_path, pixels)
    check_fits(small, 80, 60)
    seen = covered([small], 80, 60, 60, 80)
    assert seen[22:38, 22:38].all()
    assert not seen[:18].any()
    for size in ((60, 80), (80, 80)):
        with pytest.raises(BadRecord, match=r"mask.png has 40 x 30 pixels, its frame") as refused:
            check_fits(small, *size)
        assert refused.value.reason == "bad_mark"


def test_a_mask_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    for body in (b"", b"not a picture", encode_png(np.zeros((60, 80), np.uint8))[:60]):
        path.write_bytes(body)
        with pytest.raises(BadRecord, match=r"mask mask\.png") as refused:
            check_fits(MaskFile("dent", path, 1_000_000), 80, 60)
        assert refused.value.reason == "bad_mark"


def test_a_mark_outside_its_picture_is_refused() -> None:
    check_fits(box(70, 50, 10, 10), 80, 60)
    check_fits(stroke((0, 0), (80, 60)), 80, 60)
    for mark in (box(71, 50, 10, 10), box(70, 51, 10, 10), stroke((10, 10), (80.5, 10))):
        with pytest.raises(BadRecord, match="picture of 80 x 60 pixels"):
            check_fits(mark, 80, 60)


def test_several_marks_are_their_union_and_their_kinds_are_named_once() -> None:
    marks = [box(0, 0, 5, 5), box(20, 20, 5, 5), stroke((50, 50))]
    together = covered(marks, 80, 60, 60, 80)
    assert np.array_equal(together, np.logical_or.reduce([covered([mark], 80, 60, 60, 80) for mark in marks]))
    assert kinds_of(marks) == ("burr", "scratch")
