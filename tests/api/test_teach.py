"""What people marked comes out of the service as a folder that training reads, mark by mark and pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from api.cli import run
from api.store.database import migrate
from api.store.rows import Harvest
from api.store.write import StoreWriter
from api.teach import Exported, export_marks
from fusion.training.cases import released_labels
from fusion.training.marks import marks_of_frames
from ingest.errors import BadInput
from ingest.folder.replay_folder import Folder
from ingest.messages import Defect, Findings, Instant, Mark, MarkBox, Stroke, Visit
from ingest.settings import Settings
from tests.api.factory import keep_evidence, make_defect, make_findings, make_visit, now, picture
from vision.marks import covered

BOX = Mark(camera_id="top", frame_id="f/1", box=MarkBox(x=150, y=70, width=34, height=30))
STROKE = Mark(camera_id="top", frame_id="f/1", kind="dent", stroke=Stroke(points=[(20, 30), (90, 60)], width_px=7))
WIDTH, HEIGHT = 320, 256


def ignore(_: str) -> None: ...


def marked(settings: Settings, part: str, *marks: Mark, kept: bool = True) -> tuple[Defect, Findings]:
    ref = keep_evidence(settings, "picture")[0] if kept else "frames/gone.png"
    return make_defect(part, marks=list(marks)), make_findings(part, frame_id=marks[0].frame_id, frame_ref=ref)


def collect(settings: Settings, *found: tuple[Defect, Findings], visits: tuple[Visit, ...] = ()) -> None:
    migrate(settings.store)
    writer = StoreWriter(settings.store, "test")
    defects, findings = tuple(one[0] for one in found), tuple(one[1] for one in found)
    writer.apply(Harvest(defects=defects, findings=findings, visits=visits), now())
    writer.close()


def test_marks_come_out_as_they_went_in(settings: Settings, tmp_path: Path) -> None:
    visit = make_visit("P,1", attributes={"tool_id": "T7", "operator_id": "eve"})
    collect(settings, marked(settings, "P,1", BOX, STROKE), marked(settings, "P2", BOX), visits=(visit,))
    out = tmp_path / "out"
    assert export_marks(settings, "top", out, ignore) == Exported(marks=3, frames=2, parts=2, gone=0)
    folder = Folder(out)
    found = marks_of_frames(folder, released_labels(folder.defects(), None))
    assert not folder.dead_letters
    assert set(found) == {("P,1", "f/1"), ("P2", "f/1")}
    box, mask = sorted(found["P,1", "f/1"], key=lambda mark: mark.kind)
    assert (box.kind, mask.kind) == ("burr", "dent")
    for written, meant in ((box, BOX), (mask, STROKE)):
        sizes = (WIDTH, HEIGHT, HEIGHT, WIDTH)
        assert np.array_equal(covered([written], *sizes), covered([meant], *sizes))
    assert {row.load() for row in folder.frames()} == {picture()}
    assert folder.visits()[0].visit.attributes == {"tool_id": "T7"}  # who worked there is no business of an eye
    assert folder.parts().keys() == {"P,1", "P2"}  # P2 was booked nowhere
    assert [row.defect.outcome for row in folder.defects()] == ["defect", "defect"]


def test_a_mark_whose_picture_is_gone_is_counted_and_left_out(settings: Settings, tmp_path: Path) -> None:
    collect(settings, marked(settings, "P1", BOX), marked(settings, "P2", BOX, STROKE, kept=False))
    told: list[str] = []
    done = export_marks(settings, "", tmp_path / "out", told.append)
    assert done == Exported(marks=1, frames=1, parts=1, gone=2)
    assert "marks left out 2" in told[-1]
    assert Folder(tmp_path / "out").parts().keys() == {"P1"}


def test_a_part_that_turned_out_good_teaches_no_defect(settings: Settings, tmp_path: Path) -> None:
    defect, findings = marked(settings, "P1", BOX)
    corrected = make_defect("P1", outcome="ok", defect_code="", recorded_at=Instant(defect.recorded_at + 1000))
    collect(settings, (defect, findings), (corrected, findings))
    export_marks(settings, "", tmp_path / "out", ignore)
    assert [row.defect.outcome for row in Folder(tmp_path / "out").defects()] == ["defect", "ok"]


def test_marks_of_a_decision_that_was_taken_back_stay_where_they_are(settings: Settings, tmp_path: Path) -> None:
    kept, (taken, findings) = marked(settings, "P1", BOX), marked(settings, "P2", BOX, STROKE)
    taken = msgspec.structs.replace(taken, record_id="r1")
    undo = make_defect("P2", outcome="unsure", comment="undone", record_id="r2", undoes="r1")
    collect(settings, kept, (taken, findings), (undo, findings))
    assert export_marks(settings, "", tmp_path / "out", ignore) == Exported(marks=1, frames=1, parts=1, gone=0)
    assert [row.defect.part_id for row in Folder(tmp_path / "out").defects()] == ["P1"]


def test_what_cannot_be_exported_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    with pytest.raises(BadInput, match="nothing is marked on any camera; draw"):
        export_marks(settings, "", tmp_path / "out", ignore)
    with pytest.raises(BadInput, match="--camera side: not in the plan; it has top"):
        export_marks(settings, "side", tmp_path / "out", ignore)
    with pytest.raises(BadInput, match="full: not empty; name a new folder"):
        export_marks(settings, "", tmp_path / "full", ignore)


def test_the_command_writes_the_folder(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(settings, marked(settings, "P1", BOX))
    monkeypatch.setenv("QCFUSE_HOME", settings.home)
    assert run(["marks", "--camera", "top", "--out", str(tmp_path / "out")]) == 0
    assert "marks 1, frames 1, parts 1" in capsys.readouterr().err
    assert run(["marks", "--camera", "top", "--out", str(tmp_path / "out")]) == 2
    assert "not empty" in capsys.readouterr().err
