"""Where a part lies against a reference: rotation and shift, from its own edges.

The edges of a frame are brought down to a small grid and cleared of what is no edge (texture, noise). Around their
centre of gravity their histogram over the angle, ring by ring, is matched to the reference's (circular correlation):
the rotation. Turned back by it, their sums over columns and over rows are matched: the shift. Whole frames are never
correlated: on textures that finds a shift where there is none, and on parts that turn it finds nothing.

What a match is worth is its correlation with the mean profiles of the good frames. A part's is near 1. A texture has
edges everywhere and at no place in particular: its mean profiles are flat, and `confidence` is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from vision.image import Grey, blurred, fit_to, moved

_SIDE = 80  # pixels of the grid's longer side, about: a tenth of its pixels is found, and it takes a fraction of a ms
_SIGMA = 1.0  # grid pixels of blur before the gradient: fine texture tells no pose
_CLEAR = 2.0  # times the median gradient: less is the ground, more an edge
_EDGE_LEAST = 2.0  # grey levels a grid pixel: weaker than that is noise, on a frame of which nothing is an edge
_ANGLES = 180  # bins of the circle; a parabola finds a tenth of one
_RINGS = 4  # of the angle histogram; together they hold nearly all edges
_PEAKS = 2  # angles tried: a part that looks nearly alike from several sides has several
_DISTINCT = 0.1  # of what the unturned match lacks must a turned one win, or the part is not turned
_PASSES = 2  # over the good frames: laid onto the first of them, then onto their mean
_SURE_FROM, _SURE_TO = 0.5, 0.8  # correlation at which confidence is 0 and 1
CONFIDENCE_MIN = 0.5

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """How a frame lies against the reference: turned by `angle_deg` (clockwise as seen) about its middle, then moved
    right by `shift_x` and down by `shift_y` pixels of the working frame.

    `confidence`: 0..1; under CONFIDENCE_MIN the rest says nothing."""

    shift_x: float
    shift_y: float
    angle_deg: float
    confidence: float

    def displaced(self, radius: float) -> float:
        """How far, in pixels at most, a point so far from the frame's middle is from its place."""
        return math.hypot(self.shift_x, self.shift_y) + abs(math.radians(self.angle_deg)) * radius


