"""One frame in, findings out. The whole of vision's serving road; nothing in an image makes it raise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.errors import BadRecord, ModelRefused
from ingest.messages import Findings, Fitness, Frame, Instant, ModelName
from models.open import OpenModel
from vision.eye.detail import DETAIL_FILE, detail_map
from vision.eye.notes import EYE_FILE, EyeNotes, eye_of, open_eye, products_of
from vision.eye.posing import laid_back, pose_measures
from vision.feed import Feed, feed_of
from vision.fitness import judge_fitness, measure, unfit
from vision.image import Picture, decode, fit_to, working_size
from vision.regions import ScoreMap, find_boxes, heatmap_png, name_boxes
from vision.training.options import PIXELS_MAX


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one frame. `heatmap`: grey PNG, its middle grey at the box threshold. `trouble`: why it could not be
    read; its record also goes to the dead letters."""

    findings: Findings
    heatmap: bytes | None = field(repr=False)
    trouble: BadRecord | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What an eye's graph and the fitness measures say of one picture; `width`, `height` in pixels as it came.

    odd: float32[h, w], how odd each cell is. tops: float32[scorers + 1], what the score is made of. kinds:
    float32[kinds, h, w], the logit of each taught kind of defect, and taught, their score, where the eye was taught.
    """

    width: int
    height: int
    fingerprint: str
    score: float
    odd: ScoreMap
    tops: npt.NDArray[np.float32]
    measures: Mapping[str, float]
    kinds: ScoreMap | None = None
    taught: float | None = None


def see(picture: Picture, feed: Feed, outputs: Sequence[npt.NDArray[np.float32]]) -> Sight:
    """The outputs of an eye's graph (eye_graph.EYE_OUTPUTS), laid on the frame as it came, with its measures."""
    score, odd, tops, typical, *taught = outputs
    every = measure(picture, feed.frame) | {"typical": float(typical)}
    if feed.pose is not None:
        rows, columns = feed.frame.shape
        every |= pose_measures(feed.pose, picture.width / columns, picture.height / rows)
        if feed.straightened:
            cell = rows / odd.shape[0]
            odd = laid_back(odd, feed.pose, cell)
            taught[:1] = [np.stack([laid_back(kind, feed.pose, cell) for kind in kinds]) for kinds in taught[:1]]
    size = (picture.width, picture.height, picture.fingerprint)
    if not taught:
        return Sight(*size, float(score), odd, tops, every)
    return Sight(*size, float(score), odd, tops, every, taught[0], float(taught[1]))


def eye_feed(picture: Picture, model: OpenModel, notes: EyeNotes) -> Feed:
    """What a live eye takes of a picture; of a large one also what its tiles show."""
    feed = feed_of(picture, notes.optics, notes.posing)
    if not notes.detail:
        return feed
    return replace(feed, detail=detail_map(picture, notes.optics, partial(model.run, DETAIL_FILE)))


