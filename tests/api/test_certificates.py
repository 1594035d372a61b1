"""Escape certificates on the screen: told as the judges tell them, void when no judge does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.certificates import certificates_now, promises_of
from api.road import Heartbeat
from api.wording.words import say_certificate
from fusion.certificate.standing import Standing
from ingest.messages import Instant
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from ingest.role import wall_ms
from models.manifest import TrainedOn
from models.shelf import save_model
from tests.api.conftest import Live
from tests.api.factory import make_verdict, settings_at

VALID = Standing(
    line_id="L1", gate_id="EOL", standing="valid", promise=0.003, asked=0.003, confidence=0.95, parts=9600, lots=120
)
VOID = msgspec.structs.replace(VALID, standing="void", why="drift (camera top)", since=Instant(1_767_600_000_000))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return load_plan(Path(settings_at(tmp_path).plan))


def beat(at: int, *told: Standing) -> Heartbeat:
    return Heartbeat("fusion", Instant(at), {"certificates": [one.told() for one in told]}, at)


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (VALID, "Certified: at most 0.3 % escapes of made parts, 95 % confidence, 9\u202f600 parts in 120 lots"),
        (msgspec.structs.replace(VALID, promise=0.01), "; the plan asks 0.3 %"),
        (VOID, "Void: drift (camera top) (was: at most 0.3 % escapes"),
        (msgspec.structs.replace(VALID, standing="cannot_certify", promise=None, why="14 lots."), "Not certified: 14"),
    ],
)  # fmt: skip
def test_a_certificate_is_said_in_one_sentence(standing: Standing, said: str) -> None:
    assert said in say_certificate(standing.told())


def test_the_newest_word_on_a_gate_counts_and_silence_is_no_promise(plan: Plan) -> None:
    first, second = certificates_now([beat(2000, VOID), beat(1000, VALID)], plan)
    assert (first["standing"], first["why"]) == ("void", "drift (camera top)")
    assert (second["line_id"], second["standing"], second["promise"]) == ("L2", "void", None)
    assert {one["standing"] for one in certificates_now([], plan)} == {"void"}
    assert say_certificate(second) == "Void: no judge at work speaks for it"


def test_a_report_says_what_keeps_a_promise_from_covering_its_batch() -> None:
    at = 1_767_600_000_000
    span = {"since": Instant(at).isoformat(), "until": Instant(at + 60_000).isoformat(), "why": "drift"}
    told = {**VALID.told(), "voids": [span]}
    during = make_verdict(event_at=Instant(at + 1000), decided_at=Instant(at + 2000))
    after = make_verdict(event_at=Instant(at + 90_000), decided_at=Instant(at + 91_000))
    (promise,) = promises_of([during, after], [told, {**told, "gate_id": "MID"}])
    assert promise.here == f"void from {span['since']} to {span['until']} (drift)"
    assert promises_of([after], [told])[0].here == ""
    manual = make_verdict(mode="manual", event_at=after.event_at, decided_at=after.decided_at)
    assert promises_of([manual], [told])[0].here == "1 of its verdicts in manual mode"
    many = {**told, "voids": [{**span, "since": Instant(at + 1).isoformat()}], "voids_cut": True}
    early = make_verdict(event_at=Instant(at - 9000), decided_at=Instant(at - 8000))
    assert promises_of([early], [many])[0].here == "judged before what is remembered of this certificate"
    assert "nobody knows since when" in promises_of([after], [VOID.told()])[0].here


def test_the_screen_the_overview_and_the_oversight_show_how_certificates_stand(live: Live) -> None:
    full = {"line_id": "L1", "reviews_per_hour": 60.0, "queue_max": 10.0, "hold_below": 0.4, "held": 7}
    counts = {"verdicts_late": 3, "held_for_capacity": 7}
    write_beat(live, {"problem": "", "certificates": [VOID.told()], "counts": counts, "capacity": [full]})
    with live.client("engineer") as client:
        lines = client.get("/api/overview").json()["certificates"]
        assert [(one["line_id"], one["standing"]) for one in lines] == [("L1", "void"), ("L2", "void")]
        assert lines[0]["said"].startswith("Void: drift (camera top)")
        assert lines[0]["since"] == VOID.told()["since"]
        oversight = client.get("/api/oversight").json()
        assert oversight["certificates"][0] == VOID.told()
        assert (oversight["judges"], oversight["capacity"]) == (counts, [full])
        (notice,) = client.get("/api/overview").json()["notices"]
        assert "60 reviews an hour" in notice
        assert "parts of less than 40 % risk are held as cannot tell (7 so far)" in notice
        assert 'id="promises"' in client.get("/", headers={"Accept": "text/html"}).text


def write_beat(live: Live, state: dict[str, Any]) -> None:
    run = Path(live.settings.home) / "run"
    run.mkdir(exist_ok=True)
    body = {"role": "fusion", "pid": 9, "at": Instant(wall_ms()).isoformat(), "state": state}
    (run / "fusion-9.json").write_bytes(msgspec.json.encode(body))


def test_a_models_certificates_are_listed_with_it(live: Live) -> None:
    told = {"asked": 0.003, "promise": 0.003, "parts": 9600, "lots": 120}
    gates = [
        {"spec": {"line_id": "L1", "gate_id": "EOL"}, "certificate": told},
        {"spec": {"line_id": "L2", "gate_id": "END"}, "certificate": None},
    ]
    save_model(
        Path(live.settings.shelf), name="fusion", kind="fusion", files={}, features=[], threshold=None,
        trained_on=TrainedOn(), notes={"version": 1, "gates": gates}, card="",
    )  # fmt: skip
    with live.client("engineer") as client:
        (model,) = [one for one in client.get("/api/models").json()["items"] if one["name"] == "fusion"]
    assert model["certificates"] == [{"line_id": "L1", "gate_id": "EOL", **told}]
