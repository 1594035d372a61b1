"""Replay folders: every row arrives once, in the order it came in, or is a dead letter with file and row."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.errors import BadInput
from ingest.folder.replay_folder import Folder
from ingest.messages import Defect, Frame, Instant, SensorRecord, Visit

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
    stations:
      - {station_id: S1, channels: [{channel: a, unit: A, rate_hz: 1}, {channel: b, unit: V, rate_hz: 1}]}
      - {station_id: S2}
    cameras: [{camera_id: top, station_id: S2}]
    gates: [{gate_id: EOL, after: S2, deadline_ms: 500, needs: [camera:top]}]
"""
HEAD = "part_id,line_id,station_id,started_at,ended_at,batch_id,product"
DAY = "2026-01-05T06:"


def at(text: str) -> Instant:
    return Instant.parse(f"{DAY}{text}Z")


def write(folder: Path, name: str, *rows: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """Two parts through S1 and S2, ten seconds apart, one frame and one label each, samples every second."""
    write(tmp_path, "plan.yaml", PLAN)
    write(
        tmp_path,
        "production.csv",
        HEAD + ",tool_id,shift",
        f"P1,L1,S1,{DAY}00:00.000Z,{DAY}00:04.000Z,B1,x,T1,",
        f"P1,L1,S2,{DAY}00:05.000Z,{DAY}00:09.000Z,B1,x,,A",
        f"P2,L1,S1,{DAY}00:10.000Z,{DAY}00:14.000Z,B1,x,T2,",
        f"P2,L1,S2,{DAY}00:15.000Z,{DAY}00:19.000Z,B1,x,,A",
    )
    write(
        tmp_path,
        "frames.csv",
        "part_id,line_id,station_id,camera_id,captured_at,file",
        f"P1,L1,S2,top,{DAY}00:07.000Z,1.jpg",
        f"P2,L1,S2,top,{DAY}00:17.000Z,sub/2.PNG",
    )
    write(tmp_path, "frames/1.jpg", "one")
    write(tmp_path, "frames/sub/2.PNG", "two")
    samples = [f"{DAY}00:{second:02d}.000Z,{second}.5,{'' if second == 2 else second}" for second in range(20)]
    write(tmp_path, "sensors/L1/S1.csv", "ts,a,b", *samples)
    write(
        tmp_path,
        "defects.csv",
        "part_id,line_id,recorded_at,source,outcome,defect_code,cause_code",
        f"P1,L1,{DAY}30:00.000Z,history,defect,pit,b;a",
        f"P2,L1,{DAY}30:00.000Z,history,ok,,",
    )
    return tmp_path


def swap(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def dead(folder: Path) -> list[tuple[str, int, str]]:
    opened = Folder(folder)
    list(opened.arrivals())
    assert all(letter.detail for letter in opened.dead_letters)
    return [(letter.file, letter.row, letter.reason) for letter in opened.dead_letters]


def test_everything_arrives_once_in_the_order_it_ended(plant: Path) -> None:
    folder = Folder(plant)
    arrivals = list(folder.arrivals())
    assert folder.dead_letters == []
    told = [(a.received_at - at("00:00.000"), type(a.message).__name__, a.part_id) for a in arrivals]
    assert told == [
        (4000, "SensorRecord", "P1"),
        (4000, "Visit", "P1"),
        (7000, "Frame", "P1"),
        (9000, "SensorRecord", ""),
        (9000, "Visit", "P1"),
        (14000, "SensorRecord", "P2"),
        (14000, "Visit", "P2"),
        (17000, "Frame", "P2"),
        (19000, "SensorRecord", ""),
        (19000, "Visit", "P2"),
        (1800000, "Defect", "P1"),
        (1800000, "Defect", "P2"),
    ]
    assert [(a.received_at, a.where) for a in folder.arrivals()] == [(a.received_at, a.where) for a in arrivals]


def test_messages_hold_what_the_rows_say(plant: Path) -> None:
    messages = [arrival.message for arrival in Folder(plant).arrivals()]
    visits = [message for message in messages if isinstance(message, Visit)]
    assert [visit.attributes for visit in visits] == [
        {"tool_id": "T1"},
        {"shift": "A"},
        {"tool_id": "T2"},
        {"shift": "A"},
    ]
    frames = [message for message in messages if isinstance(message, Frame)]
    assert [(frame.body, frame.content_type, frame.ref) for frame in frames] == [
        (b"one\n", "image/jpeg", ""),
        (b"two\n", "image/png", ""),
    ]
    assert frames[0].frame_id == f"top@{DAY}00:07.000Z"
    record = next(message for message in messages if isinstance(message, SensorRecord))
    assert record.part_id is None
    np.testing.assert_array_equal(record.channels["a"], [0.5, 1.5, 2.5, 3.5, 4.5])
    np.testing.assert_array_equal(record.channels["b"], [0, 1, np.nan, 3, 4])
    defect = next(message for message in messages if isinstance(message, Defect))
    assert defect.causes == ("b", "a")


def test_since_and_until_cut_by_when_a_part_began(plant: Path) -> None:
    folder = Folder(plant)
    since = list(folder.arrivals(since=at("00:05.000")))
    assert {arrival.part_id for arrival in since if not isinstance(arrival.message, Defect)} == {"P2", ""}
    assert [arrival.part_id for arrival in since if isinstance(arrival.message, Defect)] == ["P1", "P2"]
    until = list(folder.arrivals(until=at("00:10.000")))
    assert {arrival.part_id for arrival in until} == {"P1", ""}
    assert list(folder.arrivals(since=at("31:00.000"))) == []


def test_parts_know_their_first_visit(plant: Path) -> None:
    parts = Folder(plant).parts()
    assert {name: part.started_at - at("00:00.000") for name, part in parts.items()} == {"P1": 0, "P2": 10000}


def test_received_at_rules_where_it_is_given(plant: Path) -> None:
    swap(plant, "production.csv", HEAD, HEAD + ",received_at")
    text = (plant / "production.csv").read_text().splitlines()
    rows = [row.split(",") for row in text[1:]]
    rows = [[*row[:7], f"{DAY}00:{50 - place}.000Z" if place else "", *row[7:]] for place, row in enumerate(rows)]
    write(plant, "production.csv", text[0], *(",".join(row) for row in rows))
    visits = [arrival for arrival in Folder(plant).arrivals() if isinstance(arrival.message, Visit)]
    assert [arrival.received_at - at("00:00.000") for arrival in visits] == [4000, 47000, 48000, 49000]
    assert "received_at" not in visits[0].message.attributes  # type: ignore[union-attr]


def test_samples_come_grouped_as_they_were_received(plant: Path) -> None:
    rows = [f"{DAY}00:{s:02d}.000Z,1,2,{DAY}00:{40 if s % 2 else 30}.000Z" for s in range(6)]
    write(plant, "sensors/L1/S1.csv", "ts,a,b,received_at", *rows)
    records = [arrival for arrival in Folder(plant).arrivals() if isinstance(arrival.message, SensorRecord)]
    origin = float(at("00:00.000"))
    told = [(r.received_at - origin, ((r.message.ts_ms - origin) / 1000).tolist()) for r in records]  # type: ignore[union-attr]
    assert told == [(30000, [0, 2, 4]), (40000, [1, 3, 5])]


def test_samples_that_name_their_part_stay_with_it_visit_by_visit(plant: Path) -> None:
    swap(
        plant,
        "production.csv",
        f"P2,L1,S1,{DAY}00:10.000Z",
        f"P1,L1,S1,{DAY}00:20.000Z,{DAY}00:24.000Z,B1,x,T1,\nP2,L1,S1,{DAY}00:10.000Z",
    )
    rows = [f"{DAY}00:{s:02d}.000Z,1,2,{'P2' if s % 2 else 'P1'}" for s in (0, 1, 2, 3, 20, 21, 22)]
    write(plant, "sensors/L1/S1.csv", "ts,a,b,part_id", *rows)
    records = [arrival for arrival in Folder(plant).arrivals() if isinstance(arrival.message, SensorRecord)]
    origin = float(at("00:00.000"))
    told = [(r.message.part_id, ((r.message.ts_ms - origin) / 1000).tolist()) for r in records]  # type: ignore[union-attr]
    assert told == [("P1", [0, 2]), ("P2", [1, 3, 21]), ("P1", [20, 22])]


def test_parquet_and_csv_give_the_same_records(plant: Path, tmp_path: Path) -> None:
    def records() -> list[SensorRecord]:
        return [a.message for a in Folder(plant).arrivals() if isinstance(a.message, SensorRecord)]

    from_csv = records()
    table = pd.read_csv(plant / "sensors/L1/S1.csv", parse_dates=["ts"])
    (plant / "sensors/L1/S1.csv").unlink()
    table.to_parquet(plant / "sensors/L1/S1.parquet", index=False)
    from_parquet = records()
    assert len(from_csv) == len(from_parquet) == 4
    for one, other in zip(from_csv, from_parquet, strict=True):
        np.testing.assert_array_equal(one.ts_ms, other.ts_ms)
        np.testing.assert_array_equal(one.channels["b"], other.channels["b"])


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("production.csv", f"{DAY}00:05.000Z", "noon", ("production.csv", 3, "bad_time")),
        ("production.csv", f"{DAY}00:09.000Z", f"{DAY}00:01.000Z", ("production.csv", 3, "ends_before_start")),
        ("production.csv", f"{DAY}00:00.000Z", "1970-01-01T00:00:00.000Z", ("production.csv", 2, "clock_out_of_range")),
        ("production.csv", "P1,L1,S2", "P1,L9,S2", ("production.csv", 3, "unknown_line")),
        ("production.csv", "P1,L1,S2", "P1,L1,S9", ("production.csv", 3, "unknown_station")),
        ("production.csv", "P1,L1,S2", "P" * 10_000 + ",L1,S2", ("production.csv", 3, "bad_id")),
        ("production.csv", "B1,x,T2,", "B1,x,T2,,,", ("production.csv", 4, "bad_row")),
        ("frames.csv", "1.jpg", "gone.jpg", ("frames.csv", 2, "picture_missing")),
        ("frames.csv", "1.jpg", "../production.jpg", ("frames.csv", 2, "bad_path")),
        ("frames.csv", "1.jpg", "/etc/1.jpg", ("frames.csv", 2, "bad_path")),
        ("frames.csv", "1.jpg", "1.gif", ("frames.csv", 2, "unknown_content_type")),
        ("frames.csv", "top", "side", ("frames.csv", 2, "unknown_camera")),
        ("defects.csv", "history,defect", "history,maybe", ("defects.csv", 2, "bad_field")),
        ("defects.csv", f"{DAY}30:00.000Z", "later", ("defects.csv", 2, "bad_time")),
        ("sensors/L1/S1.csv", f"{DAY}00:03.000Z,3.5", "noon,3.5", ("sensors/L1/S1.csv", 5, "bad_time")),
        ("sensors/L1/S1.csv", "3.5", "nan", ("sensors/L1/S1.csv", 5, "not_finite")),
        ("sensors/L1/S1.csv", "3.5", "-inf", ("sensors/L1/S1.csv", 5, "not_finite")),
        ("sensors/L1/S1.csv", "3.5", "high", ("sensors/L1/S1.csv", 5, "not_finite")),
        ("sensors/L1/S1.csv", "3.5", "3.5,4", ("sensors/L1/S1.csv", 5, "bad_row")),
        ("sensors/L1/S1.csv", f"{DAY}00:03", "1970-01-01T00:00:03", ("sensors/L1/S1.csv", 5, "clock_out_of_range")),
    ],
)
def test_one_bad_row_is_one_dead_letter_and_nothing_else_is_lost(
    plant: Path, name: str, old: str, new: str, expected: tuple[str, int, str]
) -> None:
    def samples_and_rows() -> tuple[int, int]:
        messages = [arrival.message for arrival in Folder(plant).arrivals()]
        samples = sum(len(m.ts_ms) for m in messages if isinstance(m, SensorRecord))
        return samples, sum(not isinstance(m, SensorRecord) for m in messages)

    samples, rows = samples_and_rows()
    swap(plant, name, old, new)
    assert dead(plant) == [expected]
    lost = (1, 0) if name.startswith("sensors") else (0, 1)
    assert samples_and_rows() == (samples - lost[0], rows - lost[1])


