"""From a score map to what a person sees: boxes in pixels of the frame as it came, and the heatmap picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
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
    found = [_box(spot, odd.shape, width, height, spot.peak / cut) for spot in _spots(odd, cut)]
    return sorted(found, key=lambda box: -box.score)[:BOXES_MAX]


def name_boxes(boxes: list[Box], kinds: ScoreMap, names: Sequence[str], width: int, height: int) -> list[Box]:
    """Boxes with the kind of defect that was taught and lies in them, and a box for each taught region in none of them.

    kinds: float32[kinds, h, w], logits. A box of a taught region has twice its likelihood as score: 1 at the limit.
    """
    likeliest = np.asarray(kinds, np.float32).max(axis=0)
    named = [_named(box, kinds, names, width, height) for box in boxes]
    for spot in _spots(likeliest, 0.0):
        likelihood = float(2 / (1 + np.exp(-min(spot.peak, 60.0))))
        box = _named(_box(spot, likeliest.shape, width, height, likelihood), kinds, names, width, height)
        if not any(_overlap(box, other) for other in named):
            named.append(box)
    return sorted(named, key=lambda box: -box.score)[:BOXES_MAX]


@dataclass(frozen=True, slots=True)
class _Spot:
    """A connected region of a map, in cells, and its highest value."""

    x: int
    y: int
    wide: int
    high: int
    peak: float


def _spots(odd: ScoreMap, cut: float) -> list[_Spot]:
    labels, found = regions(odd > cut)
    spots = []
    for label, (x, y, wide, high) in enumerate(found.tolist(), start=1):
        inside = odd[y : y + high, x : x + wide][labels[y : y + high, x : x + wide] == label]
        spots.append(_Spot(x, y, wide, high, float(inside.max())))
    return spots


def _box(spot: _Spot, shape: tuple[int, ...], width: int, height: int, score: float) -> Box:
    across, down = width / shape[-1], height / shape[-2]
    left, top = int(spot.x * across), int(spot.y * down)
    return Box(
        x=left,
        y=top,
        width=max(1, min(width, round((spot.x + spot.wide) * across)) - left),
        height=max(1, min(height, round((spot.y + spot.high) * down)) - top),
        score=round(score, 3),
    )


def _named(box: Box, kinds: ScoreMap, names: Sequence[str], width: int, height: int) -> Box:
    """With the likeliest kind in it; as it is where none is likelier than not."""
    across, down = kinds.shape[2] / width, kinds.shape[1] / height
    top, left = int(box.y * down), int(box.x * across)
    bottom, right = max(top + 1, round((box.y + box.height) * down)), max(left + 1, round((box.x + box.width) * across))
    highest = np.asarray(kinds[:, top:bottom, left:right], np.float32).max(axis=(1, 2))
    best = int(highest.argmax())
    return box if highest[best] <= 0 else msgspec.structs.replace(box, kind=names[best])


def _overlap(one: Box, other: Box) -> bool:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return across > 0 and down > 0


def heatmap_png(odd: ScoreMap, cut: float) -> bytes:
    """The map as a small grey PNG: 0 usual or less, HEATMAP_MIDDLE at the box threshold, 255 twice that and more."""
    grey = np.clip(odd * (HEATMAP_MIDDLE / max(cut, 1e-6)), 0, 255)
    return encode_png(grey.astype(np.uint8))
