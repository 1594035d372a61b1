"""Draws camera frames of the simulated plant: a scene in, an encoded grey JPEG out. Drawing is all cv2 is used for."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from ingest.simulate.plant import stream

Canvas = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

SUBPIXEL = 4  # binary places of a pixel that cv2 draws with: parts never lie on the pixel grid
JPEG_QUALITY = 90  # what plants use: artefacts stay below the sensor's noise
FIELD_PX = 1024  # side of the precomputed textures; each part is cut out of another place of them
TEXTURE_CONTRAST = 0.04  # standard deviation of the surface, relative to its brightness
SIZES = {"face": (320, 256), "side": (256, 256), "cover": (256, 256)}  # width, height


@dataclass(frozen=True, slots=True)
class Scene:
    """One part before one camera. Lengths in pixels, angles in radians, contrasts in grey levels.

    `gain`, `tilt`: brightness of the lighting and its slope across the frame. `dirt`: 0 clean lens, 1 dirty.
    """

    camera_id: str
    second: bool
    gain: float
    tilt: float
    dirt: float
    offset_x: float = 0.0
    offset_y: float = 0.0
    burr: float = 0.0
    pits: int = 0
    scratch: float = 0.0


@dataclass(frozen=True)
class Studio:
    """Textures and lens dirt of a plant, drawn once; `photograph` makes the frames."""

    seed: int
    grain: Field = field(init=False, repr=False)
    brushed: Field = field(init=False, repr=False)
    milled: Field = field(init=False, repr=False)
    noise: Field = field(init=False, repr=False)
    dirt: dict[str, Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = stream(self.seed, "studio")
        set_field = object.__setattr__
        set_field(self, "noise", rng.standard_normal((FIELD_PX, FIELD_PX), dtype=np.float32))
        set_field(self, "grain", _texture(rng, 1.6, 1.6))
        set_field(self, "brushed", _texture(rng, 0.7, 9.0))
        set_field(self, "milled", _milling_marks(rng))
        set_field(self, "dirt", {camera: _dirt(rng, *size) for camera, size in SIZES.items()})

    def photograph(self, scene: Scene, rng: np.random.Generator) -> bytes:
        """The frame as JPEG. The same scene, studio and generator give the same bytes."""
        width, height = SIZES[scene.camera_id]
        pose = _Pose(rng, width, height)
        canvas = np.full((height, width), 26, dtype=np.uint8)
        texture = {"face": _draw_face, "side": _draw_side, "cover": _draw_cover}[scene.camera_id](
            self, canvas, scene, pose, rng
        )
        light = canvas.astype(np.float32)
        light += _cut(texture, rng, width, height) * (light * (TEXTURE_CONTRAST * rng.uniform(0.8, 1.2)))
        slope = np.linspace(-scene.tilt, scene.tilt, width, dtype=np.float32) + np.float32(scene.gain)
        light *= slope[None, :]
        if scene.dirt > 0.0:
            light *= 1.0 - np.float32(scene.dirt) * self.dirt[scene.camera_id]
        cv2.GaussianBlur(light, (3, 3), 0.7, dst=light)
        light += _cut(self.noise, rng, width, height) * np.float32(2.2)
        frame = np.clip(light, 0.0, 255.0).astype(np.uint8)
        return bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])


class _Pose:
    """Where the part lies under the camera: grippers repeat to about a pixel and a third of a degree."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self.x, self.y = width / 2 + rng.normal(0.0, 0.9), height / 2 + rng.normal(0.0, 0.9)
        angle = rng.normal(0.0, 0.005)
        self.turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def place(self, points: Points) -> Points:
        """Part coordinates (centre 0, 0) -> pixels."""
        return np.asarray(points @ self.turn + (self.x, self.y), dtype=np.float64)


def _fixed(points: Points) -> npt.NDArray[np.int32]:
    return np.rint(points * (1 << SUBPIXEL)).astype(np.int32)


def _polygon(canvas: Canvas, pose: _Pose, points: Points, level: float) -> None:
    cv2.fillPoly(canvas, [_fixed(pose.place(points))], float(level), cv2.LINE_AA, SUBPIXEL)


def _disc(canvas: Canvas, pose: _Pose, x: float, y: float, radius: float, level: float) -> None:
    centre = _fixed(pose.place(np.array([[x, y]])))[0]
    size = round(radius * (1 << SUBPIXEL))
    cv2.circle(canvas, (int(centre[0]), int(centre[1])), size, float(level), -1, cv2.LINE_AA, SUBPIXEL)


