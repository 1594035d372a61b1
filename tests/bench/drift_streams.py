"""A simulated line for drift: 20 channels at 5 stations and 4 cameras that all wander in control, 4 products in turns.

Every channel and camera score has an AR(1) wander of its own (memory 50 to 1000 parts, standard deviation 0.1 to 0.35
of a part's), as plants have; a drift or a bias comes on top. Six channels and two cameras have to do with defects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from fusion.gate import GateJudge, Reading
from fusion.judge import Judgement
from fusion.risk.features import CHANNEL_COLUMNS, FeatureRow, FeatureSpec, RowBuilder, raw_columns
from fusion.risk.model import Estimate
from fusion.training.cases import Case, Released
from fusion.watch import Judged
from ingest.join.evidence import CURVE_POINTS, STATS, ChannelWindow, Evidence, StationWindow
from ingest.messages import Defect, Findings, Fitness, Instant, Visit
from ingest.plan.plan import Audit, Camera, Channel, Constraints, Gate, Grants, Line, Objective, Owners, Plan, Station

Doubles = npt.NDArray[np.float64]

STATIONS, PER_STATION, CAMERAS, PRODUCTS = 5, 4, 4, 4
CHANNELS = STATIONS * PER_STATION
TOLD = (0, 3, 7, 10, 13, 18)  # channels that make parts bad, by both signs or one
SEEING = (0, 2)  # cameras that see defects
CAMPAIGN, LOT = 400, 100  # parts
BASE = 0.02
CYCLE_MS, LABEL_DELAY = 1000, 1000  # ms a part; parts until its label
START = 1_767_592_800_000
SCORE_SD = 0.1
SHAPE = np.sin(np.linspace(0.0, 2.0 * np.pi, CURVE_POINTS)).astype(np.float32)  # of a cycle: mean 0
SOURCES = (*(f"camera:cam{c}" for c in range(CAMERAS)), *(f"sensors:OP{10 * (s + 1)}" for s in range(STATIONS)))


@dataclass(frozen=True)
class Shift:
    """From part `onset` on: `channel` or `camera` moves by `size` of a part's standard deviations, at once or over
    `ramp` parts; or the defect rate is `times` what it was."""

    channel: int = -1
    camera: int = -1
    size: float = 0.0
    onset: int = 1 << 60
    ramp: int = 0
    times: float = 1.0

    def at(self, parts: int, first: int) -> Doubles:
        """float64[parts]: the shift of each part."""
        since = np.arange(first, first + parts) - self.onset
        return np.where(since >= 0, self.size * (np.clip(since / self.ramp, 0, 1) if self.ramp else 1.0), 0.0)


@dataclass(frozen=True)
class Parts:
    """`x`: float64[n, CHANNELS], in standard deviations of a part; `score`, `light`: float64[n, CAMERAS]."""

    first: int
    product: npt.NDArray[np.intp]
    x: Doubles
    spread: Doubles
    score: Doubles
    light: Doubles
    defect: npt.NDArray[np.bool_]


class Plant:
    """One plant: what makes its parts bad (by `seed`), how it wanders (by `stream`). `draw` goes on where the last
    one ended."""

    def __init__(self, seed: int, stream: int = 0) -> None:
        rng = np.random.default_rng([seed, stream, 1])
        self.wanders = CHANNELS + 2 * CAMERAS
        self.memory = np.exp(rng.uniform(np.log(50), np.log(1000), self.wanders))
        self.size = rng.uniform(0.1, 0.35, self.wanders)
        rng = np.random.default_rng([seed, 3])
        self.offset = rng.normal(0.0, 1.0, (PRODUCTS, CHANNELS))
        self.sign = np.where(rng.random(len(TOLD)) < 0.5, 0.0, rng.choice([-1.0, 1.0], len(TOLD)))
        self._rng = np.random.default_rng([seed, stream, 2])
        self._state = self._rng.standard_normal(self.wanders)
        self.made = 0

    def worse(self, channel: int) -> float:
        """The sign by which a channel makes parts worse; 1 where both do."""
        return float(self.sign[TOLD.index(channel)] or 1.0)

    def draw(self, parts: int, shift: Shift = Shift()) -> Parts:
        """The next parts of the plant."""
        rng, first = self._rng, self.made
        wander = self._wander(parts)
        product = (np.arange(first, first + parts) // CAMPAIGN) % PRODUCTS
        moved = shift.at(parts, first)
        x = rng.standard_normal((parts, CHANNELS)) + wander[:, :CHANNELS]
        if shift.channel >= 0:
            x[:, shift.channel] += moved
        told = x[:, TOLD]
        strain = np.where(self.sign == 0.0, np.abs(told) - 0.8, self.sign * told)
        logit = np.log(BASE / (1 - BASE)) - 1.25 + 0.9 * strain.sum(axis=1)
        logit += np.where(np.arange(first, first + parts) >= shift.onset, np.log(shift.times), 0.0)
        lots = rng.normal(0.0, 0.25, parts // LOT + 2)[(np.arange(first, first + parts) // LOT) - first // LOT]
        defect = rng.random(parts) < 1.0 / (1.0 + np.exp(-logit - lots))
        score = 0.4 + SCORE_SD * (rng.standard_normal((parts, CAMERAS)) + wander[:, CHANNELS : CHANNELS + CAMERAS])
        score[:, SEEING] += 0.5 * (defect[:, None] & (rng.random((parts, len(SEEING))) < 0.6))
        if shift.camera >= 0:
            score[:, shift.camera] += SCORE_SD * moved
        light = 0.4 + 0.01 * (rng.standard_normal((parts, CAMERAS)) + wander[:, CHANNELS + CAMERAS :])
        self.made += parts
        spread = 0.2 + 0.02 * rng.standard_normal((parts, CHANNELS))
        return Parts(first, product, x + self.offset[product], spread, score, light, defect)

    def _wander(self, parts: int) -> Doubles:
        keep = np.exp(-1.0 / self.memory)
        kicks = self._rng.standard_normal((parts, self.wanders)) * np.sqrt(1 - keep**2)
        out = np.empty_like(kicks)
        for i in range(self.wanders):
            out[:, i], _ = lfilter([1.0], [1.0, -keep[i]], kicks[:, i], zi=[keep[i] * self._state[i]])
        self._state = out[-1].copy()
        return np.asarray(out * self.size)


def plan() -> Plan:
    """The plan of the line."""
    channels = tuple(Channel(channel=f"c{k}", unit="A") for k in range(PER_STATION))
    stations = tuple(
        Station(station_id=f"OP{10 * (s + 1)}", channels=channels)
        for s in range(STATIONS)
    )  # fmt: skip
    cameras = tuple(Camera(camera_id=f"cam{c}", station_id=stations[-1].station_id) for c in range(CAMERAS))
    gate = Gate(gate_id="EOL", after=stations[-1].station_id, deadline_ms=500.0, needs=())
    return Plan(
        plan=1, plant="drift", owners=Owners(objective="a", model="b", stop="c"),
        objective=Objective(escape_cost=20.0, review_cost=2.0, currency="USD"),
        constraints=Constraints(
            escape_rate_max=0.02, review_share_max=0.2, latency_ms_max=500.0, forbidden_causes=()
        ),
        audit=Audit(share=0.0), grants=Grants(topics=("qc.frames", "qc.sensors", "qc.production", "qc.defects")),
        lines=(Line(line_id="L1", stations=stations, cameras=cameras, gates=(gate,)),), sha256="drift",
    )  # fmt: skip


def cases(parts: Parts) -> tuple[list[Case], list[Released]]:
    """The parts as training takes them."""
    made, labels = [], []
    for i in range(len(parts.x)):
        at = _at(parts, i)
        evidence = _evidence(parts, i)
        defect = bool(parts.defect[i])
        made.append(Case(evidence, evidence, int(at), defect, ()))
        released = Instant(at + LABEL_DELAY * CYCLE_MS)
        labels.append(Released(released, defect_record(parts, i)))
    return made, labels


def light_parts(parts: Parts) -> list[Evidence]:
    """The parts as drift takes them: without windows, for rows are made all at once."""
    return [_light_evidence(parts, i, {}, _all_findings(parts, i)) for i in range(len(parts.x))]


def _all_findings(parts: Parts, i: int) -> dict[str, tuple[Findings, ...]]:
    return {f"cam{c}": (_findings(parts, i, c, _at(parts, i)),) for c in range(CAMERAS)}


def defect_record(parts: Parts, i: int) -> Defect:
    outcome: Literal["defect", "ok"] = "defect" if parts.defect[i] else "ok"
    at = Instant(_at(parts, i) + LABEL_DELAY * CYCLE_MS)
    return Defect(part_id=f"P{parts.first + i}", line_id="L1", recorded_at=at, source="inspector", outcome=outcome)


def _at(parts: Parts, i: int) -> Instant:
    return Instant(START + (parts.first + i) * CYCLE_MS)


def _stats(value: npt.NDArray[np.float32], spread: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32[..., len(STATS)] of a cycle with this mean and spread."""
    one = np.ones_like(value)
    named = {
        "mean": value, "std": spread, "min": value - 2 * spread, "max": value + 2 * spread, "median": value,
        "slope": 0 * one, "first": value, "last": value, "energy": value**2 + spread**2, "range_p95": 3 * spread,
        "max_at": 0.5 * one, "count": 64 * one,
    }  # fmt: skip
    return np.stack([named[name] for name in STATS], axis=-1).astype(np.float32)


