"""Somebody else's ONNX graph: read, checked and made ready to be merged into an eye. Nothing of it is believed.

What its outputs look like is not read from the file but measured: it is run once, at the size it is going to be used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, inliner, version_converter

from ingest.errors import BadInput, ModelRefused
from models.open import Graph
from vision.eye.export import OPSET, OPSET_MAX, GraphPen

BYTES_MAX = 500_000_000  # the largest backbones in use are a quarter of it; protobuf ends at 2 GB
BATCH_MAX = 8  # a model exported for a batch of a few sees the same frame as often
SIDE_MIN, SIDE_MAX = 8, 4096
_DEFAULT_DOMAINS = ("", "ai.onnx")
_OLDEST_OPSET = 7  # onnx converts from there
_AGAIN = "export it again with torch.onnx.export"


@dataclass(frozen=True, slots=True, eq=False)
class Guest:
    """A checked graph with one picture as input, float32[batch, channels, rows, columns].

    `file` names it in errors. `size`: (rows, columns) of its input, None where any will do."""

    file: str
    model: onnx.ModelProto = field(repr=False)
    input: str
    batch: int
    channels: int
    size: tuple[int, int] | None

    @classmethod
    def read(cls, raw: bytes, file: str) -> Guest:
        """Raises BadInput: not ONNX, too large, data outside the file, operators or an input that do not fit."""
        if len(raw) > BYTES_MAX:
            raise BadInput(f"{file}: {len(raw)} bytes, at most {BYTES_MAX} are taken; use a smaller network")
        model = _modern(_inlined(_parsed(raw, file), file), file)
        given = {constant.name for constant in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in given]
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs)
            raise BadInput(f"{file}: {len(inputs)} inputs ({names}), one picture is all an eye can feed; {_AGAIN}")
        batch, channels, size = _input_shape(inputs[0], file)
        return cls(file, model, inputs[0].name, batch, channels, size)

    def fixed(self, asked: tuple[int, int] | None, working: tuple[int, int]) -> Guest:
        """The same for pictures of one size (rows, columns): its own, else the one asked for, else the working size.

        Raises BadInput where its own and the one asked for differ."""
        if asked is not None and self.size not in (None, asked):
            raise BadInput(f"{self.file}: its input is of {self.size} (rows, columns), not {asked}; drop input_size")
        size = self.size or asked or working
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.value_info[:]  # sizes of the example it was exported with
        for value in model.graph.input:
            if value.name == self.input:
                shape = [self.batch, self.channels, *size]
                value.CopyFrom(helper.make_tensor_value_info(self.input, TensorProto.FLOAT, shape))
        for value in model.graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
        return dataclasses.replace(self, model=model, size=size)

    def ending(self, values: Sequence[str]) -> Guest:
        """The same with other float outputs: any values of the graph. Raises BadInput for one that it has not."""
        known = {name for node in self.model.graph.node for name in node.output}
        for name in values:
            if name not in known:
                has = ", ".join(value.name for value in self.model.graph.output)
                raise BadInput(f"{self.file}: no output {name!r}; it has {has}")
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.output[:]
        for name in dict.fromkeys(values):
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        return dataclasses.replace(self, model=model)

    def look(self) -> dict[str, npt.NDArray[Any]]:
        """Its outputs for a plain picture, noise in 0..1, but for those that are no tensors. Its size must be fixed.
        Raises BadInput where it does not run."""
        assert self.size is not None
        noise = np.random.default_rng(0).random((1, self.channels, *self.size), np.float32)
        try:
            graph = Graph.open(self.model.SerializeToString())
            outputs = graph.try_named({self.input: np.repeat(noise, self.batch, axis=0)})
        except ModelRefused as error:
            reason = str(error).partition("(")[2].rpartition(")")[0] or str(error)
            raise BadInput(f"{self.file}: onnxruntime does not run it: {reason}; {_AGAIN}") from error
        return {name: value for name, value in outputs.items() if isinstance(value, np.ndarray)}

    def nodes(self, pen: GraphPen, picture: str) -> dict[str, str]:
        """From float32[1, channels, rows, columns] its outputs, by name, those of the first of a batch."""
        several = pen.node("Concat", *[picture] * self.batch, axis=0) if self.batch > 1 else picture
        values = pen.merge(self.model, {self.input: several}, "guest/")
        if self.batch > 1:
            ends = pen.integers(0), pen.integers(1), pen.integers(0)
            values = [pen.node("Slice", value, *ends) for value in values]
        return dict(zip((output.name for output in self.model.graph.output), values, strict=True))


def checked_planes(guest: Guest, mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises BadInput unless there is one mean and deviation, or one for each plane of the guest's input."""
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, guest.channels):
            raise BadInput(f"{guest.file}: {len(values)} values of {name} for {guest.channels} planes; give one each")


