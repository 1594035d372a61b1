"""A recording published on a real log arrives as if it happened now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ingest.decode.door import Door, Message
from ingest.folder.replay_folder import Folder
from ingest.log.opening import open_log
from ingest.log.seam import Log
from ingest.messages import Defect, Frame, Instant, SensorRecord, Visit
from ingest.publish import Published, moved, publish_folder
from ingest.settings import Settings
from ingest.topics import create_topics, tail

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
"""
DAY = "2026-01-05T06:"
PARTS = 3
TOPICS = ("frames", "sensors", "production", "defects")


@dataclass
class Clock:
    """A clock that only sleeping moves."""

    ms: int

    def now(self) -> int:
        return self.ms

    def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Parts ten seconds apart: a visit of five seconds with a sample each second, a frame, a label an hour later."""
    root = tmp_path / "recording"
    (root / "frames").mkdir(parents=True)
    (root / "sensors/L1").mkdir(parents=True)
    (root / "plan.yaml").write_text(PLAN)
    production = ["part_id,line_id,station_id,started_at,ended_at,batch_id,product"]
    frames = ["part_id,line_id,station_id,camera_id,captured_at,file"]
    defects = ["part_id,line_id,recorded_at,source,outcome,defect_code,cause_code"]
    for n in range(PARTS):
        production.append(f"P{n},L1,S1,{DAY}00:{n}0.000Z,{DAY}00:{n}5.000Z,B,x")
        frames.append(f"P{n},L1,S1,top,{DAY}00:{n}2.000Z,{n}.jpg")
        defects.append(f"P{n},L1,2026-01-05T07:00:{n}0.000Z,history,ok,,")
        (root / f"frames/{n}.jpg").write_bytes(b"%d" % n)
    samples = ["ts,a", *(f"{DAY}00:{s:02d}.000Z,{s}" for s in range(10 * PARTS))]
    tables = {"production": production, "frames": frames, "defects": defects, "sensors/L1/S1": samples}
    for name, rows in tables.items():
        (root / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return Folder(root)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"), partitions=2)


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    log = open_log(settings)
    create_topics(log, settings)
    yield log
    log.close()


def published(folder: Folder, log: Log, settings: Settings, speed: float) -> tuple[Clock, list[Message], Published]:
    clock = Clock(int(Instant.parse("2026-11-23T08:00:00Z")))
    counts = publish_folder(folder, log, settings, speed, lambda _: None, clock.now, clock.sleep)
    door = Door(Settings(clock_ahead_ms=10**13), folder.plan)  # the embedded log's own clock is today's
    messages = [door.decode(topic, record) for topic in TOPICS for record in tail(log, settings, topic)]
    return clock, messages, counts


def test_as_recorded_everything_is_moved_by_one_span_and_waits_until_it_is_due(
    folder: Folder, log: Log, settings: Settings
) -> None:
    began = int(Instant.parse("2026-11-23T08:00:00Z"))
    clock, messages, counts = published(folder, log, settings, speed=1)
    assert counts.records == {"production": 3, "frames": 3, "sensors": 6, "defects": 3}
    assert counts.total == len(messages)
    visits = [message for message in messages if isinstance(message, Visit)]
    first_received = 2000  # the frame is the first to come in, two seconds after the first visit began
    assert [visit.started_at - began for visit in visits] == [n * 10_000 - first_received for n in range(PARTS)]
    assert all(message.part_id is None for message in messages if isinstance(message, SensorRecord))
    assert sum(len(message.ts_ms) for message in messages if isinstance(message, SensorRecord)) == 30
    assert clock.ms - began == 3_600_000 + 20_000 - first_received


def test_as_fast_as_it_goes_each_part_is_a_block_that_ends_now(folder: Folder, log: Log, settings: Settings) -> None:
    began = int(Instant.parse("2026-11-23T08:00:00Z"))
    clock, messages, counts = published(folder, log, settings, speed=0)
    assert clock.ms == began
    assert counts.records == {"production": 3, "frames": 3, "sensors": 3, "defects": 3}
    for message in messages:
        match message:
            case Visit():
                assert (message.started_at - began, message.ended_at - began) == (-5000, 0)
            case Frame():
                assert message.captured_at - began == -3000
                assert message.frame_id == f"top@{message.captured_at.isoformat()}"
                assert message.body == message.part_id[1:].encode()
            case SensorRecord():
                assert message.part_id is not None
                assert (message.ts_ms - began).tolist() == [-5000, -4000, -3000, -2000, -1000, 0]
                assert message.channels["a"][0] == 10 * int(message.part_id[1:])
            case Defect():
                assert message.recorded_at == began


def test_at_another_speed_the_blocks_keep_their_distance_divided_by_it(
    folder: Folder, log: Log, settings: Settings
) -> None:
    began = int(Instant.parse("2026-11-23T08:00:00Z"))
    _, messages, _ = published(folder, log, settings, speed=10)
    ends = sorted(message.ended_at - began for message in messages if isinstance(message, Visit))
    assert ends == [0, 1000, 2000]


def test_keys_are_the_part_for_frames_and_the_line_for_all_else(folder: Folder, log: Log, settings: Settings) -> None:
    published(folder, log, settings, speed=0)
    assert {record.key for record in tail(log, settings, "frames")} == {b"P0", b"P1", b"P2"}
    for topic in ("sensors", "production", "defects"):
        assert {record.key for record in tail(log, settings, topic)} == {b"L1"}


def test_progress_is_told_while_it_waits_and_bad_rows_are_written_down_at_the_end(
    folder: Folder, log: Log, settings: Settings
) -> None:
    clock = Clock(0)
    told: list[str] = []
    (folder.path / "frames/1.jpg").unlink()
    publish_folder(folder, log, settings, 1, told.append, clock.now, clock.sleep)
    assert told[0].endswith(" records published")
    assert told[-1] == "14 records published, 1 rows could not be used"
    letters = (Path(settings.home) / "deadletters.jsonl").read_text().splitlines()
    assert [json.loads(letter)["reason"] for letter in letters] == ["picture_missing"]


def test_a_frame_id_of_the_plants_own_is_kept_when_the_frame_is_moved() -> None:
    frame = Frame("P", "L1", "top", Instant(1_000), "image/jpeg", b"x", "S1", "shot-7")
    assert moved(frame, 500) == Frame("P", "L1", "top", Instant(1_500), "image/jpeg", b"x", "S1", "shot-7")


def test_moving_samples_leaves_the_recording_alone() -> None:
    record = SensorRecord("L1", "S1", np.arange(3.0), {"a": np.arange(3.0)})
    later = moved(record, 100, "P1")
    assert isinstance(later, SensorRecord)
    assert (later.part_id, later.ts_ms.tolist(), record.ts_ms.tolist()) == ("P1", [100, 101, 102], [0, 1, 2])
