"""A user's own network: what is refused and with which words, and that its features in an eye are its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ingest.errors import BadInput
from models.open import Graph
from vision.eye.export import GraphPen
from vision.guests.backbone import Backbone, BackboneOptions, Reduction, read_backbone
from vision.guests.guest import Guest
from vision.guests.rgb import picture_nodes

ROWS, COLUMNS = 96, 128
PLAIN = BackboneOptions(mean=(0.0,), std=(1.0,))
Shape = Sequence[int | str | None]


def weights(name: str, *shape: int) -> onnx.TensorProto:
    rng = np.random.default_rng(len(name) + sum(shape))
    return numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)


def network(
    shape: Shape = (1, 3, "rows", "columns"),
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
    domain: str = "",
    change: Callable[[onnx.ModelProto], None] = lambda _: None,
) -> bytes:
    """Two strided layers, `fine` (4 channels, every 4th pixel) and `coarse` (6, every 16th), and `classes` [1, 5]."""
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], strides=[4, 4], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["fine"], domain=domain),
        helper.make_node("Conv", ["fine", "w2"], ["c2"], strides=[4, 4], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["coarse"]),
        helper.make_node("GlobalAveragePool", ["coarse"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["classes"]),
    ]
    inputs = [helper.make_tensor_value_info("image", kind, list(shape))]
    outputs = [
        helper.make_tensor_value_info("fine", TensorProto.FLOAT, [1, 4, "h", "w"]),
        helper.make_tensor_value_info("coarse", TensorProto.FLOAT, [1, 6, "h2", "w2"]),
        helper.make_tensor_value_info("classes", TensorProto.FLOAT, [1, 5]),
    ]
    planes = shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 3
    constants = [weights("w1", 4, planes, 3, 3), weights("w2", 6, 4, 3, 3), weights("w3", 6, 5)]
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    change(model)
    raw: bytes = model.SerializeToString()
    return raw


def frame(seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 255, (ROWS, COLUMNS)).astype(np.float32)


def features(backbone: Backbone, picture: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    pen = GraphPen()
    value = backbone.nodes(pen, pen.input("frame", picture.shape))
    pen.output(value, "features", (1, None, None, None))
    return Graph.open(pen.finish("features")).run({"frame": picture})[0]


def averaged(layer: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean over the 3 x 3 neighbours that there are."""
    h, w = layer.shape[2:]
    out = np.empty(layer.shape)
    for y in range(h):
        for x in range(w):
            out[..., y, x] = layer[..., max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean((2, 3))
    return out


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 18, 20, 21])
def test_features_in_the_eye_are_the_networks_own_whatever_its_opset(opset: int) -> None:
    raw = network(opset=opset)
    picture = frame()
    seen = features(read_backbone(raw, ROWS, COLUMNS, PLAIN), picture)
    planes = np.broadcast_to(picture / 255, (1, 3, ROWS, COLUMNS)).astype(np.float32)
    alone = Graph.open(raw).run_named({"image": planes})
    fine = (
        averaged(alone["fine"]).reshape(1, 4, ROWS // 8, 2, COLUMNS // 8, 2).mean((3, 5))
    )  # every 4th pixel to cells of 8
    assert seen.shape == (1, 10, ROWS // 8, COLUMNS // 8)
    assert np.abs(seen[:, :4] - fine).max() < 1e-5
    coarse = averaged(alone["coarse"])
    assert np.abs(seen[:, 4:].mean((2, 3)) - coarse.mean((2, 3))).max() < 0.01  # enlarged, in its own place
    assert np.abs(seen[:, 4:, 0, 0] - coarse[..., 0, 0]).max() < 1e-5


def test_a_pen_with_a_newer_network_still_reduces_over_the_axes_it_names() -> None:
    pen = GraphPen()
    picture = pen.input("frame", (ROWS, COLUMNS))
    pen.output(read_backbone(network(opset=20), ROWS, COLUMNS).nodes(pen, picture), "features", (1, 10, 12, 16))
    pen.output(pen.node("ReduceMean", picture, axes=[1], keepdims=0), "rows", (ROWS,))
    raw = pen.finish("both")
    assert onnx.load_model_from_string(raw).opset_import[0].version == 20
    assert np.allclose(Graph.open(raw).run({"frame": frame()})[1], frame().mean(1), atol=1e-3)


def test_graphs_of_two_newer_opsets_do_not_go_into_one() -> None:
    pen = GraphPen()
    picture = pen.input("frame", (ROWS, COLUMNS))
    read_backbone(network(opset=20), ROWS, COLUMNS).nodes(pen, picture)
    with pytest.raises(ValueError, match="opset 18 cannot be taken into one of opset 20"):
        read_backbone(network(opset=18), ROWS, COLUMNS).nodes(pen, picture)


def test_an_output_that_is_no_tensor_is_passed_over() -> None:
    raw = network(change=sequence_output)
    assert [layer.name for layer in read_backbone(raw, ROWS, COLUMNS).layers] == ["fine", "coarse"]


@pytest.mark.parametrize("shape", [(1, 3, 96, 128), (None, 3, None, None), ("n", 3, "h", "w"), (2, 3, "h", "w")])
def test_batch_and_size_may_be_fixed_or_free(shape: Shape) -> None:
    expected = features(read_backbone(network(), ROWS, COLUMNS), frame())
    assert np.allclose(features(read_backbone(network(shape), ROWS, COLUMNS), frame()), expected, atol=1e-5)


@pytest.mark.parametrize(("shape", "asked"), [((1, 3, 64, 64), None), ((1, 3, "h", "w"), (64, 64))])
def test_a_network_of_another_size_gives_features_on_the_eyes_cells(
    shape: Shape, asked: tuple[int, int] | None
) -> None:
    backbone = read_backbone(network(shape), ROWS, COLUMNS, BackboneOptions(input_size=asked))
    assert backbone.layers[0].rows == 16
    assert features(backbone, frame()).shape == (1, 10, ROWS // 8, COLUMNS // 8)


def test_a_network_of_one_plane_gets_the_grey_frame() -> None:
    options = BackboneOptions(mean=(0.5,), std=(0.25,), cell=4)
    seen = features(read_backbone(network((1, 1, "h", "w")), ROWS, COLUMNS, options), frame())
    alone = Graph.open(network((1, 1, "h", "w"))).run_named({"image": ((frame() / 255 - 0.5) / 0.25)[None, None]})
    assert np.abs(seen[:, :4] - averaged(alone["fine"])).max() < 1e-5


def test_only_the_named_layers_are_used_in_the_order_named() -> None:
    both = read_backbone(network(), ROWS, COLUMNS, BackboneOptions(outputs=("coarse", "fine")))
    assert [layer.name for layer in both.layers] == ["coarse", "fine"]
    inner = read_backbone(network(), ROWS, COLUMNS, BackboneOptions(outputs=("c1",)))  # a value within serves too
    assert inner.source.channels == 4
    assert features(inner, frame()).min() < 0


def test_colour_comes_back_as_the_planes_it_was_made_of() -> None:
    rng = np.random.default_rng(0)
    red, green, blue = np.repeat(np.repeat(rng.uniform(20, 235, (3, 2, 3)), 4, 1), 4, 2).astype(np.float32)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = np.stack([red - green, (red + green) / 2 - blue])
    pen = GraphPen()
    value = picture_nodes(pen, pen.input("frame", (8, 12)), (8, 12), 3, pen.input("chroma", (2, 8, 12)))
    pen.output(value, "rgb", (1, 3, 8, 12))
    (seen,) = Graph.open(pen.finish("rgb")).run({"frame": grey, "chroma": chroma})
    assert np.abs(seen[0] * 255 - np.stack([red, green, blue])).max() < 0.2


def test_fewer_channels_are_the_principal_axes_of_the_good_cells_and_the_same_every_time() -> None:
    backbone = read_backbone(network(), ROWS, COLUMNS)
    cells = np.concatenate([features(backbone, frame(seed))[0].reshape(10, -1).T for seed in range(4)])
    first, second = backbone.reduced(cells, 5), backbone.reduced(cells, 5)
    assert first.source.channels == 5
    assert first.reduction is not None
    assert second.reduction is not None
    assert np.array_equal(first.reduction.axes, second.reduction.axes)
    axes = first.reduction.axes
    expected = (cells - cells.mean(0)) @ axes
    seen = features(first, frame())[0].reshape(5, -1).T
    assert np.abs(seen - expected[: len(seen)]).max() < 1e-4
    assert np.abs(axes.T @ axes - np.eye(5)).max() < 1e-5
    assert list(expected.var(0)) == sorted(expected.var(0), reverse=True)


@given(st.integers(2, 40), st.integers(1, 12), st.integers(1, 16), st.integers(0, 1000))
def test_a_reduction_fits_any_number_of_cells_and_never_adds_channels(
    n: int, channels: int, kept: int, seed: int
) -> None:
    samples = np.random.default_rng(seed).normal(size=(n, channels)).astype(np.float32)
    reduction = Reduction.fit(samples, kept)
    assert reduction.axes.shape == (channels, min(kept, channels))
    assert np.isfinite(reduction.axes).all()


def outside(model: onnx.ModelProto) -> None:
    constant = model.graph.initializer[0]
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="weights.bin")


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("prompt", TensorProto.FLOAT, [1]))


def sequence_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("SequenceConstruct", ["fine", "coarse"], ["both"]))
    model.graph.output.append(helper.make_tensor_sequence_value_info("both", TensorProto.FLOAT, None))


