"""The pose of a part as an eye uses it: always told, undone where that helps, and put back before a person looks.

Where the part's own edges say nothing (textures, parts that fill the frame) there is no posing at all, and it costs
nothing. Where parts lie freely and held-out good frames say it helps (`alignment.py`), the eye looks at the frame laid
straight, and what it saw is laid back onto the frame as it came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from vision.eye.pose import CONFIDENCE_MIN, Pose, PoseReference
from vision.image import Grey, moved
from vision.training.alignment import alignment_helps

PICTURES_MAX = 120  # good frames the pose is learned from


class Posing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`aligned`: frames are laid straight before the eye looks."""

    reference: PoseReference
    aligned: bool = False

    def estimate(self, working: Grey) -> Pose:
        return self.reference.estimate(working, self.aligned)

    def straight(self, working: Grey, pose: Pose) -> Grey:
        """The frame as the eye takes it: laid straight where that helps and the pose is sure."""
        return self.reference.align(working, pose) if self.undoes(pose) else working

    def undoes(self, pose: Pose) -> bool:
        return self.aligned and pose.confidence >= CONFIDENCE_MIN


def learn_posing(pictures: Sequence[Grey], folds: Sequence[int], may_align: bool) -> Posing | None:
    """From good frames, float32[rows, columns]; None where most of them do not show how they lie.

    may_align: False for eyes that take more than the grey frame, which alone is laid straight.
    """
    if not pictures:
        return None
    reference = PoseReference.fit(pictures)
    sure = [reference.estimate(picture).confidence for picture in pictures]
    if float(np.median(sure)) < CONFIDENCE_MIN:
        return None
    return Posing(reference=reference, aligned=may_align and alignment_helps(pictures, folds))


def laid_back(odd: Grey, pose: Pose, cell: float) -> Grey:
    """A map of the straight frame, on the frame as it came. odd: float32[h, w], cells of `cell` working pixels."""
    turn = math.radians(-pose.angle_deg)
    x, y = pose.shift_x / cell, pose.shift_y / cell
    back = (-(math.cos(turn) * x - math.sin(turn) * y), -(math.sin(turn) * x + math.cos(turn) * y))
    return moved(odd, -pose.angle_deg, back)


def pose_measures(pose: Pose, across: float, down: float) -> Mapping[str, float]:
    """As the findings tell it, in pixels of the frame as it came; `across`, `down`: those of a working pixel."""
    return {
        "shift_x": pose.shift_x * across,
        "shift_y": pose.shift_y * down,
        "angle_deg": pose.angle_deg,
        "pose_confidence": pose.confidence,
    }
