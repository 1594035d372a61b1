"""The command line: what it lists, how it fails, and the small commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli import qcfuse, run
from ingest.log.seam import Log
from ingest.messages import Order, json_decoder
from ingest.settings import Settings
from tests.api.factory import make_verdict, publish

ROLES = ["vision", "fusion", "api", "plc"]
FOLDERS = ["simulate", "train", "teach", "replay", "evaluate", "bench"]
COMMANDS = [
    "demo",
    "up",
    *FOLDERS,
    *ROLES,
    "settings",
    "topics",
    "tail",
    "mode",
    "token",
    "person",
    "report",
    "marks",
    "look",
]


def test_every_command_of_the_contract_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(qcfuse.commands) == COMMANDS
    for name in COMMANDS:
        assert run([name, "--help"]) == 0
        assert "Usage: qcfuse " + name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "nonsense"),
        (["train"], "DIR"),
        (["train", "/nowhere/at/all"], "/nowhere/at/all"),
        (["train", ".", "--until", "yesterday"], "yesterday"),
        (["replay", "/nowhere/at/all"], "/nowhere/at/all"),
        (["replay", ".", "--publish", "--out", "x"], "--publish"),
        (["evaluate", ".", "--verdicts", "/no/such.jsonl"], "/no/such.jsonl"),
        (["simulate", "x", "--parts", "0"], "--parts"),
        (["tail", "nonsense"], "nonsense"),
        (["token", "x", "--role", "boss"], "boss"),
        (["mode", "maybe"], "maybe"),
        (["settings", "--config", "/no/such.toml"], "/no/such.toml"),
        (["up"], "plan.yaml"),
        (["api"], "plan.yaml"),
    ],
)
def test_bad_usage_exits_2_with_one_sentence_that_names_it(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("QCFUSE_HOME", str(tmp_path / "home"))
    assert run(arguments) == 2
    told = capsys.readouterr().err.strip()
    assert named in told
    assert "\n" not in told


def test_settings_prints_each_with_value_unit_and_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import dataclasses

    (tmp_path / "q.toml").write_text("stale_ms = 7000\nport = 8500\n")
    monkeypatch.setenv("QCFUSE_PORT", "8600")
    assert run(["--config", str(tmp_path / "q.toml"), "settings"]) == 0
    told = capsys.readouterr().out
    assert "QCFUSE_STALE_MS = 7000 [ms]" in told
    assert "QCFUSE_PORT = 8600" in told  # the environment comes before the file
    for field in dataclasses.fields(Settings):
        assert f"QCFUSE_{field.name.upper()} = " in told
        assert field.metadata["sentence"] in told


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("QCFUSE_HOME", settings.home)
    monkeypatch.setenv("QCFUSE_PARTITIONS", "2")
    return settings


def test_topics_creates_and_says_what_is_there(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["topics"]) == 0
    first = capsys.readouterr().out
    assert run(["topics"]) == 0
    assert "qc.verdicts" in first
    assert "created" in first
    assert "created" not in capsys.readouterr().out


def test_tail_prints_one_body_a_line(home: Settings, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    publish(log, home, verdicts=[make_verdict("P1"), make_verdict("P2")])
    assert run(["tail", "verdicts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["part_id"] for line in lines] == ["P1", "P2"]
    assert run(["tail", "qc.verdicts", "--from", "end"]) == 0
    assert capsys.readouterr().out == ""


def test_mode_orders_a_line_or_all_of_them(home: Settings, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mode", "manual", "--line", "L1", "--reason", "drill"]) == 0
    assert run(["mode", "auto"]) == 0
    assert run(["mode", "auto", "--line", "L9"]) == 2
    reader = log.reader([home.topic("control")], "beginning")
    records = reader.poll(1.0)
    reader.close()
    orders = [json_decoder(Order).decode(record.body or b"") for record in records]
    assert [(record.key, one.mode, one.line_id) for record, one in zip(records, orders, strict=True)] == [
        (b"L1", "manual", "L1"),
        (b"*", "auto", "*"),
    ]
    assert orders[0].reason == "drill"
    assert "L9" in capsys.readouterr().err


def test_a_token_is_one_line_on_stdout(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "anna", "--role", "inspector"]) == 0
    assert capsys.readouterr().out.startswith("qcf_")
    assert run(["token", "anna", "--revoke"]) == 0
    assert run(["token", "anna", "--revoke"]) == 2
    assert run(["token", "anna"]) == 2


def test_a_reader_that_goes_away_is_no_failure(home: Settings, log: Log) -> None:
    publish(log, home, verdicts=[make_verdict(f"P{n}") for n in range(400)])
    root = Path(__file__).resolve().parents[2]
    tail = f"set -o pipefail; {sys.executable} -m api.cli tail verdicts | head -1"
    done = subprocess.run(
        ["bash", "-c", tail], cwd=root, capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["part_id"] == "P0"
