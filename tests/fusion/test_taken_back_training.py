"""What was taken back teaches nothing: eyes, judge, certificate and evaluation learn as if it had never been said."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fusion.evaluate import known_outcomes
from fusion.teach import teach_folder
from fusion.train import train_folder
from fusion.training.cases import released_labels
from fusion.training.frames import training_frames
from fusion.training.marks import marks_of_frames
from ingest.errors import BadInput
from ingest.folder.replay_folder import DefectRow, Folder
from ingest.messages import Defect, Instant, Mark, MarkBox
from ingest.settings import Settings
from tests.api.factory import PLAN, picture
from vision.training.options import EyeOptions

DAY = "2026-11-23T"
VISITS = "part_id,line_id,station_id,started_at,ended_at,batch_id,product"
FRAMES = "part_id,line_id,station_id,camera_id,captured_at,file"
DEFECTS = "part_id,line_id,recorded_at,source,outcome,defect_code,cause_code,record_id,undoes"
MARKS = "part_id,line_id,camera_id,kind,captured_at,file,x,y,width,height"
STANDS = [
    f"P1,L1,{DAY}09:00:00.000Z,inspector,ok,,,r1,",
    f"P2,L1,{DAY}09:01:00.000Z,inspector,defect,burr,OP40,r2,",
]
SLIPS = [
    f"P1,L1,{DAY}10:00:00.000Z,inspector,defect,dent,OP40,s1,",  # of a part that an earlier word calls good
    f"P3,L1,{DAY}10:01:00.000Z,inspector,defect,dent,OP40,s3,",  # the only word of a part, with a mark
    f"P2,L1,{DAY}10:02:00.000Z,inspector,ok,,,s2,",
]
UNDONE = [
    f"{part},L1,{DAY}11:00:0{n}.000Z,inspector,unsure,,,u{n},{slip}"
    for n, (part, slip) in enumerate((("P1", "s1"), ("P3", "s3"), ("P2", "s2")))
]
PARTS = 6
KINDS = {f"P{n}": "xy"[n % 2] for n in range(1, PARTS + 1)}  # of product: something to learn from


def write_folder(path: Path, defects: list[str], marks: list[str]) -> Folder:
    (path / "frames").mkdir(parents=True)
    (path / "plan.yaml").write_text(PLAN)
    (path / "frames/1.png").write_bytes(picture())
    parts = [f"P{n}" for n in range(1, PARTS + 1)]
    tables = {
        "production": (VISITS, [f"{p},L1,OP40,{DAY}08:26:00.000Z,{DAY}08:27:00.000Z,B1,{KINDS[p]}" for p in parts]),
        "frames": (FRAMES, [f"{p},L1,OP40,top,{DAY}08:26:30.000Z,1.png" for p in parts]),
        "defects": (DEFECTS, defects),
        "marks": (MARKS, marks),
    }
    for name, (head, rows) in tables.items():
        (path / f"{name}.csv").write_text("\n".join([head, *rows, ""]))
    return Folder(path)


@pytest.fixture
def taken_back(tmp_path: Path) -> Folder:
    """Decisions that stand, slips, and what took the slips back. A slip's mark lies in the folder still."""
    marks = ["P2,L1,top,burr,,,1,2,30,40", "P3,L1,top,dent,,,1,2,30,40"]
    return write_folder(tmp_path / "taken_back", [*STANDS, *SLIPS, *UNDONE], marks)


@pytest.fixture
def never(tmp_path: Path) -> Folder:
    """The same folder had the slips never been made."""
    return write_folder(tmp_path / "never", STANDS, ["P2,L1,top,burr,,,1,2,30,40"])


def learned_by_eyes(folder: Folder) -> object:
    by_camera = training_frames(folder, released_labels(folder.defects(), None), None, lambda _: None)
    return [(f.part_id, f.good, f.defect_code, [mark.kind for mark in f.marks]) for f in by_camera["top"]]


def test_an_eye_learns_neither_the_word_nor_the_code_nor_the_mark_that_was_taken_back(
    taken_back: Folder, never: Folder
) -> None:
    assert learned_by_eyes(taken_back) == learned_by_eyes(never)
    assert learned_by_eyes(never) == [
        ("P1", True, "", []), ("P2", False, "burr", ["burr"]), *((f"P{n}", None, "", []) for n in range(3, PARTS + 1))
    ]  # fmt: skip


def test_marks_drawn_with_a_record_that_was_taken_back_are_gone_and_those_of_another_record_stay(never: Folder) -> None:
    def drawn(name: str, x: int) -> Defect:
        at = Instant.parse(f"{DAY}10:00:00.000Z")
        mark = Mark(camera_id="top", frame_id=f"top@{DAY}08:26:30.000Z", box=MarkBox(x=x, y=2, width=3, height=4))
        return Defect(
            part_id="P4", line_id="L1", recorded_at=at, source="inspector", outcome="defect", recorded_by="anna",
            marks=[mark], record_id=name,
        )  # fmt: skip

    stays, slip = drawn("stays", 1), drawn("slip", 9)
    undo = msgspec.structs.replace(slip, outcome="unsure", marks=msgspec.UNSET, record_id="undo", undoes="slip")
    rows = [DefectRow(one.recorded_at, one, n) for n, one in enumerate((stays, slip, undo))]
    found = marks_of_frames(never, released_labels(rows, None))
    assert found == marks_of_frames(never, released_labels(rows[:1], None))
    assert found["P4", f"top@{DAY}08:26:30.000Z"] == stays.drawn


def test_evaluation_knows_what_stands(taken_back: Folder, never: Folder) -> None:
    assert known_outcomes(taken_back) == known_outcomes(never)
    assert {part: told.defect for (_, part), told in known_outcomes(never).items()} == {"P1": False, "P2": True}


def test_training_a_folder_with_slips_taken_back_is_training_it_without_them(
    taken_back: Folder, never: Folder, tmp_path: Path
) -> None:
    """From the command down: how many parts have a label, and of which kind, is what eyes and gates are told."""
    assert told_in_training(taken_back, tmp_path) == told_in_training(never, tmp_path)
    assert f"{PARTS} cases, 2 with a label" in told_in_training(never, tmp_path)


def told_in_training(folder: Folder, tmp_path: Path, labels_until: Instant | None = None) -> list[str]:
    said: list[str] = []
    settings = Settings(home=str(tmp_path / "home"))
    train_folder(folder.path, tmp_path / "shelf", None, labels_until, settings, said.append)
    return said


def test_a_slip_counts_in_what_training_knew_before_it_was_taken_back(taken_back: Folder, tmp_path: Path) -> None:
    """Who trains as of a moment must not look into what came later: not even into its undoing."""
    between = Instant.parse(f"{DAY}10:30:00.000Z")
    labels = released_labels(taken_back.defects(), between)
    assert [one.defect.record_id for one in labels] == ["r1", "r2", "s1", "s3", "s2"]
    assert f"{PARTS} cases, 3 with a label" in told_in_training(taken_back, tmp_path, between)


def test_teaching_counts_no_mark_of_a_record_that_was_taken_back(
    taken_back: Folder, never: Folder, tmp_path: Path
) -> None:
    def refused(folder: Folder) -> str:
        with pytest.raises(BadInput) as error:
            teach_folder(
                folder.path, None, (), tmp_path / "shelf", None, Settings(home=str(tmp_path)), lambda _: None,
                EyeOptions(),
            )  # fmt: skip
        return str(error.value).replace(str(folder.path), "")

    assert refused(taken_back) == refused(never)
    assert "1 of burr" in refused(never)
