"""A stream of parts with transient tool problems and lot effects, and what history is worth on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from fusion.calibration.calibrate import logit
from fusion.history import HistoryView
from fusion.training.cases import Case, Released, history_views
from ingest.join.evidence import Evidence
from ingest.messages import Defect, Instant, Visit
from ingest.plan.plan import Plan

Doubles = npt.NDArray[np.float64]

START = 1_767_592_800_000
CYCLE_MS = 4000
PARTS_PER_LOT = 100
TOOLS = 6
PROBLEM_PARTS = 1500  # a tool problem lasts this long, then the tool is changed
ATTRIBUTES = ("supplier_lot", "tool_id")


@dataclass(frozen=True)
class Stream:
    """`vision`: float64[n], what a camera sees; `tool`: int[n]; `lot`: int[n]; `defect`: bool[n]."""

    vision: Doubles
    tool: npt.NDArray[np.intp]
    lot: npt.NDArray[np.intp]
    defect: npt.NDArray[np.bool_]


def make_stream(parts: int, seed: int) -> Stream:
    """Base rate about 4 %; lots differ by .6 logit; at any time one tool is 2 logits worse than the others."""
    rng = np.random.default_rng(seed)
    lot = np.arange(parts) // PARTS_PER_LOT
    tool = rng.integers(TOOLS, size=parts)
    worse = rng.integers(TOOLS, size=parts // PROBLEM_PARTS + 1)[np.arange(parts) // PROBLEM_PARTS]
    cause = rng.normal(0, 0.6, int(lot.max()) + 1)[lot] + 2.0 * (tool == worse)
    hidden = rng.normal(size=parts)
    wanted = -4.2 + cause + hidden
    defect = rng.random(parts) < 1.0 / (1.0 + np.exp(-wanted))
    # a camera sees a part of what tools and lots do to a part, and noise
    return Stream(0.5 * cause + hidden + rng.normal(0, 0.7, parts), tool, lot, defect)


def cases_of_stream(stream: Stream, delay_parts: int) -> tuple[list[Case], list[Released]]:
    """The parts as cases and every label, released `delay_parts` cycles after its part."""
    cases, labels = [], []
    for number, (tool, lot, bad) in enumerate(zip(stream.tool, stream.lot, stream.defect, strict=True)):
        at = Instant(START + number * CYCLE_MS)
        visit = Visit(
            part_id=f"P{number}", line_id="L1", station_id="OP10", started_at=at, ended_at=at, batch_id=f"B{lot}",
            product="P", attributes={"tool_id": f"T{tool}", "supplier_lot": f"S{lot}"},
        )  # fmt: skip
        evidence = Evidence(
            line_id="L1", gate_id="EOL", part_id=f"P{number}", attempt=1, product="P", batch_id=f"B{lot}",
            visits=(visit,), windows={}, findings={}, present=(), missing=(), unfit=(), late=(), complete=True,
            event_at=at, newest_at=at, clock={},
        )  # fmt: skip
        cases.append(Case(evidence, evidence, int(at), bool(bad), ()))
        released = Instant(at + delay_parts * CYCLE_MS)
        told = Defect(
            part_id=f"P{number}", line_id="L1", recorded_at=released, source="inspector",
            outcome="defect" if bad else "ok", cause_code="",
        )  # fmt: skip
        labels.append(Released(released, told))
    return cases, labels


def history_columns(stream: Stream, base: Doubles, delay_parts: int, plan: Plan) -> Doubles:
    """float64[n, 4]: risk and rate of each part's lot and tool, by the very code that trains."""
    cases, labels = cases_of_stream(stream, delay_parts)
    risks: dict[tuple[str, str, str, int], float | None] = {
        case.key: float(risk) for case, risk in zip(cases, base, strict=True)
    }
    views, _ = history_views(cases, risks, labels, plan, "L1")
    return np.array([_row(views[case.key], case.evidence) for case in cases])


def _row(view: HistoryView, evidence: Evidence) -> list[float]:
    booked = evidence.visits[0].attributes
    entities = [f"{name}={booked[name]}" for name in ATTRIBUTES]
    return [told.get(entity, 0.0) for entity in entities for told in (view.risk, view.rate)]


def base_risk(stream: Stream) -> Doubles:
    """float64[n]: risk by what is seen of the part alone, each half of time by the other."""
    half = np.arange(len(stream.vision)) < len(stream.vision) // 2
    risk = np.zeros(len(half))
    for train in (half, ~half):
        model = LogisticRegression().fit(stream.vision[train, None], stream.defect[train])
        risk[~train] = model.predict_proba(stream.vision[~train, None])[:, 1]
    return risk


def lot_gains(stream: Stream, base: Doubles, columns: Doubles) -> Doubles:
    """float64[test lots]: mean log-loss that history takes off each lot of the last 40 % of parts."""
    defect, *risks = risks_of_the_rest(stream, base, columns)
    losses = [-np.where(defect, np.log(risk), np.log1p(-risk)) for risk in risks]
    lots = stream.lot[-len(defect) :] - stream.lot[-len(defect) :].min()
    gain = np.bincount(lots, losses[0] - losses[1]) / np.bincount(lots)
    return np.asarray(gain)


def risks_of_the_rest(
    stream: Stream, base: Doubles, columns: Doubles
) -> tuple[npt.NDArray[np.bool_], Doubles, Doubles]:
    """Of the last 40 % of parts: who is defective, the risk without history, and the risk with it."""
    train = np.arange(len(base)) < int(0.6 * len(base))
    plain = logit(base)[:, None]
    without, told = (
        _risks(rows[train], stream.defect[train], rows[~train]) for rows in (plain, np.column_stack([plain, columns]))
    )
    return stream.defect[~train], without, told


def _risks(rows: Doubles, defect: npt.NDArray[np.bool_], fresh: Doubles) -> Doubles:
    risk = LogisticRegression(C=10.0, max_iter=300).fit(rows, defect).predict_proba(fresh)[:, 1]
    return np.clip(risk, 1e-9, 1 - 1e-9)
