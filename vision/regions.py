"""From a score map to what a person sees: boxes in pixels of the frame as it came, and the heatmap picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingest.messages import Box
from vision.image import encode_png, regions

ScoreMap = npt.NDArray[np.float32] | npt.NDArray[np.float16]

BOXES_MAX = 8  # more regions than this on one part is one finding: everything; the strongest are kept
HEATMAP_MIDDLE = 128  # grey value of the box threshold in the heatmap
_PEAK_SHARE = 0.7  # a flagged frame without a cell over the cut shows its own strongest region


def find_boxes(odd: ScoreMap, cut: float, flagged: bool, width: int, height: int) -> list[Box]:
    """Connected regions over `cut`, strongest first. odd: float32[h, w]; width, height of the frame as it came.

    The score of a box is its highest cell in units of the cut.
    """
    peak = float(odd.max())
    if flagged and 0 < peak <= cut:
        cut = _PEAK_SHARE * peak
    if cut <= 0 or peak <= cut:
        return []
    labels, found = regions(odd > cut)
    boxes = []
    across, down = width / odd.shape[1], height / odd.shape[0]
    for label, (x, y, wide, high) in enumerate(found.tolist(), start=1):
        inside = odd[y : y + high, x : x + wide][labels[y : y + high, x : x + wide] == label]
        left, top = int(x * across), int(y * down)
        boxes.append(
            Box(
                x=left,
                y=top,
                width=max(1, min(width, round((x + wide) * across)) - left),
                height=max(1, min(height, round((y + high) * down)) - top),
                score=round(float(inside.max()) / cut, 3),
            )
        )
    return sorted(boxes, key=lambda box: -box.score)[:BOXES_MAX]


def heatmap_png(odd: ScoreMap, cut: float) -> bytes:
    """The map as a small grey PNG: 0 usual or less, HEATMAP_MIDDLE at the box threshold, 255 twice that and more."""
    grey = np.clip(odd * (HEATMAP_MIDDLE / max(cut, 1e-6)), 0, 255)
    return encode_png(grey.astype(np.uint8))
