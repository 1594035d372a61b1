"""Networks and models as torch and Anomalib really export them (random weights): read, merged, and equal to themselves.

Skipped where torch, timm and anomalib are not installed. The exports are those of deploy/eyes.md.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.open import Graph
from vision.eye.export import GraphPen
from vision.eye.heads import KnnHead
from vision.eye.looks import INPUT
from vision.guests.backbone import BackboneOptions
from vision.guests.foreign import foreign_eye_graph
from vision.guests.guest import Guest
from vision.guests.plugins import BackbonePlugin, ModelPlugin, read_plugin, read_whole

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # the exporters' own warnings are not ours

WORKING = (96, 128)
Picture = npt.NDArray[np.float32]


def frame(seed: int = 0) -> Picture:
    return np.random.default_rng(seed).uniform(0, 255, WORKING).astype(np.float32)


def planes(picture: Picture, batch: int = 1) -> Picture:
    return np.ascontiguousarray(np.broadcast_to(picture / 255, (batch, 3, *picture.shape)), np.float32)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """An exporter that keeps its progress to itself."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def export_resnet(folder: Path, *, free: bool, **options: Any) -> Path:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(1, 2, 3)).eval()
    if free:
        axis = torch.export.Dim.DYNAMIC
        options["dynamic_shapes"] = ({2: axis, 3: axis},)
    file = folder / "backbone.onnx"
    with quiet():
        example = torch.rand(1, 3, *((256, 256) if free else WORKING))
        torch.onnx.export(net, (example,), str(file), dynamo=True, **options)
    return file


@pytest.mark.parametrize("free", [True, False])
def test_a_resnet_of_timm_gives_the_features_it_gives_alone(tmp_path: Path, free: bool) -> None:
    (tmp_path / "top").mkdir()
    file = export_resnet(tmp_path / "top", free=free)
    plugin = read_plugin(tmp_path, "top")
    assert isinstance(plugin, BackbonePlugin)
    backbone = plugin.open(*WORKING)
    assert [layer.channels for layer in backbone.layers] == [64, 128, 256]
    normal = (planes(frame()) - np.reshape(BackboneOptions().mean, (1, 3, 1, 1))) / np.reshape(
        BackboneOptions().std, (1, 3, 1, 1)
    )
    alone = Graph.open(read_whole(file)).run({Guest.read(plugin.raw, "").input: normal.astype(np.float32)})
    pen = GraphPen()
    value = backbone.nodes(pen, pen.input(INPUT, WORKING))
    pen.output(value, "features", (1, 448, 12, 16))
    (seen,) = Graph.open(pen.finish("features")).run({INPUT: frame()})
    middle = torch.nn.functional.avg_pool2d(torch.from_numpy(alone[1]), 3, 1, 1, count_include_pad=False).numpy()
    assert np.abs(seen[:, 64:192] - middle).max() < 1e-4  # the layer whose grid is the eye's, but for the 3 x 3 mean
    fine = torch.nn.functional.avg_pool2d(torch.from_numpy(alone[0]), 3, 1, 1, count_include_pad=False)
    fine = torch.nn.functional.avg_pool2d(fine, 2)
    assert np.abs(seen[:, :64] - fine.numpy()).max() < 1e-4
    coarse = torch.nn.functional.avg_pool2d(torch.from_numpy(alone[2]), 3, 1, 1, count_include_pad=False)
    wide = torch.nn.functional.interpolate(coarse, size=(12, 16), mode="bilinear", align_corners=False)
    assert np.abs(seen[:, 192:] - wide.numpy()).max() < 1e-4


