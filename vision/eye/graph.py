"""The graphs of one eye: features (to train heads), raw maps (to train normalisation), and the whole eye.

The whole eye takes the frame at working size, float32[rows, columns] in 0..255 (and `chroma` where it sees colour, and
`detail`, the raw map of detail.py, where frames are large) and gives `score` (scalar), `map` float32[rows / 4,
columns / 4], `tops` float32[scorers + 1] (each scorer's own score and the whole frame's, before they are brought to one
scale), `typical` (scalar, the log distance of the frame's middle cell: a defect does not move it, another part does).
An eye that was taught kinds of defect also gives `kinds` float32[kinds, rows / 4, columns / 4], the logit of each kind,
and `taught` (scalar), the score of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vision.eye.bank import CELL, LONG, Source, smoothed
from vision.eye.export import GraphPen
from vision.eye.heads import Head, LayersHead
from vision.eye.looks import DETAIL, Looks, Optics
from vision.eye.normalise import Normaliser, quartile_nodes
from vision.eye.painted import CellScale
from vision.eye.summary import WholeFrame
from vision.guests.backbone import Backbone

EYE_OUTPUTS = ("score", "map", "tops", "typical")
TAUGHT_OUTPUTS = ("kinds", "taught")
TOP_CELLS = 10  # a scorer's score is the mean of its highest cells: one alone is noise, many miss small defects
BACKBONE_SCORER, NET_SCORER = "backbone", "net"
FINE_SCORER, LONG_SCORER, PAINTED_SCORER = "fine", "long", "painted"
DETAIL_SCORER = DETAIL  # its map comes in, made in tiles
DETAIL_TOP_CELLS = 1  # what is small lies in one cell of the working grid, and that is the highest of many
WHOLE = "whole"
_DETAIL_PLACE = -2  # among the scores: after the other scorers, before the whole frame
#: Weight in the map a person sees. The painted one was taught to outline, and does so best; what is only seen in detail
#: must not drown.
_SHOWN = {PAINTED_SCORER: 2, DETAIL_SCORER: 2}


@dataclass(frozen=True, slots=True)
class Scales:
    """Mean and standard deviation of each score on held-out good frames: float32[scorers + 1] each.

    The score is their mean on a common scale. What is only seen in detail the others cannot see, and a mean with them
    would hide it: the detail scorer also counts alone, in units of that mean's own spread, `detail_unit` (0: it is not
    among them)."""

    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]
    detail_unit: float = 0.0

    def score(self, tops: npt.NDArray[np.float32]) -> float:
        """The graph's own arithmetic, for frames looked at before the scales were known."""
        scaled = (tops - self.mean) / self.spread
        score = float(scaled.mean())
        return max(score, self.detail_unit * float(scaled[_DETAIL_PLACE])) if self.detail_unit else score

    def nodes(self, pen: GraphPen, tops: str) -> str:
        """From float32[scorers + 1] a scalar."""
        scaled = pen.node("Div", pen.node("Sub", tops, pen.constant(self.mean)), pen.constant(self.spread))
        score = pen.node("ReduceMean", scaled, keepdims=0)
        if not self.detail_unit:
            return score
        alone = pen.node("Gather", scaled, pen.constant(_DETAIL_PLACE, np.int64))
        return pen.node("Max", score, pen.node("Mul", alone, pen.constant(self.detail_unit)))


@dataclass(frozen=True, slots=True)
class TaughtPart:
    """What marks taught an eye: a logit for each kind, and the mean and spread of their score on good frames, in units
    of the spread of the good-only score. `scores`: it counts in the score, else it only names what was found."""

    head: LayersHead
    mean: float
    spread: float
    scores: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """What an eye learned from good frames alone: heads by scorer, in their order, and the whole-frame head."""

    optics: Optics
    scale: CellScale
    heads: Mapping[str, Head]
    whole: WholeFrame
    backbone: Backbone | None = field(default=None, repr=False)

    @property
    def map_shape(self) -> tuple[int, int]:
        return self.optics.grid(self.optics.fine)

    @property
    def scorers(self) -> tuple[str, ...]:
        return tuple(self.heads)

    def source(self, scorer: str) -> Source:
        if scorer == BACKBONE_SCORER and self.backbone is not None:
            return self.backbone.source
        return LONG if scorer == LONG_SCORER else self.optics.fine


def usual_graph(optics: Optics) -> bytes:
    """Output `range`: float32[channels, 1], the interquartile range of each fine channel."""
    looks = Looks(optics)
    looks.pen.output(looks.usual(optics.fine).range, "range", (optics.fine.channels, 1))
    return looks.pen.finish("usual")


def backbone_graph(optics: Optics, backbone: Backbone) -> bytes:
    """Output `backbone`: its cells, float32[cells, channels], from which its channels are reduced."""
    looks = Looks(optics, backbone)
    looks.pen.output(looks.cells(backbone.source), BACKBONE_SCORER, (None, None))
    return looks.pen.finish("backbone")


def feature_graph(optics: Optics, scale: CellScale, backbone: Backbone | None = None) -> bytes:
    """Outputs: the cells each scorer looks at, float32[cells, channels], by the scorer's name; then the summary."""
    looks = Looks(optics, backbone)
    for name in (FINE_SCORER, LONG_SCORER, PAINTED_SCORER):
        looks.pen.output(_cells(looks, name, scale, None), name, (None, None))
    if backbone is not None:
        looks.pen.output(looks.cells(backbone.source), BACKBONE_SCORER, (None, None))
    looks.pen.output(looks.summary(), WHOLE, (optics.summaries,))
    return looks.pen.finish("features")