@dataclass(frozen=True, slots=True)
class Eyes:
    """The live eyes of some cameras, each by its camera or `camera@product` (`notes.eye_of`).

    `refused`: eye -> why it does not open."""

    _open: Mapping[str, tuple[OpenModel, EyeNotes]] = field(repr=False)
    refused: Mapping[str, str]
    pixels_max: int = PIXELS_MAX

    @classmethod
    def open(cls, shelf: Path, cameras: Iterable[str], pixels_max: int = PIXELS_MAX) -> Eyes:
        """Open what opens; a camera or product whose eye is refused, a camera without one, is `model_not_ready`."""
        opened: dict[str, tuple[OpenModel, EyeNotes]] = {}
        refused: dict[str, str] = {}
        for camera in dict.fromkeys(cameras):
            for product in ("", *products_of(shelf, camera)):
                try:
                    opened[eye_of(camera, product)] = open_eye(shelf, camera, product)
                except ModelRefused as error:
                    refused[eye_of(camera, product)] = str(error)
        return cls(opened, refused, pixels_max)

    def inspect(self, frame: Frame, inspected_at: Instant) -> Look:
        """Inspect a frame whose image is in `body` (a `ref` is resolved by the caller)."""
        blank = blank_findings(frame, inspected_at)
        eye = self.eye_for(frame)
        try:
            picture = decode(frame.body, self.pixels_max, eye in self._open and self._open[eye][1].colour)
        except BadRecord as trouble:
            return Look(blank, None, trouble)
        if eye not in self._open:
            return Look(_unready(blank, picture), None)
        model, notes = self._open[eye]
        feed = eye_feed(picture, model, notes)
        sight = see(picture, feed, model.run(EYE_FILE, feed.inputs))
        findings = report(blank, sight, notes, model.model_name)
        return Look(findings, heatmap_png(sight.odd, notes.box_cut))

    def opened(self, frame: Frame) -> tuple[OpenModel, EyeNotes] | None:
        """The eye that inspects a frame; None where there is none that opens."""
        return self._open.get(self.eye_for(frame))

    @property
    def cameras(self) -> list[str]:
        """The eyes that opened, by `notes.eye_of`."""
        return list(self._open)

    def eye_for(self, frame: Frame) -> str:
        """The product's own eye where there is one, refused or not; else the one that all products share."""
        own = eye_of(frame.camera_id, frame.product)
        return own if own in self._open or own in self.refused else eye_of(frame.camera_id)

    def misses_product(self, frame: Frame) -> bool:
        """Does the frame not say its product, at a camera where some product has its own eye?"""
        prefix = f"{eye_of(frame.camera_id)}@"
        return not frame.product and any(eye.startswith(prefix) for eye in (*self._open, *self.refused))


def report(blank: Findings, sight: Sight, notes: EyeNotes, model: ModelName | None) -> Findings:
    """Fill in what was seen. Serving and training's out-of-fold findings (of no model on a shelf) both end here."""
    flagged = sight.score > notes.threshold
    boxes = find_boxes(sight.odd, notes.box_cut, flagged, sight.width, sight.height)
    if sight.kinds is not None and flagged:
        boxes = name_boxes(boxes, sight.kinds, notes.kinds, sight.width, sight.height)
    return msgspec.structs.replace(
        blank,
        score=round(sight.score, 4),
        threshold=round(notes.threshold, 4),
        fitness=judge_fitness(sight.measures, notes.limits),
        boxes=boxes,
        fingerprint=sight.fingerprint,
        model=model,
        scores=_shares(sight.tops, notes),
    )


def _shares(tops: npt.NDArray[np.float32], notes: EyeNotes) -> dict[str, float]:
    """Each scorer's own score, in units of its spread on good frames above their mean."""
    if len(notes.score_means) != len(tops):
        return {}  # an eye of before, or one whose graph is somebody else's
    every = zip(notes.scorers, tops, notes.score_means, notes.score_spreads, strict=True)
    return {name: round((float(top) - mean) / spread, 2) for name, top, mean, spread in every}


def blank_findings(frame: Frame, inspected_at: Instant) -> Findings:
    """Findings of a frame of which nothing could be read."""
    return Findings(
        part_id=frame.part_id,
        line_id=frame.line_id,
        station_id=frame.station_id,
        camera_id=frame.camera_id,
        frame_id=frame.frame_id or f"{frame.camera_id}@{frame.captured_at.isoformat()}",
        captured_at=frame.captured_at,
        inspected_at=inspected_at,
        score=None,
        threshold=None,
        fitness=Fitness(ok=False, problems=["unreadable"]),
        product=frame.product,
    )


def _unready(blank: Findings, picture: Picture) -> Findings:
    rows, columns = working_size([(picture.width, picture.height)])
    measures = measure(picture, fit_to(picture.grey, rows, columns))
    return msgspec.structs.replace(blank, fitness=unfit(["model_not_ready"], measures), fingerprint=picture.fingerprint)
