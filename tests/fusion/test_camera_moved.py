"""From pixels to the incident: drawn parts, their poses by their own edges, a camera that is knocked."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.cameras.watch import CameraWatch
from ingest.messages import Findings, Fitness, Instant
from ingest.plan.plan import Plan
from vision.eye.pose import PoseReference
from vision.image import Grey, polyline

OUTLINE = np.array([[40, 30], [150, 30], [140, 150], [80, 150], [45, 110], [40, 30]], np.float64)


def drawn(rng: np.random.Generator, off: float, dark: bool = False) -> Grey:
    """A part laid in to a pixel, seen by a camera that is `off` pixels from where it was; `dark`: the light is out."""
    light = 0.0 if dark else 120.0
    frame = np.float32(light) * polyline(192, 192, OUTLINE + rng.normal(0, 1, 2) + np.array([off, 0.0]), 5.0)
    return np.asarray(frame + rng.normal(60, 4, frame.shape), np.float32)


def findings_of(number: int, frame: Grey, reference: PoseReference) -> Findings:
    pose = reference.estimate(frame)
    measures = {"shift_x": pose.shift_x, "shift_y": pose.shift_y, "pose_confidence": pose.confidence}
    return Findings(
        part_id=f"P{number}", line_id="L1", station_id="OP20", camera_id="top", frame_id=f"top@{number}",
        captured_at=Instant(number * 1000), inspected_at=Instant(0), score=0.2, threshold=0.5,
        fitness=Fitness(ok=True, measures=measures), fingerprint=str(number),
    )  # fmt: skip


def test_a_knocked_camera_is_named_with_its_pixels_and_dark_frames_move_none(plan: Plan) -> None:
    rng = np.random.default_rng(0)
    reference = PoseReference.fit([drawn(rng, 0.0) for _ in range(20)])
    watch = CameraWatch(plan, lambda _: 0.02)

    def unfit(numbers: range, off: float, dark: bool = False) -> int:
        frames = [findings_of(number, drawn(rng, off, dark), reference) for number in numbers]
        return sum(not watch.take(frame).fitness.ok for frame in frames)

    assert unfit(range(60), 0.0) == 0
    assert unfit(range(60, 80), 0.0, dark=True) == 0
    assert unfit(range(80, 100), 10.0) >= 14
    (incident,) = watch.incidents()
    assert incident.incident == "camera_moved"
    assert incident.measure["off_x_px"] == pytest.approx(10, abs=1)
    assert incident.measure["off_y_px"] == pytest.approx(0, abs=1)
    unfit(range(100, 106), 0.0)
    assert watch.incidents() == []