def _evidence(parts: Parts, i: int) -> Evidence:
    at = _at(parts, i)
    value, spread = parts.x[i].astype(np.float32), parts.spread[i].astype(np.float32)
    stats, windows = _stats(value, spread), {}
    for s in range(STATIONS):
        members = range(s * PER_STATION, (s + 1) * PER_STATION)
        channels = {f"c{j % PER_STATION}": ChannelWindow(stats[j], value[j] + spread[j] * SHAPE) for j in members}
        name = f"OP{10 * (s + 1)}"
        windows[name] = StationWindow(name, at, at, 64, True, channels)
    return _light_evidence(parts, i, windows, _all_findings(parts, i))


def _findings(parts: Parts, i: int, c: int, at: Instant) -> Findings:
    measures = {"exposure": float(parts.light[i, c])}
    return Findings(
        part_id=f"P{parts.first + i}", line_id="L1", station_id=f"OP{10 * STATIONS}", camera_id=f"cam{c}",
        frame_id=f"cam{c}@{at}", captured_at=at, inspected_at=at, score=float(parts.score[i, c]), threshold=0.8,
        fitness=Fitness(ok=True, measures=measures), boxes=[],
    )  # fmt: skip


def _light_evidence(
    parts: Parts, i: int, windows: Mapping[str, StationWindow], findings: Mapping[str, tuple[Findings, ...]]
) -> Evidence:
    at, lot, product = _at(parts, i), f"B{(parts.first + i) // LOT}", f"R{parts.product[i]}"
    visit = Visit(
        part_id=f"P{parts.first + i}", line_id="L1", station_id="OP10", started_at=at, ended_at=at, batch_id=lot,
        product=product, attributes={},
    )  # fmt: skip
    return Evidence(
        line_id="L1", gate_id="EOL", part_id=f"P{parts.first + i}", attempt=1, product=product, batch_id=lot,
        visits=(visit,), windows=windows, findings=findings, present=SOURCES, missing=(), unfit=(), late=(),
        complete=True, event_at=at, newest_at=at, clock={},
    )  # fmt: skip


