"""A user's backbone beside the eye's own features, through training, shelf and serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vision.inspect import Eyes
from vision.train import train_eyes
from vision.training.options import EyeOptions


def write_backbone(path: Path) -> None:
    """Two strided convolutions with random weights: feature maps at an eighth and a sixteenth of any frame."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in (("w1", (12, 3, 8, 8)), ("w2", (16, 12, 2, 2)))
    ]
    nodes = [
        helper.make_node("Conv", ["picture", "w1"], ["c1"], strides=[8, 8]),
        helper.make_node("Relu", ["c1"], ["layer1"]),
        helper.make_node("Conv", ["layer1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["layer2"]),
    ]
    free: list[int | str] = [1, 3, "rows", "columns"]
    inputs = [helper.make_tensor_value_info("picture", TensorProto.FLOAT, free)]
    outputs = [
        helper.make_tensor_value_info(f"layer{n}", TensorProto.FLOAT, [1, c, None, None]) for n, c in ((1, 12), (2, 16))
    ]
    graph = helper.make_graph(nodes, "backbone", inputs, outputs, weights)
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.slow
def test_a_backbone_in_the_plugins_folder_becomes_one_more_scorer_of_the_camera(drawing: Any, tmp_path: Path) -> None:
    write_backbone(tmp_path / "plugins" / "top" / "backbone.onnx")
    frames = drawing.plate_frames(good=32, bad=6)
    said: list[str] = []
    trained = train_eyes(frames, tmp_path / "shelf", said.append, EyeOptions(plugins=tmp_path / "plugins"))
    assert trained.manifests["top"].notes["scorers"] == ["fine", "long", "backbone", "painted", "whole"]
    assert any("backbone.onnx" in line for line in said)
    eyes = Eyes.open(tmp_path / "shelf", ["top"])
    seen = {
        scratch: [
            eyes.inspect(drawing.frame(drawing.encode(drawing.draw(4000 + n, scratch))), frames[0].captured_at).findings
            for n in range(12)
        ]
        for scratch in (True, False)
    }
    assert min(f.score for f in seen[True]) > np.median([f.score for f in seen[False]])  # type: ignore[type-var]
    again = train_eyes(frames, tmp_path / "again", lambda _: None, EyeOptions(plugins=tmp_path / "plugins"))
    assert again.manifests == trained.manifests
