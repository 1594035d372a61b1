"""Blobs: frames, heatmaps and the evidence behind verdicts, in a folder or in any store that fsspec reaches by URL."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import fsspec

from ingest.errors import LogUnavailable, QcfuseError


class BlobGone(QcfuseError):
    """There is no such blob (any more): never written, or taken by retention."""


class Blobs:
    """A flat namespace of relative names. Writing the same name with the same bytes again changes nothing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._folder = Path(url.removeprefix("file://")) if "://" not in url or url.startswith("file://") else None
        self._made: set[Path] = set()

    def put(self, name: str, body: bytes) -> None:
        """Write one blob whole or not at all. Raises LogUnavailable when the store is full or away."""
        try:
            if self._folder is None:
                with fsspec.open(f"{self.url.rstrip('/')}/{name}", "wb") as file:
                    file.write(body)
            else:
                self._write(self._folder / name, body)
        except OSError as error:
            raise LogUnavailable(f"{self.url}: cannot write blob {name} ({error}); free space or mend it") from error

    def _write(self, path: Path, body: bytes) -> None:
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        half = path.with_name(f"{path.name}.{os.getpid()}.half")
        half.write_bytes(body)
        half.replace(path)

    def get(self, name: str) -> bytes:
        """Read one blob. Raises BlobGone."""
        try:
            if self._folder is None:
                with fsspec.open(f"{self.url.rstrip('/')}/{name}", "rb") as file:
                    body: bytes = file.read()
                    return body
            path = (self._folder / name).resolve()
            if not path.is_relative_to(self._folder.resolve()):
                raise BlobGone(f"{name}: not a name of a blob")
            return path.read_bytes()
        except OSError as error:
            raise BlobGone(f"{self.url}: no blob {name}") from error


def blob_name(kind: str, identity: str, suffix: str) -> str:
    """A name that is the same for the same thing, safe in any store, spread over 256 folders."""
    digest = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
    return f"{kind}/{digest[:2]}/{digest}{suffix}"
