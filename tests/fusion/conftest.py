"""A small line made by hand: one station with two channels, one camera, tools and lots; two ways to go wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fusion.judge import Judge
from fusion.train import fit_gates, save_fusion
from fusion.training.cases import Case, Released
from ingest.join.evidence import CURVE_POINTS, Evidence, StationWindow
from ingest.join.windows import reduce_window
from ingest.messages import Box, Defect, Findings, Fitness, Instant, Visit
from ingest.plan.plan import (
    Audit,
    Camera,
    Channel,
    Constraints,
    Gate,
    Grants,
    Line,
    Objective,
    Owners,
    Plan,
    Station,
)
from tests.made_once import made_once

START = 1_767_592_800_000
CYCLE_MS = 4000
LABEL_DELAY_MS = 60_000
SAMPLES = 20
PARTS_PER_LOT = 20


def make_plan(**constraints: object) -> Plan:
    channels = (Channel(channel="current_a", unit="A", rate_hz=10.0, upper=9.0), Channel(channel="oil_c", unit="C"))
    settings: dict[str, object] = {
        "escape_rate_max": 0.01, "review_share_max": 0.3, "latency_ms_max": 500.0, "forbidden_causes": ("operator_id",)
    }  # fmt: skip
    return Plan(
        plan=1,
        plant="hand-made",
        owners=Owners(objective="a", model="b", stop="c"),
        objective=Objective(escape_cost=450.0, review_cost=2.5, currency="USD"),
        constraints=Constraints(**(settings | constraints)),  # type: ignore[arg-type]
        grants=Grants(topics=("qc.frames", "qc.sensors", "qc.production", "qc.defects")),
        audit=Audit(share=0.0),
        lines=(
            Line(
                line_id="L1",
                stations=(Station(station_id="OP10", channels=channels), Station(station_id="OP20")),
                cameras=(Camera(camera_id="top", station_id="OP20"),),
                gates=(Gate(gate_id="EOL", after="OP20", deadline_ms=500.0, needs=("camera:top", "sensors:OP10")),),
            ),
        ),
        sha256="plan",
    )


@dataclass(frozen=True)
class Made:
    """What a part is made like. `current`: mean of the current; `pit`: the camera sees a pit."""

    number: int
    current: float = 4.0
    pit: bool = False
    tool: str = "T1"
    lot: str = "S1"
    product: str = "P"
    sources: Sequence[str] = ("camera:top", "sensors:OP10")
    fit: bool = True


def window_of(made: Made, started: int) -> StationWindow:
    rng = np.random.default_rng(made.number)
    ts = started + np.arange(SAMPLES) * 100.0
    shape = np.sin(np.linspace(0, np.pi, SAMPLES))
    channels = {
        "current_a": made.current * (0.8 + 0.4 * shape) + rng.normal(0, 0.05, SAMPLES),
        "oil_c": 40.0 + rng.normal(0, 0.5, SAMPLES),
    }
    return reduce_window("OP10", None, ts, channels, Instant(started), Instant(started + 2000), 0.0)


def findings_of(made: Made, at: int) -> Findings:
    rng = np.random.default_rng(made.number + 10_000)
    score = float(rng.normal(0.9 if made.pit else 0.3, 0.05))
    boxes = [Box(x=10, y=20, width=8, height=8, score=0.9)] if made.pit else []
    return Findings(
        part_id=f"P{made.number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{at}",
        captured_at=Instant(at), inspected_at=Instant(at), score=score, threshold=0.5,
        fitness=Fitness(ok=made.fit, problems=[] if made.fit else ["blur"]), boxes=boxes,
    )  # fmt: skip


def evidence_of(made: Made) -> Evidence:
    began = START + made.number * CYCLE_MS
    booked = {"tool_id": made.tool, "operator_id": f"op{made.number % 3}"}
    visits = (
        Visit(part_id=f"P{made.number}", line_id="L1", station_id="OP10", started_at=Instant(began),
              ended_at=Instant(began + 2000), batch_id=f"B{made.number // PARTS_PER_LOT}", product=made.product,
              attributes={**booked, "supplier_lot": made.lot}),
        Visit(part_id=f"P{made.number}", line_id="L1", station_id="OP20", started_at=Instant(began + 2500),
              ended_at=Instant(began + 3500), batch_id=f"B{made.number // PARTS_PER_LOT}", product=made.product,
              attributes={"supplier_lot": made.lot}),
    )  # fmt: skip
    unfit = () if made.fit else ("camera:top",)
    present = tuple(source for source in made.sources if source not in unfit)
    missing = tuple(source for source in ("camera:top", "sensors:OP10") if source not in made.sources)
    return Evidence(
        line_id="L1", gate_id="EOL", part_id=f"P{made.number}", attempt=1, product=made.product,
        batch_id=f"B{made.number // PARTS_PER_LOT}", visits=visits,
        windows={"OP10": window_of(made, began)} if "sensors:OP10" in made.sources else {},
        findings={"top": (findings_of(made, began + 3000),)} if "camera:top" in made.sources else {},
        present=present, missing=missing, unfit=unfit, late=(), complete=not missing and not unfit,
        event_at=Instant(began + 3500), newest_at=Instant(began + 3500), clock={},
    )  # fmt: skip


def drawn(number: int, rng: np.random.Generator) -> tuple[Made, str]:
    """One part of the line and its cause: too much current, or a pit that every fourth lot brings along."""
    lot = f"S{number // PARTS_PER_LOT}"
    over, pit = rng.random() < 0.05, (number // PARTS_PER_LOT) % 4 == 1 and rng.random() < 0.3
    made = Made(number, 6.0 if over else float(rng.normal(4.0, 0.2)), bool(pit), f"T{number % 3}", lot)
    cause = "OP10.current_a" if over else f"supplier_lot={lot}" if pit else ""
    return made, cause


def cases_of(n: int, seed: int = 0) -> tuple[list[Case], list[Released]]:
    rng = np.random.default_rng(seed)
    cases, labels = [], []
    for number in range(n):
        made, cause = drawn(number, rng)
        evidence = evidence_of(made)
        defect = bool(cause)
        cases.append(Case(evidence, evidence, int(evidence.newest_at), defect, (cause,) if cause else ()))
        at = Instant(evidence.newest_at + LABEL_DELAY_MS)
        labels.append(Released(at, label(f"P{number}", at, "defect" if defect else "ok", cause)))
    return cases, labels


def label(part_id: str, at: int, outcome: str = "defect", cause: str = "") -> Defect:
    return Defect(
        part_id=part_id, line_id="L1", recorded_at=Instant(at), source="inspector",
        outcome=outcome, cause_code=cause,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan()


@pytest.fixture(scope="session")
def make() -> Callable[..., Evidence]:
    """Evidence of a part made like this: `make(7, current=6.0)`."""
    return lambda number, **how: evidence_of(Made(number, **how))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    """A shelf with a fusion model that learned the line's 400 parts."""

    def make(shelf: Path) -> None:
        cases, labels = cases_of(400)
        save_fusion(fit_gates(cases, labels, plan, lambda _: None), cases, plan, shelf)

    return made_once(tmp_path_factory, "hand-made-line", make)[0]


@pytest.fixture(scope="session")
def judge(shelf: Path, plan: Plan) -> Judge:
    return Judge.open(shelf, plan)


assert CURVE_POINTS > SAMPLES  # the curves of this line are interpolated
