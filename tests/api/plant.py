"""A small plant with something of everything in it, for tests that walk through all routes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ingest.blobs import Blobs
from ingest.messages import Instant, Mark, MarkBox
from models.manifest import TrainedOn
from models.shelf import save_model
from tests.api.conftest import Live, until
from tests.api.factory import (
    keep_evidence,
    make_defect,
    make_findings,
    make_pass,
    make_verdict,
    make_visit,
    now,
    publish,
)

PART, FRAME, BATCH, CAUSE = "P-104", "top@104", "B77", "tool_id=T7"
#: What stands in the paths of routes, so that they find something.
KNOWN = {"part_id": PART, "frame_id": FRAME, "batch_id": BATCH, "name": "fusion", "version": "1", "review_id": "0" * 32}


def small_exhibit() -> bytes:
    """One channel in four points."""
    curve = {"t": [0.0, 0.5, 1.0, 1.5], "curve": [4.0, 4.1, 5.2, 5.9], "unit": "A", "lower": 2.0, "upper": 5.5,
             "golden_low": [3.6, 3.7, 3.7, 3.6], "golden_high": [4.4, 4.5, 4.5, 4.4]}  # fmt: skip
    return msgspec.json.encode(
        {"curves": {"OP20": {"spindle_current_a": curve}}, "features": {"OP20.spindle_current_a.mean": 4.8}}
    )


def fill(live: Live) -> None:
    """Parts that wait and parts that passed, pictures, marks, a model."""
    save_model(
        Path(live.settings.shelf), name="fusion", kind="fusion", files={}, features=[], threshold=0.031,
        trained_on=TrainedOn(), notes={"version": 1, "gates": []}, card="",
    )  # fmt: skip
    frame_ref, heatmap_ref, evidence_ref = keep_evidence(live.settings, PART)
    Blobs(live.settings.blobs).put(evidence_ref, small_exhibit())
    at = Instant(now() - 60_000)
    mark = Mark(camera_id="top", frame_id=FRAME, kind="burr", box=MarkBox(x=150, y=70, width=34, height=30))
    publish(
        live.log,
        live.settings,
        production=[make_visit(PART, started_at=at, ended_at=Instant(at + 2000)), make_visit("P-105", batch_id="B78")],
        findings=[make_findings(PART, frame_id=FRAME, frame_ref=frame_ref, heatmap_ref=heatmap_ref)],
        defects=[make_defect("P-103", marks=[mark]), make_defect(PART, source="history")],
        verdicts=[
            make_verdict("P-103", event_at=at, decided_at=at),
            make_verdict(PART, evidence_ref=evidence_ref, event_at=at, decided_at=at),
            make_verdict("P-106", decision="cannot_tell", risk=None, risk_low=None, risk_high=None, causes=[],
                         reasons=["deadline_missed"], model=None, threshold=None),
            make_pass("P-105", batch_id="B78"),
        ],
    )  # fmt: skip
    live.collected(4)
    until(lambda: live.service.here.reader.count_marks(), "the mark in the store")
    until(lambda: live.service.here.reader.findings(PART), "the findings in the store")
