"""Encoded image in, pixels out. The only file that knows OpenCV (the simulated plant's camera aside).

Training and serving go through the same two steps: `decode` (grey at once unless the eye sees colour, JPEG at a reduced
scale where that will do) and `fit_to` (area average to the eye's working size).
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ingest.errors import BadRecord
from vision.header import check_complete, read_header

Grey = npt.NDArray[np.float32]

#: Pixels an eye works on: half of a VGA frame in each direction. The eye's time is linear in it.
WORKING_PIXELS = 320 * 240
_WORKING_MULTIPLE = 8  # three halvings in the filter bank must come out even
TEXT_ROWS, _TEXT_SCALE = 16, 0.42
_LINE_SHIFT = 4  # lines are drawn to a sixteenth of a pixel
_NATIVE_SHARE = 1.25  # of WORKING_PIXELS: a frame hardly larger is taken as it is, resampling would only blur it
_WORKING_SIDE_MIN = 72  # the coarsest level must be wider than its filters' reflection
#: A frame with more pixels is also looked at in tiles, at a scale of at most DETAIL_PIXELS: at working size alone a
#: defect of ten pixels in it would be less than one.
LARGE_PIXELS = 1_000_000
DETAIL_PIXELS = 6_000_000
_REDUCED = {
    False: (
        cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
        cv2.IMREAD_REDUCED_GRAYSCALE_2,
        cv2.IMREAD_REDUCED_GRAYSCALE_4,
        cv2.IMREAD_REDUCED_GRAYSCALE_8,
    ),
    True: (
        cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
        cv2.IMREAD_REDUCED_COLOR_2,
        cv2.IMREAD_REDUCED_COLOR_4,
        cv2.IMREAD_REDUCED_COLOR_8,
    ),
}

cv2.setNumThreads(1)  # one process a core: OpenCV's own threads only get into each other's way


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame. `grey`: float32[rows, columns] in 0..255, maybe reduced; `width`, `height` as it came.

    `fingerprint`: equal for equal pixels, however they were encoded without loss. `chroma`: float32[rows, columns, 2]
    in -255..255, red less green and yellow less blue, where colour was asked for.
    """

    grey: Grey
    width: int
    height: int
    fingerprint: str
    chroma: Grey | None = None


def decode(body: bytes, pixels_max: int, colour: bool = False) -> Picture:
    """Decode an image. 16-bit images are scaled to 0..255 by their type's range, floats count as 0..1.

    Raises BadRecord: `image_empty`, `image_unknown_format`, `image_too_large` (from the header, before any decoding),
    `image_truncated`, `image_unreadable`.
    """
    header = read_header(body)
    if header.pixels > pixels_max:
        raise BadRecord("image_too_large", f"{header.width} x {header.height} pixels, at most {pixels_max} allowed")
    check_complete(body, header)
    reduction = _reduction(header.width, header.height)
    by_decoder = reduction if header.kind == "jpeg" else 0
    flags = _REDUCED[colour][by_decoder] | cv2.IMREAD_IGNORE_ORIENTATION  # boxes are in pixels of the frame as it came
    try:
        decoded = cv2.imdecode(np.frombuffer(body, np.uint8), flags)
    except cv2.error as error:
        raise BadRecord("image_unreadable", f"{header.kind}: {str(error)[:200]}") from error
    if decoded is None:
        raise BadRecord("image_unreadable", f"{header.kind} of {header.width} x {header.height} does not decode")
    digest = hashlib.blake2b(repr((header.width, header.height)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(decoded).data)
    by_hand = reduction - by_decoder if header.pixels > LARGE_PIXELS else 0
    pixels = _to_bytes_range(_halved(decoded, by_hand))
    grey, chroma = (pixels, None) if pixels.ndim == 2 else (_luminance(pixels), _opponents(pixels))
    return Picture(grey, header.width, header.height, digest.hexdigest(), chroma)


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


def detail_scale(sizes: Sequence[tuple[int, int]], rows: int, columns: int) -> int:
    """How many times larger than its working size an eye also looks at frames of these (width, height), in each
    direction: not larger than the median frame nor than DETAIL_PIXELS; 0 for frames of at most LARGE_PIXELS."""
    native = float(np.median([width * height for width, height in sizes]))
    if native <= LARGE_PIXELS:
        return 0
    scale = math.isqrt(int(min(native, DETAIL_PIXELS)) // (rows * columns))
    return scale if scale > 1 else 0


def fit_to(pixels: Grey, rows: int, columns: int) -> Grey:
    """The picture at the eye's working size: float32[rows, columns] (or with planes), area averages when shrinking."""
    if pixels.shape[:2] == (rows, columns):
        return pixels
    how = cv2.INTER_AREA if rows <= pixels.shape[0] and columns <= pixels.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=how), np.float32)


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
    """How often libjpeg may halve while decoding. From the image alone, never from the eye: fingerprints must not
    change when an eye is retrained at another size."""
    enough = DETAIL_PIXELS if width * height > LARGE_PIXELS else WORKING_PIXELS
    for halvings in (3, 2, 1):
        if (width >> halvings) * (height >> halvings) >= enough:
            return halvings
    return 0