def test_bytes_that_are_no_utf8_cost_their_row_only(plant: Path) -> None:
    path = plant / "production.csv"
    path.write_bytes(path.read_bytes().replace(b"P1,L1,S2", b"P\xff,L1,S2"))
    assert dead(plant) == [("production.csv", 3, "bad_id")]


def test_empty_lines_are_no_rows(plant: Path) -> None:
    for name in ("production.csv", "defects.csv", "sensors/L1/S1.csv"):
        with (plant / name).open("a") as file:
            file.write("\n\n")
    assert dead(plant) == []


def test_a_picture_that_goes_away_later_is_one_dead_letter_however_often_it_is_read(plant: Path) -> None:
    folder = Folder(plant)
    os.unlink(plant / "frames/1.jpg")
    assert sum(isinstance(arrival.message, Frame) for arrival in folder.arrivals()) == 1
    list(folder.arrivals())
    assert [(letter.file, letter.row, letter.reason) for letter in folder.dead_letters] == [
        ("frames.csv", 2, "picture_missing")
    ]


def test_sensor_files_of_strangers_are_dead_letters_as_a_whole(plant: Path) -> None:
    write(plant, "sensors/L9/S1.csv", "ts,a", f"{DAY}00:00.000Z,1")
    write(plant, "sensors/L1/S9.csv", "ts,a", f"{DAY}00:00.000Z,1")
    assert dead(plant) == [("sensors/L1/S9.csv", 0, "unknown_station"), ("sensors/L9/S1.csv", 0, "unknown_line")]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("production.csv", "ended_at"),
        ("frames.csv", "camera_id"),
        ("defects.csv", "outcome"),
        ("sensors/L1/S1.csv", "b"),
        ("sensors/L1/S1.csv", "ts"),
    ],
)
def test_a_missing_column_is_refused_by_file_and_name(plant: Path, name: str, column: str) -> None:
    table = pd.read_csv(plant / name, dtype=str)
    table.drop(columns=column).to_csv(plant / name, index=False)
    with pytest.raises(BadInput, match=f"{name}: missing column '{column}'"):
        Folder(plant)