def _parsed(raw: bytes, file: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(raw)
        if has_outside(model):
            raise BadInput(
                f"{file}: its weights lie in another file; put that beside it, or export external_data=False"
            )
        if model.graph.node and not model.graph.sparse_initializer:
            onnx.checker.check_model(model)
            return model
    except (DecodeError, UnicodeDecodeError, onnx.checker.ValidationError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise BadInput(f"{file}: not an ONNX model, or a damaged one ({lines[0][:200]}); {_AGAIN}") from error
    raise BadInput(f"{file}: not an ONNX model with nodes and dense weights; {_AGAIN}")


def _inlined(model: onnx.ModelProto, file: str) -> onnx.ModelProto:
    """Without functions of its own, and of the default operators alone."""
    plain = inliner.inline_local_functions(model) if model.functions else model
    foreign = {node.domain: node.op_type for node in _nodes(plain.graph) if node.domain not in _DEFAULT_DOMAINS}
    for domain, operator in foreign.items():
        raise BadInput(f"{file}: its operator {domain}.{operator} is not one of plain ONNX; {_AGAIN}")
    used = [opset for opset in plain.opset_import if opset.domain in _DEFAULT_DOMAINS]
    del plain.opset_import[:]
    plain.opset_import.extend(used)
    return plain


def _modern(model: onnx.ModelProto, file: str) -> onnx.ModelProto:
    """Of an opset that a GraphPen merges."""
    opset = max((o.version for o in model.opset_import), default=0)
    if OPSET <= opset <= OPSET_MAX:
        return model
    if not _OLDEST_OPSET <= opset < OPSET:
        raise BadInput(
            f"{file}: opset {opset}, between {_OLDEST_OPSET} and {OPSET_MAX} can be taken; "
            f"{_AGAIN}(..., opset_version={OPSET_MAX - 1})"
        )
    try:
        return version_converter.convert_version(model, OPSET)
    except (RuntimeError, version_converter.ConvertError) as error:
        line = (str(error).splitlines() or [""])[0][:200]
        raise BadInput(
            f"{file}: opset {opset} does not convert to {OPSET} ({line}); {_AGAIN}(..., opset_version={OPSET})"
        ) from error


def _input_shape(value: onnx.ValueInfoProto, file: str) -> tuple[int, int, tuple[int, int] | None]:
    """Batch, channels, and (rows, columns) where they are fixed."""
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        kind = {number: kind for kind, number in TensorProto.DataType.items()}.get(tensor.elem_type, "of no known type")
        raise BadInput(f"{file}: input {value.name} is {kind}, float32 is needed; {_AGAIN} before any quantisation")
    sides = [dim.dim_value for dim in tensor.shape.dim]  # 0: not fixed
    shown = [dim.dim_param or dim.dim_value or "?" for dim in tensor.shape.dim]
    if len(sides) != 4 or sides[0] > BATCH_MAX or sides[1] not in (0, 1, 3):
        raise BadInput(
            f"{file}: input {value.name} is {shown}, [1, 3, rows, columns] or [1, 1, rows, columns] is needed; {_AGAIN}"
        )
    size = sides[2], sides[3]
    if all(size) and not all(SIDE_MIN <= side <= SIDE_MAX for side in size):
        raise BadInput(f"{file}: input {value.name} is {shown}, sides of {SIDE_MIN}..{SIDE_MAX} pixels can be fed")
    if any(size) and not all(size):
        raise BadInput(f"{file}: input {value.name} is {shown}: rows and columns must both be fixed, or neither")
    return max(sides[0], 1), sides[1] or 3, size if all(size) else None


def has_outside(model: onnx.ModelProto) -> bool:
    """Do some of its weights lie in another file?"""
    return any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model.graph))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those of its branches and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                yield from _graphs(inner)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for each in _graphs(graph):
        yield from each.node


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for each in _graphs(graph):
        yield from each.initializer
    for node in _nodes(graph):
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
