"""The graphs of one eye: features only (to train heads), raw maps (to train normalisation), and the whole eye.

The whole eye takes the frame at working size, float32[rows, columns] in 0..255, and gives
`score` (scalar), `map` float32[rows / 4, columns / 4], `unlike` (scalar, the whole-frame distance) and `typical`
(scalar, the log distance of the frame's middle cell: a defect does not move it, another part does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vision.bank import CELL, GLOB_FEATURES, VIEWS, BankNodes, smoothed
from vision.export import GraphPen
from vision.glob import GlobHead
from vision.heads import Head
from vision.normalise import Normaliser, lower_median_node

INPUT = "frame"
EYE_OUTPUTS = ("score", "map", "unlike", "typical")
GLOB_WEIGHT = 0.5  # of the whole-frame score beside the map's; added recall on every set it was tried on
TOP_CELLS = 10  # the image score is the mean of the highest cells: one alone is noise, many miss small defects


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of a quantity on held-out good frames."""

    mean: float
    spread: float

    def nodes(self, pen: GraphPen, value: str) -> str:
        return pen.node("Div", pen.node("Sub", value, pen.constant(self.mean)), pen.constant(self.spread))


@dataclass(frozen=True, slots=True)
class Memory:
    """What an eye learned from good frames alone: a head for each view, and the whole-frame head."""

    rows: int
    columns: int
    heads: Mapping[str, Head]
    glob: GlobHead

    @property
    def map_shape(self) -> tuple[int, int]:
        return self.rows // CELL, self.columns // CELL


def feature_graph(rows: int, columns: int) -> bytes:
    """Outputs: the features of each view [1, channels, h, w], then the whole-frame statistics."""
    pen, bank = _start(rows, columns)
    for view in VIEWS:
        pen.output(bank.features(view), view.name, (1, view.channels, *view.grid(rows, columns)))
    pen.output(bank.glob(), "glob", (len(GLOB_FEATURES),))
    return pen.finish("features")


def raw_graph(memory: Memory) -> bytes:
    """Outputs: the log distance [h, w] of each view, then the whole-frame distance. Nothing is normalised yet."""
    pen, bank = _start(memory.rows, memory.columns)
    for view in VIEWS:
        raw = memory.heads[view.name].nodes(pen, bank.features(view))
        shape = view.grid(memory.rows, memory.columns)
        pen.output(pen.node("Reshape", raw, pen.integers(*shape)), view.name, shape)
    pen.output(memory.glob.nodes(pen, bank.glob()), "unlike", ())
    return pen.finish("raw")


def eye_graph(memory: Memory, normalisers: Mapping[str, Normaliser], top: Scale, unlike: Scale) -> bytes:
    """The whole eye, outputs EYE_OUTPUTS. `top`, `unlike`: scales of the map's top cells and `unlike`."""
    pen, bank = _start(memory.rows, memory.columns)
    height, width = memory.map_shape
    maps, medians = [], []
    for view in VIEWS:
        raw = memory.heads[view.name].nodes(pen, bank.features(view))
        medians.append(lower_median_node(pen, raw, view.grid(memory.rows, memory.columns)))
        maps.append(_enlarged(pen, normalisers[view.name].nodes(pen, raw, medians[-1]), view.cell // CELL))
    odd = pen.node("Reshape", smoothed(pen, pen.node("Max", *maps)), pen.integers(height, width))
    cells = pen.node("Reshape", odd, pen.integers(height * width))
    highest = pen.node("TopK", cells, pen.integers(min(TOP_CELLS, height * width)), outputs=2)
    distance = memory.glob.nodes(pen, bank.glob())
    from_map = top.nodes(pen, pen.node("ReduceMean", highest, keepdims=0))
    from_glob = pen.node("Mul", unlike.nodes(pen, distance), pen.constant(GLOB_WEIGHT))
    pen.output(pen.node("Add", from_map, from_glob), "score", ())
    pen.output(odd, "map", memory.map_shape)
    pen.output(distance, "unlike", ())
    pen.output(medians[0], "typical", ())
    return pen.finish("eye")


def _start(rows: int, columns: int) -> tuple[GraphPen, BankNodes]:
    pen = GraphPen()
    frame = pen.input(INPUT, (rows, columns))
    return pen, BankNodes(pen, frame, rows, columns)


def _enlarged(pen: GraphPen, cells: str, factor: int) -> str:
    """Linear interpolation between the centres of cells."""
    if factor == 1:
        return cells
    scales = pen.constant([1, 1, factor, factor])
    return pen.node("Resize", cells, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