def raw_of(parts: Parts, spec: FeatureSpec, builder: RowBuilder) -> npt.NDArray[np.float32]:
    """float32[n, raw columns]: what `RowBuilder.raw` makes of each part, all at once."""
    value, spread = parts.x.astype(np.float32), parts.spread.astype(np.float32)
    columns = raw_columns(spec)
    raw = np.zeros((len(value), len(columns)), dtype=np.float32)
    width = len(CHANNEL_COLUMNS)
    product = np.array([builder.product_at(f"R{p}") for p in range(PRODUCTS)])[parts.product]
    for j in range(CHANNELS):
        away = value[:, j, None] + spread[:, j, None] * SHAPE - builder.norms.golden_mean[product, j]
        away /= builder.norms.golden_sd[product, j]
        at = j * width
        raw[:, at : at + len(STATS)] = _stats(value[:, j], spread[:, j])
        raw[:, at + len(STATS)] = np.sqrt((away * away).mean(axis=1))
        raw[:, at + len(STATS) + 1] = np.abs(away).max(axis=1)
        raw[:, at + len(STATS) + 2] = away.mean(axis=1)
    place = {column.name: i for i, column in enumerate(columns)}
    for c in range(CAMERAS):
        own = [i for i, column in enumerate(columns) if column.entity == f"camera:cam{c}"]
        raw[:, own] = np.nan
        raw[:, place[f"camera:cam{c}:ratio"]] = parts.score[:, c] / 0.8
        for name in ("box_score", "box_count", "box_area"):
            raw[:, place[f"camera:cam{c}:{name}"]] = 0.0
    for p in range(PRODUCTS):
        raw[:, place[f"product=R{p}"]] = parts.product == p
    return raw


def judged(parts: Parts, gate: GateJudge) -> Iterator[Judged]:
    """The parts as watches see them, scored by the gate's own models."""
    builder, spec = gate.builder, gate.builder.spec
    raw = raw_of(parts, spec, builder)
    features = builder.derive(raw)
    usable = frozenset(spec.sources)
    model = gate.risk_models.speaking(usable)
    assert model is not None
    logits = gate.risk_models.logits(model, features)
    for i, own in enumerate(logits.tolist()):
        risk = float(1.0 / (1.0 + np.exp(-own)))
        evidence = _light_evidence(parts, i, {}, _all_findings(parts, i))
        row = FeatureRow(raw[i], features[i], usable, ())
        reading = Reading(row, Estimate(risk, risk, risk, model, own), risk, True, False)
        flagged = risk >= gate.threshold
        call = Judgement(
            decision="review" if flagged else "pass", risk=risk, risk_low=risk, risk_high=risk,
            threshold=gate.threshold, reasons=[], causes=[], model=None, audit=False, base_risk=risk, blob=b"",
            reading=reading,
        )  # fmt: skip
        yield Judged(evidence, call, gate, True, evidence.newest_at)
