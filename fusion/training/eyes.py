"""Eyes for training: every training frame looked at by an eye that was not trained on its lot."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fusion.training.cases import Released
from fusion.training.frames import training_frames
from ingest.folder.replay_folder import Folder
from ingest.messages import Findings, Instant
from vision.train import train_eyes
from vision.training.options import EyeOptions


def look_out_of_fold(
    folder: Folder,
    labels: Sequence[Released],
    shelf: Path,
    until: Instant | None,
    progress: Callable[[str], None],
    options: EyeOptions | None = None,
) -> Mapping[str, Findings]:
    """Train an eye per camera and put it on the shelf; frame_id -> out-of-fold findings of the training frames."""
    by_camera = training_frames(folder, labels, until, progress)
    found: dict[str, Findings] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="eye") as pool:  # numpy and nets leave the lock
        for trained in pool.map(lambda frames: train_eyes(frames, shelf, progress, options), by_camera.values()):
            found.update(trained.findings)
    return found
