"""Eyes for training: every training frame looked at by an eye that was not trained on its lot."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fusion.train_cases import Released
from fusion.train_marks import marks_of_frames
from ingest.folder import Folder
from ingest.messages import Findings, Instant
from vision.folds import TrainingFrame
from vision.train import train_eyes


def look_out_of_fold(
    folder: Folder,
    labels: Sequence[Released],
    shelf: Path,
    until: Instant | None,
    progress: Callable[[str], None],
) -> Mapping[str, Findings]:
    """Train an eye per camera and put it on the shelf; frame_id -> out-of-fold findings of the training frames."""
    parts = folder.parts()
    outcomes: dict[str, bool] = {}
    for released in labels:
        if released.defect.outcome != "unsure":
            outcomes[released.defect.part_id] = released.defect.outcome == "ok"
    marks = marks_of_frames(folder, labels)
    if refused := [row for row in folder.dead_letters if row.file == "marks.csv"]:
        progress(f"marks.csv: {len(refused)} bad rows, the first at row {refused[0].row}: {refused[0].detail}")
    by_camera: dict[str, list[TrainingFrame]] = {}
    for row in folder.frames():
        frame, part = row.frame, parts.get(row.frame.part_id)
        if part is None or (until is not None and part.started_at >= until):
            continue
        by_camera.setdefault(frame.camera_id, []).append(
            TrainingFrame(
                frame_id=frame.frame_id,
                line_id=frame.line_id,
                station_id=frame.station_id,
                camera_id=frame.camera_id,
                part_id=frame.part_id,
                batch_id=part.batch_id,
                product=part.product,
                captured_at=frame.captured_at,
                load=row.load,
                good=outcomes.get(frame.part_id),
                marks=marks.get((frame.part_id, frame.frame_id), ()) if outcomes.get(frame.part_id) is not True else (),
            )
        )
    found: dict[str, Findings] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="eye") as pool:  # numpy and nets leave the lock
        for trained in pool.map(lambda frames: train_eyes(frames, shelf, progress), by_camera.values()):
            found.update(trained.findings)
    return found
