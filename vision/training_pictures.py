"""Training frames as pictures at working size: the same decode and fit as in serving, with unreadable ones left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.errors import BadRecord
from ingest.messages import Frame
from vision.folds import TrainingFrame, draw_evenly
from vision.header import read_header
from vision.image import Grey, Picture, decode, fit_to, working_size

_FRAMES_MEASURED = 60  # their median shape is the working shape


@dataclass(frozen=True, slots=True)
class TrainingPictures:
    """Loads frames of one camera at its working size."""

    rows: int
    columns: int
    pixels_max: int

    @classmethod
    def of(cls, frames: Sequence[TrainingFrame], good: Sequence[bool], pixels_max: int) -> TrainingPictures | None:
        """The working size from the headers of good frames; None when none of those drawn can be read."""
        drawn = draw_evenly(frames, [i for i, is_good in enumerate(good) if is_good], _FRAMES_MEASURED)
        sizes = [size for i in drawn if (size := _size(frames[i], pixels_max)) is not None]
        return cls(*working_size(sizes), pixels_max) if sizes else None

    def load(self, frame: TrainingFrame) -> tuple[Picture, Grey] | None:
        """The picture and float32[rows, columns] of it; None when it cannot be read."""
        try:
            picture = decode(load_body(frame), self.pixels_max)
        except BadRecord:
            return None  # counted where frames are read for the log; here it only teaches nothing
        return picture, fit_to(picture.grey, self.rows, self.columns)


def load_body(frame: TrainingFrame) -> bytes:
    """The encoded image; empty when the file cannot be read, which then is an unreadable frame like any other."""
    try:
        return frame.load()
    except (BadRecord, OSError):
        return b""


def frame_of(frame: TrainingFrame, body: bytes) -> Frame:
    return Frame(
        part_id=frame.part_id,
        line_id=frame.line_id,
        camera_id=frame.camera_id,
        captured_at=frame.captured_at,
        content_type="",
        body=body,
        station_id=frame.station_id,
        frame_id=frame.frame_id,
    )


def _size(frame: TrainingFrame, pixels_max: int) -> tuple[int, int] | None:
    try:
        header = read_header(load_body(frame))
    except BadRecord:
        return None
    return (header.width, header.height) if header.pixels <= pixels_max else None
