"""Encoded image in, grey pixels out. The only file that knows OpenCV (the simulated plant's camera aside).

Training and serving go through the same two steps: `decode` (grey at once, JPEG at a reduced scale where that will do)
and `fit_to` (area average to the eye's working size).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ingest.errors import BadRecord
from vision.header import check_complete, read_header

Grey = npt.NDArray[np.float32]

#: Pixels an eye works on: half of a VGA frame in each direction. The eye's time is linear in it.
WORKING_PIXELS = 320 * 240
_WORKING_MULTIPLE = 8  # three halvings in the filter bank must come out even
_NATIVE_SHARE = 1.25  # of WORKING_PIXELS: a frame hardly larger is taken as it is, resampling would only blur it
_WORKING_SIDE_MIN = 32  # the coarsest level must be wider than its filters' reflection
_REDUCED = {
    1: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}

cv2.setNumThreads(1)  # one process a core: OpenCV's own threads only get into each other's way


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame. `grey`: float32[rows, columns] in 0..255, maybe reduced; `width`, `height` as it came.

    `fingerprint`: equal for equal pixels, however they were encoded without loss.
    """

    grey: Grey
    width: int
    height: int
    fingerprint: str


def decode(body: bytes, pixels_max: int) -> Picture:
    """Decode an image to grey. 16-bit images are scaled to 0..255 by their type's range, floats count as 0..1.

    Raises BadRecord: `image_empty`, `image_unknown_format`, `image_too_large` (from the header, before any decoding),
    `image_truncated`, `image_unreadable`.
    """
    header = read_header(body)
    if header.pixels > pixels_max:
        raise BadRecord("image_too_large", f"{header.width} x {header.height} pixels, at most {pixels_max} allowed")
    check_complete(body, header)
    factor = _reduction(header.width, header.height) if header.kind == "jpeg" else 1
    flags = _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION  # boxes are in pixels of the frame as it came
    try:
        decoded = cv2.imdecode(np.frombuffer(body, np.uint8), flags)
    except cv2.error as error:
        raise BadRecord("image_unreadable", f"{header.kind}: {str(error)[:200]}") from error
    if decoded is None:
        raise BadRecord("image_unreadable", f"{header.kind} of {header.width} x {header.height} does not decode")
    digest = hashlib.blake2b(repr((header.width, header.height)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(decoded).data)
    return Picture(_to_grey(decoded), header.width, header.height, digest.hexdigest())


def working_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(rows, columns) an eye works at, from the (width, height) of its training frames.

    Median shape, about WORKING_PIXELS at most, never larger than the median frame but for the least side. One fixed
    size: a frame of another shape is stretched to it, so that a place in the picture keeps its meaning (the rim of a
    part stays at the rim), which on parts of differing size was worth more than an equal scale.
    """
    widths, heights = (np.array(side, float) for side in zip(*sizes, strict=True))
    ratio = float(np.exp(np.median(np.log(widths / heights))))
    native = float(np.median(widths * heights))
    pixels = native if native <= _NATIVE_SHARE * WORKING_PIXELS else float(WORKING_PIXELS)
    columns = _to_multiple(math.sqrt(pixels * ratio))
    rows = _to_multiple(math.sqrt(pixels / ratio))
    if rows * columns > 2 * WORKING_PIXELS:  # a strip so long that its short side is already at the limit
        longest = WORKING_PIXELS // min(rows, columns) // _WORKING_MULTIPLE * _WORKING_MULTIPLE
        rows, columns = min(rows, longest), min(columns, longest)
    return rows, columns


def fit_to(grey: Grey, rows: int, columns: int) -> Grey:
    """The picture at the eye's working size: float32[rows, columns], area averages when shrinking."""
    if grey.shape == (rows, columns):
        return grey
    shrinks = rows <= grey.shape[0] and columns <= grey.shape[1]
    resized = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG of uint8[rows, columns] (grey) or uint8[rows, columns, 3] (blue, green, red)."""
    ok, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise ValueError(f"no PNG of shape {pixels.shape}")
    return bytes(encoded.data)


def regions(over: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Connected regions (8 neighbours): labels int32[rows, columns] (0: none), int32[n, 4] of x, y, width, height."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(over.astype(np.uint8), connectivity=8)
    return np.asarray(labels, np.int32), np.asarray(stats[1:, :4], np.int32)


def _reduction(width: int, height: int) -> int:
    """How far libjpeg may shrink while decoding. From the image alone, never from the eye: fingerprints must not change
    when an eye is retrained at another size."""
    for factor in (8, 4, 2):
        if (width // factor) * (height // factor) >= WORKING_PIXELS:
            return factor
    return 1


def _to_grey(decoded: npt.NDArray[np.generic]) -> Grey:
    if decoded.dtype == np.uint8:
        return decoded.astype(np.float32)
    if decoded.dtype == np.uint16:
        return decoded.astype(np.float32) / np.float32(257)
    if np.issubdtype(decoded.dtype, np.floating):
        finite = np.nan_to_num(decoded.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
        return np.clip(finite, 0, 1) * np.float32(255)
    raise BadRecord("image_unreadable", f"pixels of type {decoded.dtype} are not supported")


def _to_multiple(side: float) -> int:
    return max(_WORKING_SIDE_MIN, round(side / _WORKING_MULTIPLE) * _WORKING_MULTIPLE)
