"""Writing ONNX graphs node by node: a thin, typed pen over onnx.helper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

OPSET = 17  # the first with everything used here, and old enough for every runtime in the field
OPSET_MAX = 21  # the newest of a graph taken in: what the oldest onnxruntime we run on knows, with a margin
_IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
_AXES_ARE_AN_INPUT = 18  # since this opset, of the reductions


class GraphPen:
    """Builds one graph. `node` adds an operator and returns the name of its (first) output."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._opset = OPSET

    def input(self, name: str, shape: Sequence[int | None]) -> str:
        """A float32 input; None is any length."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def output(self, value: str, name: str, shape: Sequence[int | None]) -> None:
        """Give a value out as float32 under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"v{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0]

    def finish(self, name: str) -> bytes:
        nodes = self._nodes if self._opset < _AXES_ARE_AN_INPUT else [self._axes_as_input(n) for n in self._nodes]
        graph = helper.make_graph(nodes, name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self._opset)],
            ir_version=_IR_VERSIONS[self._opset],
            producer_name="qcfuse",
        )
        onnx.checker.check_model(model)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized

    def merge(self, model: onnx.ModelProto, inputs: Mapping[str, str], prefix: str) -> list[str]:
        """Take in another graph, its inputs (by name) fed by values of this one; gives its outputs' values, in order.

        It must be of the default operators alone, of an opset in OPSET..OPSET_MAX, without functions or data outside,
        or it is a ValueError. The whole graph is then written in that opset: of the operators used here only the
        reductions were written differently in an older one. `prefix` goes before every name of it.
        """
        opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        if not OPSET <= opset <= OPSET_MAX or model.functions or self._opset not in (OPSET, opset):
            raise ValueError(f"a graph of opset {opset} cannot be taken into one of opset {self._opset}")
        self._opset = opset
        guest = compose.add_prefix(model, prefix).graph
        self._nodes += [helper.make_node("Identity", [value], [prefix + name]) for name, value in inputs.items()]
        self._nodes.extend(guest.node)
        self._constants.extend(guest.initializer)
        return [output.name for output in guest.output]

    def _axes_as_input(self, node: onnx.NodeProto) -> onnx.NodeProto:
        axes = next((a for a in node.attribute if a.name == "axes"), None)
        if axes is None or not node.op_type.startswith("Reduce"):
            return node
        kept = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name != "axes"}
        return helper.make_node(node.op_type, [node.input[0], self.integers(*axes.ints)], list(node.output), **kept)
