"""Blobs: frames, heatmaps and the evidence behind verdicts, in a folder or in any store that fsspec reaches by URL."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec

from ingest.errors import LogUnavailable, QcfuseError

_CHANGES = ("ETag", "etag", "generation", "version_id", "LastModified", "last_modified", "mtime", "created")
_AWAY = {  # of the store itself; whatever else is wrong with a name is wrong with that one blob
    errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ENXIO, errno.ENODEV, errno.EMFILE, errno.ENFILE,
}  # fmt: skip


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
        whose = f"{os.getpid()}.{threading.get_ident()}"  # a frame may come twice at once
        half = path.with_name(f"{path.name}.{whose}.half")
        half.write_bytes(body)
        half.replace(path)

    def version(self, name: str) -> str:
        """Changes whenever the bytes of a blob may have; found without reading them. Raises BlobGone."""
        try:
            if self._folder is None:
                store, path = fsspec.url_to_fs(f"{self.url.rstrip('/')}/{name}")
                return f"{name}/{_told(store.info(path))}"
            known = self._path(name).stat()
            return f"{name}/{known.st_size}/{known.st_mtime_ns}"
        except OSError as error:
            raise BlobGone(f"{self.url}: no blob {name}") from error

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise BlobGone(f"{name}: not a name of a blob")
        return path

    def get(self, name: str) -> bytes:
        """Read one blob. Raises BlobGone, LogUnavailable when the store is away."""
        try:
            if self._folder is None:
                with fsspec.open(f"{self.url.rstrip('/')}/{name}", "rb") as file:
                    body: bytes = file.read()
                    return body
            return self._path(name).read_bytes()
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError) or error.errno in _AWAY:
                raise LogUnavailable(f"{self.url}: cannot read blob {name} ({error}); the store is away") from error
            raise BlobGone(f"{self.url}: no blob {name}") from error


def _told(known: Mapping[str, Any]) -> str:
    """Of what a store tells about an object, what changes when its bytes do."""
    told = (str(known[name]) for name in _CHANGES if known.get(name) is not None)
    return "/".join((str(known.get("size")), *told))


def blob_name(kind: str, identity: str, suffix: str) -> str:
    """A name that is the same for the same thing, safe in any store, spread over 256 folders."""
    digest = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
    return f"{kind}/{digest[:2]}/{digest}{suffix}"