def test_missing_files_and_folders_are_named(plant: Path) -> None:
    with pytest.raises(BadInput, match="nowhere: no such folder"):
        Folder(plant / "nowhere")
    (plant / "production.csv").unlink()
    with pytest.raises(BadInput, match=r"production\.csv: cannot read it"):
        Folder(plant)
    (plant / "plan.yaml").unlink()
    with pytest.raises(BadInput, match=r"plan\.yaml: cannot read the control plan"):
        Folder(plant)


def test_an_empty_file_and_a_column_twice_are_refused(plant: Path) -> None:
    write(plant, "defects.csv", "part_id,part_id,line_id,recorded_at,source,outcome,defect_code,cause_code")
    with pytest.raises(BadInput, match="column 'part_id' stands twice"):
        Folder(plant)
    (plant / "defects.csv").write_text("")
    with pytest.raises(BadInput, match="missing column 'part_id'"):
        Folder(plant)


def test_a_parquet_file_that_is_none_is_refused(plant: Path) -> None:
    (plant / "sensors/L1/S1.csv").rename(plant / "sensors/L1/S1.parquet")
    with pytest.raises(BadInput, match=r"S1\.parquet: not a parquet file"):
        Folder(plant)


def test_optional_files_may_be_absent(plant: Path) -> None:
    for name in ("frames.csv", "defects.csv", "sensors/L1/S1.csv"):
        (plant / name).unlink()
    assert [type(arrival.message) for arrival in Folder(plant).arrivals()] == [Visit] * 4
    assert Folder(plant).truth() is None


