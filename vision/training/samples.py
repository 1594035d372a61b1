"""What an eye learns from: cells of good frames, and cells of the same frames with defects painted on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from models.open import Graph
from vision.eye.detail import DetailSampler
from vision.eye.graph import (
    BACKBONE_SCORER,
    DETAIL_SCORER,
    PAINTED_SCORER,
    WHOLE,
    backbone_graph,
    feature_graph,
    usual_graph,
)
from vision.eye.painted import CellScale
from vision.feed import Feed
from vision.guests.backbone import Backbone
from vision.training.folds import TrainingFrame
from vision.training.pictures import TrainingPictures
from vision.training.synthetic import KINDS, paint

Cells = npt.NDArray[np.float32]

_CELLS_PER_FRAME = 120  # of about 4000: neighbouring cells say the same
_PAINTED_MIN, _PAINTED_MAX = 300, 1200  # painted frames: a quarter of them lost 5 points of AUROC, twice gained none
_PAINTED_PER_FRAME = 6  # of one good frame at most
_REDUCED_FRAMES_MAX = 80
_DEFECT_CELLS, _AROUND_CELLS = 50, 150  # of a painted frame
_COVERED_MIN = 0.2  # share of a cell that is painted for it to count as defect; a cell painted less is neither
_COLOUR_SHARE = 0.5  # of painted defects that also change colour, where there is any
_COLOUR_LEVELS = 60.0


@dataclass(frozen=True, slots=True)
class FrameSample:
    """Cells drawn from one good frame, by scorer, and the frame's summary."""

    fold: int
    cells: Mapping[str, Cells]
    summary: Cells


@dataclass(frozen=True, slots=True)
class PaintedSample:
    """A painted frame: cells as the painted head sees them, and which of them are defect."""

    fold: int
    feed: Feed
    cells: Cells
    defect: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Samples:
    """`scale`: the cells' common scale. `features`: the graph that made them."""

    scale: CellScale
    features: Graph
    good: Sequence[FrameSample]
    painted: Sequence[PaintedSample]
    backbone: Backbone | None = field(default=None, repr=False)


def draw_samples(
    frames: Sequence[TrainingFrame],
    drawn: Sequence[int],
    folds: Sequence[int],
    pictures: TrainingPictures,
    seed: int,
) -> Samples | None:
    """Cells of the drawn good frames that can be read, plain and painted. None when none can be read."""
    rng = np.random.default_rng(seed)
    sampler = DetailSampler(pictures.optics, seed) if pictures.optics.detail else None
    feeds: list[tuple[int, Feed]] = []
    near: list[Cells] = []
    for index in drawn:
        if (loaded := pictures.load(frames[index])) is not None:
            feeds.append((folds[index], loaded[1]))
            if sampler is not None:
                near.append(sampler.draw(loaded[0]))
    if not feeds:
        return None
    usual = Graph.open(usual_graph(pictures.optics))
    scale = CellScale.fit([usual.run(feed.inputs)[0] for _, feed in feeds])
    graph = Graph.open(feature_graph(pictures.optics, scale))
    backbone = _reduced(pictures, [feed for _, feed in feeds], rng)
    full = graph if backbone is None else Graph.open(feature_graph(pictures.optics, scale, backbone))
    good = [_plain(fold, feed, full, rng) for fold, feed in feeds]
    if near:
        good = [
            replace(sample, cells={**sample.cells, DETAIL_SCORER: cells})
            for sample, cells in zip(good, near, strict=True)
        ]
    painted = [_painted(*feeds[place], feeds, graph, rng) for place in _painted_places(len(feeds), rng)]
    return Samples(scale, graph, good, painted, backbone)


