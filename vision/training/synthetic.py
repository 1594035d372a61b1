"""Defects painted on good frames: what a network, or a rule that has no labels, learns and judges from.

Several kinds, because whatever is learned from one knows only that one: spots, scratches, cracks, edges of unevenness,
pieces of other pictures (Li et al. 2021, CutPaste), changed texture (Zavrtanik et al. 2021, DRAEM), bites out of the
rim and dents. Sizes are shares of the frame, strengths multiples of its own fine texture, so that the same kinds serve
every camera. They are likenesses, not defects of the plant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from vision.image import Grey, blurred, turned
from vision.training.shapes import Random, anywhere, at_rim, between, blob, crack, dent, edge, line

Kind = Literal["blob", "line", "crack", "step", "paste", "texture", "bite", "dent"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Mask = npt.NDArray[np.bool_]

_DETAIL_SIGMA = 2.0  # pixels: what is finer is texture
_MAD_TO_SPREAD = 1.4826  # of a normal distribution
_TEXTURE_MIN = 1.0  # grey levels, for frames without any texture
_SPAN_MIN = 10.0  # grey levels between the frame's dark and bright, for frames without contrast
_DARKER_SHARE = 2 / 3  # most defects are darker than the surface: they shade light or let it out
_COVERED_MIN = 0.3  # of a pixel, for it to count as painted
_VISIBLE_MIN = 0.25  # of the texture's spread: a smaller change nobody could tell
_MASK_SIGMA = 1.5  # pixels over which a change is averaged to be told from texture


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A good frame and its own scales, in grey levels: `texture` the spread of its fine detail, `dark`, `bright` its
    1st and 99th percentile."""

    picture: Grey
    smooth: Grey
    other: Grey
    texture: float
    dark: float
    bright: float

    @property
    def span(self) -> float:
        return max(self.bright - self.dark, _SPAN_MIN)


#: Gives the share of each pixel that is painted (0..1) and what it is painted with, float32[rows, columns] each.
_Brush = Callable[[Random, _Canvas], tuple[Grey, Grey]]


def paint(rng: Random, picture: Grey, other: Grey, kind: Kind) -> tuple[Grey, Mask]:
    """One defect of a kind on a frame: (painted float32[rows, columns] in 0..255, bool[rows, columns] where).

    picture: float32[rows, columns] in 0..255, not changed. other: a frame of that shape, pieces of which are pasted.
    Depends on nothing but its arguments. A defect nobody could see leaves the picture as it was and the mask empty.
    """
    canvas = _canvas(picture, other)
    alpha, colour = _BRUSHES[kind](rng, canvas)
    painted = np.clip(picture + alpha * (colour - picture), 0, 255).astype(np.float32)
    seen = blurred(np.abs(painted - picture), _MASK_SIGMA) > _VISIBLE_MIN * canvas.texture
    mask = (alpha > _COVERED_MIN) & seen & (painted != picture)
    return (painted, mask) if mask.any() else (picture.copy(), mask)


def paint_some(rng: Random, picture: Grey, other: Grey, kinds: tuple[Kind, ...], count: int) -> tuple[Grey, Mask]:
    """`count` defects of kinds drawn at random, one over the other."""
    mask = np.zeros(picture.shape, np.bool_)
    for _ in range(count):
        picture, painted = paint(rng, picture, other, kinds[int(rng.integers(len(kinds)))])
        mask |= painted
    return picture, mask


def _canvas(picture: Grey, other: Grey) -> _Canvas:
    smooth = blurred(picture, _DETAIL_SIGMA)
    thinned = np.abs(picture - smooth)[::2, ::2]  # every second pixel will do for a median
    texture = max(_MAD_TO_SPREAD * float(np.median(thinned)), _TEXTURE_MIN)
    dark, bright = (float(level) for level in np.percentile(picture[::2, ::2], [1, 99]))
    return _Canvas(picture, smooth, other, texture, dark, bright)


def _strength(rng: Random, canvas: _Canvas, least: float, most: float, of_span: float) -> float:
    """Grey levels, signed: from `least` times the texture to `of_span` of the contrast or `most` times the texture."""
    highest = max(of_span * canvas.span, most * canvas.texture)
    size = between(rng, least * canvas.texture, highest)
    return -size if rng.random() < _DARKER_SHARE else size


