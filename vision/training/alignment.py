"""Is it worth laying frames straight? Decided on held-out good frames, without labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.eye.pose import CONFIDENCE_MIN, Pose, PoseReference
from vision.image import Grey, blurred, fit_to

HELPS_SHARE = 0.2  # of the variance left over must go: less is not worth what a pose found wrong would cost
_DISPLACED_PX = 1.5  # at a quarter of the frame from its middle: less is resampling for its own sake
_PICTURES = 120  # frames it is decided on, at most
_SIDE = 96  # pixels of the longer side of the frames compared
_MIDDLE = 0.8  # of either side: beyond it an aligned frame may be nothing but its border gone on


def alignment_helps(pictures: Sequence[Grey], folds: Sequence[int]) -> bool:
    """Shall frames be aligned? Without labels: good frames are laid onto the mean of other folds, as they come and
    aligned; what is left over must fall by HELPS_SHARE. Not where most poses are unsure, or hardly off.

    `pictures`: float32[rows, columns] of good frames, `folds`: the fold of each. False with fewer than two folds.
    """
    few = _few(len(pictures))
    chosen, fold_of = [pictures[k] for k in few], [folds[k] for k in few]
    left_as_is, left_aligned, held = 0.0, 0.0, list[Pose]()
    for fold in sorted(set(fold_of)):
        others = [picture for picture, f in zip(chosen, fold_of, strict=True) if f != fold]
        if not others:
            return False
        reference = PoseReference.fit(others)
        poses = [reference.estimate(picture) for picture in chosen]
        held += [pose for pose, f in zip(poses, fold_of, strict=True) if f == fold]
        aligned = [reference.align(picture, pose) for picture, pose in zip(chosen, poses, strict=True)]
        left_as_is += _left_over(chosen, fold_of, fold)
        left_aligned += _left_over(aligned, fold_of, fold)
    if not held or float(np.median([pose.confidence for pose in held])) < CONFIDENCE_MIN:
        return False
    displaced = float(np.median([pose.displaced(min(chosen[0].shape) / 4) for pose in held]))
    return displaced >= _DISPLACED_PX and left_aligned <= (1 - HELPS_SHARE) * left_as_is


def _few(count: int) -> list[int]:
    """At most _PICTURES of so many, spread evenly."""
    return sorted({k * count // min(count, _PICTURES) for k in range(min(count, _PICTURES))})


def _left_over(pictures: Sequence[Grey], folds: Sequence[int], fold: int) -> float:
    """Squared difference of the fold's frames from the mean of the others, summed; on small frames without their own
    brightness, blurred so that the resampling of an aligned frame, which smooths, wins nothing."""
    scale = _SIDE / max(pictures[0].shape)
    rows, columns = (max(8, round(side * scale)) for side in pictures[0].shape)
    top, left = (round((1 - _MIDDLE) / 2 * side) for side in (rows, columns))
    small = np.stack(
        [blurred(fit_to(p, rows, columns), 1.0)[top : rows - top, left : columns - left] for p in pictures]
    )
    small = small - small.mean(axis=(1, 2), keepdims=True)
    held = np.array(folds) == fold
    return float(np.square(small[held] - small[~held].mean(axis=0)).sum(dtype=np.float64))
