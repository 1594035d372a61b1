"""Real values for the tests of the doors: verdicts, visits, findings, pictures, exhibits, and a plant to hold them."""

from __future__ import annotations

import math
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ingest.blobs import Blobs
from ingest.log.seam import Log, Outgoing
from ingest.messages import (
    Box,
    Cause,
    Defect,
    EvidenceSummary,
    Findings,
    Fitness,
    Instant,
    ModelName,
    Verdict,
    Visit,
    encode,
)
from ingest.settings import Settings

MODEL = ModelName(name="fusion", version="3", sha256="ab" * 32)
PLAN = """\
plan: 1
plant: testworks
owners: {objective: qa.director, model: ml.lead, stop: shift.lead}
objective: {escape_cost: 450.0, review_cost: 2.5, currency: USD}
constraints: {escape_rate_max: 0.003, review_share_max: 0.10, latency_ms_max: 500, forbidden_causes: [operator_id]}
grants: {topics: [qc.frames, qc.sensors, qc.production, qc.defects], actions: [flag, divert]}
audit: {share: 0.01, per: [product]}
lines:
  - line_id: L1
    stations:
      - {station_id: OP20, name: Bore, channels: [{channel: spindle_current_a, unit: A, lower: 2.0, upper: 6.5}]}
      - {station_id: OP40, name: Press}
    cameras: [{camera_id: top, station_id: OP40}]
    gates: [{gate_id: EOL, after: OP40, deadline_ms: 500, needs: [camera:top, sensors:OP20]}]
  - line_id: L2
    stations: [{station_id: OP10, name: Saw}]
    gates: [{gate_id: END, after: OP10, deadline_ms: 500}]
"""


def now() -> Instant:
    return Instant(time.time() * 1000)


