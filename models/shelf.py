"""Writing to the shelf: a version is complete and on the disk before anybody sees it, and goes live in one rename."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Literal

from ingest.errors import BadInput
from ingest.messages import encode
from models.manifest import CARD_FILE, MANIFEST_FILE, Manifest, TrainedOn
from models.open import describe, open_model
from models.places import LIVE_FILE, live_names, model_folder, version_folder, versions

_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn")
_SEAL_FILE = Path(MANIFEST_FILE).with_suffix(".sha256").name


def save_model(
    shelf: Path,
    *,
    name: str,
    kind: Literal["vision", "fusion"],
    files: Mapping[str, bytes],
    features: Sequence[str],
    threshold: float | None,
    trained_on: TrainedOn,
    notes: Mapping[str, Any],
    card: str,
) -> Manifest:
    """Put the next version of a model on the shelf and make it live.

    Everything is written to a folder beside, synced, renamed; a crash leaves the old version live.
    Raises BadInput on a file name that is not plain, ModelRefused on an ONNX file that does not open, OSError of
    the disk.
    """
    contents = {**files, CARD_FILE: card.encode()}
    for file in contents:
        if Path(file).name != file or file in (MANIFEST_FILE, _SEAL_FILE) or file.startswith("."):
            raise BadInput(f"model {name}: {file!r} cannot be the name of a file on the shelf")
    folder = model_folder(shelf, name)
    folder.mkdir(parents=True, exist_ok=True)
    described = {file: describe(folder / file, raw) for file, raw in sorted(contents.items())}
    libraries = {library: library_version(library) for library in _LIBRARIES}
    while True:
        manifest = Manifest(
            name=name,
            version=str(max(versions(shelf, name), default=0) + 1),
            kind=kind,
            files=described,
            features=list(features),
            threshold=threshold,
            trained_on=trained_on,
            libraries=libraries,
            notes=dict(notes),
        )
        if _place(version_folder(shelf, name, manifest.version), manifest, contents):
            _point(shelf, name, manifest.version)
            return manifest


def promote(shelf: Path, name: str, version: str) -> Manifest:
    """Make a version live that is on the shelf and opens. Raises ModelRefused, and then the live one stays."""
    manifest = open_model(shelf, name, version).manifest
    _point(shelf, name, version)
    return manifest


def retire(shelf: Path, name: str) -> bool:
    """Leave a model without a live version; its versions stay. False when it had none."""
    pointer = model_folder(shelf, name) / LIVE_FILE
    if not pointer.is_file():
        return False
    pointer.unlink()
    _sync_folder(pointer.parent)
    return True


def adopt(shelf: Path, other: Path, name: str) -> Manifest:
    """Put the live version of a model on another shelf onto this one, as its next version, live.

    Raises ModelRefused when the other does not open, OSError of the disk.
    """
    model = open_model(other, name)
    said = model.manifest
    return save_model(
        shelf,
        name=name,
        kind=said.kind,
        files={file: model.read(file) for file in said.files if file != CARD_FILE},
        features=said.features,
        threshold=said.threshold,
        trained_on=said.trained_on,
        notes=said.notes,
        card=model.read(CARD_FILE).decode(),
    )


def _place(target: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> bool:
    """Write one version; False when another process took its number meanwhile."""
    draft = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    raw = encode(manifest)
    seal = hashlib.sha256(raw).hexdigest().encode() + b"\n"
    try:
        draft.mkdir()
        for file, content in {**contents, MANIFEST_FILE: raw, _SEAL_FILE: seal}.items():
            _write_synced(draft / file, content)
        _sync_folder(draft)
        try:
            draft.rename(target)
        except OSError:
            if target.is_dir():
                return False
            raise
        _sync_folder(target.parent)
        return True
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _point(shelf: Path, name: str, version: str) -> None:
    folder = model_folder(shelf, name)
    draft = folder / f".{LIVE_FILE}.{secrets.token_hex(4)}"
    try:
        _write_synced(draft, f"{version}\n".encode())
        draft.replace(folder / LIVE_FILE)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(folder)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ["adopt", "live_names", "promote", "retire", "save_model"]
