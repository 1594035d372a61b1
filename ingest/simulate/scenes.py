"""What a camera is looking at: the part's state, the drifting light, and the dirt that settles on the lens."""

from __future__ import annotations

import zlib

import numpy as np

from ingest.simulate.covers import Covers
from ingest.simulate.housings import Housings
from ingest.simulate.plant import CameraPlace
from ingest.simulate.render import Scene

LIGHT_SWING = 0.05  # of the lamp's brightness over its period
TILT = 0.03  # slope of the light across the frame, left to right
DIRT_CYCLE_FRAMES, DIRT_FROM, DIRT_GROWS_FRAMES = 520, 400, 40  # a lens is wiped once in so many frames


def scene_of(line: object, camera: CameraPlace, part: int, place: int, at_ms: int) -> Scene:
    """The scene of one part. `place`: the frame's number at this camera; `at_ms`: when it is taken."""
    turn = 2 * np.pi * at_ms / (1000.0 * camera.period_s)
    gain = 1.0 + LIGHT_SWING * float(np.sin(turn))
    tilt = TILT * float(np.sin(turn / 1.7 + 1.0))
    dirt = dirt_at(camera.camera_id, place)
    if isinstance(line, Housings):
        state = line.state
        second = bool(state.second[part])
        if camera.camera_id == "face":
            offset_x, offset_y = float(state.offset_x_px[part]), float(state.offset_y_px[part])
            burr, pits = float(state.burr_px[part]), int(state.pits[part])
            return Scene("face", second, gain, tilt, dirt, offset_x, offset_y, burr=burr, pits=pits)
        return Scene("side", second, gain, tilt, dirt, scratch=float(state.scratch[part]))
    if isinstance(line, Covers):
        second, scratch = bool(line.state.second[part]), float(line.state.scratch[part])
        return Scene("cover", second, gain, tilt, dirt, scratch=scratch)
    raise TypeError(type(line))


def dirt_at(camera_id: str, place: int) -> float:
    """0 while the lens is clean, 1 when dirty: it settles late in each cycle and stays until somebody wipes it."""
    age = (place + zlib.crc32(camera_id.encode()) % 100) % DIRT_CYCLE_FRAMES
    return float(np.clip((age - DIRT_FROM) / DIRT_GROWS_FRAMES, 0.0, 1.0))
