"""The folder of plug-ins: one file a camera, strict settings, weights that lie beside, and nothing silently ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ingest.errors import BadInput
from vision.guests.backbone import BackboneOptions
from vision.guests.foreign import ForeignOptions
from vision.guests.plugins import BackbonePlugin, ModelPlugin, read_plugin, unused_plugins


def network() -> onnx.ModelProto:
    kernel = numpy_helper.from_array(np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype(np.float32), "kernel")
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["features"], strides=[8, 8])]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "rows", "columns"])]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 8, "h", "w"])]
    graph = helper.make_graph(nodes, "network", inputs, outputs, [kernel])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "top"
    folder.mkdir()
    return folder


def refused(top: Path) -> str:
    with pytest.raises(BadInput) as error:
        read_plugin(top.parent, "top")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_camera_without_a_folder_has_no_plugin(tmp_path: Path) -> None:
    assert read_plugin(tmp_path, "top") is None
    assert read_plugin(tmp_path / "nowhere", "top") is None


@pytest.mark.parametrize("camera", ["../top", "a/b", ".", "..", ""])
def test_a_cameras_name_leads_nowhere_but_to_a_folder_of_the_folder(top: Path, camera: str) -> None:
    (top.parent / "a" / "b").mkdir(parents=True)
    (top / "backbone.onnx").write_bytes(network().SerializeToString())
    assert read_plugin(top, camera) is None
    assert read_plugin(top.parent, camera) is None


def test_a_backbone_is_read_with_its_settings(top: Path) -> None:
    (top / "backbone.onnx").write_bytes(network().SerializeToString())
    (top / "plugin.toml").write_text(
        'outputs = ["features"]\nmean = [0.5]\nstd = [0.25]\ncell = 4\ninput_size = [64, 96]\n'
    )
    plugin = read_plugin(top.parent, "top")
    assert isinstance(plugin, BackbonePlugin)
    assert plugin.options == BackboneOptions(("features",), (0.5,), (0.25,), 4, (64, 96))
    assert plugin.open(96, 128).source.channels == 8


def test_without_settings_the_defaults_hold(top: Path) -> None:
    (top / "model.onnx").write_bytes(network().SerializeToString())
    plugin = read_plugin(top.parent, "top")
    assert isinstance(plugin, ModelPlugin)
    assert plugin.options == ForeignOptions()
    with pytest.raises(BadInput, match=r"top/model\.onnx: no output is an anomaly map"):
        plugin.open(96, 128)


def test_weights_that_lie_beside_the_file_are_taken_in(top: Path) -> None:
    onnx.save_model(
        network(),
        str(top / "backbone.onnx"),
        save_as_external_data=True,
        location="backbone.onnx.data",
        size_threshold=0,
    )
    plugin = read_plugin(top.parent, "top")
    assert isinstance(plugin, BackbonePlugin)
    assert plugin.open(96, 128).source.channels == 8
    (top / "backbone.onnx.data").unlink()
    assert "copy the exported .data file too" in refused(top)


def test_weights_outside_the_folder_are_not_read(top: Path) -> None:
    model = network()
    (top.parent / "secret").write_bytes(bytes(8 * 3 * 8 * 8 * 4))
    constant = model.graph.initializer[0]
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="../secret")
    (top / "backbone.onnx").write_bytes(model.SerializeToString())
    assert "its weights are not all beside it" in refused(top)


def test_a_folder_with_both_or_neither_is_refused(top: Path) -> None:
    assert "has neither of backbone.onnx and model.onnx" in refused(top)
    (top / "model.onnx").write_bytes(b"")
    (top / "backbone.onnx").write_bytes(b"")
    assert "has both of" in refused(top)


def test_garbage_is_named_when_it_is_opened(top: Path) -> None:
    (top / "backbone.onnx").write_bytes(b"\xff" * 100)
    plugin = read_plugin(top.parent, "top")
    assert plugin is not None
    with pytest.raises(BadInput, match=r"top/backbone\.onnx: not an ONNX model"):
        plugin.open(96, 128)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("output = ['a']", "unknown field `output`; its keys are outputs, mean, std, cell, input_size"),
        ("mean = 0.5", "Expected `array`, got `float`"),
        ("std = [0.0, 1.0, 1.0]", "> 0"),
        ("cell = 5", "cell = 5, it may be 4 or 8"),
        ("input_size = [2, 64]", ">= 8"),
        ("input_size = [64]", "length 2"),
        ("cell = [", "Invalid value"),
        ("mean = [nan]", "mean"),
    ],
)
def test_wrong_settings_are_named_with_their_file(top: Path, settings: str, words: str) -> None:
    (top / "backbone.onnx").write_bytes(network().SerializeToString())
    (top / "plugin.toml").write_text(settings)
    said = refused(top)
    assert words in said
    assert "top/plugin.toml: " in said


def test_the_digest_is_of_the_model_with_its_weights(top: Path) -> None:
    (top / "backbone.onnx").write_bytes(network().SerializeToString())
    first, again = read_plugin(top.parent, "top"), read_plugin(top.parent, "top")
    assert first is not None
    assert again is not None
    assert first.sha256 == again.sha256
    assert len(first.sha256) == 64


def test_folders_of_no_camera_are_told(tmp_path: Path) -> None:
    for name in ("top", "sied"):
        (tmp_path / name).mkdir()
    assert unused_plugins(tmp_path, ["top", "side"]) == ["sied"]
    assert unused_plugins(tmp_path / "nowhere", ["top"]) == []
