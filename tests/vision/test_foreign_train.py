"""A whole model becomes a camera's live eye: it opens, serves as it was measured, keeps its promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from ingest.errors import BadInput
from vision.guests.foreign import ForeignOptions
from vision.guests.foreign_train import ForeignEye, train_foreign
from vision.guests.plugins import ModelPlugin
from vision.inspect import PIXELS_MAX, Eyes
from vision.training.folds import usable_as_good
from vision.training.pictures import TrainingPictures, load_body


def brightness(gain: float = 1.0) -> bytes:
    """An anomaly map that is how bright the grain is; from 0.4 it is clipped, as Anomalib clips. (In the dark all
    plates are alike: their holes.)"""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["smooth"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        helper.make_node("Mul", ["smooth", "gain"], ["bright"]),
        helper.make_node("Clip", ["bright", "low", "high"], ["anomaly_map"]),
    ]
    values = {"gain": gain, "low": 0.0, "high": 0.4}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in values.items()]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "h", "w"])]
    outputs = [helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, ["n", 1, "h", "w"])]
    graph = helper.make_graph(nodes, "brightness", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    raw: bytes = model.SerializeToString()
    return raw


def train(frames: list[Any], shelf: Path, raw: bytes) -> ForeignEye | None:
    good = usable_as_good(frames)
    pictures = TrainingPictures.of(frames, good, PIXELS_MAX)
    assert pictures is not None
    plugin = ModelPlugin(Path("top/model.onnx"), ForeignOptions(), raw)
    return train_foreign("top", frames, good, plugin, pictures, shelf, lambda _: None)


def test_the_eye_on_the_shelf_opens_and_says_what_training_saw(drawing: Any, tmp_path: Path) -> None:
    frames = drawing.plate_frames(good=40, bad=6)
    eye = train(frames, tmp_path, brightness())
    assert eye is not None
    eyes = Eyes.open(tmp_path, ["top"])
    assert eyes.refused == {}
    for index in (0, 1, 41):
        look = eyes.inspect(drawing.frame(load_body(frames[index])), frames[index].captured_at)
        assert look.findings.score == pytest.approx(eye.sights[index].score, abs=1e-3)
        assert look.findings.fitness.ok


def test_of_good_frames_no_more_are_flagged_than_the_cut_promises(drawing: Any, tmp_path: Path) -> None:
    frames = drawing.plate_frames(good=40, bad=0)
    eye = train(frames, tmp_path, brightness())
    assert eye is not None
    flagged = [sight.score > eye.notes.threshold for sight in eye.sights.values()]
    assert np.mean(flagged) <= eye.notes.promised
    assert eye.notes.scorers == ["model"]


def test_too_few_good_frames_make_no_eye(drawing: Any, tmp_path: Path) -> None:
    assert train(drawing.plate_frames(good=4, bad=0), tmp_path, brightness()) is None


def test_a_model_that_gives_every_frame_one_score_is_refused(drawing: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"top/model\.onnx: 40 of 40 good frames get one and the same score"):
        train(drawing.plate_frames(good=40, bad=0), tmp_path, brightness(0.0))
