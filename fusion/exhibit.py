"""Exhibit: the JSON behind `evidence_ref`, what a person is shown as evidence of one verdict.

`{"curves": {station: {channel: {"t", "curve", "golden_low", "golden_high", "unit", "lower", "upper"}}},
"features": {name: value}, "causes": [...], "risk": {...}}`; 64 points a curve, `t` in seconds from the visit's start,
golden_* null where no golden cycle is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from fusion.gate import GateJudge, Reading
from ingest.join.evidence import CURVE_POINTS, Evidence
from ingest.messages import Cause
from ingest.plan.plan import Channel, Plan

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS
_MIDDLES = ((np.arange(CURVE_POINTS) + 0.5) / CURVE_POINTS).astype(np.float32)
_UNDECLARED = Channel(channel="", unit="")


def exhibit(
    evidence: Evidence, plan: Plan, gate: GateJudge | None, reading: Reading | None, causes: Sequence[Cause]
) -> bytes:
    """The JSON of one verdict."""
    return orjson.dumps(
        {
            "curves": _curves(evidence, plan, gate),
            "features": _features(gate, reading),
            "causes": [msgspec.to_builtins(cause) for cause in causes],
            "risk": _risk(gate, reading),
        },
        option=_OPTIONS,
    )


def _curves(evidence: Evidence, plan: Plan, gate: GateJudge | None) -> dict[str, dict[str, Any]]:
    declared = _declared(plan, evidence.line_id)
    curves: dict[str, dict[str, Any]] = {}
    for station_id, window in sorted(evidence.windows.items()):
        seconds = _MIDDLES * np.float32((window.ended_at - window.started_at) / 1000.0)
        curves[station_id] = {}
        for name, channel in window.channels.items():
            band = gate.golden_band(evidence.product, station_id, name) if gate is not None else None
            told = declared.get((station_id, name), _UNDECLARED)
            curves[station_id][name] = {
                "t": seconds,
                "curve": np.ascontiguousarray(channel.curve, dtype=np.float32),
                "golden_low": band[0] if band else None,
                "golden_high": band[1] if band else None,
                "unit": told.unit,
                "lower": told.lower,
                "upper": told.upper,
            }
    return curves


def _features(gate: GateJudge | None, reading: Reading | None) -> dict[str, float]:
    if gate is None or reading is None:
        return {}
    return dict(zip(gate.feature_names, reading.row.features.tolist(), strict=True))


def _declared(plan: Plan, line_id: str) -> Mapping[tuple[str, str], Channel]:
    line = plan.line(line_id)
    if line is None:
        return {}
    return {(s.station_id, c.channel): c for s in line.stations for c in s.channels}


def _risk(gate: GateJudge | None, reading: Reading | None) -> dict[str, Any] | None:
    if gate is None or reading is None:
        return None
    estimate = reading.estimate
    told = {"risk": estimate.risk, "low": estimate.low, "high": estimate.high, "threshold": gate.threshold}
    if estimate.correction is None:
        return told
    return {**told, "own_logit": estimate.own, "correction": msgspec.to_builtins(estimate.correction)}
