"""Sight: what the cameras' findings say of one part, as numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingest.messages import Findings

CAMERA_COLUMNS = ("ratio", "box_score", "box_count", "box_area", "box_x", "box_y", "box_width", "box_height")
FIGURE_MAX = 1e30  # a float32 holds it; more says nothing more


def camera_values(findings: tuple[Findings, ...]) -> npt.NDArray[np.float32]:
    """float32[len(CAMERA_COLUMNS)] of the worst fit frame of a camera; NaN when there is none with a score."""
    values = np.full(len(CAMERA_COLUMNS), np.nan, dtype=np.float32)
    worst = worst_frame(findings)
    if worst is None:
        return values
    values[0] = np.clip(frame_ratio(worst), -FIGURE_MAX, FIGURE_MAX)
    values[1:4] = 0.0
    if worst.boxes:
        top = max(worst.boxes, key=lambda box: (box.score, box.width * box.height, -box.x, -box.y))
        area = sum(box.width * box.height for box in worst.boxes)
        centre = (top.x + top.width / 2.0, top.y + top.height / 2.0)
        told = (top.score, len(worst.boxes), area, *centre, top.width, top.height)
        values[1:] = np.clip(told, -FIGURE_MAX, FIGURE_MAX)
    return values


def worst_frame(findings: tuple[Findings, ...]) -> Findings | None:
    """The fit frame with the highest ratio of score to threshold; the latest of equals."""
    fit = [f for f in findings if f.score is not None and f.fitness.ok]
    return max(reversed(fit), key=frame_ratio, default=None)


def frame_ratio(findings: Findings) -> float:
    """Score over threshold: 1 is where the eye itself would raise an alarm."""
    score = findings.score if findings.score is not None else 0.0
    return score / findings.threshold if findings.threshold else score