def test_streams_that_are_not_granted_are_not_read(plant: Path) -> None:
    swap(plant, "plan.yaml", "[qc.frames, qc.sensors, qc.production, qc.defects]", "[qc.production, qc.frames]")
    kinds = {type(arrival.message) for arrival in Folder(plant).arrivals()}
    assert kinds == {Visit, Frame}


def test_frames_may_be_a_link_that_git_wrote_as_a_file(plant: Path) -> None:
    (plant / "frames").rename(plant.parent / f"{plant.name}-pictures")
    (plant / "frames").write_text(f"../{plant.name}-pictures")
    assert dead(plant) == []
    assert len(Folder(plant).frames()) == 2


def test_the_truth_is_read(plant: Path) -> None:
    write(plant, "truth.csv", "part_id,line_id,batch_id,defect,mechanism,cause", "P1,L1,B1,1,lot,a & b", "P2,L1,B1,0,,")
    truth = Folder(plant).truth()
    assert truth is not None
    assert (truth["P1"].defect, truth["P1"].cause, truth["P2"].defect) == (True, "a & b", False)


def test_blocks_hold_one_part_each_and_all_its_records(plant: Path) -> None:
    blocks = [(due - at("00:00.000"), [a.part_id for a in block]) for due, block in Folder(plant).blocks()]
    assert blocks == [(9000, ["P1"] * 4), (19000, ["P2"] * 4), (1800000, ["P1"]), (1800000, ["P2"])]