def test_the_same_memory_as_any_eyes_sits_on_its_reduced_features_in_one_graph(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    export_resnet(tmp_path / "top", free=True)
    plugin = read_plugin(tmp_path, "top")
    assert isinstance(plugin, BackbonePlugin)
    backbone = plugin.open(*WORKING)
    cells = np.concatenate([cells_of(backbone, frame(seed)) for seed in range(6)])
    reduced = backbone.reduced(cells, 32)
    good = np.concatenate([cells_of(reduced, frame(seed)) for seed in range(6)])
    head = KnnHead.fit(good, np.random.default_rng(0))
    pen = GraphPen()
    value = reduced.nodes(pen, pen.input(INPUT, WORKING))
    rows = pen.node("Transpose", pen.node("Reshape", value, pen.integers(32, 12 * 16)), perm=[1, 0])
    pen.output(head.nodes(pen, rows), "odd", (12 * 16, 1))
    eye = Graph.open(pen.finish("eye"))
    usual, odd = frame(3), frame(3)
    odd[40:56, 56:72] = 0
    before, after = (eye.run({INPUT: picture})[0].reshape(12, 16) for picture in (usual, odd))
    assert np.unravel_index(after.argmax(), after.shape) in {(y, x) for y in range(4, 8) for x in range(6, 10)}
    assert after.max() > before.max()


def cells_of(backbone: Any, picture: Picture) -> Picture:
    pen = GraphPen()
    channels = backbone.source.channels
    pen.output(backbone.nodes(pen, pen.input(INPUT, WORKING)), "features", (1, channels, 12, 16))
    (seen,) = Graph.open(pen.finish("features")).run({INPUT: picture})
    return np.ascontiguousarray(seen.reshape(channels, -1).T)


def test_a_network_of_torchvision_serves_as_well(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    net = torchvision.models.feature_extraction.create_feature_extractor(
        torchvision.models.mobilenet_v3_small(weights=None), {"features.3": "fine", "features.8": "coarse"}
    ).eval()
    (tmp_path / "top").mkdir()
    with quiet():
        torch.onnx.export(net, (torch.rand(1, 3, 96, 128),), str(tmp_path / "top/backbone.onnx"), external_data=False)
    plugin = read_plugin(tmp_path, "top")
    assert isinstance(plugin, BackbonePlugin)
    assert [layer.channels for layer in plugin.open(*WORKING).layers] == [24, 48]


def trained(kind: str, normalise: bool) -> Any:
    """An Anomalib model of random weights that has seen noise, and the statistics validation would have left."""
    models = pytest.importorskip("anomalib.models")
    torch.manual_seed(0)
    shared: dict[str, Any] = {"pre_processor": models.Padim.configure_pre_processor(image_size=(128, 128))}
    network = {"backbone": "resnet18", "layers": ["layer1", "layer2"], "pre_trained": False}
    if kind == "efficient_ad":
        model = models.EfficientAd(pre_processor=models.EfficientAd.configure_pre_processor(image_size=(256, 256)))
    elif kind == "padim":
        model = models.Padim(n_features=16, **network, **shared)
    else:
        model = models.Patchcore(coreset_sampling_ratio=0.02, **network, **shared)
    if kind != "efficient_ad":
        model.model.train()
        with torch.no_grad():
            for _ in range(3):
                model.model(torch.rand(4, 3, 128, 128))
        model.model.fit() if kind == "padim" else model.model.subsample_embedding(0.02)
    if normalise:
        after = model.post_processor
        for name, value in {"min": 0.0, "max": 0.5}.items():
            setattr(after, f"image_{name}", torch.tensor(value))
            setattr(after, f"pixel_{name}", torch.tensor(value))
        after._image_threshold, after._pixel_threshold = torch.tensor(0.25), torch.tensor(0.25)
    return model.eval()


def exported(kind: str, folder: Path, normalise: bool, **options: Any) -> tuple[ModelPlugin, Graph]:
    engine = pytest.importorskip("anomalib.engine")
    with quiet():
        file = engine.Engine().export(trained(kind, normalise), export_type="onnx", export_root=folder, **options)
    own = folder / "plugins" / "top"
    own.mkdir(parents=True)
    for each in Path(file).parent.iterdir():
        (own / each.name).write_bytes(each.read_bytes())
    plugin = read_plugin(folder / "plugins", "top")
    assert isinstance(plugin, ModelPlugin)
    return plugin, Graph.open(plugin.raw)


@pytest.mark.parametrize("kind", ["padim", "patchcore", "efficient_ad"])
def test_an_anomalib_model_gives_its_own_score_and_map(tmp_path: Path, kind: str) -> None:
    plugin, alone = exported(kind, tmp_path, normalise=False)
    model = plugin.open(*WORKING)
    eye = Graph.open(foreign_eye_graph(model))
    for seed in range(3):
        seen = eye.run_named({INPUT: frame(seed)})
        own = alone.run_named({model.guest.input: planes(frame(seed), model.guest.batch)})
        score, odd = own["pred_score"].ravel()[0], own["anomaly_map"][0].squeeze()
        assert abs(float(seen["score"]) - score) < 1e-4 * max(1, abs(score))
        assert odd.min() - 1e-3 <= seen["map"].min() <= seen["map"].max() <= odd.max() + 1e-3


def test_an_anomalib_model_whose_normalised_scores_tie_is_told_apart_again(tmp_path: Path) -> None:
    plugin, alone = exported("padim", tmp_path, normalise=True)
    model = plugin.open(*WORKING)
    eye = Graph.open(foreign_eye_graph(model))
    own = [alone.run_named({"input": planes(frame(seed))})["pred_score"].item() for seed in range(5)]
    seen = [float(eye.run_named({INPUT: frame(seed)})["score"]) for seed in range(5)]
    assert set(own) == {1.0}
    assert len(set(seen)) == 5
    assert set(model.unclipped) == {"pred_score", "anomaly_map"}


def test_an_anomalib_model_of_a_fixed_size_gets_the_frame_in_that_size(tmp_path: Path) -> None:
    plugin, _ = exported("padim", tmp_path, normalise=False, input_size=(128, 128))
    model = plugin.open(*WORKING)
    assert model.input_size == (128, 128)
    assert Graph.open(foreign_eye_graph(model)).run_named({INPUT: frame()})["map"].shape == (24, 32)
