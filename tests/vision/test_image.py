from __future__ import annotations

import resource
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import BadRecord
from vision.header import read_header
from vision.image import WORKING_PIXELS, decode, fit_to, working_size

PIXELS_MAX = 100_000_000


def reason(body: bytes, pixels_max: int = PIXELS_MAX) -> str:
    with pytest.raises(BadRecord) as caught:
        decode(body, pixels_max)
    return caught.value.reason


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.fixture(scope="module")
def noise() -> Any:
    return np.random.default_rng(3).integers(0, 256, (60, 80), np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".bmp"])
def test_every_format_of_the_contract_decodes_and_its_header_is_read(noise: Any, suffix: str) -> None:
    encoded = bytes(cv2.imencode(suffix, noise)[1].data)
    assert (read_header(encoded).width, read_header(encoded).height) == (80, 60)
    picture = decode(encoded, PIXELS_MAX)
    assert picture.grey.shape == (60, 80)
    assert np.abs(picture.grey - noise).max() <= (60 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".bmp"])
@pytest.mark.parametrize("kept", [0.99, 0.7, 0.3])
def test_a_truncated_image_is_refused_and_never_half_grey(noise: Any, suffix: str, kept: float) -> None:
    encoded = bytes(cv2.imencode(suffix, noise)[1].data)
    assert reason(encoded[: int(kept * len(encoded))]) in ("image_truncated", "image_unreadable")


def test_a_400_megapixel_png_header_allocates_nothing() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    body = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert reason(body) == "image_too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; the picture would be 400 MB


def test_a_text_file_an_empty_body_and_another_format_are_named() -> None:
    assert reason(b"this is not a picture, whatever its name says") == "image_unknown_format"
    assert reason(b"GIF89a" + bytes(100)) == "image_unknown_format"
    assert reason(b"") == "image_empty"
    assert reason(b"\xff\xd8\xff\xe0") == "image_truncated"


def test_colour_16_bit_and_float_images_become_grey_of_the_same_range(noise: Any) -> None:
    def grey(pixels: Any, suffix: str) -> Any:
        return decode(bytes(cv2.imencode(suffix, pixels)[1].data), PIXELS_MAX).grey

    colour = np.repeat(noise[:, :, None], 3, axis=2)
    assert np.abs(grey(colour, ".png") - noise).max() <= 1
    assert np.abs(grey(np.dstack([colour, noise]), ".png") - noise).max() <= 1
    assert np.abs(grey(noise.astype(np.uint16) * 257, ".png") - noise).max() < 1e-3
    assert np.abs(grey(noise.astype(np.float32) / 255, ".tiff") - noise).max() < 1e-3
    assert np.isfinite(grey(np.full((20, 20), np.nan, np.float32), ".tiff")).all()


def test_equal_pixels_have_an_equal_fingerprint_in_any_lossless_format(noise: Any) -> None:
    prints = {decode(bytes(cv2.imencode(s, noise)[1].data), PIXELS_MAX).fingerprint for s in (".png", ".bmp", ".tiff")}
    other = noise.copy()
    other[5, 5] ^= 1
    assert len(prints) == 1
    assert decode(bytes(cv2.imencode(".png", other)[1].data), PIXELS_MAX).fingerprint not in prints


def test_a_large_jpeg_is_decoded_reduced_and_keeps_its_own_size() -> None:
    pixels = np.full((720, 1280), 90, np.uint8)
    picture = decode(bytes(cv2.imencode(".jpg", pixels)[1].data), PIXELS_MAX)
    assert (picture.width, picture.height) == (1280, 720)
    assert WORKING_PIXELS <= picture.grey.size < pixels.size / 3


@given(st.lists(st.tuples(st.integers(1, 30_000), st.integers(1, 30_000)), min_size=1, max_size=5))
def test_a_working_size_is_bounded_and_divisible(sizes: list[tuple[int, int]]) -> None:
    rows, columns = working_size(sizes)
    assert rows % 8 == columns % 8 == 0
    assert min(rows, columns) >= 32
    assert rows * columns <= 2 * WORKING_PIXELS


def test_the_working_size_keeps_the_shape_and_never_enlarges() -> None:
    assert working_size([(640, 480)] * 3) == (240, 320)
    assert working_size([(128, 96)]) == (96, 128)
    assert working_size([(320, 256)]) == (256, 320)
    rows, columns = working_size([(2448, 2048)])
    assert columns / rows == pytest.approx(2448 / 2048, rel=0.05)
    assert fit_to(np.zeros((5, 7), np.float32), 32, 40).shape == (32, 40)


@settings(max_examples=200)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM"])
)
def test_no_bytes_make_the_decoder_raise_anything_but_a_bad_record(body: bytes, start: bytes) -> None:
    try:
        decode(start + body, 10_000)
    except BadRecord as error:
        assert error.reason.startswith("image_")  # noqa: PT017 - any other exception fails the test by itself


@settings(max_examples=150)
@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from([".jpg", ".png", ".tiff", ".bmp"]))
def test_a_damaged_image_decodes_or_is_a_bad_record(place: int, value: int, suffix: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 24), np.uint8)
    body = bytearray(cv2.imencode(suffix, pixels)[1].data)
    body[place % len(body)] = value
    try:
        picture = decode(bytes(body), 10_000)
    except BadRecord:
        return
    assert picture.grey.dtype == np.float32
    assert np.isfinite(picture.grey).all()
