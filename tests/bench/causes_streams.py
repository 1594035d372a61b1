"""Simulated lines for the scan: what each part carried, what the model says of it, whether it is a defect.

12 stations of 3 tools, lots of a supplier (four run side by side, 40 in 64 000 parts) with a natural spread of their
own, 4 recipes in campaigns, 6 operators in shifts, and a fixture that goes with one tool 85 times in 100. A model sees
most of what makes parts bad (AUC about .92); of the defects of a cause it sees every second one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from fusion.judge import Judgement
from fusion.scan.fit import fit_scan
from fusion.scan.rates import ScanNotes
from fusion.watch import Judged
from ingest.join.evidence import Evidence
from ingest.messages import Defect, Instant, Visit

STATIONS, TOOLS, LOTS_RUNNING, LOT_PARTS = 12, 3, 4, 1600
RECIPES, CAMPAIGN_PARTS, OPERATORS, SHIFT_PARTS = 4, 600, 6, 800
BASE = 0.02
FEATURE_SD = 2.4  # of the logit of what the model sees: AUC about .92
SEEN = 0.5  # share of a cause's defects that show to the model
WANDER_PARTS, WANDER_STEP = 2000, 50
FLAG_SHARE = 0.03  # of parts in control
CYCLE_MS, LABEL_DELAY_PARTS = 1000, 1000
START = 1_767_592_800_000


@dataclass(frozen=True)
class Stream:
    """`levels`: attribute -> value of each part; `risk`: what the model says; `defect`: the truth."""

    levels: dict[str, npt.NDArray[np.str_]]
    risk: npt.NDArray[np.float64]
    defect: npt.NDArray[np.bool_]

    def carrying(self, cause: str) -> npt.NDArray[np.bool_]:
        """Parts with a cause, `a=v` or `a=v & b=w`; every part with ""."""
        mask = np.ones(len(self.risk), dtype=np.bool_)
        for side in filter(None, cause.split(" & ")):
            attribute, _, value = side.partition("=")
            mask &= self.levels[attribute] == value
        return mask


@dataclass(frozen=True)
class Trouble:
    """From part `onset` on, before `until`, parts with `cause` ("": all) are defects `times` as often."""

    cause: str
    times: float
    onset: int
    until: int = 1 << 60


@dataclass(frozen=True)
class BenchGate:
    """What the watch asks of a trained gate."""

    threshold: float
    scan: ScanNotes | None


def draw(
    parts: int,
    lot_sd: float,
    rng: np.random.Generator,
    trouble: Trouble | None = None,
    first_lot: int = 1000,
    wander_sd: float = 0.0,
    tools: int = TOOLS,
) -> Stream:
    """A line of so many parts, in control but for one trouble. `wander_sd`: of the logit of the whole line, slowly."""
    at = np.arange(parts)
    levels: dict[str, npt.NDArray[np.str_]] = {}
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"[:tools]))
    for station in range(STATIONS):
        tool = rng.integers(0, tools, parts)
        levels[f"tool_op{station + 1:02}"] = np.char.add(f"T{station + 1:02}", letters[tool])
    follows = levels["tool_op03"] == "T03b"
    fixture = np.where(follows ^ (rng.random(parts) >= 0.85), "F1", "F2")  # 85 of 100: both or neither
    levels["fixture"] = np.where(~follows & (fixture == "F2"), rng.choice(["F2", "F3"], parts), fixture)
    lot = at // (LOTS_RUNNING * LOT_PARTS) * LOTS_RUNNING + rng.integers(0, LOTS_RUNNING, parts)
    levels["supplier_lot"] = np.char.add("S", (first_lot + lot).astype(str))
    campaigns = rng.integers(0, RECIPES, parts // CAMPAIGN_PARTS + 1)
    levels["recipe"] = np.char.add("R", (campaigns[at // CAMPAIGN_PARTS] + 1).astype(str))
    operator = (at // SHIFT_PARTS * 2 + rng.integers(0, 2, parts)) % OPERATORS
    levels["operator_id"] = np.char.add("O", (operator + 1).astype(str))
    feature = rng.normal(0.0, FEATURE_SD, parts)
    middle = intercept(BASE)
    natural = rng.normal(0.0, lot_sd, lot.max() + 1)[lot] + wander_sd * _wander(parts, rng)
    slow = wander_sd * _wander(parts, rng)  # what the model sees wanders by itself too
    risk = 1.0 / (1.0 + np.exp(-(middle + feature + slow)))
    defect = rng.random(parts) < 1.0 / (1.0 + np.exp(-(middle + feature + natural)))
    stream = Stream(levels, risk, defect)
    if trouble is None:
        return stream
    concerned = stream.carrying(trouble.cause) & (at >= trouble.onset) & (at < trouble.until)
    made = concerned & (rng.random(parts) < (trouble.times - 1.0) * BASE)
    shown = made & (rng.random(parts) < SEEN)
    return Stream(levels, np.where(shown, np.maximum(risk, 0.5), risk), defect | made)


def _wander(parts: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A slow walk about 0 with sd 1: parts WANDER_PARTS apart have a correlation of 0.37."""
    keep = float(np.exp(-WANDER_STEP / WANDER_PARTS))
    steps, level = [], float(rng.normal())
    for kick in rng.normal(0.0, (1.0 - keep**2) ** 0.5, parts // WANDER_STEP + 1):
        steps.append(level)
        level = keep * level + float(kick)
    return np.repeat(steps, WANDER_STEP)[:parts]


@cache
def intercept(base: float) -> float:
    """The logit at which parts are defects `base` of the time."""
    spread = np.random.default_rng(0).normal(0.0, FEATURE_SD, 200_000)
    low, high = -15.0, 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-(middle + spread)))).mean() < base else (low, middle)
    return low