def settings_at(home: Path, **changes: Any) -> Settings:
    """Settings of a plant in `home`, its plan written."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "plan.yaml").write_text(PLAN)
    return Settings(home=str(home), partitions=2, log_wait_s=5.0, **changes)


def make_verdict(part_id: str = "P1", **changes: Any) -> Verdict:
    """A flagged part at L1/EOL; its id follows from what is changed."""
    fields: dict[str, Any] = {
        "part_id": part_id,
        "line_id": "L1",
        "gate_id": "EOL",
        "batch_id": "B77",
        "product": "HSG-4",
        "attempt": 1,
        "revision": 1,
        "sequence": 1,
        "decision": "review",
        "risk": 0.8731,
        "risk_low": 0.79,
        "risk_high": 0.93,
        "threshold": 0.031,
        "reasons": ["risk_over_threshold"],
        "evidence": EvidenceSummary(
            complete=True, present=["camera:top", "sensors:OP20"], missing=[], late=[], unfit=[]
        ),
        "causes": [
            Cause(cause="tool_id=T7", kind="attribute", station_id="OP20", share=0.61, evidence=["3.1 times the rate"]),
            Cause(
                cause="OP20.spindle_current_a", kind="channel", station_id="OP20", share=0.22, evidence=["mean 5.9 A"]
            ),
        ],
        "model": MODEL,
        "plan_sha256": "cd" * 32,
        "mode": "auto",
        "event_at": now(),
        "decided_at": now(),
        "latency_ms": 41.2,
        "audit": False,
    }
    fields |= changes
    names = (fields[name] for name in ("line_id", "gate_id", "part_id", "attempt", "revision"))
    fields.setdefault("verdict_id", "/".join(map(str, names)))
    return Verdict(**fields)


def make_pass(part_id: str, **changes: Any) -> Verdict:
    """A part that passed."""
    calm = {"decision": "pass", "risk": 0.004, "risk_low": 0.002, "risk_high": 0.009, "reasons": [], "causes": []}
    return make_verdict(part_id, **(calm | changes))


def make_visit(part_id: str = "P1", **changes: Any) -> Visit:
    fields: dict[str, Any] = {
        "part_id": part_id,
        "line_id": "L1",
        "station_id": "OP20",
        "started_at": Instant(now() - 4000),
        "ended_at": Instant(now() - 2000),
        "batch_id": "B77",
        "product": "HSG-4",
        "attributes": {"tool_id": "T7", "supplier_lot": "S31"},
    }
    return Visit(**(fields | changes))


def make_findings(part_id: str = "P1", **changes: Any) -> Findings:
    captured_at = changes.get("captured_at", Instant(now() - 1500))
    fields: dict[str, Any] = {
        "part_id": part_id,
        "line_id": "L1",
        "station_id": "OP40",
        "camera_id": "top",
        "frame_id": f"top@{captured_at.isoformat()}",
        "captured_at": captured_at,
        "inspected_at": Instant(captured_at + 20),
        "score": 0.71,
        "threshold": 0.5,
        "fitness": Fitness(ok=True, blur=0.9),
        "boxes": [Box(x=150, y=70, width=34, height=30, score=0.97, kind="burr")],
        "model": ModelName(name="vision-top", version="1", sha256="ef" * 32),
    }
    return Findings(**(fields | changes))


def make_defect(part_id: str = "P1", **changes: Any) -> Defect:
    fields: dict[str, Any] = {
        "part_id": part_id,
        "line_id": "L1",
        "recorded_at": now(),
        "source": "customer",
        "outcome": "defect",
        "defect_code": "burr",
    }
    return Defect(**(fields | changes))


def publish(log: Log, settings: Settings, **messages: Sequence[msgspec.Struct]) -> None:
    """Append messages: `publish(log, settings, verdicts=[...], production=[...])`."""
    producer = log.producer()
    for topic, bodies in messages.items():
        for message in bodies:
            key = message.line_id.encode()  # type: ignore[attr-defined]
            producer.append(Outgoing(topic=settings.topic(topic), key=key, body=encode(message)))
    producer.flush()
    producer.close()


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """An 8-bit grey PNG of pixels (height x width)."""
    height, width = pixels.shape
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b"")


def picture(seed: int = 1) -> bytes:
    """A turned face with a bore and a burr at (167, 85), 320 x 256."""
    noise = np.random.default_rng(seed).normal(0, 5, (256, 320))
    y, x = np.mgrid[0:256, 0:320]
    radius = np.hypot(x - 160, y - 128)
    grey = 118 + 14 * np.sin(radius / 1.7) * (radius < 112) + noise
    grey[radius > 112] = 38 + noise[radius > 112]
    grey[radius < 34] = 20 + noise[radius < 34]
    burr = np.exp(-((x - 167) ** 2 + (y - 85) ** 2) / 90)
    return png(np.clip(grey + 110 * burr, 0, 255).astype(np.uint8))


def heatmap() -> bytes:
    """Grey, as vision makes it: the middle grey where boxes begin, warm where the burr is; smaller than the frame."""
    y, x = np.mgrid[0:64, 0:80]
    heat = np.exp(-((x - 167 / 4) ** 2 + (y - 85 / 4) ** 2) / 26)
    return png(np.clip(30 + 220 * heat, 0, 255).astype(np.uint8))


def exhibit(drift: float = 1.1) -> bytes:
    """Two channels of OP20 and one of OP40; the spindle current leaves its band at the end by `drift` A."""
    times = [(index + 0.5) / 64 * 2.0 for index in range(64)]
    calm = [4.0 + 0.6 * math.sin(t * 3) for t in times]
    drifting = [value + drift * max(0.0, t - 0.9) for value, t in zip(calm, times, strict=True)]
    force = [12 * t if t < 1.2 else 14.4 for t in times]

    def channel(curve: list[float], golden: list[float], spread: float, unit: str, limits: Any) -> dict[str, Any]:
        return {
            "t": times,
            "curve": curve,
            "golden_low": [value - spread for value in golden],
            "golden_high": [value + spread for value in golden],
            "unit": unit,
            "lower": limits[0],
            "upper": limits[1],
        }

    coolant = [21.8 + 0.1 * t for t in times]
    curves = {
        "OP20": {
            "spindle_current_a": channel(drifting, calm, 0.35, "A", (2.0, 5.5)),
            "coolant_c": channel(coolant, coolant, 0.4, "°C", (None, None)),
        },
        "OP40": {"press_force_kn": channel(force, force, 0.9, "kN", (None, 18.0))},
    }
    return msgspec.json.encode({"curves": curves, "features": {"OP20.spindle_current_a.mean": 4.6}})


def keep_evidence(settings: Settings, part_id: str) -> tuple[str, str, str]:
    """Put picture, heatmap and exhibit of a part into the blobs; their references."""
    blobs = Blobs(settings.blobs)
    refs = (f"frames/{part_id}.png", f"heatmaps/{part_id}.png", f"evidence/{part_id}.json")
    for ref, body in zip(refs, (picture(), heatmap(), exhibit()), strict=True):
        blobs.put(ref, body)
    return refs
