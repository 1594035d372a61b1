"""An eye from a whole model of somebody else's: nothing of it is trained, but its scale, its cut and its limits are.

The model has to be trained on other frames than these: on frames it has seen it scores too low, and the cut would be
too low with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from models.manifest import Manifest
from models.open import Graph
from models.shelf import save_model
from vision.eye.notes import EYE_FILE, EyeNotes, eye_name
from vision.fitness import learn_limits
from vision.guests.foreign import ForeignModel, ForeignScale, check_spread, foreign_eye_graph
from vision.guests.plugins import ModelPlugin
from vision.inspect import Sight, see
from vision.training.card import trained_on
from vision.training.conformal import ConformalCut, conformal_cut
from vision.training.folds import GOOD_FRAMES_MIN, TrainingFrame
from vision.training.pictures import TrainingPictures

SCORER = "model"
_BOX_ALPHA = 0.05  # as of every eye: one good frame in twenty may show a box
_BOX_CUT_MIN = 0.05  # a map without contrast must not box every frame


@dataclass(frozen=True, slots=True)
class ForeignEye:
    """`sights`: index -> what the eye says of each frame that can be read, its score in the eye's scale."""

    manifest: Manifest
    notes: EyeNotes
    sights: Mapping[int, Sight]


def train_foreign(
    camera: str,
    frames: Sequence[TrainingFrame],
    good: Sequence[bool],
    plugin: ModelPlugin,
    pictures: TrainingPictures,
    shelf: Path,
    progress: Callable[[str], None],
) -> ForeignEye | None:
    """Make a model the live eye of a camera; None when fewer than GOOD_FRAMES_MIN good frames can be read.

    Raises BadInput when the model does not fit or does not tell good frames apart, OSError of the shelf's disk.
    """
    optics = dataclasses.replace(pictures.optics, detail=0)  # a model sees the frame at one size
    posing = msgspec.structs.replace(pictures.posing, aligned=False) if pictures.posing is not None else None
    pictures = dataclasses.replace(pictures, optics=optics, posing=posing)
    model = plugin.open(optics.rows, optics.columns)
    progress(f"camera {camera}: looking through {plugin.file.name} at {optics.columns} x {optics.rows} pixels")
    unscaled = _look(frames, pictures, Graph.open(foreign_eye_graph(model, optics.colour)))
    of_good = [sight for index, sight in unscaled.items() if good[index]]
    if len(of_good) < GOOD_FRAMES_MIN:
        return None
    check_spread([sight.score for sight in of_good], str(plugin.file))
    scale = _scale(of_good)
    sights = {index: _in_scale(sight, scale) for index, sight in unscaled.items()}
    cut = conformal_cut([sights[index].score for index in sights if good[index]])
    notes = _notes(pictures, cut, [sights[index] for index in sights if good[index]])
    about = trained_on([frame for frame, is_good in zip(frames, good, strict=True) if is_good])
    manifest = save_model(
        shelf,
        name=eye_name(camera),
        kind="vision",
        files={EYE_FILE: foreign_eye_graph(model, optics.colour, scale)},
        features=notes.scorers,
        threshold=cut.threshold,
        trained_on=about,
        notes=notes.to_json(),
        card=_card(camera, plugin, model, cut),
    )
    progress(f"camera {camera}: eye {manifest.version}, at most {cut.promised:.1%} of good frames flagged")
    return ForeignEye(manifest, notes, sights)


def _look(frames: Sequence[TrainingFrame], pictures: TrainingPictures, eye: Graph) -> dict[int, Sight]:
    sights = {}
    for index, frame in enumerate(frames):
        if (loaded := pictures.load(frame)) is not None:
            picture, feed = loaded
            sights[index] = see(picture, feed, eye.run(feed.inputs))
    return sights


def _scale(of_good: Sequence[Sight]) -> ForeignScale:
    scores = np.array([sight.score for sight in of_good], float)
    maps = np.concatenate([sight.odd.ravel() for sight in of_good]).astype(float)
    return ForeignScale(float(scores.mean()), float(scores.std()), float(maps.mean()), float(maps.std()) or 1.0)


def _in_scale(sight: Sight, scale: ForeignScale) -> Sight:
    """The graph's own arithmetic, for frames looked at before the scale was known."""
    odd = ((sight.odd - scale.map_mean) / scale.map_spread).astype(np.float32)
    return dataclasses.replace(sight, score=(sight.score - scale.mean) / scale.spread, odd=odd)


def _notes(pictures: TrainingPictures, cut: ConformalCut, of_good: Sequence[Sight]) -> EyeNotes:
    box_cut = conformal_cut([float(sight.odd.max()) for sight in of_good], _BOX_ALPHA).threshold
    return EyeNotes(
        rows=pictures.optics.rows,
        columns=pictures.optics.columns,
        colour=pictures.optics.colour,
        posing=pictures.posing,
        scorers=[SCORER],
        threshold=cut.threshold,
        box_cut=max(box_cut, _BOX_CUT_MIN),
        limits=learn_limits([sight.measures for sight in of_good]),
        asked=cut.asked,
        promised=cut.promised,
        held_out_frames=cut.frames,
    )


def _card(camera: str, plugin: ModelPlugin, model: ForeignModel, cut: ConformalCut) -> str:
    """Markdown."""
    size = "any size" if model.input_size is None else "{} rows, {} columns".format(*model.input_size)
    clips = f"; the clip of {', '.join(model.unclipped)} is taken off" if model.unclipped else ""
    return f"""# Eye of camera {camera}

A model of your own, {plugin.file.name} (sha256 {plugin.sha256[:16]}). qcfuse has not trained it and cannot say what it
was taught; the cut alone is ours.

- Input: {model.guest.channels} planes, {size}.
- Score: {model.score or "the maximum of the map"}. Map: {model.map}{clips}.
- Threshold {cut.threshold:.3f}: split conformal from {cut.frames} good frames. At most {cut.promised:.1%} of new good
  frames like these are flagged (asked were {cut.asked:.1%}), if none of these frames trained the model.
- It cannot tell another part from a defect, and learns nothing from marks.
"""
