"""The page for whoever looks after the plant: gates, models, roles, as the heartbeats and the shelf tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from api.wording.languages import load_languages
from fusion.drift.watched import Watched, say_watched
from ingest.messages import Instant
from ingest.role import wall_ms
from models.manifest import TrainedOn
from models.shelf import save_model
from tests.api.conftest import Live
from tests.api.test_certificates import VOID, write_beat

SEEN = Watched(parts=500, signals=9, not_yet=4, shift_sd=2.3, again_parts=800)
GREW_AT = 1_767_225_600_000


def limits(line_id: str, gate_id: str, grown_at: int) -> dict[str, Any]:
    told = {"line_id": line_id, "gate_id": gate_id, "blocks": 20, "grown_at": grown_at, "what": say_watched(SEEN)}
    return told | msgspec.structs.asdict(SEEN)


STATE: dict[str, Any] = {
    "problem": "",
    "certificates": [VOID.told()],
    "drift_limits": [limits("L1", "EOL", GREW_AT)],
    "calibration": [
        {"line_id": "L1", "gate_id": "EOL", "model": "a", "changes": 3, "correction": {"shift": 0.4}},
        {"line_id": "L2", "gate_id": "END", "model": "a", "changes": 2, "correction": None},
    ],
}


def page(live: Live, language: str = "en", role: str = "engineer") -> str:
    with live.client(role) as client:
        answer = client.get("/plant", headers={"Accept": "text/html", "Accept-Language": language})
    assert answer.status_code == 200
    return " ".join(answer.text.split())


def test_what_limits_rest_on_when_they_tightened_and_what_is_not_seen_yet_is_on_the_page(live: Live) -> None:
    write_beat(live, STATE)
    told = page(live)
    assert "tightened in service, last <time" in told
    assert "they rest on 500 quiet parts" in told
    assert "4 of 9 signals are not watched in earnest" in told
    assert "Void: drift (camera top)" in told
    assert "recalibrated 3 times" in told
    assert "recalibrated 2 times" not in told, "a correction that was taken back is none"
    assert told.count("not told yet") == 1, "of L2's limits nobody tells; its risks are as trained"
    write_beat(live, STATE | {"calibration": []})
    assert page(live).count("not told yet") == 3, "nor of anybody's risks"
    write_beat(live, STATE | {"drift_limits": [limits("L1", "EOL", 0)]})
    assert "tightened" not in page(live)
    german = page(live, "de")
    assert "4 von 9 Signalen werden noch nicht ernstlich überwacht" in german
    assert load_languages("no home").spoken["de"].texts["Models in use"] in german


def test_over_http_the_oversight_tells_the_same(live: Live) -> None:
    write_beat(live, STATE)
    with live.client("machine") as client:
        assert client.get("/api/oversight").json()["drift_limits"] == STATE["drift_limits"]


def test_a_heartbeat_of_another_form_breaks_nothing(live: Live) -> None:
    for wrong in (
        "none",
        [1],
        [{}],
        [{"line_id": "L1", "gate_id": "EOL", "parts": None, "grown_at": "x", "what": None}],
    ):
        write_beat(live, STATE | {"drift_limits": wrong, "calibration": wrong})
        assert "Models in use" in page(live)


def test_models_in_use_stand_there_with_what_they_learned_from_and_one_that_does_not_open_says_why(live: Live) -> None:
    learned = TrainedOn(parts=1200, batches=24, since=Instant(GREW_AT), until=Instant(wall_ms()))
    for name in ("fusion", "vision-top"):
        save_model(
            Path(live.settings.shelf), name=name, kind="fusion", files={}, features=[], threshold=None,
            trained_on=learned, notes={}, card="",
        )  # fmt: skip
    assert '<td class="n">1200</td><td class="n">24</td>' in page(live)
    (manifest,) = Path(live.settings.shelf).glob("vision-top/1/manifest.json")
    manifest.write_bytes(manifest.read_bytes() + b" ")
    told = page(live)
    assert "does not open" in told
    assert "restore or retrain" in told
    assert str(live.settings.shelf) not in told
    assert "wiederherstellen oder neu lernen lassen" in page(live, "de")


def test_the_link_is_for_those_who_look_after_the_plant(live: Live) -> None:
    for role, linked in (("engineer", True), ("qa", True), ("inspector", False)):
        with live.client(role) as client:
            assert ('href="/plant"' in client.get("/batches", headers={"Accept": "text/html"}).text) is linked