def _reduced(pictures: TrainingPictures, feeds: Sequence[Feed], rng: np.random.Generator) -> Backbone | None:
    """The user's backbone with as few channels as the cells of some good frames allow; once for all folds, since it
    takes seconds and learns nothing of what is good."""
    backbone = pictures.backbone
    if backbone is None:
        return None
    graph = Graph.open(backbone_graph(pictures.optics, backbone))
    some = feeds[:: -(-len(feeds) // _REDUCED_FRAMES_MAX)]
    cells = [_some(graph.run_named(feed.inputs)[BACKBONE_SCORER], _CELLS_PER_FRAME, rng) for feed in some]
    return backbone.reduced(np.concatenate(cells))


def _plain(fold: int, feed: Feed, graph: Graph, rng: np.random.Generator) -> FrameSample:
    seen = graph.run_named(feed.inputs)
    summary = seen.pop(WHOLE)
    return FrameSample(fold, {name: _some(cells, _CELLS_PER_FRAME, rng) for name, cells in seen.items()}, summary)


def _painted_places(count: int, rng: np.random.Generator) -> list[int]:
    """Which good frames are painted: all equally often, in a random order."""
    number = min(max(_PAINTED_MIN, 2 * count), _PAINTED_MAX, _PAINTED_PER_FRAME * count)
    return [int(place) for _ in range(-(-number // count)) for place in rng.permutation(count)][:number]


def _painted(
    fold: int, feed: Feed, others: Sequence[tuple[int, Feed]], graph: Graph, rng: np.random.Generator
) -> PaintedSample:
    """One defect, or two, on a good frame; what is pasted comes from a frame of the same fold."""
    same = [other for other_fold, other in others if other_fold == fold]
    frame, mask = feed.frame, np.zeros(feed.frame.shape, np.bool_)
    for _ in range(int(rng.choice([1, 1, 2]))):
        other = same[int(rng.integers(len(same)))].frame
        frame, painted = paint(rng, frame, other, KINDS[int(rng.integers(len(KINDS)))])
        mask |= painted
    changed = Feed(frame, _stained(feed.chroma, mask, rng))
    cells = graph.run_named(changed.inputs)[PAINTED_SCORER]
    covered = cell_shares(mask, len(cells), feed)
    inside, outside = np.flatnonzero(covered > _COVERED_MIN), np.flatnonzero(covered == 0)
    inside = rng.choice(inside, min(len(inside), _DEFECT_CELLS), replace=False)
    outside = rng.choice(outside, min(len(outside), _AROUND_CELLS), replace=False)
    chosen = np.concatenate([inside, outside])
    return PaintedSample(fold, changed, cells[chosen], np.arange(len(chosen)) < len(inside))


def cell_shares(mask: npt.NDArray[np.bool_], cells: int, feed: Feed) -> Cells:
    """The share of each fine cell that the mask covers: float32[cells], from bool[rows, columns] of the frame."""
    rows, columns = feed.frame.shape
    side = round((rows * columns / cells) ** 0.5)
    blocks = mask[: rows // side * side, : columns // side * side]
    shares = blocks.reshape(rows // side, side, columns // side, side).mean((1, 3))
    return np.asarray(shares.ravel(), np.float32)


def _stained(chroma: Cells | None, mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> Cells | None:
    if chroma is None or rng.random() > _COLOUR_SHARE:
        return chroma
    share = cell_shares(mask, chroma[0].size, Feed(np.asarray(mask, np.float32))).reshape(chroma.shape[1:])
    shift = rng.normal(0, _COLOUR_LEVELS / 2, (2, 1, 1))
    return np.asarray(np.clip(chroma + shift * share, -255, 255), np.float32)


def _some(cells: Cells, most: int, rng: np.random.Generator) -> Cells:
    chosen = rng.choice(len(cells), min(len(cells), most), replace=False)
    return np.ascontiguousarray(cells[chosen])


def classes_of(samples: Sequence[PaintedSample]) -> tuple[Cells, npt.NDArray[np.int64]]:
    """All cells of some painted frames, and 1 where they are defect."""
    return (
        np.concatenate([sample.cells for sample in samples]),
        np.concatenate([sample.defect for sample in samples]).astype(np.int64),
    )
