"""The picture a person sees: the frame with its heatmap in red and its boxes drawn, as PNG."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingest.messages import Box, Findings
from vision.image import WORKING_PIXELS, decode, encode_png, fit_to
from vision.regions import HEATMAP_MIDDLE

_PIXELS_DRAWN = 4 * WORKING_PIXELS  # VGA: enough for a screen, and bounded for a 100-megapixel frame
_STRENGTH = 0.6  # of red at twice the box threshold; the part must stay visible underneath
_BOX_COLOUR = (0, 200, 255)  # amber in blue, green, red: seen on grey and on red


def draw_overlay(body: bytes, findings: Findings, heatmap: bytes | None, pixels_max: int) -> bytes:
    """PNG of the frame with heatmap and boxes, at most VGA-sized. Raises BadRecord when the frame does not decode."""
    picture = decode(body, pixels_max)
    shrink = min(1.0, (_PIXELS_DRAWN / (picture.width * picture.height)) ** 0.5)
    rows, columns = max(1, round(picture.height * shrink)), max(1, round(picture.width * shrink))
    grey = fit_to(picture.grey, rows, columns)
    drawn = np.repeat(grey[:, :, None], 3, axis=2)
    if heatmap is not None:
        over = np.clip(fit_to(decode(heatmap, pixels_max).grey, rows, columns) / HEATMAP_MIDDLE - 0.5, 0, 1.5) / 1.5
        red = np.array([0, 0, 255], np.float32)
        share = (_STRENGTH * over)[:, :, None]
        drawn = np.asarray((1 - share) * drawn + share * red, np.float32)
    pixels = np.clip(drawn, 0, 255).astype(np.uint8)
    for box in findings.boxes:
        _outline(pixels, box, columns / picture.width, rows / picture.height)
    return encode_png(pixels)


def _outline(pixels: npt.NDArray[np.uint8], box: Box, across: float, down: float) -> None:
    """A frame of two pixels just outside the box, as far as it lies within the picture."""
    left, right = int(box.x * across) - 2, int((box.x + box.width) * across) + 2
    top, bottom = int(box.y * down) - 2, int((box.y + box.height) * down) + 2
    rows, columns = pixels.shape[:2]
    x0, x1, y0, y1 = max(left, 0), min(right, columns), max(top, 0), min(bottom, rows)
    pixels[y0 : y0 + 2, x0:x1] = pixels[max(y1 - 2, 0) : y1, x0:x1] = _BOX_COLOUR
    pixels[y0:y1, x0 : x0 + 2] = pixels[y0:y1, max(x1 - 2, 0) : x1] = _BOX_COLOUR
