"""Every setting, topic, command, route, metric and reason a person may meet stands in the documents."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from api.cli import qcfuse
from api.wording import words
from fusion.risk.fit import DEFECTS_MIN
from ingest.decode.door import REASONS, Door
from ingest.errors import BadInput
from ingest.log.seam import Record
from ingest.messages import Instant
from ingest.plan.file import load_plan
from ingest.settings import Settings
from ingest.topics import TOPICS
from tests.bench.written_table import DOCUMENTS, MarkersMissing, document_of, with_table
from vision.training.folds import GOOD_FRAMES_MIN

ROOT = Path(__file__).resolve().parents[1]
CONTRACT_COMMANDS = {
    *("demo", "simulate", "train", "replay", "evaluate", "up", "vision", "fusion", "api", "plc"),
    *("topics", "tail", "token", "report", "mode", "bench", "settings"),
}


def documents() -> str:
    """The README, and what it may send a reader to."""
    if not (ROOT / "README.md").is_file():
        pytest.skip("there is no README.md to look into")
    paths = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
    return "\n".join(path.read_text("utf-8") for path in paths if path.is_file())


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "Makefile"])
def test_the_documents_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 200


def test_every_setting_is_documented_with_unit_and_sentence() -> None:
    silent = [field.name for field in dataclasses.fields(Settings) if not field.metadata.get("sentence")]
    assert not silent
    text = documents()
    assert not [f.name for f in dataclasses.fields(Settings) if f"QCFUSE_{f.name.upper()}" not in text]


def test_every_topic_is_documented() -> None:
    text = documents()
    assert not [topic for topic in TOPICS if f"qc.{topic}" not in text]


def test_every_command_is_there_has_help_and_is_documented() -> None:
    assert set(qcfuse.commands) >= CONTRACT_COMMANDS
    assert not [name for name, command in qcfuse.commands.items() if not command.help]
    text = documents()
    assert not [name for name in qcfuse.commands if f"qcfuse {name}" not in text]


def test_every_route_is_documented() -> None:
    declared = re.compile(r'@router\.(?:get|post)\(\s*"([^"]+)"')
    found = {path for file in (ROOT / "api").rglob("*.py") for path in declared.findall(file.read_text("utf-8"))}
    assert "/healthz" in found
    routes = {path.replace(":path}", "}") for path in found}  # what a name may hold is no business of the reader
    text = documents()
    assert not [path for path in sorted(routes) if path not in text]


def test_every_metric_is_documented() -> None:
    named = set(re.findall(r'"(qcfuse_[a-z_]+)"', (ROOT / "api/metrics.py").read_text("utf-8")))
    assert named
    text = documents()
    assert not [name for name in sorted(named) if name not in text]


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    seen = {
        reason
        for files in ("ingest/decode/*.py", "ingest/folder/*.py", "vision/**/*.py")
        for file in ROOT.glob(files)
        for reason in re.findall(r'BadRecord\(\s*"([a-z_]+)"', file.read_text("utf-8"))
    }
    assert {"bad_json", "image_truncated"} <= seen
    text = documents()
    assert not [reason for reason in sorted(seen | set(REASONS)) if f"`{reason}`" not in text]


def test_every_reason_of_a_verdict_is_documented() -> None:
    text = documents()
    assert not [reason for reason in words.REASONS if f"`{reason}`" not in text]


def test_what_training_needs_is_told_as_it_is() -> None:
    text = documents()
    assert f"{GOOD_FRAMES_MIN} frames of good parts" in text
    assert f"{DEFECTS_MIN} labelled defects" in text


def examples(language: str) -> list[str]:
    """The fenced blocks of the README in this language (`json sensors`: an example of that topic)."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("topic", ["sensors", "production", "defects", "control", "verdicts"])
def test_the_example_records_are_taken_under_the_example_plan(topic: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(examples("yaml")[0], "utf-8")
    door = Door(Settings(home=str(tmp_path)), load_plan(path))
    bodies = examples(f"json {topic}")
    assert bodies
    now = int(Instant.parse("2026-11-23T10:00:00Z"))
    for body in bodies:
        door.decode(topic, Record(f"qc.{topic}", 0, 0, b"L1", body.encode(), (), now))


def test_the_example_of_a_bad_plan_would_be_noticed(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(examples("yaml")[0].replace("stop: shift.lead", "stopp: shift.lead"), "utf-8")
    with pytest.raises(BadInput, match=r"plan\.yaml:3: "):
        load_plan(path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_measured_tables_have_a_place_that_their_command_rewrites(path: Path) -> None:
    text = path.read_text("utf-8")
    names = re.findall(r"<!-- ([\w-]+):begin -->", text)
    assert names
    for name in names:
        assert document_of(name) == path
        rewritten = with_table(text, name, "| a |")
        assert f"<!-- {name}:begin -->\n| a |\n<!-- {name}:end -->" in rewritten
        assert with_table(rewritten, name, "| b |").count("| b |") == 1
    with pytest.raises(MarkersMissing):
        with_table(text, "no such table", "| a |")


def test_every_measured_table_has_the_command_that_writes_it() -> None:
    written = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tests" / "bench").glob("*.py")))
    named = [name for path in DOCUMENTS for name in re.findall(r"<!-- ([\w-]+):begin -->", path.read_text("utf-8"))]
    assert not [name for name in named if f'"{name}"' not in written and f'"{name.rsplit("-", 1)[1]}"' not in written]


def links(path: Path) -> list[str]:
    """Relative targets of a document's links, without anchors."""
    found = re.findall(r"\]\(([^)#\s]+)", path.read_text("utf-8"))
    return [target for target in found if "://" not in target]


@pytest.mark.parametrize(
    "name",
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "deploy/README.md", "deploy/runbook.md", "deploy/measured.md"],
)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    assert not [target for target in links(path) if not (path.parent / target).exists()]