UNKNOWN = Pose(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Edges:
    """Edge points of one frame, in grid pixels from the grid's middle: x, y and strength, float32[n] each."""

    x: Floats
    y: Floats
    strength: Floats

    def laid(self, degrees: float, x: float, y: float) -> _Edges:
        """Turned clockwise as seen, then moved."""
        cosine, sine = np.float32(math.cos(math.radians(degrees))), np.float32(math.sin(math.radians(degrees)))
        across = cosine * self.x - sine * self.y + np.float32(x)
        return _Edges(across, sine * self.x + cosine * self.y + np.float32(y), self.strength)


class PoseReference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the edges of good frames of `rows` x `columns` look like; small and JSON-able. Lengths in grid pixels.

    `across`, `down`: mean sums of edges over the grid's columns and rows, each frame's of unit length. `around`: mean
    histogram over _RINGS x _ANGLES about the centre of gravity, rings `ring` wide. Empty where there are no edges."""

    rows: int
    columns: int
    across: list[float]
    down: list[float]
    around: list[float]
    ring: float

    @classmethod
    def fit(cls, pictures: Sequence[Grey]) -> PoseReference:
        """From good frames, float32[rows, columns] in 0..255. Its zero is where they lie in the middle. Raises
        ValueError for none."""
        if not pictures:
            raise ValueError("no frame to learn the pose of a part from")
        rows, columns = pictures[0].shape
        every = [edges for picture in pictures if (edges := _edges_of(picture)) is not None]
        if 2 * len(every) <= len(pictures):
            return cls(rows=rows, columns=columns, across=[], down=[], around=[], ring=1.0)
        reference = cls._mean(rows, columns, every[:1])
        for _ in range(_PASSES):
            matches = [reference._match(edges) for edges in every]
            laid = [edges.laid(-m.degrees, -m.x, -m.y) for edges, m in zip(every, matches, strict=True)]
            reference = cls._mean(rows, columns, laid)
        shifts = np.array([m.shift() for m in matches])
        x, y = np.median(shifts, axis=0).tolist()
        return cls._mean(rows, columns, [edges.laid(0.0, x, y) for edges in laid])

    @classmethod
    def _mean(cls, rows: int, columns: int, every: Sequence[_Edges]) -> PoseReference:
        down, across = _grid(rows, columns)
        ring = float(np.mean([_ring(edges) for edges in every]))
        return cls(
            rows=rows,
            columns=columns,
            across=_rounded(np.mean([_profile(edges.x, edges.strength, across) for edges in every], axis=0)),
            down=_rounded(np.mean([_profile(edges.y, edges.strength, down) for edges in every], axis=0)),
            around=_rounded(np.mean([_around(edges, ring) for edges in every], axis=0)),
            ring=round(ring, 3),
        )

    def estimate(self, working: Grey, turning: bool = False) -> Pose:
        """The pose of a frame, float32[rows, columns] in 0..255; `UNKNOWN` where there are no edges. turning: parts are
        known to turn, so a small angle is believed as well as none."""
        edges = _edges_of(working) if self.across else None
        if edges is None:
            return UNKNOWN
        match = self._match(edges, 0.0 if turning else _DISTINCT)
        scale = _step(self.rows, self.columns)
        x, y = match.shift()
        confidence = (match.worth - _SURE_FROM) / (_SURE_TO - _SURE_FROM)
        return Pose(x * scale, y * scale, match.degrees, min(1.0, max(0.0, confidence)))

    def align(self, working: Grey, pose: Pose) -> Grey:
        """The frame with its rotation and shift undone; where nothing was seen its border goes on."""
        return moved(working, pose.angle_deg, (pose.shift_x, pose.shift_y))

    def _match(self, edges: _Edges, distinct: float = _DISTINCT) -> _Match:
        """The best of the unturned match and those at the angles that suggest themselves."""
        straight = self._match_turned(edges, 0.0)
        best = straight
        for degrees in self._angles(edges):
            match = self._match_turned(edges, degrees)
            best = match if match.worth > best.worth else best
        return best if best.worth > straight.worth + distinct * (1.0 - straight.worth) else straight

    def _match_turned(self, edges: _Edges, degrees: float) -> _Match:
        back = edges.laid(-degrees, 0.0, 0.0) if degrees else edges
        x, worth_x = _lag(_profile(back.x, back.strength, len(self.across)), self.across)
        y, worth_y = _lag(_profile(back.y, back.strength, len(self.down)), self.down)
        return _Match(degrees, x, y, min(worth_x, worth_y))

    def _angles(self, edges: _Edges) -> list[float]:
        """The angles in degrees at which the edges around their centre look most like the reference's."""
        mine = np.fft.rfft(_around(edges, self.ring).reshape(_RINGS, _ANGLES))
        usual = np.fft.rfft(np.array(self.around, np.float32).reshape(_RINGS, _ANGLES))
        alike = np.fft.irfft((mine * usual.conj()).sum(0), _ANGLES)
        circle = np.concatenate([alike[-1:], alike, alike[:1]])
        peaks = np.flatnonzero((alike > circle[:-2]) & (alike >= circle[2:]))
        highest = peaks[np.argsort(-alike[peaks], kind="stable")][:_PEAKS]
        found = [int(k) + _vertex(alike[k - 1], alike[k], alike[(k + 1) % _ANGLES]) for k in highest.tolist()]
        return [_signed(k * 360.0 / _ANGLES) for k in found]


@dataclass(frozen=True, slots=True)
class _Match:
    """Edges turned back by `degrees` lie (x, y) grid pixels from the reference; `worth`: correlation there."""

    degrees: float
    x: float
    y: float
    worth: float

    def shift(self) -> tuple[float, float]:
        """The shift after the rotation, as `Pose` has it."""
        cosine, sine = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        return cosine * self.x - sine * self.y, sine * self.x + cosine * self.y


def _step(rows: int, columns: int) -> int:
    """Pixels of the working frame to a side of a grid pixel; whole ones are averaged several times as fast."""
    return max(1, round(max(rows, columns) / _SIDE))


def _grid(rows: int, columns: int) -> tuple[int, int]:
    return rows // _step(rows, columns), columns // _step(rows, columns)


def _edges_of(working: Grey) -> _Edges | None:
    """The edges of a frame; None when it has none."""
    step, (rows, columns) = _step(*working.shape), _grid(*working.shape)
    small = blurred(fit_to(working[: rows * step, : columns * step], rows, columns), _SIGMA)
    x = small[1:-1, 2:] - small[1:-1, :-2]
    y = small[2:, 1:-1] - small[:-2, 1:-1]
    gradient = np.sqrt(x * x + y * y)
    ground = max(_CLEAR * float(np.partition(gradient.ravel(), gradient.size // 2)[gradient.size // 2]), _EDGE_LEAST)
    down, across = np.nonzero(gradient > ground)
    if not len(down):
        return None
    middle_y, middle_x = ((side / step - 3) / 2 for side in working.shape)  # of the frame; the gradient has no rim
    strength = gradient[down, across] - np.float32(ground)
    return _Edges((across - middle_x).astype(np.float32), (down - middle_y).astype(np.float32), strength)


def _profile(places: Floats, strength: Floats, length: int) -> Floats:
    """Sums of strength over `length` grid pixels (edges are wider than one); without mean, of unit length."""
    at = (places + np.float32(length / 2 + 1)).astype(np.intp)  # the first and the last bin are what lies outside
    sums = np.bincount(np.clip(at, 0, length + 1, out=at), strength, length + 2)[1:-1]
    return _unit(sums.astype(np.float64, copy=False))


def _around(edges: _Edges, ring: float) -> Floats:
    """Histogram over rings and angles about the centre of gravity: float32[_RINGS * _ANGLES], rings without mean."""
    total = edges.strength.sum()
    x = edges.x - (edges.x @ edges.strength) / total
    y = edges.y - (edges.y @ edges.strength) / total
    rings = np.minimum((np.hypot(x, y) / np.float32(ring)).astype(np.intp), _RINGS)
    angles = np.arctan2(y, x) * np.float32(_ANGLES / (2 * math.pi))
    bins = rings * _ANGLES + (angles + np.float32(_ANGLES / 2)).astype(np.intp) % _ANGLES
    counts = np.bincount(bins, edges.strength, (_RINGS + 1) * _ANGLES)[: _RINGS * _ANGLES].reshape(_RINGS, _ANGLES)
    return _unit((counts - counts.mean(axis=1, keepdims=True)).ravel())


def _ring(edges: _Edges) -> float:
    """Width of a ring: together they reach as far as nineteen in twenty edge points."""
    total = edges.strength.sum()
    x, y = (edges.x @ edges.strength) / total, (edges.y @ edges.strength) / total
    return max(1.0, float(np.percentile(np.hypot(edges.x - x, edges.y - y), 95)) / _RINGS)


def _unit(values: npt.NDArray[np.float64]) -> Floats:
    centred = values - values.sum() / len(values)
    return np.asarray(centred / max(math.sqrt(centred @ centred), 1e-6), np.float32)


def _lag(mine: Floats, usual: Sequence[float]) -> tuple[float, float]:
    """By how many places `mine` lies behind the usual, and their inner product there. Half the length at most."""
    alike = np.correlate(mine, np.array(usual, np.float32), "full")
    length = len(mine)
    reach = length // 2
    near = alike[length - 1 - reach : length + reach]
    best = int(near.argmax())
    between = _vertex(near[best - 1], near[best], near[best + 1]) if 0 < best < len(near) - 1 else 0.0
    return best - reach + between, float(near[best])


def _vertex(before: float, at: float, after: float) -> float:
    """Where between -0.5 and 0.5 the parabola through three values has its top, when the middle one is the highest."""
    bend = float(before) - 2.0 * float(at) + float(after)
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (float(before) - float(after)) / bend))


def _signed(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0


def _rounded(values: npt.NDArray[np.floating]) -> list[float]:
    return [round(float(value), 4) for value in values]
