"""A certificate is void the moment what it rests on is gone, and stands again when it is back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from fusion.certificate.journal import SPANS_KEPT, VoidJournal
from fusion.certificate.promise import Certificate
from fusion.certificate.standing import SourceWatch, Standing, standings
from fusion.gate import GateJudge
from fusion.history import HistoryView
from fusion.incidents import Incident
from fusion.judge import Judge
from fusion.partition import Partition
from fusion.watch import Judged
from fusion.worker import FusionWorker
from ingest.join.evidence import Evidence
from ingest.log.opening import open_log
from ingest.messages import Instant
from ingest.plan.plan import Plan
from ingest.settings import Settings
from ingest.topics import create_topics
from tests.fusion.conftest import make_plan
from tests.fusion.test_partition_cameras import frame, visit

Make = Callable[..., Evidence]


@pytest.fixture
def gate(judge: Judge) -> GateJudge:
    gate = judge.gate("L1", "EOL")
    assert gate is not None
    return gate


@pytest.fixture
def certified(gate: GateJudge, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """The gate's own certificate, as if it had got what the plan asks."""
    assert gate.certificate is not None
    promised = msgspec.structs.replace(gate.certificate, promise=gate.certificate.asked, why="")
    monkeypatch.setattr(gate, "certificate", promised)
    return promised


def standing(
    plan: Plan, judge: Judge, incidents: Sequence[Incident] = (), watch: SourceWatch | None = None, mode: str = "auto"
) -> Standing:
    (one,) = standings(plan, judge, ["L1"], incidents, watch or SourceWatch(), lambda _: mode)
    return one


def fed(watch: SourceWatch, judge: Judge, gate: GateJudge, parts: Sequence[Evidence]) -> SourceWatch:
    for evidence in parts:
        said = judge.judge(evidence, HistoryView(), "auto", missed=False)
        watch.judged(Judged(evidence, said, gate, True, Instant(evidence.event_at)))
    return watch


def test_training_leaves_a_certificate_that_says_what_it_rests_on(judge: Judge, gate: GateJudge, plan: Plan) -> None:
    certificate = gate.certificate
    assert certificate is not None
    assert (certificate.parts, certificate.lots, certificate.asked) == (400, 20, 0.01)
    assert certificate.without == {"camera:top": 0.0, "sensors:OP10": 0.0}
    assert f"{certificate.parts} parts in {certificate.lots} lots" in certificate.say()


@pytest.mark.usefixtures("certified")
def test_an_open_incident_of_the_line_voids_it_from_when_it_began(judge: Judge, plan: Plan) -> None:
    assert standing(plan, judge).standing == "valid"
    drift = Incident(line_id="L1", incident="drift", cause="OP10.current_a", since=1_767_600_000_000)
    void = standing(plan, judge, [drift])
    assert (void.standing, void.why, void.since) == ("void", "drift (OP10.current_a)", Instant(drift.since))
    elsewhere = msgspec.structs.replace(drift, line_id="L2")
    assert standing(plan, judge, [elsewhere]).standing == "valid"


@pytest.mark.usefixtures("certified")
@pytest.mark.parametrize("kind", ["miscalibrated", "excess", "camera_moved", "unlike_training"])
def test_every_kind_of_incident_voids_it(judge: Judge, plan: Plan, kind: str) -> None:
    incident = Incident(line_id="L1", incident=kind, since=5)  # type: ignore[arg-type]
    assert standing(plan, judge, [incident]).standing == "void"


@pytest.mark.usefixtures("certified")
def test_manual_mode_and_another_plan_void_it(judge: Judge, plan: Plan) -> None:
    assert "manual mode" in standing(plan, judge, mode="manual").why
    assert "train again" in standing(make_plan(escape_rate_max=0.001), judge).why
    dearer = msgspec.structs.replace(
        plan, sha256="other", objective=msgspec.structs.replace(plan.objective, review_cost=9.0)
    )
    assert standing(dearer, judge).standing == "valid"


@pytest.mark.usefixtures("certified")
def test_a_source_that_goes_voids_it_within_a_few_parts_until_it_is_back(
    judge: Judge, gate: GateJudge, plan: Plan, make: Make
) -> None:
    watch = fed(SourceWatch(), judge, gate, [make(n) for n in range(20)])
    assert standing(plan, judge, watch=watch).standing == "valid"
    blind = [make(n, sources=("sensors:OP10",)) for n in range(20, 26)]
    void = standing(plan, judge, watch=fed(watch, judge, gate, blind))
    assert (void.standing, void.since) == ("void", blind[0].event_at)
    assert "camera:top" in void.why
    assert standing(plan, judge, watch=fed(watch, judge, gate, [make(n) for n in range(26, 250)])).standing == "valid"


