"""What the network is taught: good frames, jittered as cameras and clamps do, with and without paint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.image import Grey, fit_to, turned
from vision.network.model import STRIDE, padding_of
from vision.training.shapes import Random, cloud, side_of
from vision.training.synthetic import Kind, paint_some

_DEFECTS = (0, 1, 1, 2, 3)  # on a frame; a frame without teaches what is harmless
_COVERED_MIN = 0.15  # share of a cell that is painted for it to be called defect; one painted less is neither
_GAIN_SPREAD = 0.2  # of the logarithm of exposure
_GAMMA_SPREAD = 0.12  # of the logarithm of gamma
_SHADE = 0.04  # of the logarithm of light that varies slowly over the frame
_SHIFT_SHARE = 0.015  # of the side: no clamp is exact
_MIRRORED_MIN = 0.9  # correlation of the mean frame with its mirror image for mirrored frames to be good frames too
_OVERVIEW = 32  # cells a side at which symmetry is judged


@dataclass(frozen=True, slots=True)
class Symmetry:
    """Whether good frames of this camera mirrored left to right, or top to bottom, look like good frames."""

    left_right: bool
    top_bottom: bool

    @classmethod
    def of(cls, pictures: Sequence[Grey]) -> Symmetry:
        mean = np.mean([fit_to(picture, _OVERVIEW, _OVERVIEW) for picture in pictures], axis=0)
        return cls(_alike(mean, mean[:, ::-1]), _alike(mean, mean[::-1]))


@dataclass(frozen=True, slots=True)
class Batch:
    """`frames`: float32[n, 1, h, w], mirrored out as in serving. `defect`: float32[n, 1, h / 4, w / 4], 1 where
    painted; `counts`: the same shape, 0 for cells that are neither."""

    frames: Grey
    defect: Grey
    counts: Grey


def draw_batch(rng: Random, pictures: Sequence[Grey], symmetry: Symmetry, kinds: tuple[Kind, ...], size: int) -> Batch:
    drawn = [_draw(rng, pictures, symmetry, kinds) for _ in range(size)]
    frames, shares = np.stack([frame for frame, _ in drawn]), np.stack([share for _, share in drawn])
    defect = shares > _COVERED_MIN
    counts = defect | (shares == 0)
    return Batch(frames[:, None], defect[:, None].astype(np.float32), counts[:, None].astype(np.float32))


def _draw(rng: Random, pictures: Sequence[Grey], symmetry: Symmetry, kinds: tuple[Kind, ...]) -> tuple[Grey, Grey]:
    picture, other = (pictures[int(rng.integers(len(pictures)))] for _ in range(2))
    picture = _jittered(rng, picture, symmetry)
    painted, mask = paint_some(rng, picture, other, kinds, _DEFECTS[int(rng.integers(len(_DEFECTS)))])
    below, right = padding_of(*picture.shape)
    padded = np.pad(mask, ((0, below), (0, right)), mode="reflect")
    rows, columns = (length // STRIDE for length in padded.shape)
    share = padded.reshape(rows, STRIDE, columns, STRIDE).mean((1, 3), dtype=np.float32)
    return np.pad(painted, ((0, below), (0, right)), mode="reflect"), share


def _jittered(rng: Random, picture: Grey, symmetry: Symmetry) -> Grey:
    """Another exposure, slightly uneven light, another place in the clamp; mirrored where that is a good frame too."""
    if symmetry.left_right and rng.random() < 0.5:
        picture = picture[:, ::-1]
    if symmetry.top_bottom and rng.random() < 0.5:
        picture = picture[::-1]
    side = side_of(picture.shape)
    if rng.random() < 0.5:  # between pixels, which also takes off some sharpness: focus is not exact either
        across, down = (float(pixels) for pixels in rng.normal(0, _SHIFT_SHARE * side, 2))
        picture = turned(np.ascontiguousarray(picture), 0.0, 1.0, (across, down))
    gamma = math.exp(rng.normal(0, _GAMMA_SPREAD))
    light = rng.normal(0, _GAIN_SPREAD) + rng.uniform(0, _SHADE) * cloud(rng, picture.shape, 0.6 * side)
    lit = np.float32(255) * (picture / np.float32(255)) ** np.float32(gamma) * np.exp(light)
    return np.asarray(np.clip(lit, 0, 255), np.float32)


def _alike(mean: npt.NDArray[np.floating], mirrored: npt.NDArray[np.floating]) -> bool:
    """Of frames without any contrast nothing is known, and nothing lost."""
    if mean.std() < 1e-3:
        return True
    return float(np.corrcoef(mean.ravel(), mirrored.ravel())[0, 1]) >= _MIRRORED_MIN
