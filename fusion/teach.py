"""Teaching eyes from marks: the challenger of each marked camera is trained on the folder and the marks together, and
takes the eye's place only where the marks help."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fusion.training.cases import released_labels
from fusion.training.frames import training_frames
from ingest.errors import BadInput
from ingest.folder.replay_folder import Folder
from ingest.messages import Instant
from ingest.settings import Settings
from models.shelf import adopt
from vision.eye.notes import eye_name
from vision.marks import MARKS_TO_TEACH, kinds_of
from vision.train import train_eyes
from vision.training.folds import TrainingFrame
from vision.training.options import EyeOptions


def teach_folder(
    path: Path,
    marks: Path | None,
    cameras: Sequence[str],
    shelf: Path,
    until: Instant | None,
    settings: Settings,
    progress: Callable[[str], None],
    options: EyeOptions,
) -> list[str]:
    """Train a challenger for every camera with enough marks; what came of it, a sentence for each camera.

    path: the folder the eyes are learned from. marks: a folder of marked frames beside it (`qcfuse marks --out`), whose
    frames count as defects. Raises BadInput for a wrong folder or camera, or where no camera has enough marks.
    """
    frames = _frames(path, marks, until, settings, progress)
    if unknown := sorted(set(cameras) - set(frames)):
        raise BadInput(f"{path}: no frame of camera {unknown[0]}; it has {', '.join(sorted(frames)) or 'none'}")
    asked = {camera: of for camera, of in frames.items() if not cameras or camera in cameras}
    enough = {camera: of for camera, of in asked.items() if _marked_enough(of)}
    if not enough:
        counts = "; ".join(f"{camera}: {_counted(of)}" for camera, of in sorted(asked.items()))
        raise BadInput(f"{path}: {MARKS_TO_TEACH} marked frames of one kind are needed, there are {counts or 'none'}")
    return [_teach(camera, of_camera, shelf, progress, options) for camera, of_camera in sorted(enough.items())]


def _teach(
    camera: str, frames: Sequence[TrainingFrame], shelf: Path, progress: Callable[[str], None], options: EyeOptions
) -> str:
    """Trained on a shelf beside, so that an eye that is no better never goes live."""
    said: list[str] = []

    def listen(line: str) -> None:
        said.append(line)
        progress(line)

    with tempfile.TemporaryDirectory(dir=shelf.parent if shelf.parent.is_dir() else None) as folder:
        trained = train_eyes(frames, Path(folder), listen, options)
        if camera in trained.skipped:
            return f"camera {camera}: {trained.skipped[camera]}; the eye stays as it was"
        verdict = next((line for line in said if ": marks: " in line), f"camera {camera}: its marks could not be read")
        if not trained.manifests[camera].notes.get("kinds"):
            return f"{verdict}; the eye stays as it was"
        adopted = adopt(shelf, Path(folder), eye_name(camera))
    return f"{verdict}; eye {adopted.version} is live. Train the judge anew when convenient: its inputs have changed."


def _frames(
    path: Path, marks: Path | None, until: Instant | None, settings: Settings, progress: Callable[[str], None]
) -> Mapping[str, list[TrainingFrame]]:
    """camera -> the folder's frames, those that the folder of marks knows better replaced by its own."""
    by_camera = _of_folder(path, until, settings, progress)
    if marks is None:
        return by_camera
    if not marks.is_dir():
        raise BadInput(f"{marks}: no such folder; `qcfuse marks --out {marks}` writes one")
    merged = {camera: {(f.part_id, f.frame_id): f for f in frames} for camera, frames in by_camera.items()}
    for camera, frames in _of_folder(marks, None, settings, progress).items():
        merged.setdefault(camera, {}).update({(f.part_id, f.frame_id): f for f in frames})
    return {camera: list(frames.values()) for camera, frames in merged.items()}


def _of_folder(
    path: Path, until: Instant | None, settings: Settings, progress: Callable[[str], None]
) -> Mapping[str, list[TrainingFrame]]:
    folder = Folder(path, settings)
    return training_frames(folder, released_labels(folder.defects(), None), until, progress)


def _marked_enough(frames: Sequence[TrainingFrame]) -> bool:
    return any(count >= MARKS_TO_TEACH for count in _by_kind(frames).values())


def _counted(frames: Sequence[TrainingFrame]) -> str:
    return ", ".join(f"{count} of {kind or 'no kind'}" for kind, count in _by_kind(frames).items()) or "no marks"


def _by_kind(frames: Sequence[TrainingFrame]) -> Mapping[str, int]:
    kinds = kinds_of([mark for frame in frames for mark in frame.marks])
    return {kind: sum(any(mark.kind == kind for mark in frame.marks) for frame in frames) for kind in kinds}
