"""Dirt painted onto the lens, through a real eye and the camera's order, becomes one incident and no pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from fusion.cameras.watch import LENS_DIRT, CameraWatch
from ingest.messages import Findings, Instant
from ingest.plan.file import load_plan
from vision.inspect import Eyes

PLAN = """
plan: 1
plant: p
owners: {objective: a, model: b, stop: c}
objective: {escape_cost: 450.0, review_cost: 2.5, currency: USD}
constraints: {escape_rate_max: 0.003, review_share_max: 0.1, latency_ms_max: 500, forbidden_causes: []}
grants: {topics: [qc.frames], actions: [flag], retention_days: 400, disk_gib_max: 200}
audit: {share: 0.01, per: [product]}
lines:
  - line_id: L1
    stations: [{station_id: OP40, name: Press, channels: []}]
    cameras: [{camera_id: top, station_id: OP40}]
    gates: [{gate_id: EOL, after: OP40, deadline_ms: 500, needs: ["camera:top"]}]
"""
CLEAN, DIRTY = 60, 40
SMEAR = (95, 30)


@pytest.fixture
def watch(tmp_path: Path) -> CameraWatch:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN, "utf-8")
    return CameraWatch(load_plan(path), lambda _: 0.02)


def look(eyes: Eyes, drawing: Any, number: int, dirty: bool) -> Findings:
    pixels = drawing.draw(50_000 + number)
    if dirty:
        smear = np.zeros(pixels.shape, np.float32)
        cv2.circle(smear, SMEAR, 9, 0.65, -1)
        pixels = (pixels * (1 - cv2.GaussianBlur(smear, (0, 0), 2))).astype(np.uint8)
    moment = Instant(1_700_000_000_000 + 1000 * number)
    findings = eyes.inspect(drawing.frame(drawing.encode(pixels)), moment).findings
    return msgspec.structs.replace(findings, part_id=f"P{number}", frame_id=f"top@{number}", captured_at=moment)


def test_a_smear_on_the_lens_becomes_one_incident_at_its_place_and_ends_when_it_is_wiped(
    watch: CameraWatch, plates: Any, drawing: Any
) -> None:
    eyes = Eyes.open(plates.shelf, ["top"])
    for number in range(CLEAN):
        watch.take(look(eyes, drawing, number, dirty=False))
    assert watch.incidents() == []
    taken = [watch.take(look(eyes, drawing, number, dirty=True)) for number in range(CLEAN, CLEAN + DIRTY)]
    (incident,) = watch.incidents()
    assert incident.incident == LENS_DIRT
    box = incident.measure
    assert box["x"] <= SMEAR[0] <= box["x"] + box["width"]
    assert box["y"] <= SMEAR[1] <= box["y"] + box["height"]
    later = taken[10:]  # by then the incident is open; a frame that shows more than the smear is judged by it
    assert np.mean([not findings.fitness.ok for findings in later]) > 0.8
    assert all(not seen.fitness.ok or (seen.score or 0.0) > (seen.threshold or 0.0) for seen in later)
    for number in range(CLEAN + DIRTY, CLEAN + DIRTY + 20):
        last = watch.take(look(eyes, drawing, number, dirty=False))
    assert watch.incidents() == []
    assert last.fitness.ok
