"""A screenshot as a small PNG: the colours of the page as they are, the many of a photograph in a palette of 256."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

BYTES_MAX = 150_000  # a document with thirty of them opens at once
PALETTES = (256, 128, 64)
EXACT = 5 / 8  # of the palette: the most frequent colours of a page, its text's edges among them, are kept exactly

Pixels = npt.NDArray[np.uint8]


def small_png(shot: bytes) -> bytes:
    """The same picture in as many colours as BYTES_MAX allows; the same bytes for the same picture."""
    pixels = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    height, width = pixels.shape[:2]
    packed = pixels.reshape(-1, 3).astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)  # as 0xRRGGBB
    colours, which, counts = np.unique(packed, return_inverse=True, return_counts=True)
    small = b""
    for size in PALETTES:
        palette, nearest = _palette(colours, counts, size)
        small = _png(nearest[which].reshape(height, width), palette)
        if len(small) <= BYTES_MAX:
            break
    return small


def _palette(colours: npt.NDArray[np.uint32], counts: npt.NDArray[Any], size: int) -> tuple[Pixels, Pixels]:
    """Palette (up to `size` x RGB) of these colours, and the entry of each."""
    shades = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.float32)
    if len(colours) <= size:
        return shades.astype(np.uint8), np.arange(len(colours)).astype(np.uint8)
    exact = np.argsort(-counts, kind="stable")[: int(size * EXACT)]
    rest = np.setdiff1d(np.arange(len(colours)), exact)
    means = MiniBatchKMeans(min(size - len(exact), len(rest)), random_state=0, n_init=1, batch_size=4096)
    means.fit(shades[rest], sample_weight=np.sqrt(counts[rest]))
    palette = np.concatenate([shades[exact], np.rint(means.cluster_centers_)]).astype(np.float32)
    apart = (shades**2).sum(1)[:, None] - 2 * shades @ palette.T + (palette**2).sum(1)[None]
    return palette.astype(np.uint8), apart.argmin(axis=1).astype(np.uint8)


def _png(entries: Pixels, palette: Pixels) -> bytes:
    """An 8-bit PNG of palette entries (height x width); PNG specification, colour type 3."""
    height, width = entries.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in entries)
    body = chunk(b"IHDR", header) + chunk(b"PLTE", palette.tobytes()) + chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
