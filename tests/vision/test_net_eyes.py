"""A network in an eye: kept only where the rule keeps it, one scorer more, served without torch."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from ingest.errors import BadInput
from models.open import Graph
from models.places import version_folder
from vision.eye.bank import smoothed
from vision.eye.export import GraphPen
from vision.eye.graph import EYE_OUTPUTS, NET_SCORER, eye_graph, top_of
from vision.eye.notes import EYE_FILE
from vision.eye.scales import fit_scales
from vision.inspect import Eyes
from vision.network import eyes as net_eyes
from vision.network.eyes import NET_FILE
from vision.network.model import LAYERS, Nets, TrainedNet, half_of
from vision.network.rule import NetDecision, decide_net
from vision.network.trial import net_graph, net_map
from vision.train import train_eyes
from vision.training.folds import assign_folds
from vision.training.held_out import HeldOutEyes, learn_held_out
from vision.training.options import EyeOptions
from vision.training.pictures import TrainingPictures

GOOD = 36
PARITY = 1e-3  # of scores in units of spreads: float32 in another order


def any_net(seed: int) -> TrainedNet:
    """Random weights of a sensible size."""
    rng = np.random.default_rng(seed)
    kernels = {
        name: rng.normal(0, np.sqrt(2 / np.prod(layer.shape[1:])), layer.shape).astype(np.float32)
        for name, layer in LAYERS.items()
    }
    return TrainedNet(kernels, {n: rng.normal(0, 0.1, layer.outputs).astype(np.float32) for n, layer in LAYERS.items()})


class WithNet(NamedTuple):
    eyes: HeldOutEyes
    folds: list[int]
    pictures: TrainingPictures
    frames: list[Any]
    nets: Nets


@pytest.fixture(scope="module")
def with_net(drawing: Any) -> WithNet:
    """An eye with networks of random weights: how it scores is not what is asked."""
    frames = drawing.plate_frames(GOOD, 0)
    good = [True] * GOOD
    folds, number = assign_folds(frames, good)
    pictures = TrainingPictures.of(frames, good, 10**8)
    assert pictures is not None
    nets = Nets(any_net(0), (any_net(1), any_net(2)))
    eyes = learn_held_out(frames, good, folds, number, pictures, nets)
    assert eyes is not None
    return WithNet(eyes, folds, pictures, frames, nets)


def test_the_network_that_scores_a_frame_out_of_fold_has_not_seen_its_half(with_net: WithNet) -> None:
    nets = with_net.nets
    for fold in range(4):
        assert nets.without(fold) is nets.halves[1 - half_of(fold)]
    assert nets.without(None) is nets.final
    assert {half_of(fold) for fold in with_net.folds} == {0, 1}


def test_the_eye_scores_the_networks_map_as_training_normalised_it(with_net: WithNet) -> None:
    """Of a fold's eye and of the final one: the highest cells of the smoothed, normalised logits."""
    place = with_net.eyes.final.scorers.index(NET_SCORER)
    shape = (with_net.pictures.optics.rows, with_net.pictures.optics.columns)
    final = Graph.open(eye_graph(with_net.eyes.final, with_net.eyes.normalisers(), _unit(with_net.eyes)))
    for index in range(0, GOOD, 7):
        fold, loaded = with_net.folds[index], with_net.pictures.load(with_net.frames[index])
        assert loaded is not None
        feed = loaded[1]
        seen = {fold: with_net.eyes.tops(fold, feed), None: final.run(feed.inputs)[EYE_OUTPUTS.index("tops")]}
        for without, tops in seen.items():
            logits = net_map(net_graph(with_net.nets.without(without), shape), feed.frame)
            normal = with_net.eyes.normalising[NET_SCORER].normaliser(without).apply(logits.astype(np.float64))
            assert tops[place] == pytest.approx(top_of(smooth(normal)), abs=PARITY)


