"""A whole model of somebody else's as an eye: its own score and map, no ties made by its clips, and clear refusals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ingest.errors import BadInput
from models.open import Graph
from vision.eye.graph import EYE_OUTPUTS
from vision.eye.looks import CHROMA, INPUT
from vision.guests.foreign import ForeignOptions, ForeignScale, check_spread, describe_foreign, foreign_eye_graph

WORKING = (96, 128)
ROWS, COLUMNS = WORKING
Picture = npt.NDArray[np.float32]


def constant(name: str, *values: float, kind: type = np.float32) -> object:
    return numpy_helper.from_array(np.array(values if len(values) != 1 else values[0], kind), name)


def anomaly_model(
    shape: Sequence[int | str] = ("batch", 3, "height", "width"),
    settled: bool = True,
    gives: Sequence[str] = ("pred_score", "pred_label", "anomaly_map", "pred_mask"),
) -> bytes:
    """As Anomalib ends its models: the map is how far the mean of the planes is from 0.4; map and score are shifted,
    divided, clipped to 0..1, and taken or not (`settled`) by a choice that is a constant."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["mean", "usual"], ["shifted"]),
        helper.make_node("Abs", ["shifted"], ["raw_map"]),
        helper.make_node("ReduceMax", ["raw_map"], ["raw_score"], axes=[1, 2, 3], keepdims=0),
    ]
    for raw, out in (("raw_map", "anomaly_map"), ("raw_score", "pred_score")):
        nodes += [
            helper.make_node("Mul", [raw, "gain"], [f"{out}_wide"]),
            helper.make_node("Clip", [f"{out}_wide", "zero", "one"], [f"{out}_clipped"]),
            helper.make_node("Where", ["settled", f"{out}_clipped", raw], [out]),
        ]
    nodes += [
        helper.make_node("Greater", ["anomaly_map", "half"], ["pred_mask"]),
        helper.make_node("Greater", ["pred_score", "half"], ["pred_label"]),
    ]
    constants = [constant("usual", 0.4), constant("gain", 40.0), constant("zero", 0.0), constant("one", 1.0)]
    constants += [constant("half", 0.5), constant("settled", settled, kind=np.bool_)]
    kinds = {"pred_label": TensorProto.BOOL, "pred_mask": TensorProto.BOOL}
    outputs = [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), None) for n in gives]
    for output in outputs:
        dims = 1 if output.name in ("pred_score", "pred_label", "raw_score") else 4
        output.type.tensor_type.shape.CopyFrom(
            helper.make_tensor_value_info("x", 1, [None] * dims).type.tensor_type.shape
        )
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape))]
    graph = helper.make_graph(nodes, "anomaly", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    raw: bytes = model.SerializeToString()
    return raw


def frame(seed: int = 0) -> Picture:
    return np.random.default_rng(seed).uniform(0, 255, WORKING).astype(np.float32)


def look(eye: bytes, picture: Picture) -> dict[str, npt.NDArray[np.float32]]:
    return Graph.open(eye).run_named({INPUT: picture})


def test_the_eye_has_the_outputs_of_any_eye_in_their_order() -> None:
    eye = foreign_eye_graph(describe_foreign(anomaly_model(), WORKING))
    seen = look(eye, frame())
    assert tuple(seen) == EYE_OUTPUTS
    assert [seen[name].shape for name in EYE_OUTPUTS] == [(), (ROWS // 4, COLUMNS // 4), (1,), ()]
    assert seen["typical"] == 0


def test_score_and_map_are_the_models_own() -> None:
    model = describe_foreign(anomaly_model(settled=False), WORKING)
    picture = frame()
    seen = look(foreign_eye_graph(model), picture)
    odd = np.abs(picture / 255 - 0.4)
    assert model.unclipped == ()
    assert abs(float(seen["score"]) - odd.max()) < 1e-5
    highest = odd.reshape(ROWS // 4, 4, COLUMNS // 4, 4).max((1, 3))  # of a cell: a small defect must stay
    assert np.abs(seen["map"] - highest).max() < 1e-5


def test_the_clip_of_a_normalised_model_is_taken_off_so_that_frames_do_not_tie() -> None:
    model = describe_foreign(anomaly_model(), WORKING)
    eye = foreign_eye_graph(model)
    clipped = [Graph.open(anomaly_model()).run_named({"input": planes(frame(seed))})["pred_score"] for seed in range(9)]
    scores = [float(look(eye, frame(seed))["score"]) for seed in range(9)]
    assert model.unclipped == ("pred_score", "anomaly_map")
    assert len(set(np.ravel(clipped))) == 1
    assert len(set(scores)) == 9
    assert look(eye, frame())["map"].max() > 1


@given(st.lists(st.floats(0, 255, width=32), min_size=2, max_size=2))
def test_what_the_clip_did_not_tie_keeps_its_order(greys: list[float]) -> None:
    first, second = (np.full(WORKING, grey, np.float32) for grey in greys)
    normalised = [float(ORIGINAL.run_named({"input": planes(picture)})["pred_score"][0]) for picture in (first, second)]
    scores = [float(EYE.run_named({INPUT: picture})["score"]) for picture in (first, second)]
    if abs(normalised[0] - normalised[1]) > 1e-5:
        assert (scores[0] < scores[1]) == (normalised[0] < normalised[1])


def planes(picture: Picture) -> Picture:
    return np.ascontiguousarray(np.broadcast_to(picture / 255, (1, 3, *WORKING)), np.float32)


ORIGINAL = Graph.open(anomaly_model())
EYE = Graph.open(foreign_eye_graph(describe_foreign(anomaly_model(), WORKING)))


@pytest.mark.parametrize("shape", [(1, 3, 48, 48), (2, 3, "h", "w"), (1, 1, 96, 128), (4, 3, 64, 64)])
def test_models_of_another_size_batch_or_of_one_plane_serve_too(shape: Sequence[int | str]) -> None:
    seen = look(foreign_eye_graph(describe_foreign(anomaly_model(shape), WORKING)), np.full(WORKING, 51, np.float32))
    assert abs(float(seen["score"]) - 40 * 0.2) < 1e-4
    assert np.abs(seen["map"] - 40 * 0.2).max() < 1e-4


def test_without_a_score_the_maps_maximum_is_the_score() -> None:
    model = describe_foreign(anomaly_model(gives=("anomaly_map",)), WORKING)
    seen = look(foreign_eye_graph(model), frame())
    assert model.score is None
    assert abs(float(seen["score"]) - 40 * np.abs(frame() / 255 - 0.4).max()) < 1e-3


def test_score_and_map_are_brought_to_the_scale_of_the_good_frames_and_tops_stay_as_they_were() -> None:
    model = describe_foreign(anomaly_model(), WORKING)
    raw, scaled = (
        look(foreign_eye_graph(model), frame()),
        look(foreign_eye_graph(model, scale=ForeignScale(3.0, 2.0, 1.0, 4.0)), frame()),
    )
    assert abs(float(scaled["score"]) - (float(raw["score"]) - 3) / 2) < 1e-5
    assert np.abs(scaled["map"] - (raw["map"] - 1) / 4).max() < 1e-5
    assert raw["tops"] == scaled["tops"]


def test_an_eye_for_colour_takes_the_chroma_of_any_eye() -> None:
    eye = foreign_eye_graph(describe_foreign(anomaly_model(), WORKING), colour=True)
    feed = {INPUT: np.full(WORKING, 102, np.float32), CHROMA: np.zeros((2, ROWS // 4, COLUMNS // 4), np.float32)}
    grey = Graph.open(eye).run_named(feed)
    red = Graph.open(eye).run_named(feed | {CHROMA: np.full((2, ROWS // 4, COLUMNS // 4), 60, np.float32)})
    assert abs(float(grey["score"])) < 1e-4
    assert float(red["score"]) > 0.1


@pytest.mark.parametrize(
    ("raw", "options", "words"),
    [
        (b"not a model", ForeignOptions(), "not an ONNX model"),
        (anomaly_model(gives=("pred_score",)), ForeignOptions(), "no output is an anomaly map .* boxes need one"),
        (anomaly_model(gives=("raw_map", "anomaly_map_wide")), ForeignOptions(), "several outputs may be its map"),
        (
            anomaly_model(),
            ForeignOptions(map="pred_mask"),
            "no output 'pred_mask' that is a map; such are: anomaly_map",
        ),
        (anomaly_model(), ForeignOptions(score="best"), "no output 'best' that is a score; such are: pred_score"),
        (anomaly_model((1, 3, 48, 48)), ForeignOptions(input_size=(96, 96)), "drop input_size"),
        (anomaly_model(), ForeignOptions(mean=(0.5, 0.5)), "2 values of mean for 3 planes"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence_that_names_the_file(
    raw: bytes, options: ForeignOptions, words: str
) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        describe_foreign(raw, WORKING, options, "plugins/top/model.onnx")
    assert str(refused.value).startswith("plugins/top/model.onnx: ")


def test_outputs_may_be_named_where_several_would_do() -> None:
    several = anomaly_model(gives=("raw_map", "anomaly_map_wide", "raw_score", "pred_score"))
    chosen = describe_foreign(several, WORKING, ForeignOptions(score="raw_score", map="raw_map"))
    assert (chosen.score, chosen.map) == ("raw_score", "raw_map")


def test_good_frames_that_share_one_score_are_refused_before_a_threshold_is_cut_among_them() -> None:
    check_spread([0.0] * 4 + [0.1, 0.2, 0.3, 0.4])
    check_spread([0.5])
    with pytest.raises(BadInput, match="5 of 8 good frames get one and the same score"):
        check_spread([1.0] * 5 + [0.1, 0.2, 0.3])