def trained(history: Stream) -> BenchGate:
    """What training leaves of a history whose parts all have labels."""
    threshold = float(np.quantile(history.risk, 1.0 - FLAG_SHARE))
    flagged = (history.risk >= threshold).astype(np.float64)
    return BenchGate(
        threshold, fit_scan(list(rows_of(history)), history.defect.astype(np.float64), flagged, history.risk)
    )


def rows_of(stream: Stream) -> Iterator[list[str]]:
    """The levels of each part, as the watch names them."""
    columns = sorted(stream.levels)
    for values in zip(*(stream.levels[name].tolist() for name in columns), strict=True):
        yield [f"{name}={value}" for name, value in zip(columns, values, strict=True)]


def events(stream: Stream, gate: BenchGate) -> Iterator[Judged | Defect]:
    """Parts as a gate judges them, one a second, and their labels LABEL_DELAY_PARTS later."""
    columns = list(stream.levels)
    values = list(zip(*(stream.levels[name].tolist() for name in columns), strict=True))
    risks, defects = stream.risk.tolist(), stream.defect.tolist()
    for number, carried in enumerate(values):
        at = Instant(START + number * CYCLE_MS)
        if number >= LABEL_DELAY_PARTS:
            earlier = number - LABEL_DELAY_PARTS
            yield Defect(
                part_id=f"P{earlier}", line_id="L1", recorded_at=at, source="inspector",
                outcome="defect" if defects[earlier] else "ok",
            )  # fmt: skip
        yield Judged(_evidence(number, at, dict(zip(columns, carried, strict=True))), _judgement(risks[number]), gate,
                     True, at)  # type: ignore[arg-type]  # fmt: skip


def _evidence(number: int, at: Instant, attributes: dict[str, str]) -> Evidence:
    visit = Visit(
        part_id=f"P{number}",
        line_id="L1",
        station_id="OP1",
        started_at=at,
        ended_at=at,
        batch_id="",
        product="",
        attributes=attributes,
    )
    return Evidence(
        line_id="L1", gate_id="EOL", part_id=f"P{number}", attempt=1, product="", batch_id="", visits=(visit,),
        windows={}, findings={}, present=(), missing=(), unfit=(), late=(), complete=True, event_at=at, newest_at=at,
        clock={},
    )  # fmt: skip


def _judgement(risk: float) -> Judgement:
    return Judgement(
        decision="pass", risk=risk, risk_low=risk, risk_high=risk, threshold=None, reasons=[], causes=[], model=None,
        audit=False, base_risk=risk, blob=b"",
    )  # fmt: skip
