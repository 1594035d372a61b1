"""The filter bank: Gaussian derivatives and oriented lines on an image pyramid, as ONNX nodes.

There is one definition of a feature, this graph; training and serving both run it. Filters follow Koenderink and
van Doorn (1987, Gaussian derivatives as receptive fields); a line filter is a second derivative, drawn out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.export import GraphPen

Kernel = npt.NDArray[np.float32]

CELL = 4  # working pixels a side of one cell of the score map: the coarsest level's own pixels
_SIGNED_LEVELS = (1, 2)  # the sign of a response says dark or bright; at full scale it averages out within a cell
_LEVELS = 3  # full, half and quarter scale; with 3 to 11 pixel filters that spans defects of 2 to 40 pixels
_LINE_ORIENTATIONS = 4
_LOG_OFFSET = 0.05  # of full scale, added before the logarithm: below it is camera noise
_GLOB_LEVELS = 4
_GLOB_OFFSET = 1e-4  # keeps the logarithm of a gradient statistic finite on a flat frame
GLOB_FEATURES = (
    *(f"{axis}_{how}_{level}" for level in range(_GLOB_LEVELS) for how in ("mean", "max") for axis in ("gx", "gy")),
    "contrast",
)


@dataclass(frozen=True, slots=True)
class View:
    """One way of looking at a frame, with a memory of its own.

    `log`: on the logarithm of grey, where exposure is only an offset; else on grey itself. `levels`: which of the
    pyramid. `cell`: working pixels a side of one of its cells, a multiple of CELL.
    """

    name: str
    log: bool
    levels: tuple[int, ...]
    cell: int

    @property
    def channels(self) -> int:
        """Strength of each filter and level, its signed mean at the coarser ones, and the low-passed grey itself."""
        signed = sum(level in _SIGNED_LEVELS for level in self.levels)
        return len(_FILTERS) * (len(self.levels) + signed) + 1

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Shape of its cells on a frame of this working size."""
        return rows // self.cell, columns // self.cell


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
_FILTERS = np.stack([*_DERIVATIVES, *_LINES])[:, None]
_BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(np.float32) / 256

#: Small things in any light, and large stains, which the logarithm would flatten.
FINE = View("fine", log=True, levels=(0, 1, 2), cell=CELL)
COARSE = View("coarse", log=False, levels=(2,), cell=2 * CELL)
VIEWS = (FINE, COARSE)


class BankNodes:
    """The filter bank of one frame in one graph; whatever two views share is computed once."""

    def __init__(self, pen: GraphPen, frame: str, rows: int, columns: int) -> None:
        self._pen = pen
        image = pen.node("Reshape", frame, pen.integers(1, 1, rows, columns))
        grey = pen.node("Mul", image, pen.constant(1 / 255))
        logarithm = pen.node("Log", pen.node("Add", grey, pen.constant(_LOG_OFFSET)))
        self._pyramids = {False: [grey], True: [logarithm]}
        self._responses: dict[tuple[bool, int], str] = {}

    def features(self, view: View) -> str:
        """float32[1, view.channels, *view.grid(rows, columns)]."""
        pen, parts = self._pen, []
        for level in view.levels:
            side = CELL >> level
            response = self._filtered(view.log, level)
            parts.append(_pooled(pen, pen.node("Abs", response), side))
            if level in _SIGNED_LEVELS:
                parts.append(_pooled(pen, response, side))
        parts.append(self._level(view.log, _LEVELS - 1))
        return _pooled(pen, pen.node("Concat", *parts, axis=1), view.cell // CELL)

    def glob(self) -> str:
        """float32[len(GLOB_FEATURES)]: what the whole frame's gradients are like, whatever is where."""
        pen, parts = self._pen, []
        for level in range(_GLOB_LEVELS):
            strength = pen.node("Abs", self._filtered(True, level))
            for how in ("Mean", "Max"):
                every = pen.node(f"Reduce{how}", strength, axes=[0, 2, 3], keepdims=0)
                parts.append(pen.node("Slice", every, pen.integers(0), pen.integers(2), pen.integers(0)))  # gx, gy
        logarithm = self._level(True, 0)
        centred = pen.node("Sub", logarithm, pen.node("ReduceMean", logarithm, keepdims=1))
        contrast = pen.node("Sqrt", pen.node("ReduceMean", pen.node("Mul", centred, centred), keepdims=0))
        gradients = pen.node("Log", pen.node("Add", pen.node("Concat", *parts, axis=0), pen.constant(_GLOB_OFFSET)))
        return pen.node("Concat", gradients, pen.node("Reshape", contrast, pen.integers(1)), axis=0)

    def _level(self, log: bool, level: int) -> str:
        pyramid = self._pyramids[log]
        while len(pyramid) <= level:
            padded = reflected(self._pen, pyramid[-1], 2)
            kernel = self._pen.constant(_BINOMIAL[None, None])
            pyramid.append(self._pen.node("Conv", padded, kernel, strides=[2, 2]))
        return pyramid[level]

    def _filtered(self, log: bool, level: int) -> str:
        if (log, level) not in self._responses:
            padded = reflected(self._pen, self._level(log, level), _FILTERS.shape[-1] // 2)
            self._responses[log, level] = self._pen.node("Conv", padded, self._pen.constant(_FILTERS))
        return self._responses[log, level]


def reflected(pen: GraphPen, image: str, radius: int) -> str:
    """The image with its rim mirrored, so that a border is not an edge."""
    return pen.node("Pad", image, pen.integers(0, 0, radius, radius, 0, 0, radius, radius), mode="reflect")


def smoothed(pen: GraphPen, image: str) -> str:
    """Binomial blur of 5 x 5 (sigma 1)."""
    return pen.node("Conv", reflected(pen, image, 2), pen.constant(_BINOMIAL[None, None]))


def _pooled(pen: GraphPen, response: str, side: int) -> str:
    return response if side == 1 else pen.node("AveragePool", response, kernel_shape=[side, side], strides=[side, side])
