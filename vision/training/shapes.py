"""The outlines of painted defects: how much of a pixel a blob, a line, a crack, an edge or a dent takes.

Drawn at random; all give float32[rows, columns]. Lengths are shares of the frame's `side`, the root of its area.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vision.image import Grey, polyline, stretched

Shape = tuple[int, int]
Random = np.random.Generator

_CRACK_BRANCHES = (0, 0, 1, 2)


def between(rng: Random, low: float, high: float) -> float:
    """Drawn evenly on a logarithm: small and large are as likely per octave."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def side_of(shape: Shape) -> float:
    return math.sqrt(shape[0] * shape[1])


def blob(rng: Random, shape: Shape, radii: tuple[float, float], rough: float, centre: tuple[float, float]) -> Grey:
    """A spot of a ragged outline. `radii`: least and greatest, shares of the side. `centre`: x, y in pixels."""
    radius = max(between(rng, *radii) * side_of(shape), 0.6)
    aspect = math.exp(rng.uniform(-0.5, 0.5))
    along, across = _axes(rng.uniform(0, math.pi), shape, centre)
    distance = np.sqrt((along / (radius * aspect)) ** 2 + (across / (radius / aspect)) ** 2)
    distance += np.float32(rough) * cloud(rng, shape, max(3.0, 0.6 * radius))
    return _ramp(1 - distance, rng.uniform(0.05, 0.5))


def anywhere(rng: Random, shape: Shape) -> tuple[float, float]:
    """A point x, y of the frame."""
    return rng.uniform(0, shape[1]), rng.uniform(0, shape[0])


def at_rim(rng: Random, shape: Shape) -> tuple[float, float]:
    """A point x, y within a thirtieth of the side of one of the four rims."""
    x, y = anywhere(rng, shape)
    depth = rng.uniform(0, side_of(shape) / 30)
    rows, columns = shape
    rims = ((x, depth), (x, rows - 1 - depth), (depth, y), (columns - 1 - depth, y))
    return rims[int(rng.integers(4))]


def line(rng: Random, shape: Shape) -> Grey:
    """A scratch: long, smooth, maybe bent."""
    side = side_of(shape)
    points = _walk(rng, between(rng, 0.04, 0.65) * side, 0.25 * rng.uniform(0, 1), anywhere(rng, shape))
    return polyline(*shape, points, between(rng, 0.7, max(0.014 * side, 0.8)))


def crack(rng: Random, shape: Shape) -> Grey:
    """Thin, jagged, maybe branched; it fades along its length."""
    side = side_of(shape)
    length, width = between(rng, 0.08, 0.6) * side, between(rng, 0.5, max(0.007 * side, 0.6))
    points = _walk(rng, length, rng.uniform(0.2, 0.7), anywhere(rng, shape))
    alpha = polyline(*shape, points, width)
    for _ in range(int(rng.choice(_CRACK_BRANCHES))):
        start = points[int(rng.integers(len(points)))]
        twig = _walk(rng, length * rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.7), (0.0, 0.0))
        alpha = np.maximum(alpha, polyline(*shape, twig - twig[0] + start, 0.8 * width))
    fading = np.clip(0.8 + 0.4 * cloud(rng, shape, 0.06 * side), 0.2, 1)
    return np.asarray(alpha * fading, np.float32)


def edge(rng: Random, shape: Shape) -> Grey:
    """A wavy edge: full on one side and fading away from it, maybe of limited length."""
    rows, columns = shape
    side = side_of(shape)
    centre = rng.uniform(0.15, 0.85) * columns, rng.uniform(0.15, 0.85) * rows
    across, along = _axes(rng.uniform(0, 2 * math.pi), shape, centre)
    across = across + np.float32(rng.uniform(0, 0.05) * side) * cloud(rng, shape, 0.16 * side)
    faded = np.exp(-np.maximum(across, 0) / np.float32(between(rng, 0.04, 0.3) * side))
    alpha = _ramp(across, max(rng.uniform(0.004, 0.025) * side, 0.5)) * faded
    if rng.random() < 0.5:
        alpha = alpha * _ramp(np.float32(rng.uniform(0.1, 0.35) * side) - np.abs(along), max(0.08 * side, 1.0))
    return np.asarray(alpha, np.float32)


def dent(rng: Random, shape: Shape) -> Grey:
    """What light from one side makes of a dimple or a bump: bright on one flank, dark on the other (-1..1).

    The first derivative of a Gaussian, scaled to an extreme of 1."""
    sigma = max(between(rng, 0.012, 0.07) * side_of(shape), 0.8)
    aspect = math.exp(rng.uniform(-0.6, 0.6))
    along, across = _axes(rng.uniform(0, 2 * math.pi), shape, anywhere(rng, shape))
    u, v = along / (sigma * aspect), across / (sigma / aspect)
    return np.asarray(u * np.exp(np.float32(0.5) - (u**2 + v**2) / 2), np.float32)


def cloud(rng: Random, shape: Shape, size: float) -> Grey:
    """Smooth noise of about unit variance whose lumps are `size` pixels."""
    rows, columns = (max(2, int(length / size) + 3) for length in shape)
    return stretched(rng.standard_normal((rows, columns), np.float32), *shape)


def _walk(rng: Random, length: float, wander: float, centre: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Points x, y of a line about `centre` whose direction drifts by `wander` radians (rms) every four pixels."""
    steps = max(4, int(length / 4))
    angles = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, wander, steps))
    points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * length / steps, axis=0)
    return np.asarray(points - points.mean(0) + np.array(centre), np.float64)


def _axes(angle: float, shape: Shape, centre: tuple[float, float]) -> tuple[Grey, Grey]:
    """Coordinates of each pixel along and across a direction through `centre`, in pixels."""
    x = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(centre[0])
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(centre[1])
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return cosine * x + sine * y, cosine * y - sine * x


def _ramp(height: Grey, softness: float) -> Grey:
    """0 below, 1 above, a slope of width `softness` about zero."""
    return np.asarray(np.clip(height / np.float32(softness) + np.float32(0.5), 0, 1), np.float32)
