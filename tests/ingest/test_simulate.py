"""The simulated plant: what it writes is a replay folder, its truth is one, and its randomness is its seed's alone."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from ingest.errors import BadInput
from ingest.folder.replay_folder import Folder
from ingest.messages import Frame, Instant, SensorRecord, Visit
from ingest.plan.file import load_plan
from ingest.simulate import Disorder, write_plant
from ingest.simulate.lines import draw_lines
from ingest.simulate.plant import LINES, STARTED_AT
from ingest.simulate.schedule import draw_schedule

PARTS = 260
MECHANISMS = {
    "tool_wear", "bad_lot", "loose_fixture", "press_fit", "recipe_heat", "cross_thread", "handling",
}  # fmt: skip


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plants") / "plant"
    write_plant(folder, PARTS, 5)
    return folder


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    write_plant(tmp_path / "one", 40, 11)
    write_plant(tmp_path / "two", 40, 11)
    write_plant(tmp_path / "three", 40, 12)
    one, two, three = (fingerprint(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert [name for name in one if three.get(name) == one[name]] == ["plan.yaml"]


def test_every_row_of_the_folder_is_read_and_none_is_a_dead_letter(plant: Path) -> None:
    folder = Folder(plant)
    kinds = Counter(type(arrival.message).__name__ for arrival in folder.arrivals())
    assert folder.dead_letters == []
    assert kinds["Visit"] == len(rows_of(plant / "production.csv"))
    assert kinds["Frame"] == len(rows_of(plant / "frames.csv"))
    assert kinds["Defect"] == len(rows_of(plant / "defects.csv"))
    assert kinds["SensorRecord"] > PARTS


def test_the_plan_is_accepted_and_names_what_the_folder_holds(plant: Path) -> None:
    plan = load_plan(plant / "plan.yaml")
    assert [line.line_id for line in plan.lines] == [layout.line_id for layout in LINES]
    for line in plan.lines:
        for station in line.stations:
            assert (plant / "sensors" / line.line_id / f"{station.station_id}.parquet").exists() == bool(
                station.channels
            )
        seen = {(row["camera_id"], row["station_id"]) for row in rows_of(plant / "frames.csv")}
        assert {(camera.camera_id, camera.station_id) for camera in line.cameras} <= seen
    assert not plan.may_use("operator_id")


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_two_thousand_parts_show_every_mechanism_at_two_to_five_defects_in_a_hundred(seed: int) -> None:
    met: Counter[str] = Counter()
    defective = 0
    for _, line in draw_lines(seed, 2000):
        hit = np.zeros(len(line.roster), dtype=np.bool_)
        for fault in line.faults:
            met[fault.mechanism] += int(fault.hit.sum())
            hit |= fault.hit
        defective += int(hit.sum())
    assert set(met) == MECHANISMS
    assert min(met.values()) >= 2
    assert 0.02 <= defective / 2000 <= 0.05


def test_the_truth_has_a_row_for_each_part_and_the_causes_booked_agree_with_it(plant: Path) -> None:
    truth = {row["part_id"]: row for row in rows_of(plant / "truth.csv")}
    assert len(truth) == PARTS
    assert {row["part_id"] for row in rows_of(plant / "production.csv")} == set(truth)
    booked = [row for row in rows_of(plant / "defects.csv") if row["outcome"] == "defect"]
    assert booked
    for row in rows_of(plant / "defects.csv"):
        part = truth[row["part_id"]]
        assert (row["outcome"] != "ok") == (part["defect"] == "1")
        assert row["cause_code"] in ("", part["cause"])
    for part in truth.values():
        assert (part["defect"] == "1") == bool(part["mechanism"]) == bool(part["cause"])


def test_a_cause_that_is_an_attribute_was_booked_by_that_part(plant: Path) -> None:
    booked: dict[str, set[str]] = defaultdict(set)
    for row in rows_of(plant / "production.csv"):
        booked[row["part_id"]] |= {f"{name}={value}" for name, value in row.items() if value}
    checked = 0
    for part in rows_of(plant / "truth.csv"):
        for cause in (half for whole in part["cause"].split(";") for half in whole.split(" & ")):
            if "=" in cause:
                assert cause in booked[part["part_id"]]
                checked += 1
    assert checked > 0


def test_the_decoy_follows_the_worst_tool_and_causes_nothing() -> None:
    line = draw_lines(3, 2000)[0][1]
    booked = line.attributes("OP10")
    burr = next(fault for fault in line.faults if fault.mechanism == "tool_wear").hit
    worst = Counter(booked["tool_id"][burr].tolist()).most_common(1)[0][0]
    decoy = booked["coolant_tank"] == "K2"
    assert np.corrcoef(decoy, booked["tool_id"] == worst)[0, 1] > 0.5
    causes = {str(cause) for fault in line.faults for cause in fault.causes[fault.hit]}
    assert not any("coolant_tank" in cause or "operator_id" in cause or "shift" in cause for cause in causes)


def test_a_batch_is_forty_to_sixty_parts_and_a_lot_stays_within_one() -> None:
    for _, line in draw_lines(8, 1500):
        sizes = list(Counter(line.roster.batch_ids.tolist()).values())
        assert all(40 <= size <= 60 for size in sizes[:-1])
        batches = defaultdict(set)
        for lot, batch in zip(line.roster.lots, line.roster.batch_ids, strict=True):
            batches[lot].add(batch)
        assert all(len(found) == 1 for found in batches.values())


@pytest.mark.parametrize("seed", range(6))
def test_stations_hold_one_part_at_a_time_and_parts_pass_them_in_order(seed: int) -> None:
    for layout, line in draw_lines(seed, 400):
        left: dict[tuple[int, int], int] = {}
        for visits in draw_schedule(seed, layout, line.roster, STARTED_AT):
            assert (visits.ended_at > visits.started_at).all()
            assert (visits.started_at[1:] > visits.ended_at[:-1]).all()
            for part, attempt, start, end in zip(
                visits.part.tolist(), visits.attempt.tolist(), visits.started_at.tolist(), visits.ended_at.tolist(),
                strict=True,
            ):  # fmt: skip
                assert start > left.get((part, attempt), 0)
                left[part, attempt] = end
        first = {part: end for (part, attempt), end in left.items() if attempt == 1}
        again = [part for part, attempt in left if attempt == 2]
        assert again
        assert len(first) == len(line.roster)


def test_a_reworked_part_comes_back_only_when_it_has_left() -> None:
    for layout, line in draw_lines(2, 600):
        spans: dict[tuple[int, int], list[int]] = defaultdict(list)
        for visits in draw_schedule(2, layout, line.roster, STARTED_AT):
            for part, attempt, start, end in zip(
                visits.part.tolist(), visits.attempt.tolist(), visits.started_at.tolist(), visits.ended_at.tolist(),
                strict=True,
            ):  # fmt: skip
                spans[part, attempt] += [start, end]
        for (part, attempt), span in spans.items():
            if attempt == 2:
                assert min(span) > max(spans[part, 1])


def test_samples_reach_from_the_start_of_their_visit_to_its_end(plant: Path) -> None:
    """The contract's need `sensors:S`: nine tenths of the rate, and to within two samples of the end."""
    plan = load_plan(plant / "plan.yaml")
    arrivals = list(Folder(plant).arrivals())
    visits = {
        (v.line_id, v.station_id, int(v.ended_at)): v for v in (a.message for a in arrivals) if isinstance(v, Visit)
    }
    ends: dict[tuple[str, str], list[Visit]] = defaultdict(list)
    for visit in visits.values():
        ends[visit.line_id, visit.station_id].append(visit)
    samples: dict[tuple[str, str], list[SensorRecord]] = defaultdict(list)
    for record in (a.message for a in arrivals):
        if isinstance(record, SensorRecord):
            samples[record.line_id, record.station_id].append(record)
    for line in plan.lines:
        for station in line.stations:
            for channel in station.channels:
                records = samples[line.line_id, station.station_id]
                ts = np.concatenate([record.ts_ms for record in records])
                level = np.concatenate([record.channels[channel.channel] for record in records])
                good = np.rint(ts[~np.isnan(level)])
                rate = channel.rate_hz or 0.0
                for visit in ends[line.line_id, station.station_id]:
                    inside = good[(good >= visit.started_at) & (good < visit.ended_at)]
                    duration_s = (visit.ended_at - visit.started_at) / 1000.0
                    assert len(inside) >= 0.9 * rate * duration_s
                    assert visit.ended_at - inside.max() <= 2 * 1000.0 / rate


