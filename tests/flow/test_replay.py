"""A recorded folder through the whole road: the same in, the same out; in = out; one first verdict for every part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusion.replay import ReplaySummary, replay_folder
from ingest.folder.replay_folder import Folder
from ingest.messages import Verdict
from ingest.settings import Settings
from ingest.simulate import Disorder, write_plant
from tests.flow.road import VERDICT, assert_exactly_once, final

pytestmark = pytest.mark.slow

TIMES_OF_DECIDING = ("decided_at", "latency_ms")


def replay(folder: Path, shelf: Path, home: Path) -> tuple[ReplaySummary, list[bytes]]:
    home.mkdir(parents=True, exist_ok=True)
    settings = Settings(home=str(home), shelf=str(shelf))
    summary = replay_folder(folder, settings, None, 0.0, home / "verdicts.jsonl", lambda _: None)
    return summary, (home / "verdicts.jsonl").read_bytes().splitlines()


def timeless(line: bytes) -> dict[str, object]:
    body: dict[str, object] = json.loads(line)
    return {name: value for name, value in body.items() if name not in TIMES_OF_DECIDING}


def decoded(lines: list[bytes]) -> list[Verdict]:
    return [VERDICT.decode(line) for line in lines]


def test_the_same_folder_and_models_give_the_same_verdicts(shift: Path, shelf: Path, tmp_path: Path) -> None:
    _, one = replay(shift, shelf, tmp_path / "one")
    _, two = replay(shift, shelf, tmp_path / "two")
    assert len(one) > 100
    assert [timeless(line) for line in one] == [timeless(line) for line in two]


def test_every_verdict_names_model_and_plan_and_its_exhibit_is_there(shift: Path, shelf: Path, tmp_path: Path) -> None:
    _, lines = replay(shift, shelf, tmp_path)
    for verdict in decoded(lines):
        assert verdict.plan_sha256 == Folder(shift).plan.sha256
        assert verdict.model is not None or verdict.risk is None
        curves = json.loads((tmp_path / "blobs" / verdict.evidence_ref).read_bytes())["curves"]
        assert curves or not verdict.evidence.present


@pytest.mark.parametrize("seed", [21, 22])
def test_under_disorder_every_part_gets_exactly_one_first_verdict(seed: int, shelf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plant"
    write_plant(folder, 60, seed, Disorder())
    summary, lines = replay(folder, shelf, tmp_path / "home")
    verdicts = decoded(lines)
    assert_exactly_once(verdicts)
    plan = Folder(folder).plan
    arrivals = list(Folder(folder).arrivals())
    for line in plan.lines:
        for gate in line.gates:
            place = line.order(gate.after)
            reached = {
                a.message.part_id for a in arrivals
                if getattr(a.message, "line_id", "") == line.line_id and hasattr(a.message, "ended_at")
                and line.order(a.message.station_id) >= place
            }  # fmt: skip
            judged = {v.part_id for v in verdicts if v.line_id == line.line_id and v.gate_id == gate.gate_id}
            assert reached <= judged
    assert summary.records == len(arrivals)


def test_what_is_missing_or_unfit_is_never_passed(shelf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plant"
    write_plant(folder, 60, 23, Disorder())
    _, lines = replay(folder, shelf, tmp_path / "home")
    incomplete = [v for v in final(decoded(lines)).values() if not v.evidence.complete or v.evidence.unfit]
    assert incomplete
    assert all(v.decision != "pass" for v in incomplete)
