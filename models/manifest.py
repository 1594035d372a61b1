"""What a model on the shelf says of itself: `manifest.json`, written by `save_model`, checked by `open_model`."""

from __future__ import annotations

from typing import Any, Literal

from ingest.messages import Instant, Message

MANIFEST_FILE = "manifest.json"
CARD_FILE = "card.md"


class TrainedOn(Message, frozen=True, kw_only=True):
    """The parts, frames and batches a model learned from, and the time they span."""

    parts: int = 0
    frames: int = 0
    batches: int = 0
    since: Instant | None = None
    until: Instant | None = None


class Tensor(Message, frozen=True, kw_only=True):
    """One input or output of an ONNX file: `kind` is ONNX's type (`tensor(float)`), a free axis its name or null."""

    name: str
    kind: str
    shape: list[int | str | None]


class ModelFile(Message, frozen=True, kw_only=True):
    """One file of a model; `inputs` and `outputs` only of ONNX files."""

    sha256: str
    size_bytes: int
    inputs: list[Tensor]
    outputs: list[Tensor]


class Manifest(Message, frozen=True, kw_only=True):
    """One version of one model. It holds no time of making, so that equal training gives an equal hash.

    `features`: names of the model's inputs in the order in which it takes them. `notes`: what its room needs to use it.
    """

    manifest: Literal[1] = 1
    name: str
    version: str
    kind: Literal["vision", "fusion"]
    files: dict[str, ModelFile]
    features: list[str]
    threshold: float | None
    trained_on: TrainedOn
    libraries: dict[str, str]
    notes: dict[str, Any]