def _box(canvas: Canvas, pose: _Pose, x: float, y: float, half_w: float, half_h: float, level: float) -> None:
    corners = np.array([[-half_w, -half_h], [half_w, -half_h], [half_w, half_h], [-half_w, half_h]])
    _polygon(canvas, pose, corners + np.array([x, y]), level)


def _draw_face(studio: Studio, canvas: Canvas, scene: Scene, pose: _Pose, rng: np.random.Generator) -> Field:
    """The milled face: plate, cast boss with the bore in it, four bolt holes (six on the second product)."""
    metal = 150 + rng.normal(0.0, 2.5)
    _box(canvas, pose, 0, 0, 132, 100, metal)
    _burr(canvas, scene.burr, pose, rng, metal)
    _pits(canvas, scene.pits, pose, rng, metal)
    _disc(canvas, pose, 0, 0, 47, metal - 34)
    _disc(canvas, pose, 0, 0, 44, metal + 14)
    _disc(canvas, pose, scene.offset_x, scene.offset_y, 32, metal + 48)
    _disc(canvas, pose, scene.offset_x, scene.offset_y, 30, 22)
    holes = [(-106, -74), (106, -74), (-106, 74), (106, 74)] + ([(-92, 0), (92, 0)] if scene.second else [])
    for x, y in holes:
        _disc(canvas, pose, x, y, 12.5, metal + 30)
        _disc(canvas, pose, x, y, 10.5, 30)
    return studio.milled


def _burr(canvas: Canvas, height_px: float, pose: _Pose, rng: np.random.Generator, metal: float) -> None:
    """A ragged bright fringe over the upper or lower edge of the face, where the cutter leaves the metal."""
    if height_px < 0.25:  # less than an antialiased edge shows
        return
    length = rng.uniform(28.0, 80.0) if height_px > 2.0 else rng.uniform(15.0, 50.0)
    start = rng.uniform(-120.0, 120.0 - length)
    side = -1.0 if rng.random() < 0.75 else 1.0
    along = np.arange(start, start + length, 2.5)
    envelope = np.sin(np.pi * (along - start) / length) ** 0.4
    rag = height_px * envelope * rng.uniform(0.45, 1.3, len(along))
    outer = np.column_stack([along, side * (100.0 + rag)])
    inner = np.column_stack([along[::-1], np.full(len(along), side * (100.0 - 0.35 * height_px))])
    _polygon(canvas, pose, np.concatenate([outer, inner]), metal + 62.0 * min(height_px / 2.5, 1.0))


def _pits(canvas: Canvas, count: int, pose: _Pose, rng: np.random.Generator, metal: float) -> None:
    """Pores that the cutter opened: dark holes with a bright rim to the light, in a cluster when the lot is bad."""
    centre_x, centre_y = rng.uniform(-100.0, 100.0), rng.choice([-1.0, 1.0]) * rng.uniform(54.0, 82.0)
    largest = rng.uniform(2.2, 3.6) if count > 1 else 1.7
    for _ in range(count):
        x, y = centre_x + rng.normal(0.0, 14.0), centre_y + rng.normal(0.0, 7.0)
        radius = rng.uniform(0.9, largest)
        _disc(canvas, pose, x + 0.6, y + 0.6, radius + 0.7, metal + 30)
        _disc(canvas, pose, x, y, radius, metal - rng.uniform(60.0, 105.0))


def _draw_side(studio: Studio, canvas: Canvas, scene: Scene, pose: _Pose, rng: np.random.Generator) -> Field:
    """The housing's side: brushed wall, two ribs, the pressed bush below."""
    wall = 138 + rng.normal(0.0, 2.5)
    _box(canvas, pose, 0, 0, 104, 112, wall)
    for x in (-52.0, 52.0) if not scene.second else (-64.0, 0.0, 64.0):
        _box(canvas, pose, x, -34, 7.5, 70, wall + 28)
        _box(canvas, pose, x + 9, -34, 1.6, 70, wall - 42)
    _disc(canvas, pose, 0, 70, 31, wall - 46)
    _disc(canvas, pose, 0, 70, 28, wall + 42)
    _disc(canvas, pose, 0, 70, 18, 30)
    _scratch(canvas, scene.scratch, pose, rng, 92.0, 98.0)
    return studio.brushed


