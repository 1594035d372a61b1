"""Frames to train eyes from, by camera: what people said of their parts, and where they saw defects in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fusion.training.cases import Released
from fusion.training.marks import MarksOfFrames, marks_of_frames
from ingest.folder.replay_folder import Folder
from ingest.messages import Instant
from vision.training.folds import TrainingFrame


def training_frames(
    folder: Folder, labels: Sequence[Released], until: Instant | None, progress: Callable[[str], None]
) -> Mapping[str, list[TrainingFrame]]:
    """camera_id -> its frames of parts that began before `until`. A marked part is a defect, unless its record says
    that it turned out good: then its marks teach nothing."""
    parts = folder.parts()
    marks = marks_of_frames(folder, labels)
    if refused := [row for row in folder.dead_letters if row.file == "marks.csv"]:
        progress(f"marks.csv: {len(refused)} bad rows, the first at row {refused[0].row}: {refused[0].detail}")
    outcomes = _outcomes(labels, marks)
    codes = {told.defect.part_id: told.defect.defect_code for told in labels if told.defect.outcome == "defect"}
    by_camera: dict[str, list[TrainingFrame]] = {}
    for row in folder.frames():
        frame, part = row.frame, parts.get(row.frame.part_id)
        if part is None or (until is not None and part.started_at >= until):
            continue
        good = outcomes.get(frame.part_id)
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
                good=good,
                marks=() if good else marks.get((frame.part_id, frame.frame_id), ()),
                named_product=frame.product,
                defect_code="" if good else codes.get(frame.part_id, ""),
            )
        )
    return by_camera


def _outcomes(labels: Sequence[Released], marks: MarksOfFrames) -> Mapping[str, bool]:
    """part_id -> is it good? The last word counts; a mark is one where nobody has said any."""
    outcomes: dict[str, bool] = {}
    for released in labels:
        if released.defect.outcome != "unsure":
            outcomes[released.defect.part_id] = released.defect.outcome == "ok"
    return {part_id: False for part_id, _ in marks} | outcomes