@pytest.mark.usefixtures("certified")
def test_a_part_without_a_source_now_and_then_does_not_void_it(
    judge: Judge, gate: GateJudge, plan: Plan, make: Make
) -> None:
    parts = [make(n, sources=("sensors:OP10",) if n % 60 == 0 else ("camera:top", "sensors:OP10")) for n in range(300)]
    assert standing(plan, judge, watch=fed(SourceWatch(), judge, gate, parts)).standing == "valid"


@pytest.mark.usefixtures("certified")
def test_what_is_known_of_sources_moves_with_the_partition(
    judge: Judge, gate: GateJudge, plan: Plan, make: Make
) -> None:
    watch = fed(SourceWatch(), judge, gate, [make(n, fit=False) for n in range(6)])
    taken_over = SourceWatch()
    for line_id, key, value in watch.changes():
        taken_over.restore(line_id, key, value)
    assert standing(plan, judge, watch=taken_over) == standing(plan, judge, watch=watch)
    assert standing(plan, judge, watch=taken_over).standing == "void"
    assert watch.changes() == []


def test_without_a_model_nothing_is_certified(plan: Plan, tmp_path: Path) -> None:
    nobody = Judge.open(tmp_path, plan)
    told = standing(plan, nobody)
    assert (told.standing, told.promise) == ("cannot_certify", None)
    assert "no model" in told.why


def test_the_partition_tells_of_its_lines(judge: Judge, plan: Plan, tmp_path: Path) -> None:
    partition = Partition(
        plan, Settings(home=str(tmp_path)), judge, live=False, mode_of=lambda _: "auto", now=lambda at: at
    )
    (told,) = partition.certificates(["L1"])
    assert told.told()["gate_id"] == "EOL"
    assert partition.certificates([]) == []
    (noted,) = partition.certificates_told(["L1"], 1000, 8)
    assert {**told.told(), "voids": [], "voids_cut": False} == noted


def test_the_heartbeat_tells_how_the_certificates_of_owned_lines_stand(
    judge: Judge, plan: Plan, tmp_path: Path
) -> None:
    settings = Settings(home=str(tmp_path), partitions=1)
    log = open_log(settings)
    create_topics(log, settings)
    worker = FusionWorker(plan, settings, judge, log)
    try:
        for _ in range(200):
            worker.cycle()
            if worker.posts:
                break
        certificates = worker.state()["certificates"]
    finally:
        worker.close()
        log.close()
    assert isinstance(certificates, list)
    (told,) = certificates
    assert (told["line_id"], told["gate_id"], told["asked"], told["voids"]) == ("L1", "EOL", 0.01, [])
    assert told["standing"] in ("valid", "cannot_certify")
    json.dumps(told)


def test_when_it_was_void_is_remembered_and_moves_with_the_partition(judge: Judge, gate: GateJudge, plan: Plan) -> None:
    assert gate.certificate is not None
    valid = msgspec.structs.replace(standing(plan, judge), standing="valid")
    void = msgspec.structs.replace(valid, standing="void", why="drift", since=Instant(5))
    journal = VoidJournal()
    for at, one in ((10, valid), (20, void), (30, void), (40, valid), (50, void)):
        journal.note(one, at)
    spans = [
        {"since": Instant(5).isoformat(), "until": Instant(40).isoformat(), "why": "drift"},
        {"since": Instant(5).isoformat(), "until": None, "why": "drift"},
    ]
    assert journal.told("L1", "EOL") == {"voids": spans, "voids_cut": False}
    assert journal.told("L1", "EOL", last=1) == {"voids": spans[1:], "voids_cut": True}
    taken_over = VoidJournal()
    for line_id, key, value in journal.changes():
        taken_over.restore(line_id, key, value)
    assert taken_over.told("L1", "EOL") == journal.told("L1", "EOL")
    taken_over.note(void, 60)
    assert taken_over.changes() == journal.changes() == []
    for at in range(100, 200):
        journal.note(valid if at % 2 else void, at)
    assert (len(journal.told("L1", "EOL")["voids"]), journal.told("L1", "EOL")["voids_cut"]) == (SPANS_KEPT, True)  # type: ignore[arg-type]


@pytest.mark.parametrize(("work_ms", "late"), [(0, 0), (400, 0), (2000, 1)])
def test_a_verdict_later_than_the_plan_allows_is_counted(
    judge: Judge, plan: Plan, tmp_path: Path, work_ms: int, late: int
) -> None:
    partition = Partition(
        plan, Settings(home=str(tmp_path)), judge, live=False, mode_of=lambda _: "auto", now=lambda at: at + work_ms
    )
    at = int(visit(1).ended_at)
    rulings = [*partition.take(frame(1), at), *partition.take(visit(1), at), *partition.advance(at + 1000)]
    assert len(rulings) == 1
    assert partition.late["L1"] == late
