"""Disorder of the simulated plant: late, repeated, missing, skewed and shuffled as asked, about the same parts."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.folder.replay_folder import Folder
from ingest.messages import Instant
from ingest.simulate import Disorder, write_plant
from ingest.simulate.disorder import receive

PARTS = 150
SKEW_MS = 700


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same plant in order and in disorder."""
    root = tmp_path_factory.mktemp("plants")
    write_plant(root / "order", PARTS, 9)
    skew = {"camera:face": SKEW_MS, "sensors:OP10": -SKEW_MS}
    write_plant(root / "disorder", PARTS, 9, Disorder(skew_ms=skew))
    return root / "order", root / "disorder"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@given(
    late=st.floats(0.0, 1.0), repeat=st.floats(0.0, 1.0), missing=st.floats(0.0, 0.9), shuffle=st.booleans(),
    seed=st.integers(0, 2**32),
)  # fmt: skip
def test_records_go_missing_come_twice_and_come_late_in_the_shares_asked(
    late: float, repeat: float, missing: float, shuffle: bool, seed: int
) -> None:
    count, late_ms = 20_000, 60_000
    complete_at = np.arange(count, dtype=np.int64) * 10
    disorder = Disorder(late, late_ms, repeat, missing, shuffle=shuffle)
    receipt = receive(disorder, complete_at, np.random.default_rng(seed))
    times = Counter(receipt.record.tolist())
    assert abs(len(times) / count - (1.0 - missing)) < 0.02
    twice = sum(1 for seen in times.values() if seen == 2) / max(len(times), 1)
    assert abs(twice - repeat) < 0.05
    assert max(times.values()) <= 2
    way = receipt.received_at - complete_at[receipt.record]
    assert way.min() >= 0
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, receipt.record, way)
    # late by up to a minute, evenly: of the late ones 1 - 2/60 come more than two seconds behind the prompt ones
    behind = np.mean(first[list(times)] > 4_000)
    assert abs(behind - late) < 0.03 + 0.07 * late
    assert first[list(times)].max() <= late_ms + 2_000


def test_without_shuffling_the_rows_stand_in_the_order_they_came_in() -> None:
    receipt = receive(Disorder(shuffle=False), np.arange(500, dtype=np.int64) * 10, np.random.default_rng(1))
    assert (np.diff(receipt.received_at) >= 0).all()


def test_only_a_disordered_plant_says_when_records_came_in(plants: tuple[Path, Path]) -> None:
    order, disorder = plants
    for table in ("production.csv", "frames.csv", "defects.csv"):
        assert "received_at" not in rows_of(order / table)[0]
        assert "received_at" in rows_of(disorder / table)[0]


def test_disorder_changes_nothing_about_the_parts_themselves(plants: tuple[Path, Path]) -> None:
    order, disorder = plants
    assert (order / "truth.csv").read_bytes() == (disorder / "truth.csv").read_bytes()
    was = {tuple(row.values()) for row in rows_of(order / "production.csv")}
    came = {tuple(row.values())[:-1] for row in rows_of(disorder / "production.csv")}
    assert came < was
    for row in rows_of(order / "frames.csv"):
        picture = Path("frames") / row["file"]
        assert (order / picture).read_bytes() == (disorder / picture).read_bytes()


def test_a_skewed_clock_is_off_by_as_much_as_was_asked(plants: tuple[Path, Path]) -> None:
    order, disorder = plants
    was = {row["file"]: Instant.parse(row["captured_at"]) for row in rows_of(order / "frames.csv")}
    off = {
        (row["camera_id"], Instant.parse(row["captured_at"]) - was[row["file"]])
        for row in rows_of(disorder / "frames.csv")
    }
    assert off == {("face", SKEW_MS), ("side", 0), ("cover", 0)}


def test_a_disordered_folder_is_read_whole_in_the_order_it_came_in(plants: tuple[Path, Path]) -> None:
    folder = Folder(plants[1])
    arrivals = list(folder.arrivals())
    assert folder.dead_letters == []
    received = [int(arrival.received_at) for arrival in arrivals]
    assert received == sorted(received)
    visits = [arrival for arrival in arrivals if type(arrival.message).__name__ == "Visit"]
    assert len(visits) == len(rows_of(plants[1] / "production.csv"))
    ended = [int(arrival.message.ended_at) for arrival in visits]
    assert ended != sorted(ended)
