"""A user's own network as a source of features: layers of it on one grid of cells, for the memory that any source gets.

Layers are averaged over 3 x 3 neighbours and brought to one grid before they are put side by side, after Roth et al.
(2022), "Towards total recall in industrial anomaly detection" (PatchCore), section 3.1. What a distance is measured in
is fewer dimensions: the principal axes of the features of good frames.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.errors import BadInput
from vision.eye.bank import CELL, Source
from vision.eye.export import GraphPen
from vision.guests.guest import Guest, checked_planes
from vision.guests.rgb import normalised, picture_nodes, resized

Samples = npt.NDArray[np.float32]

CHANNELS_KEPT = 128  # of a thousand: nearest neighbours cost in proportion, and the rest is a few per cent of variance
CHANNELS_MAX = 4096  # the covariance of more does not fit beside the frames
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class BackboneOptions:
    """outputs: names of the layers to use, all feature maps when empty. mean, std: of the network's training pictures
    in 0..1, one for each plane or one for all. cell: working pixels a side of one cell of features.
    input_size: (rows, columns) the frame is brought to first; without, the network sees the eye's working size."""

    outputs: tuple[str, ...] = ()
    mean: tuple[float, ...] = _IMAGENET_MEAN
    std: tuple[float, ...] = _IMAGENET_STD
    cell: int = 2 * CELL
    input_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One output of the network, float32[1, channels, rows, columns]."""

    name: str
    channels: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Reduction:
    """Principal axes: `(x - mean) @ axes`. mean: float32[c], axes: float32[c, k], orthonormal, widest first."""

    mean: Samples = field(repr=False)
    axes: Samples = field(repr=False)

    @classmethod
    def fit(cls, samples: Samples, channels: int = CHANNELS_KEPT) -> Reduction:
        """samples: float32[n, c], cells of good frames, n > 1. Equal samples give equal axes (signs are settled)."""
        wide = samples.astype(np.float64)
        _, vectors = np.linalg.eigh(np.atleast_2d(np.cov(wide, rowvar=False)))
        axes = vectors[:, ::-1][:, :channels]
        largest = np.take_along_axis(axes, np.abs(axes).argmax(0)[None], axis=0)
        return cls(wide.mean(0).astype(np.float32), (axes * np.where(largest < 0, -1, 1)).astype(np.float32))

    def nodes(self, pen: GraphPen, features: str) -> str:
        """From float32[1, c, h, w] float32[1, k, h, w]."""
        kernel = np.ascontiguousarray(self.axes.T)[:, :, None, None]
        return pen.node("Conv", features, pen.constant(kernel), pen.constant(-(self.mean @ self.axes)))


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network that looks at frames of one working size (rows, columns), and which layers of it are used."""

    rows: int
    columns: int
    options: BackboneOptions
    layers: tuple[Layer, ...]
    guest: Guest = field(repr=False)
    reduction: Reduction | None = None

    @property
    def source(self) -> Source:
        """Its name, channels and cell, as of the filter bank's sources."""
        if self.reduction is not None:
            return Source("backbone", self.reduction.axes.shape[1], self.options.cell)
        return Source("backbone", sum(layer.channels for layer in self.layers), self.options.cell)

    def reduced(self, samples: Samples, channels: int = CHANNELS_KEPT) -> Backbone:
        """With fewer channels, from cells of good frames: float32[n, source.channels], seen without a reduction."""
        return dataclasses.replace(self, reduction=Reduction.fit(samples, channels))

    def nodes(self, pen: GraphPen, frame: str, chroma: str | None = None) -> str:
        """float32[1, source.channels, rows / cell, columns / cell] of a frame, float32[rows, columns] in 0..255."""
        picture = picture_nodes(pen, frame, (self.rows, self.columns), self.guest.channels, chroma)
        if self.guest.size is not None and self.guest.size != (self.rows, self.columns):
            picture = resized(pen, picture, (1, self.guest.channels, *self.guest.size))
        outputs = self.guest.nodes(pen, normalised(pen, picture, self.options.mean, self.options.std))
        grid = self.source.grid(self.rows, self.columns)
        parts = [_on_grid(pen, outputs[layer.name], layer, grid) for layer in self.layers]
        features = pen.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        return features if self.reduction is None else self.reduction.nodes(pen, features)


def read_backbone(
    raw: bytes, rows: int, columns: int, options: BackboneOptions | None = None, file: str = "backbone.onnx"
) -> Backbone:
    """A network for frames of this working size. Raises BadInput with one sentence: what is wrong in the file or its
    options, and what to do."""
    chosen = options or BackboneOptions()
    guest = Guest.read(raw, file)
    checked_planes(guest, chosen.mean, chosen.std)
    if chosen.outputs:
        guest = guest.ending(chosen.outputs)
    guest = guest.fixed(chosen.input_size, (rows, columns))
    outputs = guest.look()
    usable = {name: out for name, out in outputs.items() if chosen.outputs or _is_map(out, guest.batch)}
    layers = tuple(_layer(file, name, out, guest.batch) for name, out in usable.items())
    if not layers:
        shapes = ", ".join(f"{name} {list(out.shape)}" for name, out in outputs.items())
        raise BadInput(
            f"{file}: no output is a feature map [1, channels, rows, columns] ({shapes}); export the features, not the "
            "classes (timm: features_only=True)"
        )
    if (channels := sum(layer.channels for layer in layers)) > CHANNELS_MAX:
        raise BadInput(f"{file}: {channels} channels, at most {CHANNELS_MAX}; name fewer layers in `outputs`")
    return Backbone(rows, columns, chosen, layers, guest.ending([layer.name for layer in layers]))


def _is_map(output: npt.NDArray[Any], batch: int) -> bool:
    return output.ndim == 4 and len(output) == batch and min(output.shape[2:]) > 1 and output.dtype == np.float32


def _layer(file: str, name: str, output: npt.NDArray[Any], batch: int) -> Layer:
    if not _is_map(output, batch):
        shape = list(output.shape)
        raise BadInput(
            f"{file}: output {name} is {shape}, not a feature map [1, channels, rows, columns]; name another"
        )
    if not np.isfinite(output).all():
        raise BadInput(f"{file}: output {name} is not finite on a plain picture; check the export")
    return Layer(name, *output.shape[1:])


def _on_grid(pen: GraphPen, features: str, layer: Layer, grid: tuple[int, int]) -> str:
    local = pen.node("AveragePool", features, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    shrunk = max(min(layer.rows // grid[0], layer.columns // grid[1]), 1)
    if shrunk > 1:
        local = pen.node("AveragePool", local, kernel_shape=[shrunk, shrunk], strides=[shrunk, shrunk])
    if (layer.rows // shrunk, layer.columns // shrunk) == grid:
        return local
    return resized(pen, local, (1, layer.channels, *grid))
