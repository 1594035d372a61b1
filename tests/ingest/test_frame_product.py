"""What a frame says of its product: the same on the wire, in a folder, in a replay and when it is published."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode.door import Door
from ingest.encode import encode_frame
from ingest.errors import BadRecord
from ingest.folder.replay_folder import Folder
from ingest.log.opening import open_log
from ingest.log.seam import Record
from ingest.messages import Frame, Instant
from ingest.publish import publish_folder
from ingest.settings import Settings
from ingest.topics import create_topics, tail

PLAN = """\
plan: 1
plant: p
owners: {objective: a, model: b, stop: c}
objective: {escape_cost: 450.0, review_cost: 2.5, currency: USD}
constraints: {escape_rate_max: 0.003, review_share_max: 0.10, latency_ms_max: 500}
grants: {topics: [qc.frames, qc.production]}
audit: {share: 0.01}
lines:
  - line_id: L1
    stations: [{station_id: S1}, {station_id: S2}]
    cameras: [{camera_id: first, station_id: S1}, {camera_id: top, station_id: S2}]
    gates: [{gate_id: EOL, after: S2, deadline_ms: 500, needs: [camera:top]}]
"""
DAY = "2026-01-05T06:"
HEAD = "part_id,line_id,station_id,camera_id,captured_at,file"


def record(frame: Frame) -> Record:
    headers, body = encode_frame(frame)
    return Record("qc.frames", 0, 0, frame.part_id.encode(), body, headers, 1_800_000_000_000)


def frame(product: str) -> Frame:
    return Frame(
        "P", "L1", "top", Instant(1_767_600_000_000), "image/jpeg", b"x", "S2", "top@1", product=product
    )  # fmt: skip


def plant(folder: Path, header: str, *cells: str, grants: str = "qc.frames, qc.production") -> Folder:
    """One part booked as `old` at S1, rebooked as `new` at S2, with a frame during each visit and one afterwards."""
    (folder / "frames").mkdir(parents=True)
    (folder / "frames" / "1.jpg").write_bytes(b"one")
    (folder / "plan.yaml").write_text(PLAN.replace("qc.frames, qc.production", grants))
    (folder / "production.csv").write_text(
        "part_id,line_id,station_id,started_at,ended_at,batch_id,product\n"
        f"P1,L1,S1,{DAY}00:00.000Z,{DAY}00:04.000Z,B1,old\n"
        f"P1,L1,S2,{DAY}00:05.000Z,{DAY}00:09.000Z,B1,new\n"
    )
    times = ("first,{}00:03.000Z", "top,{}00:07.000Z", "top,{}00:11.000Z")
    rows = [
        f"P1,L1,{'S1' if n == 0 else 'S2'},{time.format(DAY)},1.jpg{cells[n] if cells else ''}"
        for n, time in enumerate(times)
    ]
    (folder / "frames.csv").write_text("\n".join([HEAD + header, *rows]) + "\n")
    return Folder(folder)


def told(folder: Folder) -> list[str]:
    arrived = [arrival.message.product for arrival in folder.arrivals() if isinstance(arrival.message, Frame)]
    assert arrived == [row.frame.product for row in folder.frames()]  # what training sees is what a replay serves
    return arrived


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_product_survives_the_wire(product: str) -> None:
    assert Door(Settings()).decode("frames", record(frame(product))) == frame(product)


def test_a_frame_that_names_no_product_has_no_such_header() -> None:
    assert "product" not in [name for name, _ in encode_frame(frame(""))[0]]


def test_a_product_too_long_is_a_dead_letter() -> None:
    with pytest.raises(BadRecord, match="product wants at most 200 characters") as trouble:
        Door(Settings()).decode("frames", record(frame("x" * 201)))
    assert trouble.value.reason == "bad_text"


def test_without_the_column_a_frame_is_of_what_had_been_booked_before_it_came_in(tmp_path: Path) -> None:
    assert told(plant(tmp_path, "")) == ["", "old", "new"]


def test_the_column_rules_and_an_empty_cell_says_that_the_frame_did_not_tell(tmp_path: Path) -> None:
    assert told(plant(tmp_path, ",product", ",x", ",", ",y")) == ["x", "", "y"]


def test_bookings_that_the_plan_does_not_grant_say_nothing(tmp_path: Path) -> None:
    assert told(plant(tmp_path, "", grants="qc.frames")) == ["", "", ""]


def test_a_published_recording_says_the_product_in_its_headers(tmp_path: Path) -> None:
    folder = plant(tmp_path / "recording", "")
    settings = Settings(home=str(tmp_path / "home"), partitions=1)
    log = open_log(settings)
    create_topics(log, settings)
    publish_folder(folder, log, settings, 0, lambda _: None)
    door = Door(settings, folder.plan)
    frames = [door.decode("frames", one) for one in tail(log, settings, "frames")]
    log.close()
    assert [one.product for one in frames if isinstance(one, Frame)] == ["", "old", "new"]