def _draw_cover(studio: Studio, canvas: Canvas, scene: Scene, pose: _Pose, rng: np.random.Generator) -> Field:
    """The plastic cover: rim, four screws turned as they came to rest, a moulded field (two on the second product)."""
    plastic = 112 + rng.normal(0.0, 2.5)
    _box(canvas, pose, 0, 0, 110, 110, plastic + 16)
    _box(canvas, pose, 0, 0, 102, 102, plastic)
    for x in (-34.0, 34.0) if scene.second else (0.0,):
        _box(canvas, pose, x, 0, 27, 38, plastic - 24)
        _box(canvas, pose, x, 0, 24.5, 35.5, plastic + 8)
    for x, y in ((-82, -82), (82, -82), (-82, 82), (82, 82)):
        _disc(canvas, pose, x, y, 14.5, plastic - 45)
        _disc(canvas, pose, x, y, 12.5, 186 + rng.normal(0.0, 4.0))
        _torx(canvas, pose, x, y, rng.uniform(0.0, np.pi / 3))
    _scratch(canvas, scene.scratch, pose, rng, 96.0, 96.0)
    return studio.grain


def _torx(canvas: Canvas, pose: _Pose, x: float, y: float, angle: float) -> None:
    around = np.linspace(0.0, 2 * np.pi, 36, endpoint=False)
    radius = 5.6 + 1.5 * np.cos(6 * (around - angle))
    _polygon(canvas, pose, np.column_stack([x + radius * np.cos(around), y + radius * np.sin(around)]), 48)


def _scratch(
    canvas: Canvas, contrast: float, pose: _Pose, rng: np.random.Generator, half_w: float, half_h: float
) -> None:
    """A thin, slightly bent line, bright where the light falls in and dark along its other edge."""
    if contrast <= 0.0:
        return
    length = rng.uniform(34.0, 100.0) if contrast > 15.0 else rng.uniform(12.0, 40.0)
    angle, bend = rng.uniform(0.0, np.pi), rng.normal(0.0, 0.12)
    step = np.linspace(-0.5, 0.5, 9)
    path = np.column_stack([step * length, bend * length * (step**2)])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    reach_w, reach_h = half_w - length / 2.2, half_h - length / 2.2
    path = path @ turn + (rng.uniform(-reach_w, reach_w), rng.uniform(-reach_h, reach_h))
    mark = np.zeros_like(canvas)
    shadow = np.zeros_like(canvas)
    cv2.polylines(mark, [_fixed(pose.place(path))], False, float(contrast), 2, cv2.LINE_AA, SUBPIXEL)
    cv2.polylines(shadow, [_fixed(pose.place(path) + 1.6)], False, float(contrast * 0.5), 1, cv2.LINE_AA, SUBPIXEL)
    cv2.add(canvas, mark, dst=canvas)
    cv2.subtract(canvas, shadow, dst=canvas)


def _cut(texture: Field, rng: np.random.Generator, width: int, height: int) -> Field:
    x, y = int(rng.integers(FIELD_PX - width)), int(rng.integers(FIELD_PX - height))
    return texture[y : y + height, x : x + width]


def _texture(rng: np.random.Generator, sigma_x: float, sigma_y: float) -> Field:
    """Unit-variance noise with a grain of so many pixels."""
    rough = rng.standard_normal((FIELD_PX, FIELD_PX), dtype=np.float32)
    grain = cv2.GaussianBlur(rough, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    return np.asarray(grain / grain.std(), dtype=np.float32)


def _milling_marks(rng: np.random.Generator) -> Field:
    """Arcs that a face mill of 700 px radius leaves at its feed per turn, uneven from tooth to tooth, plus grain."""
    y, x = np.mgrid[0:FIELD_PX, 0:FIELD_PX].astype(np.float32)
    along = x - np.sqrt(np.maximum(700.0**2 - (y - FIELD_PX / 2) ** 2, 0.0)).astype(np.float32)
    teeth = 0.8 * np.sin(2 * np.pi * along / 7.3) + 0.5 * np.sin(2 * np.pi * along / 29.2 + 1.0)
    marks = teeth.astype(np.float32) + 0.7 * _texture(rng, 1.2, 1.2)
    return np.asarray(marks / marks.std(), dtype=np.float32)


def _dirt(rng: np.random.Generator, width: int, height: int) -> Field:
    """Share of light that specks on the lens take away: out of focus, always at the same place of the frame."""
    specks = np.zeros((height, width), dtype=np.float32)
    for _ in range(3):
        centre = (int(rng.integers(20, width - 20)), int(rng.integers(20, height - 20)))
        cv2.circle(specks, centre, int(rng.integers(5, 10)), float(rng.uniform(0.10, 0.22)), -1)
    return np.asarray(cv2.GaussianBlur(specks, (0, 0), 3.5), dtype=np.float32)
