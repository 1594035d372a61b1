"""The watch within the fold: what it holds against a frame reaches the verdict, and survives a takeover."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fusion.cameras.promises import USUAL_PROMISE, Promises
from fusion.cameras.watch import CameraWatch
from fusion.decide import evidence_reasons
from fusion.judge import Judge
from fusion.partition import Partition
from ingest.join.evidence import Evidence
from ingest.messages import Box, Findings, Fitness, Instant, ModelName, Verdict, Visit
from ingest.plan.plan import Plan
from ingest.settings import Settings

T0 = 1_767_600_000_000
CYCLE_MS = 4000
DIRT = Box(x=120, y=44, width=31, height=18, score=1.4)


def partition_of(plan: Plan, judge: Judge, home: Path) -> Partition:
    settings = Settings(home=str(home), shelf=str(home / "shelf"))
    return Partition(plan, settings, judge, live=False, mode_of=lambda _: "auto", now=lambda at: at)


def frame(number: int, *boxes: Box, picture: str = "") -> Findings:
    at = Instant(T0 + number * CYCLE_MS + 3000)
    return Findings(
        part_id=f"P{number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{number}",
        captured_at=at, inspected_at=at, score=0.9 if boxes else 0.2, threshold=0.5, fitness=Fitness(ok=True),
        boxes=list(boxes), fingerprint=picture or str(number),
    )  # fmt: skip


def visit(number: int) -> Visit:
    began = T0 + number * CYCLE_MS
    return Visit(
        part_id=f"P{number}", line_id="L1", station_id="OP20", started_at=Instant(began + 2500),
        ended_at=Instant(began + 3500), batch_id="B1", product="P",
    )  # fmt: skip


def judged(partition: Partition, numbers: range, *boxes: Box, picture: str = "") -> list[Verdict]:
    out = []
    for number in numbers:
        at = T0 + number * CYCLE_MS + 3500
        out += partition.take(frame(number, *boxes, picture=picture), at)
        out += partition.take(visit(number), at)
        out += partition.advance(at + 1000)
    return [ruling.verdict for ruling in out]


def test_parts_behind_dirt_or_a_frozen_picture_never_pass_and_say_why(plan: Plan, judge: Judge, tmp_path: Path) -> None:
    partition = partition_of(plan, judge, tmp_path)
    clean = judged(partition, range(60))
    dirty = judged(partition, range(60, 70), DIRT)
    frozen = judged(partition, range(70, 75), picture="stuck")
    assert not any("evidence_unfit" in verdict.reasons for verdict in clean)
    for verdict in (*dirty[4:], *frozen[1:]):
        assert verdict.evidence.unfit == ["camera:top"]
        assert verdict.decision != "pass"
        assert "evidence_unfit" in verdict.reasons
    kinds = [incident.incident for incident in partition.cameras.incidents()]
    assert kinds == ["frozen", "lens_dirt"]


def test_a_repeat_of_an_unfit_frame_makes_it_no_fitter_however_late_it_comes(
    plan: Plan, judge: Judge, tmp_path: Path
) -> None:
    """Of two findings of one frame the join keeps the larger record; `true` is larger than `false`."""
    partition = partition_of(plan, judge, tmp_path)
    judged(partition, range(2), picture="stuck")
    judged(partition, range(2, 80))
    again = partition.take(frame(1, picture="stuck"), T0 + 80 * CYCLE_MS)
    assert [ruling.verdict.evidence.unfit for ruling in again] in ([], [["camera:top"]])
    part = partition.join.memory.known(("L1", "P1"))
    assert part is not None
    assert [kept.findings.fitness.problems for kept in part.findings] == [["frozen"]]


def test_a_takeover_in_the_middle_changes_no_verdict_and_no_incident(plan: Plan, judge: Judge, tmp_path: Path) -> None:
    whole = partition_of(plan, judge, tmp_path)
    expected = judged(whole, range(50)) + judged(whole, range(50, 70), DIRT)
    first = partition_of(plan, judge, tmp_path)
    verdicts = judged(first, range(50)) + judged(first, range(50, 53), DIRT)
    second = partition_of(plan, judge, tmp_path)
    second.restore(first.changes())
    verdicts += judged(second, range(53, 70), DIRT)
    assert verdicts == expected
    assert second.cameras.incidents() == whole.cameras.incidents() != []


def test_an_alarm_that_may_be_dirt_is_no_pass_where_no_gate_needs_the_camera(plan: Plan) -> None:
    watch = CameraWatch(plan, lambda _: 0.02)
    answers = [watch.take(frame(number, *((DIRT,) if number >= 60 else ()))) for number in range(70)]

    def evidence(findings: Findings) -> Evidence:
        unfit = () if findings.fitness.ok else ("camera:top",)
        return Evidence(
            line_id="L1", gate_id="EOL", part_id="P", attempt=1, product="P", batch_id="", visits=(), windows={},
            findings={"top": (findings,)}, present=("camera:top",), missing=(), unfit=unfit, late=(), complete=True,
            event_at=Instant(T0), newest_at=Instant(T0), clock={},
        )  # fmt: skip

    assert evidence_reasons(evidence(answers[0]), ()) == ()
    assert evidence_reasons(evidence(answers[-1]), ()) == ("evidence_unfit",)


@pytest.mark.parametrize("name", ["vision-top", "vision-../../etc", "fusion"])
def test_an_eye_whose_manifest_is_not_to_be_had_promised_the_usual(tmp_path: Path, name: str) -> None:
    model = ModelName(name=name, version="1", sha256="x")
    assert Promises(tmp_path).of(msgspec.structs.replace(frame(1), model=model)) == USUAL_PROMISE
