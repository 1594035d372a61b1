"""Marks reach the frames they were drawn on, and no other; one that does not fit is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.training.cases import Released, released_labels
from fusion.training.frames import training_frames
from fusion.training.marks import marks_of_frames
from ingest.folder.replay_folder import Folder
from ingest.messages import Instant, Mark, MarkBox
from tests.api.factory import PLAN, make_defect, picture
from vision.image import encode_png
from vision.marks import kinds_of

FIRST, SECOND = "2026-11-23T08:26:00.000Z", "2026-11-23T08:27:00.000Z"
BOX = "1,2,30,40"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two parts; P1 has two frames of 320 x 256 pixels of the same camera."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    visits = [f"{part},L1,OP40,{FIRST},{SECOND},B1,x" for part in ("P1", "P2")]
    head = "part_id,line_id,station_id,started_at,ended_at,batch_id,product"
    (tmp_path / "production.csv").write_text("\n".join([head, *visits]))
    frames = [f"P1,L1,OP40,top,{FIRST},1.png", f"P1,L1,OP40,top,{SECOND},1.png", f"P2,L1,OP40,top,{FIRST},1.png"]
    (tmp_path / "frames.csv").write_text("\n".join(["part_id,line_id,station_id,camera_id,captured_at,file", *frames]))
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/1.png").write_bytes(picture())
    (tmp_path / "masks").mkdir()
    return tmp_path


def mark(folder: Path, *rows: str) -> None:
    head = "part_id,line_id,camera_id,kind,captured_at,file,x,y,width,height"
    (folder / "marks.csv").write_text("\n".join([head, *rows]))


def frame(moment: str) -> str:
    return f"top@{moment}"


def test_a_mark_without_a_time_is_on_every_frame_of_its_part_and_camera(folder: Path) -> None:
    mark(folder, f"P1,L1,top,burr,,,{BOX}", f"P1,L1,top,dent,{SECOND},,{BOX}")
    found = marks_of_frames(Folder(folder), [])
    assert {key: kinds_of(marks) for key, marks in found.items()} == {
        ("P1", frame(FIRST)): ("burr",),
        ("P1", frame(SECOND)): ("burr", "dent"),
    }


def test_marks_of_defect_records_are_on_the_frame_they_name(folder: Path) -> None:
    drawn = Mark(camera_id="top", frame_id=frame(FIRST), box=MarkBox(x=1, y=2, width=3, height=4))
    outside = Mark(camera_id="top", frame_id=frame(FIRST), box=MarkBox(x=400, y=2, width=3, height=4))
    labels = [Released(Instant.parse(SECOND), make_defect("P1", marks=[drawn, outside]))]
    found = marks_of_frames(Folder(folder), labels)
    assert {key: kinds_of(marks) for key, marks in found.items()} == {("P1", frame(FIRST)): ("burr",)}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("P1,L1,top,burr,,mask.png,,,,", "mask.png has 40 x 40 pixels, its frame 320 x 256"),
        ("P1,L1,top,burr,,,310,2,30,40", "not within the picture of 320 x 256 pixels"),
        ("P9,L1,top,burr,,,1,2,30,40", "part P9 has no frame of camera top"),
        ("P1,L1,top,burr,2026-11-23T08:28:00.000Z,,1,2,30,40", "no frame of 2026-11-23T08:28:00.000Z"),
    ],
)
def test_a_mark_that_fits_no_frame_is_a_dead_letter(folder: Path, row: str, words: str) -> None:
    (folder / "masks/mask.png").write_bytes(encode_png(np.full((40, 40), 255, np.uint8)))
    mark(folder, f"P2,L1,top,burr,,,{BOX}", row)
    opened = Folder(folder)
    assert set(marks_of_frames(opened, [])) == {("P2", frame(FIRST))}
    (letter,) = opened.dead_letters
    assert (letter.file, letter.row, letter.reason) == ("marks.csv", 3, "bad_mark")
    assert words in letter.detail


def test_training_frames_carry_their_marks_unless_the_part_turned_out_good(folder: Path) -> None:
    mark(folder, f"P1,L1,top,burr,{FIRST},,{BOX}", f"P2,L1,top,burr,,,{BOX}")
    labels = [Released(Instant.parse(SECOND), make_defect("P2", outcome="ok"))]
    frames = training_frames(Folder(folder), labels, None, lambda _: None)["top"]
    assert [(one.part_id, len(one.marks)) for one in frames] == [("P1", 1), ("P1", 0), ("P2", 0)]
    assert [one.good for one in frames] == [False, False, True]  # who marks a part need not say that it is defective


def test_marks_of_a_record_that_has_not_come_yet_have_not_come_either(folder: Path) -> None:
    mark(folder, f"P1,L1,top,burr,,,{BOX}", f"P2,L1,top,burr,,,{BOX}")
    head = "part_id,line_id,recorded_at,source,outcome,defect_code,cause_code"
    (folder / "defects.csv").write_text(f"{head}\nP1,L1,{SECOND},history,defect,burr,")
    opened = Folder(folder)
    assert {part for part, _ in marks_of_frames(opened, released_labels(opened.defects(), None))} == {"P1", "P2"}
    early = released_labels(opened.defects(), Instant.parse(FIRST))
    assert {part for part, _ in marks_of_frames(opened, early)} == {"P2"}
    frames = training_frames(opened, early, None, lambda _: None)["top"]
    assert [one.good for one in frames] == [None, None, False]


def test_bad_marks_are_told_once_with_the_first_row(folder: Path) -> None:
    mark(folder, "P1,L1,top,burr,,,310,2,30,40", "P9,L1,top,burr,,,1,2,3,4")
    told: list[str] = []
    training_frames(Folder(folder), [], None, told.append)
    assert told == [
        "marks.csv: 2 bad rows, the first at row 2: box 310, 2, 30 x 40 is not within the picture of 320 x 256 pixels"
    ]
