"""A large frame from close by: tile by tile, each cell against cells of good frames, the oddest of each place kept.

At an eye's working size a defect of ten pixels in a frame of 24 megapixels is less than one. So the frame is also
looked at `Optics.detail` times larger, as large as it is or as DETAIL_PIXELS allow, in tiles that overlap by as much as
the filters reach: stitched, their cells are those of one large graph. What the eye then takes in is a map of its own
grid, in which each cell holds the highest of the detail x detail cells that lie in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.open import Graph
from vision.eye.bank import CELL, Source, fine_source
from vision.eye.heads import Head
from vision.eye.looks import DETAIL, INPUT, Looks, Optics
from vision.image import Grey, Picture, fit_to

DETAIL_FILE = "detail.onnx"
TILE_SIDE = 256  # pixels: a tile of twice the side has less overlap, but falls out of the cache; they cost the same
#: Pixels at a tile's inner rims that are not kept: the coarsest filter reaches 18 (radius 3 at quarter scale, and 6 of
#: the two halvings); in whole cells.
MARGIN = 20
_SOURCE: Source = fine_source(colour=False)  # colour is coarser than grey: working size has what there is of it
_TILES_PER_FRAME, _CELLS_PER_TILE = 3, 40  # of a good frame, to learn from

Run = Callable[[Mapping[str, npt.NDArray[np.float32]]], Sequence[npt.NDArray[np.float32]]]
Spots = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Tile:
    """`pixels`: which of the frame it shows. `cells`: which of the frame's it answers for. `kept`: where these lie
    among its own."""

    pixels: Spots
    cells: Spots
    kept: Spots


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Tiles of one fixed size over a frame of rows x columns pixels, multiples of CELL. The last of each row and column
    is moved inside, so that none is smaller."""

    rows: int
    columns: int

    @property
    def tile_shape(self) -> tuple[int, int]:
        return min(self.rows, TILE_SIDE), min(self.columns, TILE_SIDE)

    @property
    def grid(self) -> tuple[int, int]:
        """Shape of the frame's cells."""
        return self.rows // CELL, self.columns // CELL

    def tiles(self) -> Iterator[Tile]:
        across = list(_spans(self.columns))
        for down in _spans(self.rows):
            for right in across:
                yield Tile(*((one, other) for one, other in zip(down, right, strict=True)))


def _spans(length: int) -> Iterator[tuple[slice, slice, slice]]:
    """Along one side: pixels, cells answered for, and these among the tile's own."""
    side = min(length, TILE_SIDE)
    last = length - side
    for start in [*range(0, last, TILE_SIDE - 2 * MARGIN), last]:
        first = start + MARGIN if start else 0
        end = start + side - MARGIN if start < last else length
        cells = slice(first // CELL, end // CELL)
        offset = start // CELL
        yield slice(start, start + side), cells, slice(cells.start - offset, cells.stop - offset)


def detail_graph(optics: Optics, head: Head) -> bytes:
    """One tile, INPUT float32[tile rows, tile columns] in 0..255, to the log distances of its cells, float32[rows / 4,
    columns / 4]. They are not blurred, there or later: of a defect of eight pixels in 24 million that took half."""
    looks, shape = _tile_looks(optics)
    pen = looks.pen
    pen.output(pen.node("Reshape", head.nodes(pen, looks.cells(_SOURCE)), pen.integers(*shape)), DETAIL, shape)
    return pen.finish(DETAIL)


def detail_map(picture: Picture, optics: Optics, run: Run) -> Grey:
    """What an eye takes as its input `detail`: float32[rows / 4, columns / 4] of the working size. `run`: detail_graph.

    Nothing larger than the frame at its detail scale is held."""
    plan = TilePlan(*optics.detail_shape)
    pixels = fit_to(picture.grey, plan.rows, plan.columns)
    odd = np.empty(plan.grid, np.float32)
    for tile in plan.tiles():
        odd[tile.cells] = run({INPUT: np.ascontiguousarray(pixels[tile.pixels])})[0][tile.kept]
    height, width = optics.grid(optics.fine)
    return np.asarray(odd.reshape(height, optics.detail, width, optics.detail).max(axis=(1, 3)), np.float32)


class DetailSampler:
    """Draws cells of good frames, as a tile shows them, to learn from."""

    def __init__(self, optics: Optics, seed: int) -> None:
        self._plan = TilePlan(*optics.detail_shape)
        self._tiles = list(self._plan.tiles())
        self._rng = np.random.default_rng(seed)
        looks, _ = _tile_looks(optics)
        looks.pen.output(looks.features(_SOURCE), "features", (1, _SOURCE.channels, None, None))
        self._graph = Graph.open(looks.pen.finish("tile_features"))

    def draw(self, picture: Picture) -> Grey:
        """float32[cells, channels] of some tiles."""
        pixels = fit_to(picture.grey, self._plan.rows, self._plan.columns)
        drawn = []
        for place in self._rng.choice(len(self._tiles), min(len(self._tiles), _TILES_PER_FRAME), replace=False):
            tile = self._tiles[int(place)]
            seen = self._graph.run({INPUT: np.ascontiguousarray(pixels[tile.pixels])})[0][0]
            cells = seen[:, tile.kept[0], tile.kept[1]].reshape(_SOURCE.channels, -1).T
            drawn.append(cells[self._rng.choice(len(cells), min(len(cells), _CELLS_PER_TILE), replace=False)])
        return np.ascontiguousarray(np.concatenate(drawn))


def _tile_looks(optics: Optics) -> tuple[Looks, tuple[int, int]]:
    """The nodes of one tile, and the shape of its cells."""
    shape = TilePlan(*optics.detail_shape).tile_shape
    tile = Optics(*shape, colour=False)
    return Looks(tile), tile.grid(_SOURCE)