def test_a_file_of_too_many_bad_rows_is_refused(plant: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.folder.rows.DEAD_ROWS_MAX", 3)
    write(plant, "production.csv", HEAD, *["P1,L1,S1,x,x,B,p"] * 5)
    with pytest.raises(BadInput, match=r"production\.csv: over 3 bad rows, the first at row 2: bad_time"):
        Folder(plant)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=60), st.sampled_from(["", ",part_id", ",received_at"]))
def test_every_sample_arrives_exactly_once(plant: Path, times: list[int], column: str) -> None:
    extra = {"": "", ",part_id": ",P2", ",received_at": f",{DAY}10:00.000Z"}[column]
    rows = [f"{Instant(at('00:00.000') + ms).isoformat()},{place},0{extra}" for place, ms in enumerate(times)]
    write(plant, "sensors/L1/S1.csv", "ts,a,b" + column, *rows)
    records = [a.message for a in Folder(plant).arrivals() if isinstance(a.message, SensorRecord)]
    arrived = sorted(value for record in records for value in record.channels["a"].tolist())
    assert arrived == [float(place) for place in range(len(times))]


def test_a_sensor_file_of_a_header_only_holds_no_samples(plant: Path) -> None:
    write(plant, "sensors/L1/S1.csv", "ts,a,b")
    assert not [a for a in Folder(plant).arrivals() if isinstance(a.message, SensorRecord)]
    assert dead(plant) == []


def test_parquet_columns_may_be_categories_decimals_and_floats_of_any_size(plant: Path) -> None:
    (plant / "sensors/L1/S1.csv").unlink()
    ts = pa.array([int(at("00:01.000")), int(at("00:02.000"))]).cast(pa.timestamp("ms"))
    table = pa.table(
        {
            "ts": ts,
            "a": pa.array([1.5, None], pa.float32()),
            "b": pa.array(["1.25", "2"]).cast(pa.decimal128(9, 2)),
            "part_id": pa.array(["P1", "P1"]).dictionary_encode(),
        }
    )
    pq.write_table(table, plant / "sensors/L1/S1.parquet")
    record = next(a.message for a in Folder(plant).arrivals() if isinstance(a.message, SensorRecord))
    assert (record.part_id, record.channels["b"].tolist()) == ("P1", [1.25, 2.0])
    np.testing.assert_array_equal(record.channels["a"], [1.5, np.nan])
    assert record.ts_ms[0] == at("00:01.000")


def test_a_parquet_nan_is_a_dead_letter_and_a_null_a_missing_sample(plant: Path) -> None:
    (plant / "sensors/L1/S1.csv").unlink()
    ts = pa.array([int(at("00:01.000")), int(at("00:02.000"))]).cast(pa.timestamp("ms"))
    table = pa.table({"ts": ts, "a": [1.0, float("nan")], "b": pa.array([None, 1.0])})
    pq.write_table(table, plant / "sensors/L1/S1.parquet")
    assert dead(plant) == [("sensors/L1/S1.parquet", 3, "not_finite")]
