"""The batch report says what the record says, and nothing less."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from api.certificates import Standings
from api.cli import run
from api.reports import format_report, report_batch
from api.store.database import migrate
from api.store.read import StoreReader
from api.store.rows import Harvest, Review
from api.store.write import StoreWriter
from ingest.messages import EvidenceSummary, Instant, Verdict, encode
from ingest.settings import Settings
from tests.api.factory import make_defect, make_pass, make_verdict, make_visit, now


def fill(settings: Settings, verdicts: list[Verdict], **more: object) -> None:
    migrate(settings.store)
    writer = StoreWriter(settings.store, "test")
    writer.apply(Harvest(verdicts=tuple((one, encode(one).decode()) for one in verdicts), **more), now())  # type: ignore[arg-type]
    writer.close()


@pytest.fixture
def batch(settings: Settings) -> Settings:
    """Six parts: two pass (one of them an escape), one reviewed, one waiting, one judged twice, one never judged."""
    thin = EvidenceSummary(complete=False, present=["sensors:OP20"], missing=["camera:top"], late=[], unfit=[])
    decided = Review("r1", "EOL", 1, make_defect("P3", source="inspector", outcome="ok"))
    fill(
        settings,
        [
            make_pass("P1", event_at=Instant(1000)),
            make_pass("P2", event_at=Instant(1000)),
            make_verdict("P3"),
            make_verdict("P4", decision="cannot_tell", reasons=["evidence_missing"], causes=[], evidence=thin),
            make_verdict("P5", decision="cannot_tell", reasons=["deadline_missed"], causes=[], risk=None, model=None),
            make_pass("P5", revision=2),
            make_pass("other", batch_id="B78"),
        ],
        visits=tuple(make_visit(f"P{n}") for n in range(1, 7)),
        defects=(make_defect("P2", source="customer"), make_defect("P3", source="history"), decided.defect),
        reviews=(decided,),
    )
    return settings


def report_of(settings: Settings, batch_id: str = "B77") -> dict[str, object]:
    reader = StoreReader(settings.store)
    report = report_batch(reader, batch_id, now())
    reader.close()
    assert report is not None
    found: dict[str, object] = json.loads(format_report(report, "json"))
    return found


def test_parts_made_are_held_against_verdicts_given(batch: Settings) -> None:
    report = report_of(batch)
    assert (report["parts_made"], report["parts_judged"]) == (6, 5)
    assert report["parts_without_verdict"] == ["P6"]


def test_decisions_are_those_of_last_revisions(batch: Settings) -> None:
    assert report_of(batch)["decisions"] == {"cannot_tell": 1, "pass": 3, "review": 1}


def test_an_escape_is_a_part_that_passed_and_was_found_defective(batch: Settings) -> None:
    escapes = report_of(batch)["escapes"]
    assert isinstance(escapes, list)
    assert [(one["part_id"], one["source"]) for one in escapes] == [("P2", "customer")]
    assert report_of(batch)["defective_found"] == 2


def test_what_was_taken_back_is_no_escape_and_no_review(settings: Settings) -> None:
    slip = make_defect("P1", record_id="r1", recorded_at=Instant(2000))
    back = make_defect("P1", outcome="unsure", comment="undone", record_id="r2", undoes="r1", recorded_at=Instant(3000))
    reviews = (Review("r1", "EOL", 1, slip), Review("r2", "EOL", 1, back, undoes="r1"))
    fill(settings, [make_pass("P1", event_at=Instant(1000))], defects=(slip, back), reviews=reviews)
    report = report_of(settings)
    assert (report["escapes"], report["defective_found"], report["reviews"]) == ([], 0, {})
    assert "reviews ended unsure" not in str(report["open_points"])


def test_what_stands_against_shipping_is_said_in_sentences(batch: Settings) -> None:
    assert report_of(batch)["open_points"] == [
        "1 part was booked but has no verdict",
        "1 flagged part waits for an inspector",
        "1 part passed and was found defective afterwards",
    ]
    assert report_of(batch, "B78")["open_points"] == []


def test_a_part_that_waits_at_two_gates_is_one_part_that_waits(settings: Settings) -> None:
    fill(settings, [make_verdict("P1", gate_id=gate) for gate in ("MID", "EOL")])
    report = report_of(settings)
    assert report["open_points"] == ["1 flagged part waits for an inspector"]
    assert report["open_cases"] == 2


def test_causes_evidence_models_and_plans_are_counted(batch: Settings) -> None:
    report = report_of(batch)
    assert report["causes"] == [{"name": "tool_id=T7", "parts": 1}]
    assert report["evidence_missing"] == [{"name": "camera:top", "parts": 1}]
    assert report["models"] == [{"name": f"fusion 3 ({'ab' * 32})", "parts": 5}]
    assert report["plans"] == [{"name": "cd" * 32, "parts": 5}]
    assert report["reviews"] == {"ok": 1}


def test_the_command_writes_each_format(
    batch: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QCFUSE_HOME", batch.home)
    assert run(["report", "B77", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["batch_id"] == "B77"
    assert run(["report", "B77", "--out", str(tmp_path / "b.csv")]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "b.csv").read_text())))
    assert {row["part_id"]: row["decision"] for row in rows} == {
        "P1": "pass", "P2": "pass", "P3": "review", "P4": "cannot_tell", "P5": "pass", "P6": "",
    }  # fmt: skip
    capfd.readouterr()
    assert run(["report", "B77"]) == 0
    page = capfd.readouterr().out
    for words in ("Batch B77", "Open before this batch can ship", "tool id T7", "camera top", "P6"):
        assert words in page


def test_a_batch_nobody_knows_and_a_format_not_there_yet_exit_2(
    batch: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QCFUSE_HOME", batch.home)
    for arguments, named in (
        (["B99"], "B99"),
        (["B77", "--format", "pdf"], "pdf"),
        (["B77", "--format", "doc"], "doc"),
    ):
        assert run(["report", *arguments]) == 2
        told = capfd.readouterr().err.strip()
        assert named in told
        assert "\n" not in told


def test_a_cell_that_a_spreadsheet_would_run_is_made_text(settings: Settings) -> None:
    fill(settings, [make_verdict("=HYPERLINK(1)")])
    reader = StoreReader(settings.store)
    report = report_batch(reader, "B77", now())
    reader.close()
    assert report is not None
    assert b",'=HYPERLINK(1)," in format_report(report, "csv")


def test_the_page_escapes_what_others_wrote(settings: Settings) -> None:
    fill(settings, [make_verdict("<script>alert(1)</script>")])
    reader = StoreReader(settings.store)
    report = report_batch(reader, "B77", now())
    reader.close()
    assert report is not None
    assert b"<script>" not in format_report(report, "html")


def test_the_report_says_how_its_gates_certificates_stand_and_which_verdicts_came_late(batch: Settings) -> None:
    told = {
        "line_id": "L1", "gate_id": "EOL", "standing": "void", "promise": 0.003, "asked": 0.003, "confidence": 0.95,
        "parts": 9600, "lots": 120, "why": "drift (camera top)", "since": Instant(500).isoformat(),
        "voids": [{"since": Instant(500).isoformat(), "until": None, "why": "drift (camera top)"}],
    }  # fmt: skip
    reader = StoreReader(batch.store)
    report = report_batch(reader, "B77", now(), Standings([told, {**told, "gate_id": "MID"}], latency_ms_max=1.0))
    reader.close()
    assert report is not None
    (promise,) = report.promises
    assert promise.said.startswith("Void: drift (camera top) (was: at most 0.3 % escapes")
    assert promise.here.startswith("void from 1970")
    assert report.late > 0
    page = format_report(report, "html").decode()
    assert promise.said in page
    assert f"{report.late} verdicts came later than the plan allows" in page