def _halved(pixels: npt.NDArray[Any], halvings: int) -> npt.NDArray[Any]:
    """As libjpeg does while decoding, for large frames of other kinds: 24 megapixels in colour as floats take 1 GB."""
    if not halvings or pixels.dtype not in (np.uint8, np.uint16, np.float32):
        return pixels
    rows, columns = (-(-side >> halvings) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA))


def _to_bytes_range(decoded: npt.NDArray[np.generic]) -> Grey:
    if decoded.dtype == np.uint8:
        return decoded.astype(np.float32)
    if decoded.dtype == np.uint16:
        return decoded.astype(np.float32) / np.float32(257)
    if np.issubdtype(decoded.dtype, np.floating):
        finite = np.nan_to_num(decoded.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
        return np.clip(finite, 0, 1) * np.float32(255)
    raise BadRecord("image_unreadable", f"pixels of type {decoded.dtype} are not supported")


def _luminance(pixels: Grey) -> Grey:
    """Of blue, green, red (ITU-R BT.601, what a JPEG's own grey is)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.float32)


def _opponents(pixels: Grey) -> Grey:
    """Red less green, yellow less blue: what grey does not see (Hering's opponent colours)."""
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.stack([red - green, 0.5 * (red + green) - blue], axis=-1)


def _to_multiple(side: float) -> int:
    return max(_WORKING_SIDE_MIN, round(side / _WORKING_MULTIPLE) * _WORKING_MULTIPLE)


def blurred(pixels: Grey, sigma: float) -> Grey:
    """Gaussian blur of float32[rows, columns], its rim mirrored."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.float32)


def laplacian(pixels: Grey) -> Grey:
    """The 4-neighbour Laplacian of float32[rows, columns]."""
    return np.asarray(cv2.Laplacian(pixels, cv2.CV_32F, ksize=1), np.float32)


def stretched(pixels: Grey, rows: int, columns: int) -> Grey:
    """Smoothly enlarged (cubic) to float32[rows, columns]."""
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32)


def turned(pixels: Grey, degrees: float, scale: float, shift: tuple[float, float]) -> Grey:
    """Turned about its middle, scaled, and moved by `shift` pixels (x, y); beyond its rim is its mirror image."""
    rows, columns = pixels.shape
    motion = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, scale)
    motion[:, 2] += np.array(shift)
    return np.asarray(cv2.warpAffine(pixels, motion, (columns, rows), borderMode=cv2.BORDER_REFLECT), np.float32)


def polyline(rows: int, columns: int, points: npt.NDArray[np.floating], width: float) -> Grey:
    """A line through points [n, 2] of x, y: float32[rows, columns], how much of each pixel it covers (0..1).

    A line thinner than a pixel covers its pixels only in part."""
    drawn = np.zeros((2 * rows, 2 * columns), np.uint8)  # at twice the size, so that half pixels of width count
    vertices = np.round(np.clip(points, -1e4, 1e4) * 2 * 8).astype(np.int32).reshape(-1, 1, 2)
    thickness = min(max(1, round(2 * width)), 255)
    cv2.polylines(drawn, [vertices], False, 255, thickness, cv2.LINE_AA, 3)  # 3 bits of the coordinates are fractions
    return np.asarray(cv2.resize(drawn, (columns, rows), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def draw_line(mask: npt.NDArray[np.uint8], points: npt.NDArray[np.float64], width: float) -> None:
    """Draw a line, round at its ends and corners, into mask (255). `points`: float64[n, 2] of x, y, one at least."""
    fixed = np.rint(points * (1 << _LINE_SHIFT)).astype(np.int32)
    radius = max(1, round(width / 2 * (1 << _LINE_SHIFT)))
    for first, last in itertools.pairwise(fixed):
        across = _across(first, last, radius)
        if across is not None:
            cv2.fillConvexPoly(mask, across, 255, shift=_LINE_SHIFT)
    for x, y in fixed:
        cv2.circle(mask, (int(x), int(y)), radius, 255, cv2.FILLED, shift=_LINE_SHIFT)


def _across(first: npt.NDArray[np.int32], last: npt.NDArray[np.int32], radius: int) -> npt.NDArray[np.int32] | None:
    """The four corners of a stretch of line; OpenCV's own thick lines know only whole pixels of width."""
    along = (last - first).astype(np.float64)
    length = float(np.hypot(*along))
    if not length:
        return None
    aside = np.array([-along[1], along[0]]) * (radius / length)
    return np.rint([first + aside, last + aside, last - aside, first - aside]).astype(np.int32)


def shrink_mask(mask: npt.NDArray[np.uint8], rows: int, columns: int) -> Grey:
    """The share of each of rows x columns cells that a mask (0 or 255) covers: float32, 0..1."""
    return fit_to(np.asarray(mask, np.float32), rows, columns) / np.float32(255)


def decode_mask(body: bytes) -> npt.NDArray[np.bool_]:
    """A PNG mask as bool[rows, columns]: True where any of its colours is not zero. Raises BadRecord as `decode`."""
    try:
        decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise BadRecord("image_unreadable", f"a mask: {str(error)[:200]}") from error
    if decoded is None:
        raise BadRecord("image_unreadable", "the mask does not decode")
    return np.asarray(np.any(decoded != 0, axis=-1), np.bool_)


def moved(pixels: Grey, degrees: float, shift: tuple[float, float]) -> Grey:
    """What lies turned by `degrees` (clockwise as seen, about the middle) and then moved by `shift` (x, y) is laid back
    straight: float32[rows, columns], beyond the rim its pixels go on."""
    rows, columns = pixels.shape
    middle = np.array([(columns - 1) / 2, (rows - 1) / 2])
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    motion = np.column_stack([turn, middle + np.array(shift) - turn @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(pixels, motion, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, np.float32)


def coloured(grey: Grey, chroma: Grey | None) -> npt.NDArray[np.uint8]:
    """uint8[rows, columns, 3] (blue, green, red) of a picture's grey and, where it has one, its chroma."""
    if chroma is None:
        return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    red_green, yellow_blue = chroma[..., 0], chroma[..., 1]
    green = grey - 0.356 * red_green + 0.114 * yellow_blue  # solved from the luminance and the opponents above
    red = green + red_green
    blue = 0.5 * (red + green) - yellow_blue
    return np.asarray(np.clip(np.stack([blue, green, red], axis=-1), 0, 255), np.uint8)


def write_text(pixels: npt.NDArray[np.uint8], text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    """Plain characters, TEXT_ROWS high, their upper left corner at (x, y), on a dark rim so that they show on any
    ground. pixels: uint8[rows, columns, 3]."""
    plain, foot = text.encode("ascii", "replace").decode(), y + TEXT_ROWS - 4
    rim = [(across, down, (0, 0, 0)) for across in (-1, 0, 1) for down in (-1, 0, 1)]
    for across, down, shade in (*rim, (0, 0, colour)):  # thicker letters would be wider ones, not a rim
        start = (x + across, foot + down)
        cv2.putText(pixels, plain, start, cv2.FONT_HERSHEY_SIMPLEX, _TEXT_SCALE, shade, 1, cv2.LINE_AA)


def text_columns(text: str) -> int:
    """How wide `write_text` writes it."""
    size, _ = cv2.getTextSize(text.encode("ascii", "replace").decode(), cv2.FONT_HERSHEY_SIMPLEX, _TEXT_SCALE, 1)
    return int(size[0]) + 2
