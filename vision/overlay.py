"""The picture a person sees: the frame with its heatmap, its boxes named, a legend, and good patches beside the odd.

Drawn on a canvas of a screen's size whatever the frame's: lines and letters keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ingest.messages import Box, Findings
from vision.image import TEXT_ROWS, coloured, decode, encode_png, fit_to, text_columns, write_text
from vision.patches import Comparison, GoodPatch
from vision.regions import HEATMAP_MIDDLE

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_CANVAS_PIXELS = 800 * 800  # bounded for a 100-megapixel frame; a small one is enlarged to it
_ENLARGED_MAX = 8  # times: more only shows pixels
_CANVAS_SIDE_MAX = 2000
_STRENGTH = 0.6  # of red at twice the box threshold; the part must stay visible underneath
#: In blue, green, red.
_BOX_COLOUR, _WHITE, _GOOD_COLOUR, _PAPER = (0, 200, 255), (255, 255, 255), (120, 220, 120), (32, 32, 32)
_MARGIN = 8
_PATCH_SIDE = 128
_ROW_LINE = TEXT_ROWS + 4


def draw_overlay(
    body: bytes,
    findings: Findings,
    heatmap: bytes | None,
    pixels_max: int,
    compared: Sequence[Comparison] = (),
) -> bytes:
    """PNG: frame with heatmap and boxes, a legend under it, then a strip for each comparison.

    Raises BadRecord when the frame does not decode."""
    picture = decode(body, pixels_max, colour=True)
    across, down = picture.width / picture.grey.shape[1], picture.height / picture.grey.shape[0]
    rows, columns = _canvas_size(picture.width, picture.height)
    scale_x, scale_y = columns / picture.width, rows / picture.height
    chroma = None if picture.chroma is None else _resized(picture.chroma, rows, columns, scale_x * across > 1)
    canvas = coloured(_resized(picture.grey, rows, columns, scale_y * down > 1), chroma)
    if heatmap is not None:
        canvas = _heated(canvas, fit_to(decode(heatmap, pixels_max).grey, rows, columns))
    for number, box in enumerate(findings.boxes, start=1):
        _outline(canvas, box, scale_x, scale_y)
        _label(canvas, box_label(number, box), int(box.x * scale_x), int(box.y * scale_y), scale_y * box.height)
    parts = [canvas, _legend(findings, heatmap is not None, bool(compared))]
    parts += [_strip(number, comparison) for number, comparison in enumerate(compared, start=1)]
    return encode_png(_stacked(parts))


def box_label(number: int, box: Box) -> str:
    """`1 scratch 2.3`: its place among the boxes, its kind, its score in units of the box threshold."""
    return f"{number} {box.kind or 'unusual'} {box.score:.1f}"


def _canvas_size(width: int, height: int) -> tuple[int, int]:
    scale = min((_CANVAS_PIXELS / (width * height)) ** 0.5, _ENLARGED_MAX, _CANVAS_SIDE_MAX / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _resized(plane: npt.NDArray[np.float32], rows: int, columns: int, enlarged: bool) -> npt.NDArray[np.float32]:
    """Enlarged pixels stay pixels: a blur would look like the frame's own."""
    if not enlarged:
        return fit_to(plane, rows, columns)
    down = np.arange(rows) * plane.shape[0] // rows
    return np.ascontiguousarray(plane[down][:, np.arange(columns) * plane.shape[1] // columns])


def _heated(canvas: Pixels, heat: npt.NDArray[np.float32]) -> Pixels:
    """Red over what is odd, from half of the box threshold on."""
    share = _STRENGTH * np.clip(heat / HEATMAP_MIDDLE - 0.5, 0, 1.5)[:, :, None] / 1.5
    red = np.array([0, 0, 255], np.float32)
    return np.ascontiguousarray((1 - share) * canvas + share * red, np.uint8)


def _outline(canvas: Pixels, box: Box, across: float, down: float) -> None:
    """Two amber pixels just outside the box on two dark ones, so that it shows on bright and dark ground."""
    left, right = int(box.x * across), int((box.x + box.width) * across)
    top, bottom = int(box.y * down), int((box.y + box.height) * down)
    for colour, reach, thick in (((0, 0, 0), 4, 4), (_BOX_COLOUR, 3, 2)):
        _frame(canvas, (left - reach, top - reach, right + reach, bottom + reach), thick, colour)


def _frame(canvas: Pixels, sides: tuple[int, int, int, int], thick: int, colour: Colour) -> None:
    """As far as it lies within the canvas; a side beyond it is drawn at the rim."""
    rows, columns = canvas.shape[:2]
    x0, y0, x1, y1 = max(sides[0], 0), max(sides[1], 0), min(sides[2], columns), min(sides[3], rows)
    canvas[y0 : y0 + thick, x0:x1] = canvas[max(y1 - thick, 0) : y1, x0:x1] = colour
    canvas[y0:y1, x0 : x0 + thick] = canvas[y0:y1, max(x1 - thick, 0) : x1] = colour


def _label(canvas: Pixels, text: str, x: int, y: int, high: float) -> None:
    """Above the box, below it where there is no room, and always within the canvas."""
    rows, columns = canvas.shape[:2]
    above = y - _ROW_LINE - 2
    top = above if above >= 0 else min(int(y + high) + 6, rows - _ROW_LINE)
    left = max(0, min(x, columns - text_columns(text) - 4))
    canvas[max(top, 0) : top + _ROW_LINE, left : left + text_columns(text) + 4] //= 3
    write_text(canvas, text, left + 2, max(top, 0) + 2, _BOX_COLOUR)


def _legend(findings: Findings, heated: bool, compared: bool) -> Pixels:
    """What the colours mean, and what the eye said."""
    lines = [_said(findings)]
    if findings.boxes:
        lines.append("boxes: strongest first, score in units of the box limit")
    if compared:
        lines.append("beside each the good patches nearest to it, and their distance")
        lines.append("in units of what is usual among good parts")
    wide = max(text_columns(line) for line in lines) + 2 * _MARGIN
    bar_note = "red: odd, from half the box limit to twice"
    wide = max(wide, text_columns(bar_note) + 3 * _MARGIN + 100)
    strip = _paper(len(lines) * _ROW_LINE + _MARGIN + (_ROW_LINE if heated else 0), wide)
    for place, line in enumerate(lines):
        write_text(strip, line, _MARGIN, _MARGIN // 2 + place * _ROW_LINE, _WHITE)
    if heated:
        top = _MARGIN // 2 + len(lines) * _ROW_LINE
        bar = np.full((TEXT_ROWS - 4, 100, 3), 128, np.uint8)
        ramp = np.broadcast_to(np.linspace(0, 2, 100, dtype=np.float32) * HEATMAP_MIDDLE, bar.shape[:2])
        strip[top + 2 : top + TEXT_ROWS - 2, _MARGIN : _MARGIN + 100] = _heated(bar, ramp)
        write_text(strip, bar_note, 2 * _MARGIN + 100, top, _WHITE)
    return strip


def _said(findings: Findings) -> str:
    if findings.score is None or findings.threshold is None:
        return f"{findings.camera_id}: not inspected ({', '.join(findings.fitness.problems)})"
    side = "over" if findings.score > findings.threshold else "within"
    unfit = f" - not fit: {', '.join(findings.fitness.problems)}" if findings.fitness.problems else ""
    return f"{findings.camera_id}: score {findings.score:.2f}, {side} its limit {findings.threshold:.2f}{unfit}"


def _strip(number: int, comparison: Comparison) -> Pixels:
    """The odd patch, then the good ones, each with its words under it."""
    odd = _tile(comparison.odd, box_label(number, comparison.box), "", _BOX_COLOUR)
    return np.concatenate([odd, *(_good_tile(patch) for patch in comparison.good)], axis=1)


def _good_tile(patch: GoodPatch) -> Pixels:
    return _tile(patch.pixels, f"{patch.times:.1f} x usual", patch.place.part_id, _GOOD_COLOUR)


def _tile(patch: Pixels, first: str, second: str, colour: Colour) -> Pixels:
    inner = _resized_patch(patch)
    tile = _paper(_PATCH_SIDE + 2 * _ROW_LINE + _MARGIN, max(_PATCH_SIDE, text_columns(first)) + 2 * _MARGIN)
    tile[2 : 2 + _PATCH_SIDE, _MARGIN : _MARGIN + _PATCH_SIDE] = inner
    _frame(tile, (_MARGIN - 2, 0, _MARGIN + _PATCH_SIDE + 2, _PATCH_SIDE + 4), 2, colour)
    write_text(tile, first, _MARGIN, _PATCH_SIDE + 6, colour)
    write_text(tile, _shortened(second), _MARGIN, _PATCH_SIDE + 6 + _ROW_LINE, _WHITE)
    return tile


def _resized_patch(patch: Pixels) -> Pixels:
    times = _PATCH_SIDE // patch.shape[0]
    return np.repeat(np.repeat(patch, times, axis=0), times, axis=1)


def _shortened(text: str) -> str:
    """The end of what is too long for a tile: ids differ there."""
    while text and text_columns(text) > _PATCH_SIDE:
        text = text[1:]
    return text


def _paper(rows: int, columns: int) -> Pixels:
    paper = np.empty((rows, columns, 3), np.uint8)
    paper[:] = _PAPER
    return paper


def _stacked(parts: Sequence[Pixels]) -> Pixels:
    wide = max(part.shape[1] for part in parts)
    sheet = _paper(sum(part.shape[0] for part in parts), wide)
    top = 0
    for part in parts:
        sheet[top : top + part.shape[0], : part.shape[1]] = part
        top += part.shape[0]
    return sheet
