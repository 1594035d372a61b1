"""Bad input: one clear sentence and exit 2, or one dead letter and nothing else lost; on the real road."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from api.cli import run
from fusion.judge import Judge
from fusion.worker import FusionWorker
from ingest.log.opening import open_log
from ingest.log.seam import Headers, Log, Outgoing
from ingest.messages import Instant
from ingest.plan.file import load_plan
from ingest.role import wall_ms
from ingest.settings import Settings
from ingest.topics import create_topics, tail
from vision.inspect import Eyes
from vision.worker import VisionWorker

PLAN = """\
plan: 1
plant: p
owners: {objective: a, model: b, stop: c}
objective: {escape_cost: 450.0, review_cost: 2.5, currency: USD}
constraints: {escape_rate_max: 0.003, review_share_max: 0.10, latency_ms_max: 500}
grants: {topics: [qc.frames, qc.sensors, qc.production, qc.defects]}
audit: {share: 0.01}
lines:
  - line_id: L1
    stations: [{station_id: S1, channels: [{channel: a, unit: A, rate_hz: 1}]}]
    cameras: [{camera_id: top, station_id: S1}]
    gates: [{gate_id: EOL, after: S1, deadline_ms: 200, needs: [camera:top, sensors:S1]}]
"""
DAY = "2026-01-05T06:"
PARTS = 6


def jpeg() -> bytes:
    picture = np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8)
    return bytes(cv2.imencode(".jpg", picture)[1].tobytes())


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how big it is and then says nothing more."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


BAD_PICTURES = {
    "truncated.jpg": jpeg()[:-200],
    "huge.png": png_header(20_000, 20_000),
    "text.jpg": b"This is no picture at all.\n" * 20,
}


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six parts ten seconds apart, each with one good picture and one sample a second."""
    monkeypatch.setenv("QCFUSE_HOME", str(tmp_path / "home"))
    root = tmp_path / "plant"
    (root / "frames").mkdir(parents=True)
    (root / "sensors/L1").mkdir(parents=True)
    production = ["part_id,line_id,station_id,started_at,ended_at,batch_id,product"]
    frames = ["part_id,line_id,station_id,camera_id,captured_at,file"]
    defects = ["part_id,line_id,recorded_at,source,outcome,defect_code,cause_code"]
    for n in range(PARTS):
        production.append(f"P{n},L1,S1,{DAY}00:{n}0.000Z,{DAY}00:{n}5.000Z,B,x")
        frames.append(f"P{n},L1,S1,top,{DAY}00:{n}2.000Z,{n}.jpg")
        defects.append(f"P{n},L1,2026-01-05T07:00:{n}0.000Z,history,ok,,")
        (root / f"frames/{n}.jpg").write_bytes(jpeg())
    samples = ["ts,a", *(f"{DAY}00:{s:02d}.000Z,{s}" for s in range(10 * PARTS))]
    (root / "plan.yaml").write_text(PLAN)
    tables = {"production": production, "frames": frames, "defects": defects, "sensors/L1/S1": samples}
    for name, rows in tables.items():
        (root / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return root


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("command", ["replay", "train"])
@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("plan.yaml", "plant: p", "plant: p\nmood: fine", "plan.yaml:3: unknown key 'mood'"),
        ("plan.yaml", "owners: {objective: a, model: b, stop: c}\n", "", "plan.yaml:1: missing key 'owners'"),
        ("plan.yaml", ", stop: c", "", "plan.yaml:3: missing owner 'stop'"),
        ("production.csv", "started_at", "begun_at", "production.csv: missing column 'started_at'"),
        ("frames.csv", "captured_at", "shot_at", "frames.csv: missing column 'captured_at'"),
        ("defects.csv", "outcome", "result", "defects.csv: missing column 'outcome'"),
        ("sensors/L1/S1.csv", "ts,a", "ts,amps", "S1.csv: missing column 'a'"),
    ],
)
def test_a_wrong_plan_or_column_stops_the_command_with_one_sentence(
    plant: Path, capsys: pytest.CaptureFixture[str], command: str, name: str, old: str, new: str, sentence: str
) -> None:
    swap(plant / name, old, new)
    assert run([command, str(plant)]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert sentence in told[-1]
    assert sum(line.startswith("qcfuse: ") for line in told) == 1


def test_a_file_that_is_no_table_is_one_sentence_without_its_unprintable_bytes(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (plant / "production.csv").write_bytes(b"garbage\x00\x1b[2J" + b"x" * 10_000)
    assert run(["train", str(plant)]) == 2
    [told] = capsys.readouterr().err.splitlines()
    assert "production.csv: missing column 'part_id'; it has 'garbage" in told
    assert told.isprintable()
    assert len(told) < 1000


@pytest.mark.parametrize("command", [["replay"], ["train"], ["replay", "--publish"]])
def test_a_missing_folder_stops_the_command_with_one_sentence(
    plant: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run([*command, str(plant / "nowhere")]) == 2
    assert capsys.readouterr().err.count("nowhere: no such folder") == 1


def test_bad_rows_and_pictures_of_a_replay_are_dead_letters_and_every_part_is_judged(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (name, content) in enumerate(BAD_PICTURES.items()):
        (plant / "frames" / name).write_bytes(content)
        swap(plant / "frames.csv", f"{number}.jpg", name)
    swap(plant / "sensors/L1/S1.csv", f"{DAY}00:03.000Z,3", f"{DAY}00:03.000Z,nan")
    swap(plant / "sensors/L1/S1.csv", f"{DAY}00:04.000Z,4", f"{DAY}00:04.000Z,inf")
    with (plant / "production.csv").open("a") as file:
        file.write(f"Q0,L1,S1,{DAY}00:09.000Z,{DAY}00:05.000Z,B,x\n")
        file.write(f"{'Q' * 10_000},L1,S1,{DAY}00:00.000Z,{DAY}00:05.000Z,B,x\n")
        file.write("Q2,L1,S1,1970-01-01T00:00:00.000Z,1970-01-01T00:00:01.000Z,B,x\n")
    out = tmp_path / "verdicts.jsonl"
    assert run(["replay", str(plant), "--out", str(out)]) == 0
    letters = [json.loads(line) for line in (tmp_path / "home/deadletters.jsonl").read_text().splitlines()]
    told = sorted((letter["file"], letter["row"], letter["reason"]) for letter in letters)
    assert told == [
        ("frames.csv", 2, "image_truncated"),
        ("frames.csv", 3, "image_too_large"),
        ("frames.csv", 4, "image_unknown_format"),
        ("production.csv", 8, "ends_before_start"),
        ("production.csv", 9, "bad_id"),
        ("production.csv", 10, "clock_out_of_range"),
        ("sensors/L1/S1.csv", 5, "not_finite"),
        ("sensors/L1/S1.csv", 6, "not_finite"),
    ]
    said = capsys.readouterr().err
    assert "sensors/L1/S1.csv: 2 rows could not be used, the first is row 5: not_finite: " in said
    assert f"8 in all: {tmp_path / 'home/deadletters.jsonl'}" in said
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(v["part_id"] for v in verdicts if v["revision"] == 1) == [f"P{n}" for n in range(PARTS)]
    assert {v["decision"] for v in verdicts} == {"cannot_tell"}  # there is no model on the shelf


@pytest.mark.parametrize("command", ["train", "replay"])
def test_a_line_whose_sensors_lie_under_another_name_is_told_and_the_rest_is_used(
    plant: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (plant / "sensors/L1").rename(plant / "sensors/line 1")
    assert run([command, str(plant)]) == 0
    said = capsys.readouterr().err
    assert "sensors/line 1/S1.csv could not be used: line 'line 1' is not in the plan" in said


@dataclass
class Workers:
    """A vision worker's eye and a fusion worker on a real embedded log, driven by hand."""

    log: Log
    settings: Settings
    vision: VisionWorker
    fusion: FusionWorker

    def put(self, topic: str, key: str, body: bytes, headers: Headers = ()) -> None:
        producer = self.log.producer()
        producer.append(Outgoing(self.settings.topic(topic), key.encode(), body, headers))
        producer.flush()
        producer.close()

    def work(self) -> None:
        for record in list(tail(self.log, self.settings, "frames")):
            seen = self.vision.see(record)
            producer = self.log.producer()
            for outgoing in (seen.findings, seen.letter):
                if outgoing is not None:
                    producer.append(outgoing)
            producer.flush()
            producer.close()
        until = time.monotonic() + 1.0  # five deadlines of the plan's gate
        while time.monotonic() < until:
            self.fusion.cycle()

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(record.body or b"") for record in tail(self.log, self.settings, topic)]


@pytest.fixture
def workers(plant: Path, tmp_path: Path) -> Iterator[Workers]:
    settings = Settings(home=str(tmp_path / "home"), partitions=1)
    plan = load_plan(plant / "plan.yaml")
    log = open_log(settings)
    create_topics(log, settings)
    eyes = Eyes.open(Path(settings.shelf), ["top"])
    judge = Judge.open(Path(settings.shelf), plan)
    fusion = FusionWorker(plan, settings, judge, log)
    yield Workers(log, settings, VisionWorker(plan, settings, eyes), fusion)
    fusion.close()
    log.close()


def visit(**changes: str) -> bytes:
    now = wall_ms()
    times = {"started_at": Instant(now - 5000).isoformat(), "ended_at": Instant(now).isoformat()}
    body = {"part_id": "P1", "line_id": "L1", "station_id": "S1", "batch_id": "B", "product": "x"} | times
    return json.dumps(body | changes).encode()


def samples(channels: str) -> bytes:
    at = Instant(wall_ms() - 5000).isoformat()
    return f'{{"line_id":"L1","station_id":"S1","started_at":"{at}","dt_ms":1000,"channels":{channels}}}'.encode()


BAD_RECORDS = [
    ("production", b'{"part_id": "P1"}', "bad_field"),
    ("production", visit(part_id="x" * 10_000), "bad_id"),
    ("production", visit(started_at="1970-01-01T00:00:00.000Z"), "clock_out_of_range"),
    ("production", visit(ended_at="2025-01-01T00:00:00.000Z"), "ends_before_start"),
    ("sensors", samples('{"a":[1,NaN]}'), "bad_json"),
    ("sensors", samples('{"a":[1,Infinity]}'), "bad_json"),
    ("sensors", samples('{"a":[1,2],"b":[1]}'), "channels_unequal"),
    ("defects", b"\x00\xff not json", "bad_json"),
]


def test_bad_records_are_dead_letters_with_their_body_and_the_stream_goes_on(workers: Workers) -> None:
    for topic, body, _ in BAD_RECORDS:
        workers.put(topic, "L1", body)
    workers.put("production", "L1", visit(part_id="GOOD"))
    workers.work()
    letters = list(tail(workers.log, workers.settings, "deadletter"))
    found = {(letter.header("source_topic"), letter.body, letter.header("reason")) for letter in letters}
    assert found == {(workers.settings.topic(topic), body, reason) for topic, body, reason in BAD_RECORDS}
    assert len(letters) == len(BAD_RECORDS)
    assert all(letter.key == b"L1" for letter in letters)
    assert [verdict["part_id"] for verdict in workers.bodies("verdicts")] == ["GOOD"]


def test_bad_frames_are_dead_letters_and_findings_that_say_so(workers: Workers) -> None:
    at = Instant(wall_ms()).isoformat()
    headers = {"line_id": "L1", "camera_id": "top", "captured_at": at, "content-type": "image/jpeg"}
    for name, content in BAD_PICTURES.items():
        named = tuple((key, text.encode()) for key, text in (headers | {"part_id": name}).items())
        workers.put("frames", name, content, named)
    workers.put("frames", "headless", jpeg())
    workers.work()
    reasons = sorted(str(letter.header("reason")) for letter in tail(workers.log, workers.settings, "deadletter"))
    assert reasons == ["bad_header", "image_too_large", "image_truncated", "image_unknown_format"]
    findings = workers.bodies("findings")
    assert sorted(found["part_id"] for found in findings) == sorted(BAD_PICTURES)
    assert all(found["score"] is None and not found["fitness"]["ok"] for found in findings)
