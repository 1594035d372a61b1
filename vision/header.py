"""What an encoded image says of itself, read from its first bytes: nothing is allocated for a picture too large,
and a file that ends early is told from a whole one (libjpeg would fill the rest with grey and say nothing).

Formats: JPEG (ITU-T T.81), PNG (W3C PNG, chunks), TIFF 6.0 and BMP.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ingest.errors import BadRecord

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers carry the size: C0..CF without C4 (tables), C8 (reserved) and CC (conditioning), T.81 table B.1
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset(range(0xD0, 0xD8)) | {0x01}  # markers without a length
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_SIZES = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG: the types a size may have


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """`kind`: jpeg, png, tiff or bmp; size in pixels as encoded."""

    kind: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def read_header(body: bytes) -> ImageHeader:
    """The header of an encoded image. Raises BadRecord `image_empty`, `image_unknown_format`, `image_truncated`."""
    if not body:
        raise BadRecord("image_empty", "the frame has no bytes")
    try:
        header = _dispatch(body)
    except (struct.error, IndexError) as error:
        raise BadRecord("image_truncated", f"the header ends after {len(body)} bytes") from error
    if header.width <= 0 or header.height <= 0:
        raise BadRecord("image_unreadable", f"{header.kind} of {header.width} x {header.height} pixels")
    return header


def _dispatch(body: bytes) -> ImageHeader:
    if body.startswith(b"\xff\xd8\xff"):
        return _jpeg(body)
    if body.startswith(_PNG_SIGNATURE):
        return _png(body)
    if body[:4] in (b"II*\x00", b"MM\x00*"):
        return _tiff(body)
    if body.startswith(b"BM"):
        return _bmp(body)
    raise BadRecord("image_unknown_format", f"neither JPEG, PNG, TIFF nor BMP: begins with {body[:8]!r}")


def _jpeg(body: bytes) -> ImageHeader:
    at, size = 2, (0, 0)
    while True:
        if body[at] != 0xFF:
            raise BadRecord("image_unreadable", f"JPEG: no marker at byte {at}")
        marker = body[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _JPEG_ALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", body, at + 2)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", body, at + 5)
            size = (width, height)
        if marker == 0xDA:  # the picture itself begins; within it 0xFF is escaped, so EOI can only be its end
            if size == (0, 0):
                raise BadRecord("image_unreadable", "JPEG without a frame header")
            if body.find(b"\xff\xd9", at) < 0:
                raise BadRecord("image_truncated", f"JPEG without its end after {len(body)} bytes")
            return ImageHeader("jpeg", *size)
        at += 2 + max(length, 2)


def _png(body: bytes) -> ImageHeader:
    if body[12:16] != b"IHDR":
        raise BadRecord("image_unreadable", "PNG without IHDR")
    width, height = struct.unpack_from(">II", body, 16)
    return ImageHeader("png", width, height)


def check_complete(body: bytes, header: ImageHeader) -> None:
    """Walk a PNG's chunks to its end. Raises BadRecord `image_truncated`. (A JPEG's end is seen by `read_header`.)"""
    if header.kind != "png":
        return
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(body):
        (length,) = struct.unpack_from(">I", body, at)
        if body[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + length
    raise BadRecord("image_truncated", f"PNG without its end after {len(body)} bytes")


def _bmp(body: bytes) -> ImageHeader:
    (header_bytes,) = struct.unpack_from("<I", body, 14)
    if header_bytes == 12:  # OS/2 core header
        width, height = struct.unpack_from("<HH", body, 18)
        return ImageHeader("bmp", width, height)
    width, height = struct.unpack_from("<ii", body, 18)
    return ImageHeader("bmp", width, abs(height))  # a negative height: stored top row first


def _tiff(body: bytes) -> ImageHeader:
    order = "<" if body[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", body, 4)
    (entries,) = struct.unpack_from(order + "H", body, at)
    sizes = {_TIFF_WIDTH: 0, _TIFF_HEIGHT: 0}
    for entry in range(entries):
        tag, kind, _count = struct.unpack_from(order + "HHI", body, at + 2 + 12 * entry)
        if tag in sizes and kind in _TIFF_SIZES:
            start = at + 10 + 12 * entry  # a value of four bytes or less stands in the entry, left-aligned
            raw = body[start : start + _TIFF_SIZES[kind]]
            sizes[tag] = int.from_bytes(raw, "little" if order == "<" else "big")
    return ImageHeader("tiff", sizes[_TIFF_WIDTH], sizes[_TIFF_HEIGHT])
