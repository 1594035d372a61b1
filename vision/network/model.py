"""A small network that looks for what painted defects look like: its shape, its weights, and its ONNX nodes.

A pyramid of strided convolutions and back up to quarter scale (Lin et al. 2017, feature pyramids), a quarter of a
million weights. `wire` is its one definition: training runs it with torch's operators (`train.py`), serving
with ONNX's. The grey frame is brought to its own level and contrast within, so that exposure does not matter.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ingest.errors import ModelRefused
from vision.eye.export import GraphPen

Weights = npt.NDArray[np.float32]
T = TypeVar("T")

STRIDE = 4  # working pixels a side of a cell of its map
_COARSEST = 16  # the frame is mirrored out to a multiple of it
LOG_OFFSET = 0.05  # of full scale, added before the logarithm: below it is camera noise
_LEVEL_SHARE = 0.1  # added to the spread of the log grey, and
_DETAIL_SHARE = 0.02  # to that of its detail: flat frames stay finite and quiet
LOW_PASS = 8  # pixels a side of what is averaged to tell detail from level


@dataclass(frozen=True, slots=True)
class Convolution:
    """`inputs` to `outputs` channels with a kernel of `side`; zeros beyond the rim."""

    inputs: int
    outputs: int
    side: int = 3
    stride: int = 1
    dilation: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.outputs, self.inputs, self.side, self.side

    @property
    def padding(self) -> int:
        return self.dilation * (self.side // 2)


#: In the order of `wire`. Few channels where there are many pixels: a third of the time goes into quarter scale. All in
#: multiples of 16, to which the runtime would fill them up anyway.
LAYERS: Mapping[str, Convolution] = {
    "stem": Convolution(2, 16, 5, stride=2),
    "quarter_down": Convolution(16, 32, stride=2),
    "quarter": Convolution(32, 32),
    "eighth_down": Convolution(32, 48, stride=2),
    "eighth": Convolution(48, 48),
    "sixteenth_down": Convolution(48, 64, stride=2),
    "sixteenth": Convolution(64, 64),
    "wide": Convolution(64, 64, dilation=2),
    "wider": Convolution(64, 64, dilation=4),
    "eighth_side": Convolution(64, 48, 1),
    "eighth_up": Convolution(48, 48),
    "quarter_side": Convolution(48, 32, 1),
    "quarter_up": Convolution(32, 32),
    "logit": Convolution(32, 1, 1),
}


class Operators(Protocol[T]):
    """What the network is made of, on values T: float[n, c, h, w]."""

    def log(self, frame: T) -> T:
        """log(frame / 255 + offset)."""

    def low_passed(self, value: T) -> T:
        """Averages over LOW_PASS pixels a side, linearly interpolated."""

    def centred(self, value: T, share: float) -> T:
        """(value - its mean) / (its standard deviation + share), frame by frame."""

    def less(self, value: T, other: T) -> T: ...

    def plus(self, value: T, other: T) -> T: ...

    def beside(self, value: T, other: T) -> T:
        """Channels of both."""

    def layer(self, name: str, value: T) -> T:
        """The convolution of that name, its bias, and a rectifier except after `logit`."""

    def doubled(self, value: T) -> T:
        """Each cell four times."""


def wire(on: Operators[T], frame: T) -> T:
    """Raw logits float[n, 1, h / 4, w / 4] from frames float[n, 1, h, w] in 0..255; h, w are multiples of 16."""
    log = on.log(frame)
    detail = on.less(log, on.low_passed(log))
    seen = on.beside(on.centred(log, _LEVEL_SHARE), on.centred(detail, _DETAIL_SHARE))
    quarter = on.layer("quarter", on.layer("quarter_down", on.layer("stem", seen)))
    eighth = on.layer("eighth", on.layer("eighth_down", quarter))
    sixteenth = on.layer("sixteenth", on.layer("sixteenth_down", eighth))
    sixteenth = on.layer("wider", on.layer("wide", sixteenth))
    eighth = on.layer("eighth_up", on.plus(eighth, on.doubled(on.layer("eighth_side", sixteenth))))
    quarter = on.layer("quarter_up", on.plus(quarter, on.doubled(on.layer("quarter_side", eighth))))
    return on.layer("logit", quarter)


@dataclass(frozen=True, slots=True)
class TrainedNet:
    """Kernels float32[outputs, inputs, side, side] and biases float32[outputs] by layer, batch statistics folded in."""

    kernels: Mapping[str, Weights]
    biases: Mapping[str, Weights]

    def to_bytes(self) -> bytes:
        """As NumPy's .npz. Equal weights, equal bytes."""
        named = {f"{name}.kernel": self.kernels[name] for name in LAYERS}
        named |= {f"{name}.bias": self.biases[name] for name in LAYERS}
        packed = io.BytesIO()
        np.savez(packed, **named)  # type: ignore[arg-type]  # the stub takes any keyword for allow_pickle
        return packed.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> TrainedNet:
        """Raises ModelRefused where the bytes are not a network of this version."""
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as packed:
                kernels = {name: np.asarray(packed[f"{name}.kernel"], np.float32) for name in LAYERS}
                biases = {name: np.asarray(packed[f"{name}.bias"], np.float32) for name in LAYERS}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelRefused(f"not a network of this version of qcfuse ({error}); train it again") from error
        for name, layer in LAYERS.items():
            if kernels[name].shape != layer.shape or biases[name].shape != (layer.outputs,):
                raise ModelRefused(f"the network's layer {name} has another shape; train it again")
        return cls(kernels, biases)


