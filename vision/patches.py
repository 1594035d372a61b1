"""The good patches an odd place was compared with: what a person needs to see to agree that it is odd, or not.

An eye's memory points are means of cells and no picture; each is shown by the cell of a good frame nearest to it.
Three files beside the eye: the patches in one picture, where they come from, and a graph that finds the memory points
nearest to each cell. It runs only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.messages import Box
from models.open import Graph, OpenModel
from vision.eye.bank import CELL
from vision.eye.graph import FINE_SCORER, Memory
from vision.eye.heads import KnnHead
from vision.eye.looks import Looks
from vision.eye.posing import laid_back
from vision.feed import Feed
from vision.image import Picture, coloured, decode, encode_png, fit_to
from vision.inspect import Sight
from vision.training.folds import TrainingFrame, draw_evenly
from vision.training.pictures import TrainingPictures

PATCHES_FILE, PLACES_FILE, NEAREST_FILE = "patches.png", "patches.json", "nearest.onnx"
PATCH = 32  # working pixels a side: a cell sees about half of it around itself
_ACROSS = 16  # patches in a row of the picture
_FRAMES_MAX = 120  # good frames they are taken from: 500 000 cells for 192 points
_NEAREST = 6  # memory points given for each cell
_SHOWN = 3
_PIXELS_MAX = 10_000_000

Pixels = npt.NDArray[np.uint8]


class PatchPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a good patch comes from; `x`, `y`: its middle in working pixels."""

    part_id: str
    frame_id: str
    x: int
    y: int


class PatchNotes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`places`: of each memory point; None where no good frame looked like it. `usual`: the median distance of a good
    frame's cell to its nearest memory point."""

    places: list[PatchPlace | None]
    usual: float


@dataclass(frozen=True, slots=True)
class GoodPatch:
    """`times`: how many times farther the odd cell is from it than good cells usually are from their nearest."""

    place: PatchPlace
    times: float
    pixels: Pixels = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The oddest place of a box, uint8[PATCH, PATCH, 3], beside the good patches nearest to it, nearest first."""

    box: Box
    odd: Pixels = field(repr=False, compare=False)
    good: Sequence[GoodPatch]


def nearest_graph(memory: Memory) -> bytes:
    """Outputs: `point` and `distance`, float32[cells, n], of the memory points nearest to each fine cell."""
    head = _head(memory)
    looks = Looks(memory.optics)
    pen, white = looks.pen, head.whitening.nodes(looks.pen, looks.cells(memory.optics.fine))
    weights, bias = pen.constant(-2 * head.memory.T), pen.constant((head.memory**2).sum(1))
    own = pen.node("ReduceSumSquare", white, axes=[1], keepdims=1)
    squared = pen.node("Max", pen.node("Add", pen.node("Gemm", white, weights, bias), own), pen.constant(0.0))
    count = min(_NEAREST, len(head.memory))
    nearest = pen.node("TopK", squared, pen.integers(count), outputs=2, largest=0)
    pen.output(pen.node("Cast", nearest.removesuffix("_0") + "_1", to=1), "point", (None, count))
    pen.output(pen.node("Sqrt", nearest), "distance", (None, count))
    return pen.finish("nearest")


def learn_patches(
    memory: Memory, frames: Sequence[TrainingFrame], good: Sequence[bool], pictures: TrainingPictures
) -> dict[str, bytes]:
    """The three files. A memory point is shown by the nearest of the cells of some good frames that are its own."""
    raw = nearest_graph(memory)
    graph, columns = Graph.open(raw), memory.map_shape[1]
    points = len(_head(memory).memory)
    best = np.full(points, np.inf)
    places: list[PatchPlace | None] = [None] * points
    sheet = np.zeros((-(-points // _ACROSS) * PATCH, _ACROSS * PATCH, 3), np.uint8)
    usual = []
    for index in draw_evenly(frames, [i for i, is_good in enumerate(good) if is_good], _FRAMES_MAX):
        if (loaded := pictures.load(frames[index])) is None:
            continue
        picture, feed = loaded
        every = graph.run_named(_plain(feed))
        point, distance = every["point"][:, 0].astype(np.int64), every["distance"][:, 0]
        usual.append(float(np.median(distance)))
        working = _working(picture, feed)
        for cell in _nearest_of_each(point, distance):
            if distance[cell] < best[point[cell]]:
                best[point[cell]] = distance[cell]
                x, y = _middle(cell, columns)
                places[point[cell]] = PatchPlace(frames[index].part_id, frames[index].frame_id, x, y)
                _window(sheet, int(point[cell]))[:] = _cut(working, x, y)
    notes = PatchNotes(places, max(float(np.median(usual)), 1e-6) if usual else 1.0)
    return {NEAREST_FILE: raw, PATCHES_FILE: encode_png(sheet), PLACES_FILE: msgspec.json.encode(notes)}


def compare(model: OpenModel, picture: Picture, feed: Feed, sight: Sight, boxes: Sequence[Box]) -> list[Comparison]:
    """Each box's oddest cell beside the good patches nearest to it. Empty for an eye that keeps none."""
    if NEAREST_FILE not in model.manifest.files or not boxes:
        return []
    outputs = [tensor.name for tensor in model.manifest.files[NEAREST_FILE].outputs]
    every = dict(zip(outputs, model.run(NEAREST_FILE, _plain(feed)), strict=True))
    notes = msgspec.json.decode(model.read(PLACES_FILE), type=PatchNotes)
    sheet = _decoded(model.read(PATCHES_FILE))
    working, cells = _working(picture, feed), _cells_seen(feed, sight)
    found = []
    for box in boxes:
        cell = int(cells[_oddest(box, sight)])
        good = [
            GoodPatch(place, float(distance) / notes.usual, _window(sheet, point).copy())
            for point, distance in zip(every["point"][cell].astype(int).tolist(), every["distance"][cell], strict=True)
            if (place := notes.places[point]) is not None
        ]
        found.append(Comparison(box, _cut(working, *_middle(cell, sight.odd.shape[1])), good[:_SHOWN]))
    return found