def _grain(rng: Random, canvas: _Canvas) -> Grey:
    """Noise as strong as the frame's texture."""
    return rng.standard_normal(canvas.picture.shape, np.float32) * np.float32(canvas.texture)


def _level_under(alpha: Grey, pixels: Grey) -> float:
    inside = pixels[alpha > 0.5]
    return float(inside.mean() if inside.size else pixels.mean())


def _spot(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    shape = canvas.picture.shape
    alpha = blob(rng, shape, (0.006, 0.085), 0.35, anywhere(rng, shape))
    amplitude = np.float32(_strength(rng, canvas, 2, 6, 0.8))
    if rng.random() < 0.5:  # it covers the texture, or it only shades it
        return alpha, _level_under(alpha, canvas.smooth) + amplitude + np.float32(0.5) * _grain(rng, canvas)
    return alpha, canvas.picture + amplitude


def _scratch(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    return line(rng, canvas.picture.shape), canvas.picture + np.float32(_strength(rng, canvas, 2, 6, 0.6))


def _crack(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    alpha = crack(rng, canvas.picture.shape)
    depth = between(rng, 1.5 * canvas.texture, max(0.4 * canvas.span, 5 * canvas.texture))
    return alpha, canvas.picture - np.float32(depth)  # light does not come back out of a crack


def _step(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    amplitude = _strength(rng, canvas, 0.5, 3, 0.25)
    if rng.random() < 0.5:  # light, which multiplies, or a layer, which adds
        share = np.clip(amplitude / max(float(canvas.smooth.mean()), 20.0), -0.5, 0.5)
        return edge(rng, canvas.picture.shape), canvas.picture * np.float32(1 + share)
    return edge(rng, canvas.picture.shape), canvas.picture + np.float32(amplitude)


def _pasted(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    rows, columns = canvas.picture.shape
    alpha = blob(rng, (rows, columns), (0.016, 0.12), 0.5, anywhere(rng, (rows, columns)))
    shift = rng.uniform(-0.4, 0.4) * columns, rng.uniform(-0.4, 0.4) * rows
    piece = turned(canvas.other, rng.uniform(0, 360), rng.uniform(0.7, 1.4), shift)
    if rng.random() < 0.5:  # of the same brightness: only its texture and its edges tell
        piece = piece + np.float32(_level_under(alpha, canvas.picture) - _level_under(alpha, piece))
    return alpha, piece


def _textured(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    shape = canvas.picture.shape
    alpha = blob(rng, shape, (0.023, 0.16), 0.35, anywhere(rng, shape))
    change = int(rng.integers(3))
    if change == 0:
        return alpha, blurred(canvas.picture, rng.uniform(1.5, 5))
    if change == 1:
        return alpha, canvas.smooth + (canvas.picture - canvas.smooth) * np.float32(rng.uniform(1.6, 3))
    rough = blurred(_grain(rng, canvas), rng.uniform(0.6, 2)) * np.float32(rng.uniform(2, 8))
    return alpha, canvas.picture + rough


def _bite(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    """A piece is missing at the rim, and the dark or bright behind it shows."""
    shape = canvas.picture.shape
    alpha = blob(rng, shape, (0.016, 0.095), 0.5, at_rim(rng, shape))
    behind = (canvas.dark, canvas.dark, canvas.bright, rng.uniform(canvas.dark, canvas.bright))[int(rng.integers(4))]
    level = np.full(shape, behind, np.float32)
    return alpha, level + _grain(rng, canvas) * np.float32(rng.uniform(0.3, 2))


def _dented(rng: Random, canvas: _Canvas) -> tuple[Grey, Grey]:
    flanks = dent(rng, canvas.picture.shape)
    amplitude = between(rng, 1.5 * canvas.texture, max(0.4 * canvas.span, 5 * canvas.texture))
    shaded = canvas.picture + np.sign(flanks) * np.float32(amplitude)
    return np.abs(flanks), np.asarray(shaded, np.float32)


_BRUSHES: Mapping[Kind, _Brush] = {
    "blob": _spot,
    "line": _scratch,
    "crack": _crack,
    "step": _step,
    "paste": _pasted,
    "texture": _textured,
    "bite": _bite,
    "dent": _dented,
}
