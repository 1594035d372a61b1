"""`qcfuse look`: findings in plain words, the picture beside, and one clear sentence where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from api.agreement.blind import EVERYTHING
from api.cli import run
from api.screens.pages import render
from api.store.rows import PartRecord, Person
from api.wording.words import SCORERS, say_scorer
from ingest.messages import Findings, Instant, json_decoder
from tests.api.factory import make_findings
from vision.train import train_eyes
from vision.training.folds import TrainingFrame

PLAN = """\
plan: 1
plant: demo
owners: {objective: a, model: b, stop: c}
objective: {escape_cost: 450.0, review_cost: 2.5, currency: USD}
constraints: {escape_rate_max: 0.003, review_share_max: 0.10, latency_ms_max: 500, forbidden_causes: [operator_id]}
grants: {topics: [qc.frames, qc.production, qc.defects], actions: [flag], retention_days: 400}
audit: {share: 0.01, per: [product]}
lines:
  - line_id: L1
    stations: [{station_id: OP40, name: Press, channels: []}]
    cameras: [{camera_id: top, station_id: OP40, pixel_mm: 0.5}]
    gates: [{gate_id: EOL, after: OP40, deadline_ms: 500, needs: [camera:top]}]
"""


def plate(seed: int, spot: bool = False) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    pixels = np.clip(120 + rng.normal(0, 8, (96, 128)), 0, 255).astype(np.uint8)
    cv2.circle(pixels, (32, 48), 12, 40, -1)
    if spot:
        cv2.line(pixels, (70, 50), (100, 60), 30, 3)
    return pixels


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1].data)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    frames = [
        TrainingFrame(
            frame_id=f"F{i}",
            line_id="L1",
            station_id="OP40",
            camera_id="top",
            part_id=f"P{i}",
            batch_id=f"B{i % 4}",
            product="plate",
            captured_at=Instant(1_700_000_000_000 + i),
            load=lambda i=i: png(plate(i)),  # type: ignore[misc]
            good=True,
        )
        for i in range(40)
    ]
    (home / "shelf").mkdir()
    train_eyes(frames, home / "shelf", lambda _: None)
    (home / "plan.yaml").write_text(PLAN)
    return home


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QCFUSE_HOME", str(home))
    (tmp_path / "odd.png").write_bytes(png(plate(900, True)))
    (tmp_path / "good.png").write_bytes(png(plate(901)))
    (tmp_path / "text.png").write_text("no picture at all")
    return tmp_path


def test_it_says_what_it_found_and_why_and_draws_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", str(folder / "odd.png"), "--camera", "top"]) == 0
    told = capsys.readouterr().out
    assert "vision-top, version 1" in told
    assert "over its limit" in told
    assert say_scorer("fine") in told
    assert " mm)" in told  # the plan knows the size of a pixel
    assert "nearest good patches: P" in told
    drawn = cv2.imread(str(folder / "odd.png.look.png"))
    assert drawn is not None
    assert drawn.shape[1] >= 512


def test_json_is_the_findings_as_on_the_wire(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", str(folder / "odd.png"), "--camera", "top", "--json", "--out", str(folder / "x.png")]) == 0
    findings: Findings = json_decoder(Findings).decode(capsys.readouterr().out)
    assert (findings.part_id, findings.line_id, findings.station_id, findings.frame_id) == (
        "odd",
        "L1",
        "OP40",
        "odd.png",
    )
    assert findings.score is not None
    assert findings.threshold is not None
    assert findings.score > findings.threshold
    assert set(findings.scores) == {"fine", "long", "painted", "whole"}
    assert (folder / "x.png").is_file()


def test_several_images_are_a_line_each_and_one_that_cannot_be_read_stops_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(folder / name) for name in ("odd.png", "text.png", "missing.png", "good.png")]
    assert run(["look", *images, "--camera", "top", "--out", str(folder / "drawn")]) == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    assert sorted(path.name for path in (folder / "drawn").iterdir()) == ["good.png.look.png", "odd.png.look.png"]
    assert "text.png: not an image" in said.err
    assert "missing.png: no such image" in said.err
    assert len(said.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["{f}/missing.png", "--camera", "top"], "missing.png: no such image"),
        (["{f}/text.png", "--camera", "top"], "not an image that can be read"),
        (["{f}", "--camera", "top"], "cannot be read"),
        (["{f}/odd.png", "--camera", "side"], "cameras with an eye: top"),
        (["{f}/odd.png", "--camera", "side"], "qcfuse train DIR"),
        (["{f}/odd.png", "{f}/good.png", "--camera", "top", "--out", "{f}/text.png"], "need a folder"),
        (["{f}/odd.png", "{f}/odd.png", "--camera", "top", "--out", "{f}/d"], "one file"),
        (["{f}/odd.png", "--camera", "top", "--out", "{f}/odd.png"], "the image itself"),
        (["{f}/odd.png"], "--camera"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    folder: Path, arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "odd.png").read_bytes()
    assert run(["look", *(argument.format(f=folder) for argument in arguments)]) == 2
    told = capsys.readouterr().err.strip()
    assert named in told
    assert "\n" not in told
    assert (folder / "odd.png").read_bytes() == before


def test_a_wrong_shelf_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QCFUSE_SHELF", str(folder / "nowhere"))
    assert run(["look", str(folder / "odd.png"), "--camera", "top"]) == 2
    assert "nowhere: no such shelf" in capsys.readouterr().err


def test_every_scorer_of_an_eye_has_words(home: Path) -> None:
    manifest: dict[str, Any] = json.loads((home / "shelf" / "vision-top" / "1" / "manifest.json").read_text())
    assert set(manifest["notes"]["scorers"]) <= set(SCORERS)


def test_scores_are_optional_on_the_wire(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["look", str(folder / "good.png"), "--camera", "top", "--json"])
    plain = json.loads(capsys.readouterr().out)
    del plain["scores"]
    assert json_decoder(Findings).decode(json.dumps(plain)).scores == {}


def test_the_part_page_says_what_a_score_is_made_of_the_most_unusual_first() -> None:
    seen = make_findings("P1", scores={"fine": 3.14, "whole": -0.2, "long": 5.0})
    page = render(
        "part.html",
        person=Person("anna", "viewer"),
        here="part",
        may_stop=False,
        may_resume=False,
        may_people=False,
        may_quality=False,
        may_audit=False,
        shown=EVERYTHING,
        kinds=[],
        examples={},
        came_of={},
        waits_too=[],
        known=None,
        plant="demo",
        part_id="P1",
        record=PartRecord((), (), (), (seen,), (), ()),
        case=None,
        verdict=None,
        revisions=[],
        causes=[],
        codes=[],
        marks_needed=10,
        drawings=[],
        sentences=[],
        may_review=False,
        frames=[seen],
        recorded={seen.frame_id: []},
        may_use=lambda _: True,
    )
    places = [page.index(text) for text in ("long edges", "+5", "fine texture", "+3.14", "frame as a whole", "-0.2")]
    assert places == sorted(places)
