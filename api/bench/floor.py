"""The floor: what decode, vision net and fused model alone must cost, one thread, nothing in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.decode.door import Door
from ingest.folder.replay_folder import Arrival
from ingest.log.seam import Record
from ingest.messages import Frame, SensorRecord
from ingest.plan.plan import Plan
from ingest.publish import outgoing_of
from ingest.settings import Settings
from models.open import OpenModel, open_model
from vision.eye.notes import EYE_FILE, open_eye
from vision.image import decode
from vision.inspect import eye_feed


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU ms per part of one thread."""

    decode_ms: float
    eye_ms: float
    model_ms: float
    frames: int


def measure_floor(blocks: Sequence[Sequence[Arrival]], shelf: Path, settings: Settings, plan: Plan) -> Floor:
    """Decode every record and image, run each camera's graph, run the largest risk model once a gate."""
    door = Door(settings, plan)
    eyes = {camera.camera_id: open_eye(shelf, camera.camera_id) for line in plan.lines for camera in line.cameras}
    gates = {line.line_id: len(line.gates) for line in plan.lines}
    risk, file, row = _largest(open_model(shelf, "fusion"))
    spent = {"decode": 0.0, "eye": 0.0, "model": 0.0}
    parts = frames = 0
    for block in blocks:
        for arrival in block:
            topic, out = outgoing_of(arrival.message, settings)
            record = Record(out.topic, 0, 0, out.key, out.body, out.headers, int(arrival.received_at))
            began = time.process_time()
            message = door.decode(topic, record)
            spent["decode"] += time.process_time() - began
            if isinstance(message, Frame):
                frames += 1
                began = time.process_time()
                model, notes = eyes[message.camera_id]
                picture = decode(message.body, settings.image_pixels_max, notes.colour)
                feed = eye_feed(picture, model, notes)
                looked = time.process_time()
                model.run(EYE_FILE, feed.inputs)
                spent["decode"] += looked - began
                spent["eye"] += time.process_time() - looked
        if any(isinstance(arrival.message, SensorRecord) for arrival in block):
            parts += 1
            began = time.process_time()
            for _ in range(gates[block[0].message.line_id]):
                risk.run(file, {risk.manifest.files[file].inputs[0].name: row})
            spent["model"] += time.process_time() - began
    per_part = {name: seconds * 1000.0 / max(1, parts) for name, seconds in spent.items()}
    return Floor(per_part["decode"], per_part["eye"], per_part["model"], frames)


def _largest(model: OpenModel) -> tuple[OpenModel, str, np.ndarray]:
    """The fused model with the largest file that takes rows, and one row for it."""
    files = {name: file for name, file in model.manifest.files.items() if file.inputs and name.endswith(".onnx")}
    name = max(files, key=lambda name: files[name].size_bytes)
    width = files[name].inputs[0].shape[-1]
    assert isinstance(width, int)
    return model, name, np.zeros((1, width), dtype=np.float32)
