"""Plug-ins: a user's own backbone or whole model for a camera, as files in a folder named after the camera.

<folder>/<camera_id>/backbone.onnx   or   model.onnx      (with the weights' file beside it, where there is one)
<folder>/<camera_id>/plugin.toml     optional: how to feed and read it
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ingest.errors import BadInput
from vision.guests.backbone import Backbone, BackboneOptions, read_backbone
from vision.guests.foreign import ForeignModel, ForeignOptions, describe_foreign
from vision.guests.guest import BYTES_MAX, SIDE_MAX, SIDE_MIN, has_outside

BACKBONE_FILE, MODEL_FILE, SETTINGS_FILE = "backbone.onnx", "model.onnx", "plugin.toml"
_CELLS = (4, 8)  # working sizes are multiples of 8

_Mean = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]
_Std = Annotated[float, msgspec.Meta(gt=0, le=1000)]
_Side = Annotated[int, msgspec.Meta(ge=SIDE_MIN, le=SIDE_MAX)]
S = TypeVar("S", "BackboneSettings", "ModelSettings")


class BackboneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """plugin.toml beside a backbone: the fields of BackboneOptions."""

    outputs: tuple[str, ...] = BackboneOptions().outputs
    mean: tuple[_Mean, ...] = BackboneOptions().mean
    std: tuple[_Std, ...] = BackboneOptions().std
    cell: int = BackboneOptions().cell
    input_size: tuple[_Side, _Side] | None = None


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """plugin.toml beside a whole model: the fields of ForeignOptions."""

    score: str = ForeignOptions().score
    map: str = ForeignOptions().map
    mean: tuple[_Mean, ...] = ForeignOptions().mean
    std: tuple[_Std, ...] = ForeignOptions().std
    input_size: tuple[_Side, _Side] | None = None


@dataclass(frozen=True, slots=True)
class BackbonePlugin:
    """A backbone as read, with all its weights."""

    file: Path
    options: BackboneOptions
    raw: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def open(self, rows: int, columns: int) -> Backbone:
        """For frames of this working size. Raises BadInput, as read_backbone."""
        return read_backbone(self.raw, rows, columns, self.options, str(self.file))


@dataclass(frozen=True, slots=True)
class ModelPlugin:
    """A whole model as read, with all its weights."""

    file: Path
    options: ForeignOptions
    raw: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def open(self, rows: int, columns: int) -> ForeignModel:
        """For frames of this working size. Raises BadInput, as describe_foreign."""
        return describe_foreign(self.raw, (rows, columns), self.options, str(self.file))


Plugin = BackbonePlugin | ModelPlugin


def read_plugin(folder: Path, camera_id: str) -> Plugin | None:
    """The plug-in of a camera, or None when it has none. Raises BadInput: what is wrong in which file, what to do."""
    own = folder / camera_id
    if camera_id == ".." or own.parent != folder or not own.is_dir():
        return None
    backbone, model, settings = own / BACKBONE_FILE, own / MODEL_FILE, own / SETTINGS_FILE
    if backbone.exists() == model.exists():
        both = "both" if model.exists() else "neither"
        raise BadInput(f"{own}: has {both} of {BACKBONE_FILE} and {MODEL_FILE}; put one there, or remove the folder")
    if backbone.exists():
        chosen = _settings(settings, BackboneSettings)
        if chosen.cell not in _CELLS:
            raise BadInput(f"{settings}: cell = {chosen.cell}, it may be {' or '.join(map(str, _CELLS))}")
        return BackbonePlugin(backbone, BackboneOptions(**msgspec.structs.asdict(chosen)), read_whole(backbone))
    of_model = _settings(settings, ModelSettings)
    return ModelPlugin(model, ForeignOptions(**msgspec.structs.asdict(of_model)), read_whole(model))


def unused_plugins(folder: Path, camera_ids: Iterable[str]) -> list[str]:
    """Folders that are no camera's: one of them may be a name misspelt."""
    if not folder.is_dir():
        return []
    return sorted({own.name for own in folder.iterdir() if own.is_dir()} - set(camera_ids))


def read_whole(path: Path) -> bytes:
    """An ONNX file with the weights that lie beside it, as torch writes them (`model.onnx.data`), in one piece.

    Raises BadInput when it cannot be read, is too large, or its weights are missing or outside its folder.
    """
    try:
        size = sum(file.stat().st_size for file in path.parent.glob("*") if file.is_file())
        if size > BYTES_MAX:
            raise BadInput(f"{path.parent}: {size} bytes in all, at most {BYTES_MAX} are taken; use a smaller network")
        raw = path.read_bytes()
        model = onnx.load_model_from_string(raw)
        if not has_outside(model):
            return raw
        onnx.load_external_data_for_model(model, str(path.parent))
    except OSError as error:
        raise BadInput(f"{error.filename or path}: cannot be read ({error.strerror or error})") from error
    except (DecodeError, UnicodeDecodeError):
        return raw  # the guest's own check says it better
    except (onnx.checker.ValidationError, ValueError) as error:
        line = (str(error).splitlines() or [""])[0][:200]
        raise BadInput(
            f"{path}: its weights are not all beside it ({line}); copy the exported .data file too"
        ) from error
    whole: bytes = model.SerializeToString(deterministic=True)
    return whole


def _settings(path: Path, kind: type[S]) -> S:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return kind()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        fields = ", ".join(kind.__struct_fields__)
        raise BadInput(f"{path}: {error}; its keys are {fields}") from error
