"""What an eye's manifest keeps beside its graph: how to feed it and how to read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ingest.errors import ModelRefused
from models.manifest import Manifest
from models.open import OpenModel, open_model
from vision.detail import DETAIL_FILE, TilePlan
from vision.eye_graph import EYE_OUTPUTS, TAUGHT_OUTPUTS
from vision.fitness import Limit
from vision.looks import CHROMA, DETAIL, INPUT, Optics

EYE_FILE = "eye.onnx"


class EyeNotes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`threshold`: of the score. `box_cut`: a map value above it is part of a box. `limits`: of each measure.

    `asked`, `promised`, `held_out_frames`: the share of good frames flagged that was wanted, and that so many allow.
    `scorers`: what the score is the mean of. `kinds`: kinds of defect it was taught, in the order of the graph."""

    rows: int
    columns: int
    colour: bool
    detail: int = 0
    scorers: list[str]
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


def eye_name(camera_id: str) -> str:
    """The name of a camera's eye on the shelf."""
    return f"vision-{camera_id}"


def read_notes(manifest: Manifest) -> EyeNotes:
    """Raises ModelRefused when the notes are not an eye's of this version."""
    try:
        return msgspec.convert(manifest.notes, EyeNotes)
    except msgspec.ValidationError as error:
        raise ModelRefused(f"{manifest.name} {manifest.version}: notes of another kind of eye ({error})") from error


def open_eye(shelf: Path, camera_id: str) -> tuple[OpenModel, EyeNotes]:
    """A camera's live eye. Raises ModelRefused, also when the graph is not an eye."""
    model = open_model(shelf, eye_name(camera_id))
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
