"""From a decoded picture to what an eye's graph takes. Training and serving both come through here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.eye.looks import CHROMA, DETAIL, INPUT, Optics
from vision.eye.pose import Pose
from vision.eye.posing import Posing
from vision.image import Grey, Picture, fit_to


@dataclass(frozen=True, slots=True)
class Feed:
    """`frame`: float32[rows, columns] in 0..255. `chroma`: float32[2, rows / 4, columns / 4], where the eye sees it.
    `detail`: float32[rows / 4, columns / 4], of large frames the map that was made of them in tiles. `pose`: how the
    part lies, where it shows; `straightened`: the frame is laid straight by it."""

    frame: Grey
    chroma: Grey | None = None
    detail: Grey | None = None
    pose: Pose | None = None
    straightened: bool = False

    @property
    def inputs(self) -> dict[str, npt.NDArray[np.float32]]:
        every = {INPUT: self.frame, CHROMA: self.chroma, DETAIL: self.detail}
        return {name: value for name, value in every.items() if value is not None}


def feed_of(picture: Picture, optics: Optics, posing: Posing | None = None) -> Feed:
    """A picture without colour gives an eye that sees colour grey's own: none."""
    frame = fit_to(picture.grey, optics.rows, optics.columns)
    pose = posing.estimate(frame) if posing is not None else None
    if not optics.colour:
        if posing is None or pose is None:
            return Feed(frame)
        return Feed(posing.straight(frame, pose), pose=pose, straightened=posing.undoes(pose))
    grid = optics.grid(optics.fine)
    if picture.chroma is None:
        return Feed(frame, np.zeros((2, *grid), np.float32), pose=pose)
    return Feed(frame, np.ascontiguousarray(np.moveaxis(fit_to(picture.chroma, *grid), -1, 0)), pose=pose)
