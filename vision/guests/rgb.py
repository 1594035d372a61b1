"""The picture a network expects, from the frame an eye is given: planes in 0..1, of a size of its own, normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.eye.export import GraphPen

#: From grey Y, R - G and (R + G) / 2 - B back to red, green, blue: with Y = .299 R + .587 G + .114 B (ITU-R BT.601),
#: G = Y - .356 (R - G) + .114 ((R + G) / 2 - B).
_TO_RGB = np.array([[1, 0.644, 0.114], [1, -0.356, 0.114], [1, 0.144, -0.886]], np.float32)


def picture_nodes(pen: GraphPen, frame: str, shape: tuple[int, int], channels: int, chroma: str | None = None) -> str:
    """float32[1, channels, rows, columns] in 0..1, red first, from `frame`: float32[rows, columns] in 0..255.

    channels: 1 or 3. chroma: float32[2, h, w], red less green and yellow less blue (vision/image.py), enlarged to the
    frame; without it the three planes are the same grey.
    """
    grey = pen.node("Reshape", pen.node("Mul", frame, pen.constant(1 / 255)), pen.integers(1, 1, *shape))
    if channels == 1:
        return grey
    if chroma is None:
        return pen.node("Expand", grey, pen.integers(1, channels, *shape))
    tint = pen.node("Unsqueeze", pen.node("Mul", chroma, pen.constant(1 / 255)), pen.integers(0))
    planes = pen.node("Concat", grey, resized(pen, tint, (1, 2, *shape)), axis=1)
    coloured = pen.node("Conv", planes, pen.constant(_TO_RGB[:, :, None, None]))
    return pen.node("Clip", coloured, pen.constant(0.0), pen.constant(1.0))


def normalised(pen: GraphPen, picture: str, mean: Sequence[float], std: Sequence[float]) -> str:
    """(picture - mean) / std, a number for each plane or one for all."""
    shifted = pen.node("Sub", picture, pen.constant(np.reshape(mean, (1, -1, 1, 1))))
    return pen.node("Div", shifted, pen.constant(np.reshape(std, (1, -1, 1, 1))))


def resized(pen: GraphPen, planes: str, shape: tuple[int, int, int, int]) -> str:
    """Linear interpolation between the centres of pixels."""
    sizes = pen.integers(*shape)
    return pen.node("Resize", planes, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
