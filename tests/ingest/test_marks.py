"""Marks at the door and in a replay folder: a good one is kept as drawn, a bad one is refused with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.decode.door import Door
from ingest.errors import BadRecord
from ingest.folder.marks import MaskFile
from ingest.folder.replay_folder import Folder
from ingest.log.seam import Record
from ingest.messages import Defect, Instant, Mark, MarkBox, encode
from ingest.settings import Settings
from tests.api.factory import PLAN

NOW = Instant.parse("2026-11-23T08:30:00.000Z")
BOX = {"x": 1, "y": 2, "width": 3, "height": 4}
STROKE = {"points": [[0, 0], [10.5, 20]], "width_px": 4}
AT = {"camera_id": "top", "frame_id": "f"}


def decode(*marks: Any, **changes: Any) -> Defect:
    body = {
        "part_id": "P1",
        "line_id": "L1",
        "recorded_at": NOW.isoformat(),
        "source": "inspector",
        "outcome": "defect",
        "defect_code": "burr",
        "marks": list(marks),
    } | changes
    found = Door(Settings()).decode("defects", Record("qc.defects", 0, 0, b"L1", json.dumps(body).encode(), (), NOW))
    assert isinstance(found, Defect)
    return found


def test_marks_come_through_the_door_with_the_kind_of_their_record() -> None:
    defect = decode({**AT, "box": BOX}, {**AT, "kind": "dent", "stroke": STROKE})
    assert [(mark.kind, mark.box is None) for mark in defect.drawn] == [("burr", False), ("dent", True)]
    again = Door(Settings()).decode("defects", Record("qc.defects", 0, 0, b"L1", encode(defect), (), NOW))
    assert again == defect


def test_a_record_without_marks_is_the_record_it_always_was() -> None:
    defect = Defect(part_id="P1", line_id="L1", recorded_at=NOW, source="inspector", outcome="ok")
    assert b"marks" not in encode(defect)
    assert defect.drawn == ()


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ({**AT}, "bad_mark"),
        ({**AT, "box": BOX, "stroke": STROKE}, "bad_mark"),
        ({**AT, "box": BOX | {"width": 0}}, "bad_mark"),
        ({**AT, "box": BOX | {"x": -1}}, "bad_mark"),
        ({**AT, "box": BOX | {"height": 70_000}}, "bad_mark"),
        ({**AT, "box": BOX | {"x": 0.5}}, "bad_field"),
        ({**AT, "box": BOX | {"depth": 1}}, "bad_field"),
        ({**AT, "stroke": STROKE | {"points": []}}, "bad_mark"),
        ({**AT, "stroke": STROKE | {"points": [[0, 0]] * 2001}}, "bad_mark"),
        ({**AT, "stroke": STROKE | {"points": [[0, -0.1]]}}, "bad_mark"),
        ({**AT, "stroke": STROKE | {"points": [[0, 1e9]]}}, "bad_mark"),
        ({**AT, "stroke": STROKE | {"points": [[0, 1, 2]]}}, "bad_field"),
        ({**AT, "stroke": STROKE | {"width_px": 0}}, "bad_mark"),
        ({**AT, "camera_id": "", "box": BOX}, "bad_id"),
        ({**AT, "kind": "k" * 201, "box": BOX}, "bad_text"),
        ({**AT, "frame_id": "f" * 401, "box": BOX}, "bad_text"),
    ],
)
def test_a_bad_mark_has_its_reason(mark: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRecord) as refused:
        decode({**AT, "box": BOX}, mark)
    assert refused.value.reason == reason
    assert refused.value.detail


def test_more_marks_than_a_person_draws_are_refused() -> None:
    assert len(decode(*[{**AT, "box": BOX}] * 50).drawn) == 50
    with pytest.raises(BadRecord, match="more than 50 marks"):
        decode(*[{**AT, "box": BOX}] * 51)
    with pytest.raises(BadRecord, match="20000 points of strokes"):
        decode(*[{**AT, "stroke": STROKE | {"points": [[0, 0]] * 2000}}] * 11)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "production.csv").write_text("part_id,line_id,station_id,started_at,ended_at,batch_id,product\n")
    (tmp_path / "masks/sub").mkdir(parents=True)
    (tmp_path / "masks/sub/1.png").write_bytes(b"mask")
    return tmp_path


def write(folder: Path, *rows: str) -> None:
    head = "part_id,line_id,camera_id,kind,captured_at,file,x,y,width,height"
    (folder / "marks.csv").write_text("\n".join([head, *rows]) + "\n")


def test_a_folder_may_hold_boxes_and_masks(folder: Path) -> None:
    write(folder, f"P1,L1,top,burr,{NOW.isoformat()},,10,20,30,40", "P1,L1,top,dent,,sub/1.png,,,,")
    opened = Folder(folder)
    boxed, masked = opened.marks()
    assert not opened.dead_letters
    assert boxed.captured_at == NOW
    assert boxed.mark == Mark(camera_id="top", frame_id="", kind="burr", box=MarkBox(x=10, y=20, width=30, height=40))
    assert masked.captured_at is None
    assert isinstance(masked.mark, MaskFile)
    assert (masked.mark.kind, masked.mark.load()) == ("dent", b"mask")


def test_a_file_with_masks_only_needs_no_columns_of_boxes(folder: Path) -> None:
    (folder / "marks.csv").write_text("part_id,line_id,camera_id,kind,file\nP1,L1,top,dent,sub/1.png\n")
    assert len(Folder(folder).marks()) == 1


def test_a_folder_without_marks_has_none(folder: Path) -> None:
    assert Folder(folder).marks() == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("P1,L1,top,burr,,,,,,", "bad_mark"),
        ("P1,L1,top,burr,,sub/1.png,1,2,3,4", "bad_mark"),
        ("P1,L1,top,burr,,,1,2,3,", "bad_mark"),
        ("P1,L1,top,burr,,,1,2,3,4.5", "bad_mark"),
        ("P1,L1,top,burr,,,1,2,0,4", "bad_mark"),
        ("P1,L1,top,burr,,../plan.png,,,,", "bad_path"),
        ("P1,L1,top,burr,,/etc/passwd,,,,", "bad_path"),
        ("P1,L1,top,burr,,sub/1.jpg,,,,", "unknown_content_type"),
        ("P1,L1,top,burr,,sub/2.png,,,,", "picture_missing"),
        ("P1,L1,top,burr,yesterday,,1,2,3,4", "bad_time"),
        ("P1,L1,side,burr,,,1,2,3,4", "unknown_camera"),
        ("P1,L9,top,burr,,,1,2,3,4", "unknown_line"),
        (",L1,top,burr,,,1,2,3,4", "bad_id"),
        ("P1,L1,top,burr,,,1,2,3,4,5", "bad_row"),
    ],
)
def test_a_bad_row_is_a_dead_letter_with_file_and_row(folder: Path, row: str, reason: str) -> None:
    write(folder, "P1,L1,top,burr,,,1,2,3,4", row)
    opened = Folder(folder)
    assert len(opened.marks()) == 1
    ((file, number, told),) = [(letter.file, letter.row, letter.reason) for letter in opened.dead_letters]
    assert (file, number, told) == ("marks.csv", 3, reason)
