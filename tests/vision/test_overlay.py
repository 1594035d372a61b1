from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.messages import Box, Findings, Instant
from vision.inspect import Eyes, blank_findings
from vision.overlay import box_label, draw_overlay
from vision.regions import heatmap_png

NOW = Instant(1_700_000_100_000)
Ints = npt.NDArray[np.int64]


def opened(png: bytes) -> Ints:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), 1), np.int64)


def found(drawing: Any, *boxes: Box) -> Findings:
    import msgspec

    return msgspec.structs.replace(blank_findings(drawing.frame(b""), NOW), score=2.0, threshold=1.0, boxes=list(boxes))


def heat(rows: int, columns: int, hot: tuple[slice, slice]) -> bytes:
    odd = np.zeros((rows, columns), np.float32)
    odd[hot] = 2.0
    return heatmap_png(odd, 1.0)


def test_it_is_red_where_the_heatmap_is_hot_and_as_it_was_elsewhere(drawing: Any, plates: Any) -> None:
    eyes = Eyes.open(plates.shelf, ["top"])
    body = drawing.encode(drawing.draw(601, True))
    look = eyes.inspect(drawing.frame(body), NOW)
    drawn = opened(draw_overlay(body, look.findings, look.heatmap, 10**6))
    redness = drawn[:, :, 2] - drawn[:, :, 0]
    scale = drawn.shape[1] / 128
    assert redness[round(55 * scale), round(75 * scale)] > 60
    assert redness[round(80 * scale), round(10 * scale)] == 0
    assert draw_overlay(body, look.findings, None, 10**6) != draw_overlay(body, look.findings, look.heatmap, 10**6)


@pytest.mark.parametrize("shape", [(100, 100), (1080, 1920), (4000, 6000), (40, 3000), (1, 1)])
def test_frames_of_every_size_come_out_at_a_screens_size(drawing: Any, shape: tuple[int, int]) -> None:
    body = drawing.encode(np.full(shape, 90, np.uint8))
    drawn = opened(draw_overlay(body, found(drawing), None, 10**8))
    assert drawn.shape[1] <= 2000
    assert drawn.shape[0] <= 2300
    if min(shape) >= 100:
        assert min(drawn.shape[:2]) >= 400


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_box_and_label_stand_out_on_dark_and_bright_ground(drawing: Any, ground: int) -> None:
    body = drawing.encode(np.full((200, 200), ground, np.uint8))
    drawn = opened(draw_overlay(body, found(drawing, Box(x=80, y=90, width=40, height=30, score=1.5)), None, 10**6))
    amber = (drawn == (0, 200, 255)).all(axis=2)
    assert amber.sum() > 400
    beside = (drawn == 0).all(axis=2)
    near = cv2.dilate(beside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert (near & amber).sum() > 0.9 * amber[:800].sum()  # amber is never without black next to it


def test_a_colour_frame_is_drawn_in_its_colours(drawing: Any) -> None:
    pixels = np.zeros((120, 120, 3), np.uint8)
    pixels[:, :60], pixels[:, 60:] = (200, 40, 30), (30, 180, 60)  # blue left, green right
    drawn = opened(draw_overlay(drawing.encode(pixels), found(drawing), None, 10**6))
    assert np.abs(drawn[400, 100] - (200, 40, 30)).max() <= 2
    assert np.abs(drawn[400, 700] - (30, 180, 60)).max() <= 2


def test_a_box_is_named_by_its_kind_or_as_unusual() -> None:
    box = Box(x=1, y=1, width=2, height=2, score=2.34)
    assert box_label(1, box) == "1 unusual 2.3"
    assert box_label(2, Box(x=1, y=1, width=2, height=2, score=1.0, kind="crack")) == "2 crack 1.0"


@settings(max_examples=40, deadline=None)
@given(
    side=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    corner=st.tuples(st.integers(0, 299), st.integers(0, 299)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    kind=st.text(max_size=80),
)
def test_any_box_with_any_kind_in_any_frame_is_drawn(
    drawing: Any, side: tuple[int, int], corner: tuple[int, int], size: tuple[int, int], kind: str
) -> None:
    body = drawing.encode(np.full(side, 120, np.uint8))
    x, y = min(corner[0], side[1] - 1), min(corner[1], side[0] - 1)
    box = Box(x=x, y=y, width=min(size[0], side[1] - x), height=min(size[1], side[0] - y), score=1.0, kind=kind)
    assert opened(draw_overlay(body, found(drawing, box), heat(5, 7, np.s_[1:3, 2:4]), 10**6)).ndim == 3