def not_finite(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((4, 3, 3, 3), np.nan, np.float32), "w1"))


def only_classes(model: onnx.ModelProto) -> None:
    del model.graph.output[:2]


def wrong_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].CopyFrom(weights("w3", 7, 5))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not an ONNX model with nodes"),
        (b"\x89PNG\r\n", "not an ONNX model, or a damaged one"),
        (network()[:-40], "not an ONNX model"),
        (network(opset=5), "opset 5, between 7 and 21"),
        (network(opset=25), "opset 25, between 7 and 21"),
        (network(domain="com.microsoft"), "com.microsoft.Relu is not one of plain ONNX"),
        (network(kind=TensorProto.FLOAT16), "is FLOAT16, float32 is needed"),
        (network((1, 3, 96)), r"is \[1, 3, 96\], \[1, 3, rows, columns\]"),
        (network((1, 4, "h", "w")), r"\[1, 3, rows, columns\] or \[1, 1, rows, columns\] is needed"),
        (network((16, 3, "h", "w")), "is needed"),
        (network((1, 3, 96, "w")), "must both be fixed, or neither"),
        (network((1, 3, 4, 4)), "sides of 8..4096 pixels"),
        (network(change=outside), "weights lie in another file"),
        (network(change=second_input), r"2 inputs \(image, prompt\)"),
        (network(change=not_finite), "output fine is not finite"),
        (network(change=only_classes), r"no output is a feature map .* \(classes \[1, 5\]\)"),
        (network(change=wrong_weights), "onnxruntime does not run it"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence_that_names_the_file(raw: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        read_backbone(raw, ROWS, COLUMNS, file="plugins/top/backbone.onnx")
    assert str(refused.value).startswith("plugins/top/backbone.onnx: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BackboneOptions(outputs=("layer9",)), "no output 'layer9'; it has fine, coarse, classes"),
        (BackboneOptions(outputs=("classes",)), "classes is .1, 5., not a feature map"),
        (BackboneOptions(mean=(0.5, 0.5)), "2 values of mean for 3 planes"),
        (BackboneOptions(std=()), "0 values of std"),
    ],
)
def test_options_that_do_not_fit_the_network_are_refused(options: BackboneOptions, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_backbone(network(), ROWS, COLUMNS, options)


def test_a_size_asked_for_that_is_not_the_networks_own_is_refused() -> None:
    with pytest.raises(BadInput, match="drop input_size"):
        read_backbone(network((1, 3, 64, 64)), ROWS, COLUMNS, BackboneOptions(input_size=(96, 96)))


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_fail_otherwise(raw: bytes) -> None:
    with pytest.raises(BadInput):
        Guest.read(raw, "backbone.onnx")


WHOLE = network()


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_refused_or_read_but_never_crashes(place: int, byte: int, cut: bool) -> None:
    raw = WHOLE[:place] if cut else WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :]
    with contextlib.suppress(BadInput):
        read_backbone(raw, ROWS, COLUMNS)