def raw_graph(memory: Memory) -> bytes:
    """Outputs: the raw map [h, w] of each scorer that looks at the whole frame, then the whole-frame log distance.
    Nothing is normalised yet."""
    looks = Looks(memory.optics, memory.backbone)
    for name, head in memory.heads.items():
        if name == DETAIL_SCORER:
            continue
        shape = memory.optics.grid(memory.source(name))
        raw = head.nodes(looks.pen, _cells(looks, name, memory.scale, memory.backbone))
        looks.pen.output(looks.pen.node("Reshape", raw, looks.pen.integers(*shape)), name, shape)
    looks.pen.output(memory.whole.nodes(looks.pen, looks.summary()), WHOLE, ())
    return looks.pen.finish("raw")


def eye_graph(
    memory: Memory, normalisers: Mapping[str, Normaliser], scales: Scales, taught: TaughtPart | None = None
) -> bytes:
    """The whole eye, outputs EYE_OUTPUTS and, where it was taught, TAUGHT_OUTPUTS. Its score is the good-only one, or
    the taught one where that is higher."""
    looks = Looks(memory.optics, memory.backbone)
    pen, (height, width) = looks.pen, memory.map_shape
    maps, tops, typical = [], [], ""
    for name in memory.scorers:
        odd, median = _normal(looks, memory, name, normalisers[name])
        typical = typical or median
        maps.append(odd)
        tops.append(_top(pen, odd, height * width, DETAIL_TOP_CELLS if name == DETAIL_SCORER else TOP_CELLS))
    tops.append(pen.node("Reshape", memory.whole.nodes(pen, looks.summary()), pen.integers(1)))
    every = pen.node("Concat", *tops, axis=0)
    score = scales.nodes(pen, every)
    kinds = top = ""
    if taught is not None:
        kinds = _kind_logits(looks, memory.scale, taught.head)
        top = _taught_top(looks, kinds, taught.head)
        if taught.scores:
            above = pen.node("Sub", top, pen.constant(taught.mean))
            score = pen.node("Max", score, pen.node("Div", above, pen.constant(taught.spread)))
    pen.output(score, "score", ())
    shown = [odd for odd, name in zip(maps, memory.heads, strict=True) for _ in range(_SHOWN.get(name, 1))]
    odd = pen.node("Reshape", pen.node("Mean", *shown), pen.integers(height, width))
    pen.output(odd, "map", memory.map_shape)
    pen.output(every, "tops", (len(tops),))
    pen.output(typical, "typical", ())
    if taught is not None:
        of_kinds = (taught.head.outputs, height, width)
        pen.output(pen.node("Reshape", kinds, pen.integers(*of_kinds)), TAUGHT_OUTPUTS[0], of_kinds)
        pen.output(top, TAUGHT_OUTPUTS[1], ())
    return pen.finish("eye")


def _kind_logits(looks: Looks, scale: CellScale, head: LayersHead) -> str:
    """float32[kinds, 1, h, w]."""
    pen = looks.pen
    logits = pen.node("Transpose", head.nodes(pen, looks.scaled(scale)), perm=[1, 0])
    shape = looks.optics.grid(looks.optics.fine)
    return smoothed(pen, pen.node("Reshape", logits, pen.integers(head.outputs, 1, *shape)))


def _taught_top(looks: Looks, kinds: str, head: LayersHead) -> str:
    """The highest cells of whichever kind each looks like most."""
    pen, (height, width) = looks.pen, looks.optics.grid(looks.optics.fine)
    likeliest = kinds if head.outputs == 1 else pen.node("ReduceMax", kinds, axes=[0], keepdims=1)
    return pen.node("Squeeze", _top(pen, likeliest, height * width))


def _cells(looks: Looks, scorer: str, scale: CellScale, backbone: Backbone | None) -> str:
    if scorer == PAINTED_SCORER:
        return looks.scaled(scale)
    if scorer == BACKBONE_SCORER and backbone is not None:
        return looks.cells(backbone.source)
    if scorer == NET_SCORER:
        return looks.frame  # it makes its features itself
    return looks.cells(LONG if scorer == LONG_SCORER else looks.optics.fine)


def _normal(looks: Looks, memory: Memory, scorer: str, normaliser: Normaliser) -> tuple[str, str]:
    """The normalised map of one scorer on the eye's grid, float32[1, 1, h, w], and the median of its raw one."""
    pen, source = looks.pen, memory.source(scorer)
    shape = memory.optics.grid(source)
    if scorer == DETAIL_SCORER:
        raw = looks.detail()
    else:
        odd = memory.heads[scorer].nodes(pen, _cells(looks, scorer, memory.scale, memory.backbone))
        raw = pen.node("Reshape", odd, pen.integers(1, 1, *shape))
    median, upper = quartile_nodes(pen, raw, shape)
    normal = normaliser.nodes(pen, raw, median, upper)
    if scorer == DETAIL_SCORER:
        return normal, median  # a blur would take from what fills one cell
    return smoothed(pen, _enlarged(pen, normal, source.cell // CELL)), median


def _top(pen: GraphPen, odd: str, cells: int, highest_cells: int = TOP_CELLS) -> str:
    flat = pen.node("Reshape", odd, pen.integers(cells))
    highest = pen.node("TopK", flat, pen.integers(min(highest_cells, cells)), outputs=2)
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
