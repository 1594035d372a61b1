"""The control plan: read as written, or refused with the file and the line that is wrong."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.errors import BadInput
from ingest.plan.file import PLAN_BYTES_MAX, dump_plan, load_plan

PLAN = """\
plan: 1
plant: technoparts
owners: {objective: qa.director, model: ml.lead, stop: shift.lead}
objective: {escape_cost: 450.0, review_cost: 2.5, currency: USD}
constraints: {escape_rate_max: 0.003, review_share_max: 0.10, latency_ms_max: 500, forbidden_causes: [operator_id]}
grants: {topics: [qc.frames, qc.sensors, qc.production, qc.defects], actions: [flag, divert], retention_days: 400}
audit: {share: 0.01, per: [product, shift]}
lines:
  - line_id: L1
    stations:
      - {station_id: OP20, name: Bore, channels: [{channel: current_a, unit: A, lower: 2.0, upper: 6.5, rate_hz: 500}]}
      - {station_id: OP40, name: Press, channels: []}
    cameras: [{camera_id: top, station_id: OP40, pixel_mm: 0.05}]
    gates:
      - {gate_id: EOL, after: OP40, deadline_ms: 500, needs: [camera:top, sensors:OP20]}
"""


def refusal(folder: Path, text: str | bytes) -> str:
    path = folder / "plan.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as refused:
        load_plan(path)
    return str(refused.value).replace(str(path), "plan.yaml")


def test_the_contracts_plan_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    plan = load_plan(tmp_path / "plan.yaml")
    line = plan.lines[0]
    assert plan.sha256 == hashlib.sha256(PLAN.encode()).hexdigest()
    assert (line.line_id, [s.station_id for s in line.stations]) == ("L1", ["OP20", "OP40"])
    assert line.stations[0].channels[0].upper == 6.5
    assert line.gates[0].needs == ("camera:top", "sensors:OP20")
    assert (line.gates[0].booking_ms, line.gates[0].late_ms) == (5000.0, 120_000.0)
    assert plan.may_read("frames")
    assert not plan.may_use("operator_id")


def test_a_dumped_plan_reads_back_equal(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    plan = load_plan(tmp_path / "plan.yaml")
    (tmp_path / "again.yaml").write_text(dump_plan(plan))
    again = load_plan(tmp_path / "again.yaml")
    assert dump_plan(again) == dump_plan(plan)
    assert again.lines == plan.lines


REFUSED = [
    ("plant: technoparts", "plant: technoparts\nmood: fine", 3, "unknown key 'mood'"),
    ("name: Bore", "nmae: Bore", 11, "unknown key 'nmae' in stations"),
    (", stop: shift.lead", "", 3, "missing owner 'stop'"),
    ("stop: shift.lead", "stop: ''", 3, "missing owner 'stop'"),
    ("owners: {objective: qa.director, model: ml.lead, stop: shift.lead}\n", "", 1, "missing key 'owners'"),
    ("escape_cost: 450.0", "escape_cost: dear", 4, "escape_cost wants a number, not 'dear'"),
    ("escape_cost: 450.0", "escape_cost: .nan", 4, "escape_cost wants a number"),
    ("escape_cost: 450.0", "escape_cost: yes", 4, "escape_cost wants a number"),
    ("plant: technoparts", "plant: 7", 2, "plant wants text, not '7' (put it in quotes)"),
    ("plant: technoparts", "plant: [a]", 2, "plant wants text, not a list"),
    ("plan: 1", "plan: 2", 1, "plan wants 1, not '2'"),
    ("plan: 1\n", "", 1, "missing key 'plan'"),
    ("[flag, divert]", "[flag, scrap]", 6, "actions wants flag or divert, not 'scrap'"),
    ("plant: technoparts", "plant: technoparts\nplant: other", 3, "key 'plant' stands twice"),
    ("escape_rate_max: 0.003", "escape_rate_max: 1.5", 5, "escape_rate_max is a share between 0 and 1"),
    ("escape_rate_max: 0.003", "escape_rate_max: -0.1", 5, "escape_rate_max is a share between 0 and 1"),
    ("share: 0.01", "share: 0.2", 7, "audit share 0.2 contradicts review_share_max 0.1"),
    ("latency_ms_max: 500", "latency_ms_max: 0", 5, "latency_ms_max must be greater than 0"),
    ("topics: [qc.frames", "topics: [qc.smells, qc.frames", 6, "unknown topic 'qc.smells'"),
    ("topics: [qc.frames, ", "topics: [", 15, "needs 'camera:top', but qc.frames is not granted"),
    ("retention_days: 400", "attributes: [operator_id]", 6, "granted and a forbidden cause"),
    ("station_id: OP40, name", "station_id: OP20, name", 12, "station 'OP20' stands twice"),
    ("station_id: OP40, pixel", "station_id: OP99, pixel", 13, "camera 'top' is at unknown station 'OP99'"),
    ("lower: 2.0", "lower: 6.5", 11, "limits of 'current_a' contradict each other"),
    ("rate_hz: 500", "rate_hz: 0", 11, "rate_hz of 'current_a' must be greater than 0"),
    ("after: OP40", "after: OP99", 15, "gate 'EOL' is after unknown station 'OP99'"),
    ("after: OP40", "after: OP20", 15, "needs 'camera:top', which comes behind it"),
    ("deadline_ms: 500", "deadline_ms: -1", 15, "deadline_ms of gate 'EOL' must be greater than 0"),
    ("deadline_ms: 500", "deadline_ms: 500, moves_on_ms: 0", 15, "moves_on_ms of gate 'EOL' must be greater than 0"),
    ("deadline_ms: 500", "deadline_ms: 500, escape_cost: -1", 15, "escape_cost of gate 'EOL' must be greater than 0"),
    ("deadline_ms: 500", "deadline_ms: 500, kinds: ['']", 15, "a kind of defect of gate 'EOL' is empty"),
    ("plan: 1\n", "plan: 1\nproducts: [{product: A}, {product: A}]\n", 2, "product 'A' stands twice"),
    ("camera:top", "camera:side", 15, "needs unknown camera 'side'"),
    ("sensors:OP20", "sensors:OP99", 15, "needs sensors of unknown station 'OP99'"),
    ("sensors:OP20", "smell:OP20", 15, "a need is 'camera:CAMERA_ID' or 'sensors:STATION_ID'"),
    ("camera:top, sensors", "camera:top, camera:top, sensors", 15, "needs 'camera:top' twice"),
    ("line_id: L1", "line_id: ''", 9, "line_id is empty"),
]


@pytest.mark.parametrize(("written", "wrong", "line", "sentence"), REFUSED)
def test_a_wrong_plan_is_refused_with_its_line(
    tmp_path: Path, written: str, wrong: str, line: int, sentence: str
) -> None:
    assert written in PLAN
    told = refusal(tmp_path, PLAN.replace(written, wrong, 1))
    assert f"plan.yaml:{line}: " in told
    assert sentence in told
    assert "\n" not in told


def test_two_gates_of_one_line_cannot_share_a_name(tmp_path: Path) -> None:
    told = refusal(tmp_path, PLAN + "      - {gate_id: EOL, after: OP20, deadline_ms: 5}\n")
    assert "plan.yaml:16: gate 'EOL' stands twice" in told


def test_two_lines_may_use_the_same_station_and_camera_names(tmp_path: Path) -> None:
    second = PLAN[PLAN.index("  - line_id") :].replace("L1", "L2")
    (tmp_path / "plan.yaml").write_text(PLAN + second)
    assert [line.line_id for line in load_plan(tmp_path / "plan.yaml").lines] == ["L1", "L2"]


def test_what_is_no_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "plan.yaml:4: not YAML" in refusal(tmp_path, "plan: 1\nplant: x\nowners: {a: b\n  - :\n")
    assert "plan.yaml:2: not UTF-8" in refusal(tmp_path, b"plan: 1\nplant: \xff\n")
    assert "empty" in refusal(tmp_path, "# nothing\n")
    assert "plan.yaml:2: not YAML" in refusal(tmp_path, "plan: 1\nplant: \x01\n")
    assert "wants a mapping" in refusal(tmp_path, "- plan\n")


def test_a_missing_plan_and_a_folder_in_its_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"plan\.yaml: cannot read the control plan"):
        load_plan(tmp_path / "plan.yaml")
    with pytest.raises(BadInput, match="cannot read the control plan"):
        load_plan(tmp_path)


def test_a_yaml_bomb_a_deep_nest_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "unknown key 'a'" in refusal(tmp_path, PLAN + bomb)
    stations = "".join(f"      - {{station_id: S{n}, name: Bore}}\n" for n in range(300))
    lines = "".join(f"  - {{line_id: X{n}, stations: *s}}\n" for n in range(300))
    anchored = PLAN.replace("stations:\n", "stations: &s\n", 1) + lines
    anchored = anchored.replace("    cameras: [{", stations + "    cameras: [{", 1)
    assert "multiply into too many values" in refusal(tmp_path, anchored)
    assert "nested too deeply" in refusal(tmp_path, "plan: " + "[" * 1500)
    assert f"at most {PLAN_BYTES_MAX} bytes" in refusal(tmp_path, "#" * (PLAN_BYTES_MAX + 1))


def test_a_plan_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "plan.yaml:" in refusal(tmp_path, PLAN.replace("lines:", "lines: &l", 1) + "  - *l\n")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(PLAN)), put=st.text(max_size=6), drop=st.integers(0, 8))
def test_no_edit_of_a_plan_raises_anything_but_bad_input(tmp_path: Path, cut: int, put: str, drop: int) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes((PLAN[:cut] + put + PLAN[cut + drop :]).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(BadInput):
        load_plan(path)
