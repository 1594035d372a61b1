"""The graph against the same mathematics written a second time, in numpy and scipy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import correlate

from models.open import Graph
from vision import bank
from vision.eye_graph import EYE_OUTPUTS, INPUT, Memory, Scale, eye_graph, feature_graph, raw_graph
from vision.glob import GlobHead
from vision.heads import GaussianHead, KnnHead
from vision.normalise import MapStatistics, lower_median

ROWS, COLUMNS = 64, 96
Picture = np.ndarray


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    rng = np.random.default_rng(5)
    return [rng.uniform(20, 230, (ROWS, COLUMNS)).astype(np.float32) for _ in range(24)]


def pooled(image: Picture, side: int) -> Picture:
    return image.reshape(image.shape[0] // side, side, image.shape[1] // side, side).mean((1, 3))


def pyramid(picture: Picture, log: bool, levels: int) -> list[Picture]:
    image = picture.astype(np.float64) / 255
    images = [np.log(image + bank._LOG_OFFSET) if log else image]
    for _ in range(levels - 1):
        images.append(correlate(images[-1], bank._BINOMIAL.astype(float), mode="mirror")[::2, ::2])
    return images


def expected_features(picture: Picture, view: bank.View) -> Picture:
    images = pyramid(picture, view.log, 3)
    parts = []
    for level in view.levels:
        responses = [correlate(images[level], kernel[0].astype(float), mode="mirror") for kernel in bank._FILTERS]
        parts += [pooled(np.abs(r), bank.CELL >> level) for r in responses]
        if level in bank._SIGNED_LEVELS:
            parts += [pooled(r, bank.CELL >> level) for r in responses]
    return np.stack([pooled(part, view.cell // bank.CELL) for part in [*parts, images[2]]])


def memory_of(pictures: list[Picture], head: type[KnnHead] | type[GaussianHead]) -> Memory:
    graph, rng = Graph.open(feature_graph(ROWS, COLUMNS)), np.random.default_rng(0)
    seen = [graph.run({INPUT: picture}) for picture in pictures]
    heads = {
        view.name: head.fit(
            np.concatenate([one[place].reshape(view.channels, -1).T for one in seen]).astype(np.float32), rng
        )
        for place, view in enumerate(bank.VIEWS)
    }
    return Memory(ROWS, COLUMNS, heads, GlobHead.fit(np.stack([one[-1] for one in seen])))


def test_features_are_those_of_the_filters(pictures: list[Picture]) -> None:
    outputs = Graph.open(feature_graph(ROWS, COLUMNS)).run({INPUT: pictures[0]})
    for view, output in zip(bank.VIEWS, outputs, strict=False):
        assert np.abs(output[0] - expected_features(pictures[0], view)).max() < 1e-4


def test_whole_frame_statistics_are_those_of_their_names(pictures: list[Picture]) -> None:
    statistics = Graph.open(feature_graph(ROWS, COLUMNS)).run({INPUT: pictures[1]})[-1]
    named = dict(zip(bank.GLOB_FEATURES, statistics, strict=True))
    images = pyramid(pictures[1], True, 4)
    gx = np.abs(correlate(images[2], bank._FILTERS[0, 0].astype(float), mode="mirror"))
    gy = np.abs(correlate(images[3], bank._FILTERS[1, 0].astype(float), mode="mirror"))
    assert named["gx_max_2"] == pytest.approx(np.log(gx.max() + 1e-4), abs=1e-4)
    assert named["gy_mean_3"] == pytest.approx(np.log(gy.mean() + 1e-4), abs=1e-4)
    assert named["contrast"] == pytest.approx(images[0].std(), abs=1e-4)


def test_the_whole_eye_is_the_numpy_one(pictures: list[Picture]) -> None:
    memory = memory_of(pictures[:12], KnnHead)
    raw = Graph.open(raw_graph(memory))
    statistics = [MapStatistics(2) for _ in bank.VIEWS]
    for number, picture in enumerate(pictures[12:]):
        for one, of_view in zip(statistics, raw.run({INPUT: picture}), strict=False):
            one.add(number % 2, of_view.astype(np.float64))
    normalisers = {view.name: one.normaliser() for view, one in zip(bank.VIEWS, statistics, strict=True)}
    top, unlike = Scale(1.5, 0.7), Scale(4.0, 2.0)
    eye = Graph.open(eye_graph(memory, normalisers, top, unlike))
    score, odd, distance, typical = dict(zip(EYE_OUTPUTS, eye.run({INPUT: pictures[20]}), strict=True)).values()

    maps, medians = [], []
    for view in bank.VIEWS:
        head, norm = memory.heads[view.name], normalisers[view.name]
        assert isinstance(head, KnnHead)
        cells = head.whitening.apply(expected_features(pictures[20], view).reshape(view.channels, -1).T)
        squared = ((cells[:, None] - head.memory[None]) ** 2).sum(2).min(1)
        log_distance = 0.5 * np.log(squared + head.floor).reshape(view.grid(ROWS, COLUMNS))
        medians.append(lower_median(log_distance))
        normal = (log_distance - (medians[-1] if norm.subtract_median else 0.0) - norm.mean) / norm.spread
        maps.append(cv2.resize(normal, memory.map_shape[::-1], interpolation=cv2.INTER_LINEAR))
    expected = correlate(np.maximum(*maps), bank._BINOMIAL.astype(float), mode="mirror")
    highest = np.sort(expected, axis=None)[-10:].mean()
    assert np.abs(odd - expected).max() < 1e-3  # in units of a good frame's own spread
    assert float(typical) == pytest.approx(medians[0], abs=1e-4)
    assert float(score) == pytest.approx((highest - 1.5) / 0.7 + 0.5 * (float(distance) - 4.0) / 2.0, abs=1e-3)


def test_the_gaussian_head_is_the_mahalanobis_distance(pictures: list[Picture]) -> None:
    memory = memory_of(pictures[:12], GaussianHead)
    raw = Graph.open(raw_graph(memory)).run({INPUT: pictures[13]})
    view, head = bank.FINE, memory.heads["fine"]
    assert isinstance(head, GaussianHead)
    cells = head.whitening.apply(expected_features(pictures[13], view).reshape(view.channels, -1).T)
    expected = 0.5 * np.log((cells**2).sum(1) + head.floor).reshape(memory.map_shape)
    assert np.abs(raw[0] - expected).max() < 1e-4


def test_the_feature_order_of_the_graph_is_fixed(pictures: list[Picture]) -> None:
    graph = feature_graph(ROWS, COLUMNS)
    assert graph == feature_graph(ROWS, COLUMNS)
    outputs = Graph.open(graph).run({INPUT: pictures[0]})
    assert [view.channels for view in bank.VIEWS] == [output.shape[1] for output in outputs[:-1]]
