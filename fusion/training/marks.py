"""Which marks people drew lie on which training frame: from the defect records and from a folder's `marks.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fusion.training.cases import Released
from ingest.errors import BadRecord
from ingest.folder.replay_folder import Folder, FrameRow, MarkRow
from vision.header import read_header
from vision.marks import AnyMark, check_fits

MarksOfFrames = Mapping[tuple[str, str], tuple[AnyMark, ...]]


def marks_of_frames(folder: Folder, labels: Sequence[Released]) -> MarksOfFrames:
    """(part_id, frame_id) -> its marks. One that does not fit its frame is a dead letter of the folder, or, drawn in
    the service (which checked it against the picture it had), left out.

    A row of `marks.csv` says no more of when it was drawn than that it came with the part's record: a part whose record
    is not among the labels yet has no marks yet.
    """
    known = {released.defect.part_id for released in labels}
    to_come = {row.defect.part_id for row in folder.defects()} - known
    found: dict[tuple[str, str], list[AnyMark]] = {}
    of_part: dict[str, list[FrameRow]] = {}
    for frame_row in folder.frames():
        of_part.setdefault(frame_row.frame.part_id, []).append(frame_row)
    for mark_row in folder.marks():
        if mark_row.part_id not in to_come:
            _attach(folder, mark_row, of_part.get(mark_row.part_id, ()), found)
    for released in labels:
        defect = released.defect
        for mark in defect.drawn if defect.outcome == "defect" else ():
            for row in of_part.get(defect.part_id, ()):
                if row.frame.frame_id == mark.frame_id and _trouble(mark, row) is None:
                    found.setdefault((defect.part_id, mark.frame_id), []).append(mark)
    return {frame: tuple(marks) for frame, marks in found.items()}


def _attach(
    folder: Folder, marked: MarkRow, rows: Sequence[FrameRow], found: dict[tuple[str, str], list[AnyMark]]
) -> None:
    """The marked camera's frames of the part: all of them, or the one taken at the row's time."""
    meant = [
        row
        for row in rows
        if row.frame.line_id == marked.line_id
        and row.frame.camera_id == marked.camera_id
        and marked.captured_at in (None, row.frame.captured_at)
    ]
    if not meant:
        which = "no frame" if marked.captured_at is None else f"no frame of {marked.captured_at.isoformat()}"
        where = f"part {marked.part_id} has {which} of camera {marked.camera_id} in frames.csv"
        folder.refuse_mark(marked, BadRecord("bad_mark", where))
    for row in meant:
        if (trouble := _trouble(marked.mark, row)) is not None:
            folder.refuse_mark(marked, trouble)
        else:
            found.setdefault((row.frame.part_id, row.frame.frame_id), []).append(marked.mark)


def _trouble(mark: AnyMark, row: FrameRow) -> BadRecord | None:
    """Why the mark cannot lie on this frame; None when it can."""
    try:
        header = read_header(row.load())
        check_fits(mark, header.width, header.height)
    except BadRecord as trouble:
        return trouble
    return None