def test_frames_are_taken_during_the_visit_to_their_station(plant: Path) -> None:
    arrivals = [arrival.message for arrival in Folder(plant).arrivals()]
    spans = defaultdict(list)
    for visit in arrivals:
        if isinstance(visit, Visit):
            spans[visit.part_id, visit.station_id].append((visit.started_at, visit.ended_at))
    frames = [frame for frame in arrivals if isinstance(frame, Frame)]
    assert frames
    for frame in frames:
        assert any(start <= frame.captured_at <= end for start, end in spans[frame.part_id, frame.station_id])


def test_labels_come_ten_minutes_after_the_part_and_a_few_never(plant: Path) -> None:
    left: dict[str, int] = defaultdict(int)
    for row in rows_of(plant / "production.csv"):
        left[row["part_id"]] = max(left[row["part_id"]], int(Instant.parse(row["ended_at"])))
    booked = {row["part_id"]: int(Instant.parse(row["recorded_at"])) for row in rows_of(plant / "defects.csv")}
    delays = [booked[part] - left[part] for part in booked]
    assert min(delays) >= 600_000
    assert max(delays) < 720_000
    assert 0.9 * PARTS < len(booked) < PARTS


def test_only_what_a_simulation_wrote_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="no simulation wrote"):
        write_plant(tmp_path / "mine", 20, 1)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    write_plant(tmp_path / "ours", 30, 1)
    write_plant(tmp_path / "ours", 20, 2)
    write_plant(tmp_path / "fresh", 20, 2)
    assert fingerprint(tmp_path / "ours") == fingerprint(tmp_path / "fresh")


def test_impossible_wishes_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 10 parts"):
        write_plant(tmp_path / "a", 3, 1)
    with pytest.raises(BadInput, match="camera:attic"):
        write_plant(tmp_path / "b", 20, 1, Disorder(skew_ms={"camera:attic": 5}))
    with pytest.raises(BadInput, match="late_share"):
        Disorder(late_share=1.5)
    assert not (tmp_path / "b").exists()
