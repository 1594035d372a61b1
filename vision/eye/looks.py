"""One frame in a graph: the features that scorers look at, each computed once and only when somebody asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from vision.eye.bank import LONG, BankNodes, Source, fine_source
from vision.eye.export import GraphPen
from vision.eye.painted import CellScale
from vision.eye.summary import SUMMARIES, Usual, summary_nodes, usual_nodes
from vision.guests.backbone import Backbone

INPUT, CHROMA, DETAIL = "frame", "chroma", "detail"


@dataclass(frozen=True, slots=True)
class Optics:
    """The working size of an eye, and what it sees: colour beside grey or not. `detail`: how many times larger in each
    direction it also looks at a frame, in tiles (vision/eye/detail.py); 0 where frames are small."""

    rows: int
    columns: int
    colour: bool
    detail: int = 0

    @property
    def fine(self) -> Source:
        return fine_source(self.colour)

    @property
    def summaries(self) -> int:
        """Numbers in a frame's summary."""
        return SUMMARIES * self.fine.channels

    @property
    def detail_shape(self) -> tuple[int, int]:
        """Rows and columns in which it looks at detail."""
        return self.rows * self.detail, self.columns * self.detail

    def grid(self, source: Source) -> tuple[int, int]:
        return source.grid(self.rows, self.columns)


class Looks:
    """The nodes of one frame. Cells come as rows: float32[cells, channels]."""

    def __init__(self, optics: Optics, backbone: Backbone | None = None) -> None:
        self.pen = GraphPen()
        self._backbone = backbone
        self.optics = optics
        self.frame = self.pen.input(INPUT, (optics.rows, optics.columns))
        self.chroma = self.pen.input(CHROMA, (2, *optics.grid(optics.fine))) if optics.colour else None
        self._bank = BankNodes(self.pen, self.frame, optics.rows, optics.columns, self.chroma)
        self._features: dict[str, str] = {}
        self._usual: dict[str, Usual] = {}

    def features(self, source: Source) -> str:
        """float32[1, channels, h, w]."""
        if source.name not in self._features:
            self._features[source.name] = self._made(source)
        return self._features[source.name]

    def _made(self, source: Source) -> str:
        if self._backbone is not None and source == self._backbone.source:
            return self._backbone.nodes(self.pen, self.frame, self.chroma)
        return self._bank.long() if source.name == LONG.name else self._bank.fine()

    def usual(self, source: Source) -> Usual:
        if source.name not in self._usual:
            grid = self.optics.grid(source)
            self._usual[source.name] = usual_nodes(self.pen, self.features(source), source, grid)
        return self._usual[source.name]

    def cells(self, source: Source) -> str:
        """float32[cells, channels]."""
        rows, columns = self.optics.grid(source)
        flat = self.pen.node("Reshape", self.features(source), self.pen.integers(source.channels, rows * columns))
        return self.pen.node("Transpose", flat, perm=[1, 0])

    def scaled(self, scale: CellScale) -> str:
        """The fine cells in the frame's own scale, with their places: float32[cells, channels + PLACES]."""
        fine = self.optics.fine
        return scale.nodes(self.pen, self.features(fine), self.usual(fine), fine, self.optics.grid(fine))

    def detail(self) -> str:
        """float32[1, 1, h, w]: the raw map that vision/eye/detail.py made; an input of graphs that ask for it."""
        shape = self.optics.grid(self.optics.fine)
        return self.pen.node("Reshape", self.pen.input(DETAIL, shape), self.pen.integers(1, 1, *shape))

    def summary(self) -> str:
        """float32[optics.summaries]: of the fine features; the long ones added nothing to them."""
        fine = self.optics.fine
        return summary_nodes(self.pen, self.features(fine), self.usual(fine), fine, self.optics.grid(fine))
