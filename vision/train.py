"""Training the eyes: from a camera's good frames to a model on the shelf, in seconds and without a network.

Every frame is looked at by an eye whose memory and normalisation come from other lots; those out-of-fold scores are
what the threshold is cut from, and what the judge may learn from. The eye on the shelf has learned from all lots.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingest.messages import Findings
from models.manifest import Manifest
from models.shelf import save_model
from vision.card import card_of, trained_on
from vision.conformal import ConformalCut, conformal_cut
from vision.detail import DETAIL_FILE, detail_graph
from vision.eye_graph import DETAIL_SCORER, WHOLE, Scales, eye_graph
from vision.fitness import learn_limits
from vision.folds import GOOD_FRAMES_MIN, TrainingFrame, assign_folds, usable_as_good
from vision.held_out import HeldOutEyes, learn_held_out
from vision.inspect import PIXELS_MAX, Eyes, Sight, blank_findings, report
from vision.notes import EYE_FILE, EyeNotes, eye_name
from vision.teach import Scoring, decide_scoring
from vision.training_pictures import TrainingPictures, frame_of, load_body

Progress = Callable[[str], None]

_BOX_ALPHA = 0.05  # one good frame in twenty may show a box: boxes say where to look, they decide nothing
_SPREAD_MIN = np.float32(0.05)  # of an image score's parts: identical frames have no spread


@dataclass(frozen=True, slots=True)
class TrainedEyes:
    """`findings`: frame_id -> out-of-fold findings of every training frame. `skipped`: camera -> why it has no eye."""

    findings: Mapping[str, Findings]
    manifests: Mapping[str, Manifest]
    skipped: Mapping[str, str]


def train_eyes(
    frames: Sequence[TrainingFrame], shelf: Path, progress: Progress, pixels_max: int = PIXELS_MAX
) -> TrainedEyes:
    """Train an eye for each camera among the frames and make it live on the shelf.

    A camera with fewer than GOOD_FRAMES_MIN usable good frames gets none, and its findings say `model_not_ready`.
    Deterministic: equal frames give an equal model. Raises OSError of the shelf's disk.
    """
    by_camera: dict[str, list[TrainingFrame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda f: (f.captured_at, f.frame_id, f.part_id)):
        by_camera[frame.camera_id].append(frame)
    findings: dict[str, Findings] = {}
    manifests: dict[str, Manifest] = {}
    skipped: dict[str, str] = {}
    for camera, of_camera in sorted(by_camera.items()):
        trained = _train_camera(camera, of_camera, shelf, progress, pixels_max)
        if isinstance(trained, str):
            skipped[camera] = trained
            progress(f"camera {camera}: {trained}")
            findings |= _blind(of_camera, pixels_max)
        else:
            manifests[camera], seen = trained
            findings |= seen
    return TrainedEyes(findings, manifests, skipped)


def _train_camera(
    camera: str, frames: Sequence[TrainingFrame], shelf: Path, progress: Progress, pixels_max: int
) -> tuple[Manifest, dict[str, Findings]] | str:
    good = usable_as_good(frames)
    if sum(good) < GOOD_FRAMES_MIN:
        return f"no eye: {sum(good)} good frames, {GOOD_FRAMES_MIN} are needed"
    pictures = TrainingPictures.of(frames, good, pixels_max)
    if pictures is None:
        return "no eye: the good frames cannot be read"
    folds, number = assign_folds(frames, good)
    pictures = pictures.posed(frames, good, folds)
    size = f"{pictures.optics.columns} x {pictures.optics.rows} pixels"
    progress(f"camera {camera}: learning from {sum(good)} good frames at {size}")
    held_out = learn_held_out(frames, good, folds, number, pictures)
    if held_out is None:
        return f"no eye: fewer than {GOOD_FRAMES_MIN} good frames can be read"
    sights = held_out.look(frames, folds, pictures, progress)
    return _finish(camera, frames, good, sights, held_out, shelf, progress)


def _finish(
    camera: str,
    frames: Sequence[TrainingFrame],
    good: Sequence[bool],
    sights: Mapping[int, Sight],
    held_out: HeldOutEyes,
    shelf: Path,
    progress: Progress,
) -> tuple[Manifest, dict[str, Findings]]:
    of_good = [sights[i] for i in range(len(frames)) if good[i] and i in sights]
    scales = _scales([sight.tops for sight in of_good], held_out.final.optics.detail > 0)
    of_marked = [sights[i] for i, frame in enumerate(frames) if frame.marks and i in sights]
    scoring = decide_scoring(scales, held_out.taught, of_good, of_marked)
    if scoring.decision is not None:
        progress(f"camera {camera}: marks: {scoring.decision.sentence}")
    cut = conformal_cut([scoring.score(sight) for sight in of_good])
    notes = _notes(held_out, scoring, cut, of_good)
    about = trained_on([frame for frame, is_good in zip(frames, good, strict=True) if is_good])
    manifest = save_model(
        shelf,
        name=eye_name(camera),
        kind="vision",
        files=_files(held_out, eye_graph(held_out.final, held_out.normalisers(), scales, scoring.taught)),
        features=notes.scorers,
        threshold=cut.threshold,
        trained_on=about,
        notes=notes.to_json(),
        card=card_of(camera, about, notes, cut, held_out, scoring.decision, _columns(of_good)),
    )
    progress(f"camera {camera}: eye {manifest.version}, at most {cut.promised:.1%} of good frames flagged")
    return manifest, _out_of_fold(frames, sights, notes, scoring)


def _files(held_out: HeldOutEyes, eye: bytes) -> dict[str, bytes]:
    final = held_out.final
    if not final.optics.detail:
        return {EYE_FILE: eye}
    return {EYE_FILE: eye, DETAIL_FILE: detail_graph(final.optics, final.heads[DETAIL_SCORER])}


def _columns(of_good: Sequence[Sight]) -> int:
    return int(np.median([sight.width for sight in of_good]))


def _notes(held_out: HeldOutEyes, scoring: Scoring, cut: ConformalCut, of_good: Sequence[Sight]) -> EyeNotes:
    optics = held_out.final.optics
    box_cut = conformal_cut([float(sight.odd.max()) for sight in of_good], _BOX_ALPHA).threshold
    taught = held_out.taught if scoring.taught is not None else None
    return EyeNotes(
        rows=optics.rows,
        columns=optics.columns,
        colour=optics.colour,
        detail=optics.detail,
        posing=held_out.posing,
        scorers=[*held_out.final.scorers, WHOLE],
        kinds=list(taught.kinds) if taught is not None else [],
        threshold=cut.threshold,
        box_cut=max(box_cut, float(_SPREAD_MIN)),
        limits=learn_limits([sight.measures for sight in of_good]),
        asked=cut.asked,
        promised=cut.promised,
        held_out_frames=cut.frames,
    )


def _out_of_fold(
    frames: Sequence[TrainingFrame], sights: Mapping[int, Sight], notes: EyeNotes, scoring: Scoring
) -> dict[str, Findings]:
    """frame_id -> findings by the eye that has not seen the frame's fold."""
    findings: dict[str, Findings] = {}
    for index, frame in enumerate(frames):
        seen = blank_findings(frame_of(frame, b""), frame.captured_at)
        if (sight := sights.get(index)) is not None:
            scored = dataclasses.replace(sight, score=scoring.score(sight))
            if not notes.kinds:
                scored = dataclasses.replace(scored, kinds=None)
            seen = report(seen, scored, notes, model=None)
        findings[seen.frame_id] = seen
    return findings


def _blind(frames: Sequence[TrainingFrame], pixels_max: int) -> dict[str, Findings]:
    """Findings of a camera without an eye."""
    eyes = Eyes({}, {}, pixels_max)
    looks = [eyes.inspect(frame_of(frame, load_body(frame)), frame.captured_at) for frame in frames]
    return {look.findings.frame_id: look.findings for look in looks}


def _scales(tops: Sequence[npt.NDArray[np.float32]], detail: bool) -> Scales:
    every = np.stack(tops)
    scales = Scales(every.mean(0), np.maximum(every.std(0), _SPREAD_MIN))
    if not detail:
        return scales
    spread = float(np.std([scales.score(one) for one in tops]))
    return dataclasses.replace(scales, detail_unit=max(spread, float(_SPREAD_MIN)))