def padding_of(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns to mirror on at the bottom and the right."""
    return -rows % _COARSEST, -columns % _COARSEST


def net_nodes(pen: GraphPen, frame: str, shape: tuple[int, int], trained: TrainedNet) -> str:
    """The network in a graph: raw logits float32[1, 1, rows / 4, columns / 4] of a frame float32[rows, columns].

    shape: (rows, columns), multiples of 4, each at least 16.
    """
    rows, columns = shape
    below, right = padding_of(rows, columns)
    image = pen.node("Reshape", frame, pen.integers(1, 1, rows, columns))
    if below or right:
        image = pen.node("Pad", image, pen.integers(0, 0, 0, 0, 0, 0, below, right), mode="reflect")
    logits = wire(_OnnxOperators(pen, trained), image)
    if below or right:
        ends = pen.integers(rows // STRIDE, columns // STRIDE)
        logits = pen.node("Slice", logits, pen.integers(0, 0), ends, pen.integers(2, 3))
    return logits


@dataclass(frozen=True, slots=True)
class NetHead:
    """The network as a head of an eye (vision/eye/heads.py): what it looks at is the frame itself.

    shape: (rows, columns) of the frame, as for `net_nodes`.
    """

    trained: TrainedNet
    shape: tuple[int, int]

    def nodes(self, pen: GraphPen, cells: str) -> str:
        """From the frame, float32[rows, columns], the logits float32[1, 1, rows / 4, columns / 4]."""
        return net_nodes(pen, cells, self.shape, self.trained)


@dataclass(frozen=True, slots=True)
class Nets:
    """`final`: taught on all folds. `halves`: each taught on the folds of one half alone (`half_of`)."""

    final: TrainedNet
    halves: tuple[TrainedNet, TrainedNet]

    def without(self, fold: int | None) -> TrainedNet:
        """The network that has not seen the fold; with None the final one."""
        return self.final if fold is None else self.halves[1 - half_of(fold)]


def half_of(fold: int) -> int:
    """Folds are filled largest lots first: every other one makes two halves alike."""
    return fold % 2


@dataclass(frozen=True, slots=True)
class _OnnxOperators:
    """Operators whose values are names in a graph."""

    pen: GraphPen
    trained: TrainedNet

    def log(self, frame: str) -> str:
        scaled = self.pen.node("Mul", frame, self.pen.constant(1 / 255))
        return self.pen.node("Log", self.pen.node("Add", scaled, self.pen.constant(LOG_OFFSET)))

    def low_passed(self, value: str) -> str:
        side = [LOW_PASS, LOW_PASS]
        pooled = self.pen.node("AveragePool", value, kernel_shape=side, strides=side)
        scales = self.pen.constant([1, 1, *side])
        return self.pen.node("Resize", pooled, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")

    def centred(self, value: str, share: float) -> str:
        pen = self.pen
        apart = pen.node("Sub", value, pen.node("ReduceMean", value, axes=[1, 2, 3]))
        variance = pen.node("ReduceMean", pen.node("Mul", apart, apart), axes=[1, 2, 3])
        return pen.node("Div", apart, pen.node("Add", pen.node("Sqrt", variance), pen.constant(share)))

    def less(self, value: str, other: str) -> str:
        return self.pen.node("Sub", value, other)

    def plus(self, value: str, other: str) -> str:
        return self.pen.node("Add", value, other)

    def beside(self, value: str, other: str) -> str:
        return self.pen.node("Concat", value, other, axis=1)

    def layer(self, name: str, value: str) -> str:
        pen, layer = self.pen, LAYERS[name]
        kernel, bias = pen.constant(self.trained.kernels[name]), pen.constant(self.trained.biases[name])
        stride, dilation = [layer.stride] * 2, [layer.dilation] * 2
        convolved = pen.node("Conv", value, kernel, bias, strides=stride, pads=[layer.padding] * 4, dilations=dilation)
        return convolved if name == "logit" else pen.node("Relu", convolved)

    def doubled(self, value: str) -> str:
        return self.pen.node(
            "Resize", value, "", self.pen.constant([1, 1, 2, 2]), mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
