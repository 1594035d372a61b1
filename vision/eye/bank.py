"""The filter bank: Gaussian derivatives, oriented lines and long edges on an image pyramid, as ONNX nodes.

There is one definition of a feature, this graph; training and serving both run it. Filters follow Koenderink and
van Doorn (1987, Gaussian derivatives as receptive fields); a line filter is a second derivative, drawn out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.eye.export import GraphPen

Kernel = npt.NDArray[np.float32]

CELL = 4  # working pixels a side of one cell of the score map: the finest source's
CHROMA_CELL = 4  # colour is looked at in cells: cameras and JPEG keep it coarser than grey anyway
_SIGNED_LEVELS = (1, 2)  # the sign of a response says dark or bright; at full scale it averages out within a cell
_LINE_ORIENTATIONS, _LONG_ORIENTATIONS = 4, 8
_LOG_OFFSET = 0.05  # of full scale, added before the logarithm: below it is camera noise


def _kernel(sigma_u: float, sigma_v: float, order_u: int, order_v: int, radius: int, angle: float = 0.0) -> Kernel:
    """A Gaussian derivative, rotated by `angle`, without a mean, absolute sum 1."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    u, v = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    kernel = np.exp(-((u / sigma_u) ** 2) / 2 - (v / sigma_v) ** 2 / 2)
    kernel *= _hermite(u, sigma_u, order_u) * _hermite(v, sigma_v, order_v)
    kernel -= kernel.mean()
    return np.asarray(kernel / np.abs(kernel).sum(), np.float32)


def _hermite(z: npt.NDArray[np.float64], sigma: float, order: int) -> npt.NDArray[np.float64]:
    if order == 0:
        return np.ones_like(z)
    return -z / sigma if order == 1 else (z / sigma) ** 2 - 1


_DERIVATIVES = [_kernel(1, 1, u, v, 3) for u, v in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))]
_LINES = [_kernel(1.0, 2.2, 2, 0, 3, np.pi * i / _LINE_ORIENTATIONS) for i in range(_LINE_ORIENTATIONS)]
#: All 7 x 7 and in one convolution: lines of 11 x 11 in one of their own cost three times as much.
_SHORT = np.stack([*_DERIVATIVES, *_LINES])[:, None]
#: Edges and lines 16 pixels long at quarter and eighth scale: what is faint along its length adds up.
_LONG = np.stack(
    [_kernel(1.2, 4.0, o, 0, 8, np.pi * i / _LONG_ORIENTATIONS) for o in (1, 2) for i in range(_LONG_ORIENTATIONS)]
)[:, None]
_COLOUR = np.stack(_DERIVATIVES)[:, None]
_BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(np.float32) / 256
_LONG_LEVELS = (2, 3)
WORKING_SIDE_MIN = 72  # eighth scale must be wider than half of a long filter's reflection


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of feature: a vector of `channels` for each cell of `cell` (a multiple of CELL) working pixels a side."""

    name: str
    channels: int
    cell: int

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Shape of its cells on a frame of this working size."""
        return rows // self.cell, columns // self.cell


def fine_source(colour: bool) -> Source:
    """Strength of each short filter at three scales, its sign at the coarser two, the low-passed grey, and of each
    colour plane its value and the strength of its derivatives."""
    channels = len(_SHORT) * (3 + len(_SIGNED_LEVELS)) + 1
    return Source("fine", channels + (2 * (1 + len(_COLOUR)) if colour else 0), CELL)


#: Strength and sign of each long filter at two scales.
LONG = Source("long", 2 * len(_LONG) * len(_LONG_LEVELS), 2 * CELL)


class BankNodes:
    """The filter bank of one frame in one graph; whatever two sources share is computed once."""

    def __init__(self, pen: GraphPen, frame: str, rows: int, columns: int, chroma: str | None = None) -> None:
        """frame: float32[rows, columns] in 0..255. chroma: float32[2, rows / 4, columns / 4] in -255..255."""
        self._pen, self._chroma = pen, chroma
        image = pen.node("Reshape", frame, pen.integers(1, 1, rows, columns))
        grey = pen.node("Add", pen.node("Mul", image, pen.constant(1 / 255)), pen.constant(_LOG_OFFSET))
        self._pyramid = [pen.node("Log", grey)]  # on a logarithm, exposure is only an offset

    def fine(self) -> str:
        """float32[1, fine_source.channels, rows / 4, columns / 4]."""
        pen, parts = self._pen, []
        for level in range(3):
            thinned = 2 if level == 0 else 1  # full scale is averaged over a cell anyway: every second pixel will do
            response = self._filtered(level, _SHORT, thinned)
            side = CELL // thinned >> level
            parts.append(_pooled(pen, pen.node("Abs", response), side))
            if level in _SIGNED_LEVELS:
                parts.append(_pooled(pen, response, side))
        parts.append(self._level(2))
        if self._chroma is not None:
            parts += self._coloured(self._chroma)
        return pen.node("Concat", *parts, axis=1)

    def long(self) -> str:
        """float32[1, LONG.channels, rows / 8, columns / 8]."""
        pen, parts = self._pen, []
        for level in _LONG_LEVELS:
            response = self._filtered(level, _LONG)
            side = LONG.cell >> level
            parts += [_pooled(pen, pen.node("Abs", response), side), _pooled(pen, response, side)]
        return pen.node("Concat", *parts, axis=1)

    def _coloured(self, chroma: str) -> list[str]:
        pen = self._pen
        planes = pen.node("Mul", pen.node("Unsqueeze", chroma, pen.integers(1)), pen.constant(1 / 255))
        strength = pen.node("Abs", pen.node("Conv", reflected(pen, planes, 3), pen.constant(_COLOUR)))
        both = pen.node("Concat", planes, strength, axis=1)  # [2, 1 + 5, h, w], one plane after the other
        return [
            pen.node("Slice", both, pen.integers(plane), pen.integers(plane + 1), pen.integers(0)) for plane in (0, 1)
        ]

    def _level(self, level: int) -> str:
        while len(self._pyramid) <= level:
            padded = reflected(self._pen, self._pyramid[-1], 2)
            kernel = self._pen.constant(_BINOMIAL[None, None])
            self._pyramid.append(self._pen.node("Conv", padded, kernel, strides=[2, 2]))
        return self._pyramid[level]

    def _filtered(self, level: int, filters: Kernel, stride: int = 1) -> str:
        padded = reflected(self._pen, self._level(level), filters.shape[-1] // 2)
        return self._pen.node("Conv", padded, self._pen.constant(filters), strides=[stride, stride])


def reflected(pen: GraphPen, image: str, radius: int) -> str:
    """The image with its rim mirrored, so that a border is not an edge."""
    return pen.node("Pad", image, pen.integers(0, 0, radius, radius, 0, 0, radius, radius), mode="reflect")


def smoothed(pen: GraphPen, image: str) -> str:
    """Binomial blur of 5 x 5 (sigma 1)."""
    return pen.node("Conv", reflected(pen, image, 2), pen.constant(_BINOMIAL[None, None]))


def _pooled(pen: GraphPen, response: str, side: int) -> str:
    return response if side == 1 else pen.node("AveragePool", response, kernel_shape=[side, side], strides=[side, side])