def _head(memory: Memory) -> KnnHead:
    head = memory.heads[FINE_SCORER]
    assert isinstance(head, KnnHead)
    return head


def _plain(feed: Feed) -> dict[str, npt.NDArray[np.float32]]:
    """The graph takes no tiles."""
    return Feed(feed.frame, feed.chroma).inputs


def _cells_seen(feed: Feed, sight: Sight) -> npt.NDArray[np.int64]:
    """int64[h, w]: of each cell of the map, laid on the frame as it came, the cell in which the eye saw it."""
    rows, columns = sight.odd.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    if feed.pose is not None and feed.straightened:
        side = feed.frame.shape[0] / rows
        y, x = (laid_back(side_map, feed.pose, side) for side_map in (y, x))
    seen = np.clip(np.rint(y), 0, rows - 1) * columns + np.clip(np.rint(x), 0, columns - 1)
    return np.asarray(seen, np.int64)


def _oddest(box: Box, sight: Sight) -> tuple[int, int]:
    rows, columns = sight.odd.shape
    top, left = int(box.y * rows / sight.height), int(box.x * columns / sight.width)
    bottom = max(top + 1, round((box.y + box.height) * rows / sight.height))
    right = max(left + 1, round((box.x + box.width) * columns / sight.width))
    inside = sight.odd[top:bottom, left:right]
    down, across = divmod(int(inside.argmax()), inside.shape[1])
    return top + down, left + across


def _nearest_of_each(point: npt.NDArray[np.int64], distance: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Of each memory point that is some cell's nearest, the cell nearest to it."""
    order = np.argsort(distance, kind="stable")
    _, first = np.unique(point[order], return_index=True)
    return np.asarray(order[first], np.int64)


def _working(picture: Picture, feed: Feed) -> Pixels:
    """The frame as the eye saw it, for a person: uint8[rows, columns, 3]."""
    if picture.chroma is None or feed.chroma is None:
        return coloured(feed.frame, None)
    return coloured(feed.frame, fit_to(picture.chroma, *feed.frame.shape))


def _middle(cell: int, columns: int) -> tuple[int, int]:
    """x, y in working pixels."""
    row, column = divmod(int(cell), columns)
    return column * CELL + CELL // 2, row * CELL + CELL // 2


def _cut(working: Pixels, x: int, y: int) -> Pixels:
    """A patch around a place; at the rim the frame's last one."""
    rows, columns = working.shape[:2]
    top, left = min(max(y - PATCH // 2, 0), rows - PATCH), min(max(x - PATCH // 2, 0), columns - PATCH)
    return working[top : top + PATCH, left : left + PATCH]


def _window(sheet: Pixels, point: int) -> Pixels:
    row, column = divmod(point, _ACROSS)
    return sheet[row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]


def _decoded(raw: bytes) -> Pixels:
    picture = decode(raw, _PIXELS_MAX, colour=True)
    return coloured(picture.grey, picture.chroma)
