"""The graphs of one eye: features (to train heads), raw maps (to train normalisation), and the whole eye.

The whole eye takes the frame at working size, float32[rows, columns] in 0..255 (and `chroma` where it sees colour),
and gives `score` (scalar), `map` float32[rows / 4, columns / 4], `tops` float32[scorers + 1] (each scorer's own score
and the whole frame's, before they are brought to one scale), `typical` (scalar, the log distance of the frame's middle
cell: a defect does not move it, another part does) and `kinds` float32[kinds, rows / 4, columns / 4], the logit of each
kind of defect it was taught, of which there may be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.bank import CELL, LONG, Source, smoothed
from vision.export import GraphPen
from vision.heads import Head, LayersHead
from vision.looks import Looks, Optics
from vision.normalise import Normaliser, quartile_nodes
from vision.painted import CellScale
from vision.summary import WholeFrame

EYE_OUTPUTS = ("score", "map", "tops", "typical")
KINDS_OUTPUT = "kinds"
TOP_CELLS = 10  # a scorer's score is the mean of its highest cells: one alone is noise, many miss small defects
FINE_SCORER, LONG_SCORER, PAINTED_SCORER = "fine", "long", "painted"
WHOLE = "whole"
_SHOWN = {PAINTED_SCORER: 2}  # weight in the map a person sees: it was taught to outline, and does so best


@dataclass(frozen=True, slots=True)
class Scales:
    """Mean and standard deviation of each score on held-out good frames: float32[scorers + 1] each."""

    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]

    def score(self, tops: npt.NDArray[np.float32]) -> float:
        """The graph's own arithmetic, for frames looked at before the scales were known."""
        return float(((tops - self.mean) / self.spread).mean())


@dataclass(frozen=True, slots=True)
class Memory:
    """What an eye learned from good frames alone: heads by scorer, in their order, and the whole-frame head."""

    optics: Optics
    scale: CellScale
    heads: Mapping[str, Head]
    whole: WholeFrame

    @property
    def map_shape(self) -> tuple[int, int]:
        return self.optics.grid(self.optics.fine)

    @property
    def scorers(self) -> tuple[str, ...]:
        return tuple(self.heads)

    def source(self, scorer: str) -> Source:
        return LONG if scorer == LONG_SCORER else self.optics.fine


def usual_graph(optics: Optics) -> bytes:
    """Output `range`: float32[channels, 1], the interquartile range of each fine channel."""
    looks = Looks(optics)
    looks.pen.output(looks.usual(optics.fine).range, "range", (optics.fine.channels, 1))
    return looks.pen.finish("usual")


def feature_graph(optics: Optics, scale: CellScale) -> bytes:
    """Outputs: the cells each scorer looks at, float32[cells, channels], by the scorer's name; then the summary."""
    looks = Looks(optics)
    for name in (FINE_SCORER, LONG_SCORER, PAINTED_SCORER):
        looks.pen.output(_cells(looks, name, scale), name, (None, None))
    looks.pen.output(looks.summary(), WHOLE, (optics.summaries,))
    return looks.pen.finish("features")


def raw_graph(memory: Memory) -> bytes:
    """Outputs: the raw map [h, w] of each scorer, then the whole-frame log distance. Nothing is normalised yet."""
    looks = Looks(memory.optics)
    for name, head in memory.heads.items():
        shape = memory.optics.grid(memory.source(name))
        raw = head.nodes(looks.pen, _cells(looks, name, memory.scale))
        looks.pen.output(looks.pen.node("Reshape", raw, looks.pen.integers(*shape)), name, shape)
    looks.pen.output(memory.whole.nodes(looks.pen, looks.summary()), WHOLE, ())
    return looks.pen.finish("raw")


def eye_graph(
    memory: Memory, normalisers: Mapping[str, Normaliser], scales: Scales, taught: LayersHead | None = None
) -> bytes:
    """The whole eye, outputs EYE_OUTPUTS and, where it was taught, KINDS_OUTPUT."""
    looks = Looks(memory.optics)
    pen, (height, width) = looks.pen, memory.map_shape
    maps, tops, typical = [], [], ""
    for name, head in memory.heads.items():
        source = memory.source(name)
        shape = memory.optics.grid(source)
        raw = pen.node("Reshape", head.nodes(pen, _cells(looks, name, memory.scale)), pen.integers(1, 1, *shape))
        median, upper = quartile_nodes(pen, raw, shape)
        typical = typical or median
        normal = normalisers[name].nodes(pen, raw, median, upper)
        maps.append(smoothed(pen, _enlarged(pen, normal, source.cell // CELL)))
        tops.append(_top(pen, maps[-1], height * width))
    tops.append(pen.node("Reshape", memory.whole.nodes(pen, looks.summary()), pen.integers(1)))
    every = pen.node("Concat", *tops, axis=0)
    scaled = pen.node("Div", pen.node("Sub", every, pen.constant(scales.mean)), pen.constant(scales.spread))
    pen.output(pen.node("ReduceMean", scaled, keepdims=0), "score", ())
    shown = [odd for odd, name in zip(maps, memory.heads, strict=True) for _ in range(_SHOWN.get(name, 1))]
    odd = pen.node("Reshape", pen.node("Mean", *shown), pen.integers(height, width))
    pen.output(odd, "map", memory.map_shape)
    pen.output(every, "tops", (len(tops),))
    pen.output(typical, "typical", ())
    if taught is not None:
        _kinds(looks, memory, taught)
    return pen.finish("eye")


def _kinds(looks: Looks, memory: Memory, taught: LayersHead) -> None:
    pen, (height, width) = looks.pen, memory.map_shape
    logits = pen.node("Transpose", taught.nodes(pen, looks.scaled(memory.scale)), perm=[1, 0])
    apart = pen.node("Reshape", logits, pen.integers(taught.outputs, 1, height, width))
    shape = (taught.outputs, height, width)
    pen.output(pen.node("Reshape", smoothed(pen, apart), pen.integers(*shape)), KINDS_OUTPUT, shape)


def _cells(looks: Looks, scorer: str, scale: CellScale) -> str:
    if scorer == PAINTED_SCORER:
        return looks.scaled(scale)
    return looks.cells(LONG if scorer == LONG_SCORER else looks.optics.fine)


def _top(pen: GraphPen, odd: str, cells: int) -> str:
    flat = pen.node("Reshape", odd, pen.integers(cells))
    highest = pen.node("TopK", flat, pen.integers(min(TOP_CELLS, cells)), outputs=2)
    return pen.node("ReduceMean", highest, keepdims=1)


def _enlarged(pen: GraphPen, cells: str, factor: int) -> str:
    """Linear interpolation between the centres of cells."""
    if factor == 1:
        return cells
    scales = pen.constant([1, 1, factor, factor])
    return pen.node("Resize", cells, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")


def top_of(odd: npt.NDArray[np.floating]) -> float:
    """The score of a map: the mean of its highest cells, as in the graph."""
    return float(np.sort(odd, axis=None)[-TOP_CELLS:].mean())
