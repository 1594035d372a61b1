"""Opening a model of the shelf: every byte is checked against the manifest before onnxruntime sees it.

The only file that knows onnxruntime. Sessions run on one thread in sequence: two processes of one thread
beat two threads.
Denormals are not flushed to zero: onnxruntime can only do so for the whole calling thread, numpy's sums in it included,
and no graph of ours makes any (a deep net might, and would then be three times slower).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from ingest.errors import ModelRefused
from ingest.messages import ModelName, json_decoder
from models.manifest import MANIFEST_FILE, Manifest, ModelFile, Tensor
from models.places import live_version, version_folder

Array = npt.NDArray[Any]

ort.set_default_logger_severity(4)  # whatever is wrong with a model reaches us as an exception, never on stderr
ort.disable_telemetry_events()

_ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_state.EPFail,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.NoModel,
    ort_state.NoSuchFile,
    ort_state.NotFound,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
)
_MANIFEST = json_decoder(Manifest)


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A checked model, ready to run. `model_name.sha256` is of manifest.json's bytes, which hold every file's own."""

    manifest: Manifest
    model_name: ModelName
    _contents: Mapping[str, bytes] = field(repr=False)
    _sessions: Mapping[str, ort.InferenceSession] = field(repr=False)

    def run(self, file: str, inputs: Mapping[str, Array]) -> list[Array]:
        """All outputs of one ONNX file, in the order of the manifest. KeyError for a file the model does not have."""
        outputs: list[Array] = self._sessions[file].run(None, dict(inputs))
        return outputs

    def read(self, file: str) -> bytes:
        """The bytes of one file, as hashed. KeyError for a file the model does not have."""
        return self._contents[file]


def open_model(shelf: Path, name: str, version: str | None = None, features: Sequence[str] | None = None) -> OpenModel:
    """Open a version of a model, the live one by default.

    `features`: the order in which the caller is going to feed it; another list in the manifest is refused.
    Raises ModelRefused with one sentence saying which file is wrong and what to do.
    """
    chosen = version if version is not None else live_version(shelf, name)
    folder = version_folder(shelf, name, chosen)
    manifest, digest = _read_manifest(folder)
    if (manifest.name, manifest.version) != (name, chosen):
        raise ModelRefused(f"{folder}: the manifest is of {manifest.name} {manifest.version}; restore or retrain")
    if features is not None and list(features) != manifest.features:
        raise ModelRefused(f"{folder}: {_feature_difference(manifest.features, list(features))}; retrain")
    contents = {file: _checked(folder / file, said) for file, said in manifest.files.items()}
    sessions = {file: _session(folder / file, raw) for file, raw in contents.items() if file.endswith(".onnx")}
    for file, session in sessions.items():
        said = manifest.files[file]
        if (said.inputs, said.outputs) != _tensors(session):
            raise ModelRefused(f"{folder / file}: inputs or outputs differ from the manifest; restore or retrain")
    return OpenModel(manifest, ModelName(name=name, version=chosen, sha256=digest), contents, sessions)


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX graph that is not on the shelf (yet): how training runs the very nodes that will serve."""

    _session: ort.InferenceSession = field(repr=False)

    @classmethod
    def open(cls, raw: bytes) -> Graph:
        """Raises ModelRefused when onnxruntime does not open it."""
        return cls(_session(Path("a graph in training"), raw))

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """All outputs, in the graph's order."""
        outputs: list[Array] = self._session.run(None, dict(inputs))
        return outputs

    def run_named(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name."""
        names = [node.name for node in self._session.get_outputs()]
        return dict(zip(names, self.run(inputs), strict=True))

    def try_named(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """As run_named, of a graph that somebody else made: raises ModelRefused where it opens but does not run."""
        try:
            return self.run_named(inputs)
        except _ORT_ERRORS as error:
            raise ModelRefused(f"onnxruntime does not run it ({str(error).splitlines()[0][:200]})") from error


def describe(path: Path, raw: bytes) -> ModelFile:
    """What the manifest says of a file. An ONNX file must open; `path` only names it in the error (ModelRefused)."""
    inputs, outputs = _tensors(_session(path, raw)) if path.suffix == ".onnx" else ([], [])
    return ModelFile(sha256=hashlib.sha256(raw).hexdigest(), size_bytes=len(raw), inputs=inputs, outputs=outputs)


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    path = folder / MANIFEST_FILE
    raw, seal = _read(path), _read(path.with_suffix(".sha256")).strip()
    digest = hashlib.sha256(raw).hexdigest()
    if seal != digest.encode():
        raise ModelRefused(f"{path}: sha256 differs from {path.with_suffix('.sha256').name}; restore or retrain")
    try:
        return _MANIFEST.decode(raw), digest
    except msgspec.MsgspecError as error:
        raise ModelRefused(f"{path}: not a manifest of this version of qcfuse ({error}); retrain") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"{path}: cannot be read ({error.strerror}); restore or retrain") from error


def _checked(path: Path, said: ModelFile) -> bytes:
    raw = _read(path)
    if hashlib.sha256(raw).hexdigest() != said.sha256:
        raise ModelRefused(f"{path}: sha256 differs from the manifest; restore or retrain")
    return raw


def _session(path: Path, raw: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as error:
        first_line = str(error).splitlines()[0][:200]
        raise ModelRefused(f"{path}: onnxruntime does not open it ({first_line}); retrain") from error


def _tensors(session: ort.InferenceSession) -> tuple[list[Tensor], list[Tensor]]:
    def describe_all(nodes: Sequence[Any]) -> list[Tensor]:
        return [Tensor(name=n.name, kind=n.type, shape=list(n.shape)) for n in nodes]

    return describe_all(session.get_inputs()), describe_all(session.get_outputs())


def _feature_difference(shelf: list[str], asked: list[str]) -> str:
    if set(shelf) == set(asked):
        return "the order of its features is not the one asked for"
    only_shelf, only_asked = sorted(set(shelf) - set(asked)), sorted(set(asked) - set(shelf))
    return (
        f"its features differ from those asked for (only in the model: {only_shelf[:3]}, only asked: {only_asked[:3]})"
    )