def smooth(odd: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """As the eye smooths every map, float32[h, w]."""
    pen = GraphPen()
    shape = (1, 1, *odd.shape)
    pen.output(smoothed(pen, pen.input("odd", shape)), "smooth", shape)
    return np.asarray(Graph.open(pen.finish("smooth")).run({"odd": odd.astype(np.float32).reshape(shape)})[0][0, 0])


def _unit(eyes: HeldOutEyes) -> Any:
    zero = np.zeros(len(eyes.final.scorers) + 1, np.float32)
    return fit_scales([zero, zero + 1], detail=False)


def test_without_torch_nothing_is_begun(drawing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what an import of a missing module meets
    said: list[str] = []
    with pytest.raises(BadInput, match="pip install"):
        train_eyes(drawing.plate_frames(GOOD, 0), tmp_path, said.append, EyeOptions(net=True))
    assert not said
    assert not list(tmp_path.iterdir())


def made_to_decide(monkeypatch: pytest.MonkeyPatch, kept: bool) -> list[NetDecision]:
    """The rule's answer is told beforehand, its reasons are its own; what it really said is in the list."""
    said: list[NetDecision] = []

    def decide(*arguments: Any) -> NetDecision:
        said.append(decide_net(*arguments))
        return dataclasses.replace(said[-1], kept=kept)

    monkeypatch.setattr(net_eyes, "decide_net", decide)
    return said


@pytest.mark.slow
class TestWithTorch:
    @pytest.fixture(autouse=True)
    def _few_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("torch")
        monkeypatch.setattr("vision.network.train.STEPS", 25)
        monkeypatch.setattr("vision.network.train._STEPS_MIN", 25)

    def test_left_out_it_changes_nothing_but_the_card(
        self, drawing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frames, said = drawing.plate_frames(GOOD, 4), list[str]()
        plain = train_eyes(frames, tmp_path / "plain", lambda _: None)
        made_to_decide(monkeypatch, kept=False)
        asked = train_eyes(frames, tmp_path / "asked", said.append, EyeOptions(net=True))
        assert asked.findings == plain.findings
        files = [{p.name: p.read_bytes() for p in version(tmp_path / name).iterdir()} for name in ("plain", "asked")]
        differ = {name for name in files[0] | files[1] if files[0].get(name) != files[1].get(name)}
        assert "eye.onnx" in files[0]
        assert differ == {"card.md", "manifest.json", "manifest.sha256"}  # the manifest names the card's digest
        assert "tried and left out" in files[1]["card.md"].decode()
        assert "network" not in files[0]["card.md"].decode()
        assert any(line.startswith("camera top: network left out: ") for line in said)

    def test_kept_it_is_one_scorer_more_and_needs_no_torch_to_serve(
        self, drawing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frames, said = drawing.plate_frames(GOOD, 12), list[str]()
        decisions = made_to_decide(monkeypatch, kept=True)
        trained = train_eyes(frames, tmp_path, said.append, EyeOptions(net=True))
        assert [one.by for one in decisions] == ["labels"]  # twelve of them
        assert trained.manifests["top"].features == ["fine", "long", "painted", NET_SCORER, "whole"]
        assert "is one of the scorers" in (version(tmp_path) / "card.md").read_text()
        assert any(line.startswith("camera top: network kept: ") for line in said)
        kept = TrainedNet.from_bytes((version(tmp_path) / NET_FILE).read_bytes())
        eye = onnx.load(version(tmp_path) / EYE_FILE)
        inside = {numpy_helper.to_array(one).tobytes() for one in eye.graph.initializer}
        assert all(kept.kernels[name].tobytes() in inside for name in LAYERS)
        monkeypatch.setitem(sys.modules, "torch", None)
        scores = served(drawing, tmp_path)
        looked = [trained.findings[frame.frame_id].score for frame in frames if frame.good]
        held_out = [score for score in looked if score is not None]
        assert abs(np.mean(scores) - np.mean(held_out)) < 0.8 * float(np.std(held_out))

    def test_too_few_frames_to_teach_one_leave_it_out(self, drawing: Any, tmp_path: Path) -> None:
        trained = train_eyes(drawing.plate_frames(12, 0), tmp_path, lambda _: None, EyeOptions(net=True))
        assert "too few to teach one" in (version(tmp_path) / "card.md").read_text()
        assert NET_SCORER not in trained.manifests["top"].features


def version(shelf: Path) -> Path:
    return version_folder(shelf, "vision-top", "1")


def served(drawing: Any, shelf: Path) -> list[float]:
    """Scores of good frames that are new to the live eye."""
    eyes = Eyes.open(shelf, ["top"])
    frames = [drawing.frame(drawing.encode(drawing.draw(seed))) for seed in range(2000, 2040)]
    scores = [eyes.inspect(frame, frame.captured_at).findings.score for frame in frames]
    assert None not in scores
    return [score for score in scores if score is not None]
