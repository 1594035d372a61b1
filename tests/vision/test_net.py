"""The network: one definition in two worlds, taught on paint, kept as arrays. What needs torch is slow and optional."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import BadInput, ModelRefused
from models.open import Graph
from vision.feed import Feed
from vision.image import blurred
from vision.network.model import LAYERS, TrainedNet, padding_of
from vision.network.samples import Symmetry, draw_batch
from vision.network.train import steps_for, torch_logits, train_net
from vision.network.trial import PAINTED_MIN, HeldOutFeed, net_graph, net_map, net_score, try_net
from vision.training.synthetic import KINDS, paint


def metal(seed: int, rows: int = 96, columns: int = 128) -> np.ndarray:
    """A good frame: brushed metal with a dark hole left of the middle."""
    rng = np.random.default_rng(seed)
    picture = blurred(rng.normal(0, 14, (rows, columns)).astype(np.float32), 0.8) + 130 * rng.uniform(0.8, 1.2)
    y, x = np.mgrid[:rows, :columns]
    picture[(y - rows / 2) ** 2 + (x - columns / 4) ** 2 < (rows / 8) ** 2] = 40
    return np.clip(picture, 0, 255).astype(np.float32)


def any_net(seed: int) -> TrainedNet:
    """Random weights of a sensible size."""
    rng = np.random.default_rng(seed)
    kernels = {
        name: rng.normal(0, np.sqrt(2 / np.prod(layer.shape[1:])), layer.shape).astype(np.float32)
        for name, layer in LAYERS.items()
    }
    return TrainedNet(kernels, {n: rng.normal(0, 0.1, layer.outputs).astype(np.float32) for n, layer in LAYERS.items()})


def run(graph: Graph, picture: np.ndarray) -> np.ndarray:
    return net_map(graph, picture)[None, None]


@settings(max_examples=12, deadline=None)
@given(st.integers(9, 30), st.integers(9, 30), st.integers(0, 99))
def test_frames_of_any_working_size_give_a_logit_per_cell(rows: int, columns: int, seed: int) -> None:
    rows, columns = 8 * rows, 8 * columns
    logits = run(net_graph(any_net(seed), (rows, columns)), metal(seed, rows, columns))
    assert logits.shape == (1, 1, rows // 4, columns // 4)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_frames_give_finite_logits(level: int) -> None:
    assert np.isfinite(run(net_graph(any_net(0), (72, 80)), np.full((72, 80), level, np.float32))).all()


def test_exposure_hardly_matters() -> None:
    graph, picture = net_graph(any_net(1), (96, 128)), metal(3)
    bright, dark = run(graph, picture), run(graph, picture * np.float32(0.7))
    assert np.corrcoef(bright.ravel(), dark.ravel())[0, 1] > 0.99


def test_weights_are_kept_bit_for_bit() -> None:
    trained = any_net(2)
    raw = trained.to_bytes()
    again = TrainedNet.from_bytes(raw)
    assert again.to_bytes() == raw
    for name in LAYERS:
        np.testing.assert_array_equal(again.kernels[name], trained.kernels[name])
        np.testing.assert_array_equal(again.biases[name], trained.biases[name])


@pytest.mark.parametrize("spoil", [lambda raw: b"", lambda raw: b"not a network", lambda raw: raw[: len(raw) // 2]])
def test_other_bytes_are_refused(spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(ModelRefused, match="train it again"):
        TrainedNet.from_bytes(spoil(any_net(0).to_bytes()))


def test_a_network_of_another_shape_is_refused() -> None:
    trained = any_net(0)
    other = TrainedNet({**trained.kernels, "stem": np.zeros((8, 2, 5, 5), np.float32)}, trained.biases)
    with pytest.raises(ModelRefused, match="stem"):
        TrainedNet.from_bytes(other.to_bytes())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(72, 80), (96, 128), (104, 72)]))
def test_a_batch_is_in_range_and_says_where_the_paint_is(seed: int, shape: tuple[int, int]) -> None:
    pictures = [metal(i, *shape) for i in range(4)]
    batch = draw_batch(np.random.default_rng(seed), pictures, Symmetry.of(pictures), KINDS, 4)
    below, right = padding_of(*shape)
    rows, columns = shape[0] + below, shape[1] + right
    assert batch.frames.shape == (4, 1, rows, columns)
    assert batch.defect.shape == batch.counts.shape == (4, 1, rows // 4, columns // 4)
    assert batch.frames.dtype == batch.defect.dtype == batch.counts.dtype == np.float32
    assert batch.frames.min() >= 0
    assert batch.frames.max() <= 255
    assert set(np.unique(batch.defect)) | set(np.unique(batch.counts)) <= {0.0, 1.0}
    assert (batch.counts >= batch.defect).all()


def test_frames_are_mirrored_only_where_their_mirror_image_is_a_good_frame() -> None:
    hole_left = Symmetry.of([metal(i) for i in range(12)])
    assert hole_left == Symmetry(left_right=False, top_bottom=True)


def test_large_frames_get_fewer_steps() -> None:
    assert steps_for([np.zeros((240, 320), np.float32)]) < steps_for([np.zeros((256, 256), np.float32)])


def test_without_torch_a_person_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what an import of a missing module meets
    with pytest.raises(BadInput, match="pip install"):
        train_net([metal(i) for i in range(8)], 0, lambda _: None)


@pytest.mark.slow
class TestWithTorch:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch")

    @pytest.mark.parametrize("shape", [(96, 128), (112, 80)])
    def test_the_graph_says_what_torch_says(self, shape: tuple[int, int]) -> None:
        trained, picture = any_net(5), metal(1, *shape)
        np.testing.assert_allclose(
            run(net_graph(trained, shape), picture), torch_logits(trained, picture[None, None]), atol=1e-4, rtol=0
        )

    def test_a_padded_frame_is_cut_back(self) -> None:
        trained, picture = any_net(6), metal(2, 104, 72)
        padded = np.pad(picture, ((0, 8), (0, 8)), mode="reflect")
        expected = torch_logits(trained, padded[None, None])[:, :, :26, :18]
        np.testing.assert_allclose(run(net_graph(trained, (104, 72)), picture), expected, atol=1e-4, rtol=0)

    def test_equal_input_gives_equal_weights(self) -> None:
        pictures = [metal(i) for i in range(8)]
        first, second, third = (train_net(pictures, seed, lambda _: None, steps=3) for seed in (1, 1, 2))
        assert first.to_bytes() == second.to_bytes()
        assert first.to_bytes() != third.to_bytes()

    def test_cameras_that_train_side_by_side_get_the_weights_they_get_alone(self) -> None:
        pictures = [metal(i) for i in range(8)]
        alone = [train_net(pictures, seed, lambda _: None, steps=2).to_bytes() for seed in (1, 2)]
        with ThreadPoolExecutor(2) as pool:
            beside = pool.map(lambda seed: train_net(pictures, seed, lambda _: None, steps=2).to_bytes(), (1, 2))
        assert list(beside) == alone

    def test_training_leaves_torch_as_it_was(self) -> None:
        torch = pytest.importorskip("torch")
        torch.set_num_threads(2)
        torch.manual_seed(7)
        expected = torch.rand(1).item()
        torch.manual_seed(7)
        train_net([metal(i) for i in range(8)], 0, lambda _: None, steps=2)
        assert torch.rand(1).item() == expected
        assert torch.get_num_threads() == 2

    def test_too_few_frames_are_refused(self) -> None:
        with pytest.raises(BadInput, match="7 good frames"):
            train_net([metal(i) for i in range(7)], 0, lambda _: None)

    def test_a_taught_network_finds_paint_on_frames_it_never_saw(self) -> None:
        said: list[str] = []
        trained = train_net([metal(i) for i in range(24)], 0, said.append, steps=120)
        graph, rng = net_graph(trained, (96, 128)), np.random.default_rng(3)
        inside, outside = [], []
        for i in range(30):
            painted, mask = paint(rng, metal(1000 + i), metal(2000 + i), "blob")
            shares = mask.reshape(24, 4, 32, 4).mean((1, 3))
            logits = run(graph, painted)[0, 0]
            inside += list(logits[shares > 0.5])
            outside += list(logits[shares == 0])
        assert np.mean(inside) > np.quantile(outside, 0.95)
        assert len(said) >= 10


def test_a_trial_scores_good_frames_and_the_same_frames_painted() -> None:
    feeds = [HeldOutFeed(Feed(metal(i)), lambda feed: float(feed.frame.std())) for i in range(20)]
    trials = [try_net(any_net(1), KINDS[:4], feeds, seed, feeds[:3]) for seed in (3, 3, 4)]
    first, again, other = trials
    np.testing.assert_array_equal(first.labelled.net, first.good.net[:3])
    assert len(first.good.eye) == len(first.good.net) == 20
    assert PAINTED_MIN * 0.7 < len(first.painted.eye) == len(first.painted.net) <= PAINTED_MIN
    assert first.good.eye[0] == pytest.approx(float(metal(0).std()))
    np.testing.assert_array_equal(first.painted.net, again.painted.net)
    assert not np.array_equal(first.painted.net, other.painted.net)


def test_the_score_of_a_map_is_its_peak_and_not_its_level() -> None:
    calm = np.random.default_rng(0).normal(-4, 0.3, (24, 32)).astype(np.float32)
    peak = calm.copy()
    peak[5:10, 5:10] += 5
    assert net_score(peak) > net_score(calm) + 3
    assert net_score(calm + np.float32(2)) == pytest.approx(net_score(calm), abs=1e-4)
