"""Marks (boxes, brush strokes, masks) as pixels, at whatever size an eye works."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ingest.errors import BadRecord
from ingest.folder.marks import MaskFile
from ingest.messages import Mark
from vision.header import check_complete, read_header
from vision.image import decode_mask, draw_line, shrink_mask

AnyMark = Mark | MaskFile
Covered = npt.NDArray[np.bool_]

MARKS_TO_TEACH = 10  # of one kind on one camera: with ten the gain was largest where it was measured, with four it hurt
_COVERED_SHARE = 0.5  # of a pixel at the size asked for: half of it is drawn over
_MASK_PIXELS_MAX = 16  # times its frame's: refused by its header, before anything is decoded
_ASPECT_OFF_MAX = 0.02  # a mask resized by another program is off by rounding, not by more


def kinds_of(marks: Sequence[AnyMark]) -> tuple[str, ...]:
    """The kinds of defect marked, each once, in alphabetical order."""
    return tuple(sorted({mark.kind for mark in marks}))


def covered(marks: Sequence[AnyMark], width: int, height: int, rows: int, columns: int) -> Covered:
    """Where the marks lie: bool[rows, columns], of marks in a frame of width x height pixels as it came.

    A pixel counts when half of it is drawn over; for a mark too thin to fill any pixel, half of what it fills at most,
    so that a scratch does not vanish at a small size. Raises BadRecord `bad_mark` for a mask of another aspect or one
    that cannot be read.
    """
    found = np.zeros((rows, columns), np.bool_)
    for mark in marks:
        shares = shrink_mask(drawn(mark, width, height), rows, columns)
        most = float(shares.max())
        if most > 0:
            found |= shares >= _COVERED_SHARE * most
    return found


def drawn(mark: AnyMark, width: int, height: int) -> npt.NDArray[np.uint8]:
    """One mark at the frame's own size: uint8[height, width], 255 where it is. Raises BadRecord `bad_mark`."""
    if isinstance(mark, MaskFile):
        return _mask(mark, width, height)
    canvas = np.zeros((height, width), np.uint8)
    if mark.box is not None:
        box = mark.box
        canvas[max(box.y, 0) : box.y + box.height, max(box.x, 0) : box.x + box.width] = 255
    elif mark.stroke is not None:
        # a screen counts from the picture's edge, OpenCV from the middle of its first pixel
        draw_line(canvas, np.array(mark.stroke.points, np.float64).reshape(-1, 2) - 0.5, mark.stroke.width_px)
    return canvas


def check_fits(mark: AnyMark, width: int, height: int) -> None:
    """A mark must lie within its frame of width x height pixels, a mask have its shape. Raises BadRecord `bad_mark`."""
    if isinstance(mark, MaskFile):
        _check_aspect(mark, mark.load(), width, height)
    elif mark.box is not None:
        box = mark.box
        if box.x + box.width > width or box.y + box.height > height:
            where = f"{box.x}, {box.y}, {box.width} x {box.height}"
            raise BadRecord("bad_mark", f"box {where} is not within the picture of {width} x {height} pixels")
    elif mark.stroke is not None:
        for x, y in mark.stroke.points:
            if x > width or y > height:
                raise BadRecord("bad_mark", f"stroke through {x}, {y} leaves the picture of {width} x {height} pixels")


def _check_aspect(mask: MaskFile, body: bytes, width: int, height: int) -> None:
    try:
        header = read_header(body)
        check_complete(body, header)
    except BadRecord as trouble:
        raise BadRecord("bad_mark", f"mask {mask.path.name}: {trouble}") from trouble
    if header.kind != "png":
        raise BadRecord("bad_mark", f"mask {mask.path.name} is a {header.kind}, not a PNG")
    if header.pixels > _MASK_PIXELS_MAX * width * height:
        raise BadRecord("bad_mark", f"mask {mask.path.name} has {header.pixels} pixels, far more than its frame")
    if abs(header.width * height / (header.height * width) - 1) > _ASPECT_OFF_MAX:
        sizes = f"{header.width} x {header.height} pixels, its frame {width} x {height}"
        raise BadRecord("bad_mark", f"mask {mask.path.name} has {sizes}: draw it on the frame itself")


def _mask(mask: MaskFile, width: int, height: int) -> npt.NDArray[np.uint8]:
    body = mask.load()
    _check_aspect(mask, body, width, height)
    try:
        inside = decode_mask(body)
    except BadRecord as trouble:
        raise BadRecord("bad_mark", f"mask {mask.path.name}: {trouble}") from trouble
    pixels = np.where(inside, np.uint8(255), np.uint8(0))
    if inside.shape == (height, width):
        return pixels
    return np.where(shrink_mask(pixels, height, width) >= _COVERED_SHARE, np.uint8(255), np.uint8(0))
