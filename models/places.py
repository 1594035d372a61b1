"""Where things lie on the shelf: `shelf/<name>/<version>/` with `shelf/<name>/live` naming the version in use."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from ingest.errors import BadInput, ModelRefused

LIVE_FILE = "live"
_FOLDER_BYTES_MAX = 200  # file systems allow 255; the rest is for the temporary name beside it


def model_folder(shelf: Path, name: str) -> Path:
    """The folder of one model. A camera's id is somebody else's text, so all but plain characters are escaped."""
    folder = quote(name, safe="-_ ").replace("~", "%7E").replace(".", "%2E")
    if not folder or len(folder) > _FOLDER_BYTES_MAX:
        raise BadInput(f"model name {name[:60]!r}: empty or too long to be a folder of the shelf")
    return shelf / folder


def model_name(folder: Path) -> str:
    """The name whose folder this is."""
    return unquote(folder.name)


def version_folder(shelf: Path, name: str, version: str) -> Path:
    """The folder of one version. Raises ModelRefused when `version` is not a number."""
    if not version.isascii() or not version.isdigit():
        raise ModelRefused(f"{model_folder(shelf, name)}: version {version[:20]!r} is not a number")
    return model_folder(shelf, name) / version


def live_version(shelf: Path, name: str) -> str:
    """The version in use. Raises ModelRefused when there is none."""
    pointer = model_folder(shelf, name) / LIVE_FILE
    try:
        version = pointer.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = "" if isinstance(error, FileNotFoundError) else f" ({type(error).__name__})"
        raise ModelRefused(f"{pointer}: no live version of {name}{why}; train or promote") from error
    version_folder(shelf, name, version)
    return version


def versions(shelf: Path, name: str) -> list[int]:
    """The version numbers of a model, ascending; empty when there is none."""
    folder = model_folder(shelf, name)
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdigit())


def live_names(shelf: Path) -> list[str]:
    """Names of all models that have a live version, sorted; empty when the shelf is not there."""
    if not shelf.is_dir():
        return []
    return sorted(model_name(pointer.parent) for pointer in shelf.glob(f"*/{LIVE_FILE}"))
