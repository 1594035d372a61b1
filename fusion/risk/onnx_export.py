"""Risk models as ONNX: forests, boosting and lines through their converters, blends as one graph."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType as BoosterTensor
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from fusion.calibration.calibrate import SCORE_CLIP
from fusion.risk.families import Family, Recipe
from fusion.risk.model import INPUT

_OPSET = 17
_BOOSTER_OPSET = 15
_ONNX_ML = 3
_IR = 8  # what onnxruntime opens since 2021


def export(recipe: Recipe, models: Sequence[Any], width: int) -> bytes:
    """ONNX with one input `x` float32[n, width] and one output: float32[n, 2] of class probabilities."""
    graphs = [_graph(family, model, width) for family, model in zip(recipe, models, strict=True)]
    return bytes((graphs[0] if len(graphs) == 1 else _blend(graphs)).SerializeToString())


def _graph(family: Family, model: Any, width: int) -> ModelProto:
    if family == "quantile_line":
        line: ModelProto = model.to_onnx(INPUT, _OPSET)
        return line
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own deprecations are not ours to fix
        if family == "lightgbm":
            tensor = BoosterTensor([None, width])
            exact = copy.copy(model)
            exact._Booster = _exact(model.booster_)
            graph = convert_lightgbm(exact, initial_types=[(INPUT, tensor)], zipmap=False, target_opset=_BOOSTER_OPSET)
        else:
            graph = export_trees(model, width)
    return _only_probabilities(graph)


def _exact(booster: Any) -> Any:
    """The same booster with limits that float32 can hold, each rounded down: a row of float32 goes the same ways. The
    converter rounds to nearest, and a value next to a limit then goes the other way (measured: a score off by .5)."""
    lines = [line for line in booster.model_to_string().split("\n") if not line.startswith("tree_sizes=")]
    return type(booster)(
        model_str="\n".join(_floored(line) if line.startswith("threshold=") else line for line in lines)
    )


def _floored(line: str) -> str:
    name, _, told = line.partition("=")
    limits = np.array(told.split(), dtype=np.float64)
    near = limits.astype(np.float32)
    down = np.where(near > limits, np.nextafter(near, np.float32(-np.inf)), near)
    return f"{name}={' '.join(repr(float(limit)) for limit in down)}"


def export_trees(model: Any, width: int) -> Any:
    """A scikit-learn forest as an ONNX graph."""
    return convert_sklearn(
        model,
        initial_types=[(INPUT, FloatTensorType([None, width]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": _OPSET, "ai.onnx.ml": _ONNX_ML},
    )


def probabilities_only(graph: Any) -> bytes:
    """Drop every output but the probabilities, so that nothing else is computed."""
    return bytes(_only_probabilities(graph).SerializeToString())


def _only_probabilities(graph: Any) -> Any:
    kept = next(output for output in graph.graph.output if "prob" in output.name)
    del graph.graph.output[:]
    graph.graph.output.append(kept)
    return graph


def _blend(graphs: Sequence[ModelProto]) -> ModelProto:
    """One graph that asks each of several and averages their logits, as `blended` does."""
    parts = [compose.add_prefix(graph, f"m{i}_", rename_inputs=False) for i, graph in enumerate(graphs)]
    constants = {
        "second": np.array([1], dtype=np.int64),
        "least": np.float32(SCORE_CLIP),
        "most": np.float32(1.0 - SCORE_CLIP),
        "one": np.float32(1.0),
    }
    nodes = [node for part in parts for node in part.graph.node]
    for i, part in enumerate(parts):
        nodes.append(helper.make_node("Gather", [part.graph.output[0].name, "second"], [f"said{i}"], axis=1))
    nodes += [
        helper.make_node("Concat", [f"said{i}" for i in range(len(parts))], ["said"], axis=1),
        helper.make_node("Clip", ["said", "least", "most"], ["clipped"]),
        helper.make_node("Sub", ["one", "clipped"], ["rest"]),
        helper.make_node("Div", ["clipped", "rest"], ["odds"]),
        helper.make_node("Log", ["odds"], ["logits"]),
        helper.make_node("ReduceMean", ["logits"], ["logit"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["logit"], ["bad"]),
        helper.make_node("Sub", ["one", "bad"], ["good"]),
        helper.make_node("Concat", ["good", "bad"], ["probabilities"], axis=1),
    ]
    whole = helper.make_graph(
        nodes,
        "blend",
        list(parts[0].graph.input),
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [tensor for part in parts for tensor in part.graph.initializer]
        + [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ONNX_ML)]
    return helper.make_model(whole, opset_imports=imports, ir_version=_IR)
