"""Training frames as an eye takes them: the same decode and fit as in serving, with unreadable ones left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ingest.errors import BadRecord
from ingest.messages import Frame
from vision.eye.looks import Optics
from vision.eye.posing import PICTURES_MAX, Posing, learn_posing
from vision.feed import Feed, feed_of
from vision.guests.backbone import Backbone
from vision.header import read_header
from vision.image import Picture, decode, detail_scale, working_size
from vision.training.folds import TrainingFrame, draw_evenly

_FRAMES_MEASURED = 60  # their median shape is the working shape
_FRAMES_COLOURED = 12  # decoded in colour to see whether there is any
_COLOUR_MIN = 4.0  # levels, root mean square of the opponent planes: what JPEG makes of a grey picture is less


@dataclass(frozen=True, slots=True)
class TrainingPictures:
    """Loads frames of one camera at its working size."""

    optics: Optics
    pixels_max: int
    posing: Posing | None = None
    backbone: Backbone | None = None

    @classmethod
    def of(cls, frames: Sequence[TrainingFrame], good: Sequence[bool], pixels_max: int) -> TrainingPictures | None:
        """The working size from the headers of good frames, colour from some of them; None when none of those drawn can
        be read."""
        candidates = [i for i, is_good in enumerate(good) if is_good]
        drawn = draw_evenly(frames, candidates, _FRAMES_MEASURED)
        sizes = [size for i in drawn if (size := _size(frames[i], pixels_max)) is not None]
        if not sizes:
            return None
        colour = _colourful([frames[i] for i in draw_evenly(frames, candidates, _FRAMES_COLOURED)], pixels_max)
        rows, columns = working_size(sizes)
        return cls(Optics(rows, columns, colour, detail_scale(sizes, rows, columns)), pixels_max)

    def load(self, frame: TrainingFrame) -> tuple[Picture, Feed] | None:
        """The picture and what the eye takes of it; None when it cannot be read."""
        try:
            picture = decode(load_body(frame), self.pixels_max, self.optics.colour)
        except BadRecord:
            return None  # counted where frames are read for the log; here it only teaches nothing
        return picture, feed_of(picture, self.optics, self.posing)

    def posed(self, frames: Sequence[TrainingFrame], good: Sequence[bool], folds: Sequence[int]) -> TrainingPictures:
        """The same, knowing how the parts of good frames lie."""
        drawn = draw_evenly(frames, [i for i, is_good in enumerate(good) if is_good], PICTURES_MAX)
        loaded = [(one[1].frame, folds[i]) for i in drawn if (one := self.load(frames[i])) is not None]
        may_align = not self.optics.colour and not self.optics.detail
        return replace(self, posing=learn_posing([p for p, _ in loaded], [fold for _, fold in loaded], may_align))


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
        product=frame.named_product,
    )


def _colourful(frames: Sequence[TrainingFrame], pixels_max: int) -> bool:
    """Whether most of the frames hold colour."""
    strengths = []
    for frame in frames:
        try:
            chroma = decode(load_body(frame), pixels_max, colour=True).chroma
        except BadRecord:
            continue
        if chroma is not None:
            strengths.append(float(np.sqrt(np.mean(chroma**2))))
    return bool(strengths) and float(np.median(strengths)) >= _COLOUR_MIN


def _size(frame: TrainingFrame, pixels_max: int) -> tuple[int, int] | None:
    try:
        header = read_header(load_body(frame))
    except BadRecord:
        return None
    return (header.width, header.height) if header.pixels <= pixels_max else None
