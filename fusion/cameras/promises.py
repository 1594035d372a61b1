"""The rate of false alarms that a camera's eye promises, from the shelf."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ingest.errors import BadInput, ModelRefused
from ingest.messages import Findings
from models.manifest import MANIFEST_FILE, Manifest
from models.places import version_folder
from vision.eye.notes import eye_name, read_notes

USUAL_PROMISE = 0.02  # what an eye is asked for unless told otherwise


class Promises:
    """Looks up what an eye promised. `shelf`: the folder of the models, which need not be on this machine."""

    def __init__(self, shelf: Path) -> None:
        self._shelf = shelf

    def of(self, findings: Findings) -> float:
        """The promise of the eye that gave these findings; USUAL_PROMISE where its manifest is not to be had."""
        model = findings.model
        names = {eye_name(findings.camera_id), eye_name(findings.camera_id, findings.product)}
        if model is None or model.name not in names:
            return USUAL_PROMISE
        try:
            path = version_folder(self._shelf, model.name, model.version) / MANIFEST_FILE
            return read_notes(msgspec.json.decode(path.read_bytes(), type=Manifest)).promised
        except (OSError, msgspec.MsgspecError, ModelRefused, BadInput):
            return USUAL_PROMISE
