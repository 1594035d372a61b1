"""What an eye's manifest keeps beside its graph: how to feed it and how to read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ingest.errors import ModelRefused
from models.manifest import Manifest
from models.open import OpenModel, open_model
from models.places import live_names
from vision.eye.detail import DETAIL_FILE, TilePlan
from vision.eye.graph import EYE_OUTPUTS, TAUGHT_OUTPUTS
from vision.eye.looks import CHROMA, DETAIL, INPUT, Optics
from vision.eye.posing import Posing
from vision.fitness import Limit

EYE_FILE = "eye.onnx"


class EyeNotes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`threshold`: of the score. `box_cut`: a map value above it is part of a box. `limits`: of each measure.

    `asked`, `promised`, `held_out_frames`: the share of good frames flagged that was wanted, and that so many allow.
    `scorers`: what the score is the mean of, `score_means` and `score_spreads` of each on held-out good frames.
    `kinds`: kinds of defect it was taught, in the order of the graph.
    `posing`: how the part lies, where it shows."""

    rows: int
    columns: int
    colour: bool
    detail: int = 0
    posing: Posing | None = None
    scorers: list[str]
    score_means: list[float] = []
    score_spreads: list[float] = []
    kinds: list[str] = []
    threshold: float
    box_cut: float
    limits: dict[str, Limit]
    asked: float
    promised: float
    held_out_frames: int

    @property
    def optics(self) -> Optics:
        return Optics(self.rows, self.columns, self.colour, self.detail)

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def eye_name(camera_id: str, product: str = "") -> str:
    """The name on the shelf of the eye that all products of a camera share, or of a product's own."""
    return f"vision-{eye_of(camera_id, product)}"


def eye_of(camera_id: str, product: str = "") -> str:
    """`camera` or `camera@product`. An @ within either is escaped, so that no two eyes have one name."""
    camera, own = (text.replace("%", "%25").replace("@", "%40") for text in (camera_id, product))
    return f"{camera}@{own}" if own else camera


def cameras_with_eyes(shelf: Path) -> list[str]:
    """The cameras that have a live eye on the shelf, their own or a product's, sorted."""
    prefix = eye_name("")
    eyes = {name.removeprefix(prefix).split("@")[0] for name in live_names(shelf) if name.startswith(prefix)}
    return sorted(eye.replace("%40", "@").replace("%25", "%") for eye in eyes)


def products_of(shelf: Path, camera_id: str) -> list[str]:
    """The products of a camera that have an eye of their own on the shelf, sorted."""
    prefix = f"{eye_name(camera_id)}@"
    own = [name.removeprefix(prefix) for name in live_names(shelf) if name.startswith(prefix)]
    return sorted(text.replace("%40", "@").replace("%25", "%") for text in own)


def read_notes(manifest: Manifest) -> EyeNotes:
    """Raises ModelRefused when the notes are not an eye's of this version."""
    try:
        return msgspec.convert(manifest.notes, EyeNotes)
    except msgspec.ValidationError as error:
        raise ModelRefused(f"{manifest.name} {manifest.version}: notes of another kind of eye ({error})") from error


def open_eye(shelf: Path, camera_id: str, product: str = "") -> tuple[OpenModel, EyeNotes]:
    """The live eye of a camera, or of one of its products. Raises ModelRefused, also when the graph is not an eye."""
    model = open_model(shelf, eye_name(camera_id, product))
    notes = read_notes(model.manifest)
    eye = model.manifest.files.get(EYE_FILE)
    outputs = [*EYE_OUTPUTS, *TAUGHT_OUTPUTS] if notes.kinds else list(EYE_OUTPUTS)
    if eye is None or [t.name for t in eye.outputs] != outputs:
        raise ModelRefused(f"{model.manifest.name} {model.manifest.version}: its {EYE_FILE} is not an eye; retrain")
    optics = notes.optics
    shapes = {INPUT: [optics.rows, optics.columns]}
    if optics.colour:
        shapes[CHROMA] = [2, *optics.grid(optics.fine)]
    if optics.detail:
        shapes[DETAIL] = [*optics.grid(optics.fine)]
        tile = model.manifest.files.get(DETAIL_FILE)
        if tile is None or [t.shape for t in tile.inputs] != [[*TilePlan(*optics.detail_shape).tile_shape]]:
            where = f"{model.manifest.name} {model.manifest.version}"
            raise ModelRefused(f"{where}: its {DETAIL_FILE} is not the one of its notes; retrain")
    if {t.name: t.shape for t in eye.inputs} != shapes or model.manifest.threshold != notes.threshold:
        raise ModelRefused(f"{model.manifest.name} {model.manifest.version}: notes and graph disagree; retrain")
    return model, notes
