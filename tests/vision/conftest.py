"""A camera over brushed metal with a drilled hole: small frames whose grain, light and position vary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ingest.messages import Frame, Instant
from tests.made_once import made_once
from vision.train import TrainedEyes, train_eyes
from vision.training.folds import TrainingFrame

Pixels = npt.NDArray[np.uint8]
CAMERA = "top"


def draw(seed: int, scratch: bool = False, rows: int = 96, columns: int = 128) -> Pixels:
    """One part's picture. `scratch`: a dark line that no good part has, at the returned frame's (60..90, 50..60)."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 14, (rows, columns)), (0, 0), sigmaX=0.7, sigmaY=3)
    grey = 120 * rng.uniform(0.9, 1.1) + 3 * grain + np.linspace(-10, 10, columns)
    centre = (columns // 4 + int(rng.integers(-2, 3)), rows // 2 + int(rng.integers(-2, 3)))
    picture: Pixels = np.clip(grey, 0, 255).astype(np.uint8)
    cv2.circle(picture, centre, rows // 8, 40, -1)
    if scratch:
        cv2.line(picture, (60, 50), (90, 60), 30, 3)
    return np.asarray(picture, np.uint8)


def encode(pixels: npt.NDArray[np.generic], suffix: str = ".png") -> bytes:
    ok, encoded = cv2.imencode(suffix, pixels)
    assert ok
    return bytes(encoded.data)


def frame(body: bytes, camera: str = CAMERA) -> Frame:
    return Frame("P1", "L1", camera, Instant(1_700_000_000_000), "image/png", body, "OP40")


def training_frame(number: int, body: Callable[[], bytes], good: bool | None, batches: int = 4) -> TrainingFrame:
    return TrainingFrame(
        frame_id=f"F{number}",
        line_id="L1",
        station_id="OP40",
        camera_id=CAMERA,
        part_id=f"P{number}",
        batch_id=f"B{number % batches}",
        product="plate",
        captured_at=Instant(1_700_000_000_000 + 1000 * number),
        load=body,
        good=good,
    )


def plate_frames(good: int = 64, bad: int = 8) -> list[TrainingFrame]:
    frames = [training_frame(i, lambda i=i: encode(draw(i)), True) for i in range(good)]
    return frames + [training_frame(good + i, lambda i=i: encode(draw(10_000 + i, True)), False) for i in range(bad)]


class Plates(NamedTuple):
    shelf: Path
    trained: TrainedEyes
    frames: list[TrainingFrame]


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Plates:
    """An eye trained on the plates."""
    frames = plate_frames()
    shelf, trained = made_once(tmp_path_factory, "plates", lambda shelf: train_eyes(frames, shelf, lambda _: None))
    return Plates(shelf, trained, frames)


class Drawing(NamedTuple):
    """The functions above, for tests (which cannot import a conftest)."""

    draw: Callable[..., Pixels]
    encode: Callable[..., bytes]
    frame: Callable[..., Frame]
    training_frame: Callable[..., TrainingFrame]
    plate_frames: Callable[..., list[TrainingFrame]]


@pytest.fixture(scope="session")
def drawing() -> Drawing:
    return Drawing(draw, encode, frame, training_frame, plate_frames)
