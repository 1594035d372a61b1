"""The graph against the same mathematics written a second time, in numpy and scipy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import correlate

from models.open import Graph
from vision.eye import bank
from vision.eye.bank import LONG
from vision.eye.graph import (
    EYE_OUTPUTS,
    FINE_SCORER,
    LONG_SCORER,
    PAINTED_SCORER,
    WHOLE,
    Memory,
    Scales,
    eye_graph,
    feature_graph,
    top_of,
    usual_graph,
)
from vision.eye.heads import KnnHead, LayersHead
from vision.eye.looks import CHROMA, INPUT, Optics
from vision.eye.normalise import MapStatistics, quartiles
from vision.eye.painted import CellScale, fit_layers, places
from vision.eye.summary import SUMMARIES, WholeFrame

ROWS, COLUMNS = 88, 120
Array = np.ndarray
GREY, COLOUR = Optics(ROWS, COLUMNS, False), Optics(ROWS, COLUMNS, True)
FINE_GRID, LONG_GRID = (ROWS // 4, COLUMNS // 4), (ROWS // 8, COLUMNS // 8)


@pytest.fixture(scope="module")
def pictures() -> list[Array]:
    rng = np.random.default_rng(5)
    return [cv2.GaussianBlur(rng.uniform(0, 255, (ROWS, COLUMNS)), (0, 0), 1.0).astype(np.float32) for _ in range(24)]


def pooled(image: Array, side: int) -> Array:
    return image.reshape(image.shape[0] // side, side, image.shape[1] // side, side).mean((1, 3))


def pyramid(picture: Array) -> list[Array]:
    images = [np.log(picture.astype(np.float64) / 255 + bank._LOG_OFFSET)]
    for _ in range(3):
        images.append(correlate(images[-1], bank._BINOMIAL.astype(float), mode="mirror")[::2, ::2])
    return images


def responses(image: Array, kernels: Array) -> list[Array]:
    return [correlate(image, kernel[0].astype(float), mode="mirror") for kernel in kernels]


def expected_fine(picture: Array) -> Array:
    images, parts = pyramid(picture), []
    for level in range(3):
        found = responses(images[level], bank._SHORT)
        thin = [r[::2, ::2] for r in found] if level == 0 else found
        side = (2, 2, 1)[level]
        parts += [pooled(np.abs(r), side) for r in thin]
        parts += [pooled(r, side) for r in thin] if level else []
    return np.stack([*parts, images[2]])


def expected_long(picture: Array) -> Array:
    images, parts = pyramid(picture), []
    for level, side in ((2, 2), (3, 1)):
        found = responses(images[level], bank._LONG)
        parts += [pooled(np.abs(r), side) for r in found] + [pooled(r, side) for r in found]
    return np.stack(parts)


def rows_of(features: Array) -> Array:
    return features.reshape(len(features), -1).T


def expected_usual(fine: Array) -> tuple[Array, Array]:
    """Median and interquartile range of blocks of 3 x 3 cells, float64[channels, 1]."""
    channels, rows, columns = fine.shape
    whole = fine[:, : rows // 3 * 3, : columns // 3 * 3]
    blocks = whole.reshape(channels, rows // 3, 3, columns // 3, 3).mean((2, 4)).reshape(channels, -1)
    falling = -np.sort(-blocks, axis=1)
    lower, median, upper = (falling[:, blocks.shape[1] * parts // 4 - 1] for parts in (3, 2, 1))
    return median[:, None], (upper - lower + 1e-4)[:, None]


def expected_summary(fine: Array) -> Array:
    median, spread = expected_usual(fine)
    channels, rows, columns = fine.shape
    blocks = fine[:, : rows // 2 * 2, : columns // 2 * 2].reshape(channels, rows // 2, 2, columns // 2, 2)
    high = np.sort(blocks.max((2, 4)).reshape(channels, -1), axis=1)
    low = np.sort(blocks.min((2, 4)).reshape(channels, -1), axis=1)
    many = max(4, int(high.shape[1] * 0.01))
    parts = [high[:, -k:].mean(1) - median[:, 0] for k in (3, many)] + [
        median[:, 0] - low[:, :k].mean(1) for k in (3, many)
    ]
    logs = [np.log(np.maximum(part, 0) + 1e-3) for part in parts]
    return np.concatenate([*logs, np.log(spread[:, 0]), np.log(np.abs(median[:, 0]) + 1e-2)])


def memory_of(pictures: list[Array]) -> Memory:
    rng = np.random.default_rng(0)
    scale = CellScale.fit([Graph.open(usual_graph(GREY)).run({INPUT: picture})[0] for picture in pictures])
    graph = Graph.open(feature_graph(GREY, scale))
    seen = [graph.run_named({INPUT: picture}) for picture in pictures]
    heads = {name: KnnHead.fit(np.concatenate([one[name] for one in seen]), rng) for name in (FINE_SCORER, LONG_SCORER)}
    cells = np.concatenate([one[PAINTED_SCORER] for one in seen])
    painted = fit_layers(cells, (cells[:, 3] > cells[:, 7]).astype(np.int64))
    return Memory(GREY, scale, {**heads, PAINTED_SCORER: painted}, WholeFrame.fit(np.stack([s[WHOLE] for s in seen])))


def test_features_are_those_of_the_filters(pictures: list[Array]) -> None:
    scale = CellScale(np.ones((GREY.fine.channels, 1), np.float32))
    seen = Graph.open(feature_graph(GREY, scale)).run_named({INPUT: pictures[0]})
    fine, long = expected_fine(pictures[0]), expected_long(pictures[0])
    assert seen[FINE_SCORER].shape == (FINE_GRID[0] * FINE_GRID[1], GREY.fine.channels)
    assert seen[LONG_SCORER].shape == (LONG_GRID[0] * LONG_GRID[1], LONG.channels)
    assert np.abs(seen[FINE_SCORER] - rows_of(fine)).max() < 1e-4
    assert np.abs(seen[LONG_SCORER] - rows_of(long)).max() < 1e-4
    assert len(seen[WHOLE]) == SUMMARIES * GREY.fine.channels
    assert np.abs(seen[WHOLE] - expected_summary(fine)).max() < 2e-3  # a logarithm of nearly nothing magnifies rounding


def test_scaled_cells_are_in_the_frames_own_scale_and_know_their_place(pictures: list[Array]) -> None:
    usual = np.full((GREY.fine.channels, 1), 0.02, np.float32)
    seen = Graph.open(feature_graph(GREY, CellScale(usual))).run_named({INPUT: pictures[0]})[PAINTED_SCORER]
    fine = expected_fine(pictures[0])
    median, spread = expected_usual(fine)
    expected = np.clip((rows_of(fine).T - median) / (spread + 0.3 * usual), -12, 12)
    assert np.abs(seen[:, : GREY.fine.channels].T - expected).max() < 1e-2
    assert np.allclose(seen[:, GREY.fine.channels :].T, places(*FINE_GRID))
    assert places(*FINE_GRID)[:2, 0].tolist() == [-1, -1]


def test_colour_adds_what_grey_does_not_see(pictures: list[Array]) -> None:
    scale = CellScale(np.ones((COLOUR.fine.channels, 1), np.float32))
    graph = Graph.open(feature_graph(COLOUR, scale))
    plain = np.zeros((2, *FINE_GRID), np.float32)
    red = plain.copy()
    red[0, 5:9, 6:12] = 80
    seen, stained = (graph.run_named({INPUT: pictures[0], CHROMA: chroma})[FINE_SCORER] for chroma in (plain, red))
    grey = GREY.fine.channels
    assert np.array_equal(seen[:, :grey], stained[:, :grey])
    assert np.abs(seen[:, grey:]).max() == 0
    assert stained.reshape(*FINE_GRID, -1)[6, 8, grey] == pytest.approx(80 / 255, abs=1e-6)


def test_the_whole_eye_is_the_numpy_one(pictures: list[Array]) -> None:
    memory = memory_of(pictures[:12])
    rng = np.random.default_rng(1)
    grids = {FINE_SCORER: FINE_GRID, LONG_SCORER: LONG_GRID, PAINTED_SCORER: FINE_GRID}
    normalisers = {}
    for name, centring in zip(grids, ("half", "spread", "raw"), strict=True):
        statistics = MapStatistics(2)
        for number in range(12):
            statistics.add(number % 2, rng.normal(size=grids[name]) + rng.normal())
        normalisers[name] = statistics.normaliser(centring)
    scales = Scales(np.array([1, 2, 0.5, 3], np.float32), np.array([0.7, 1, 2, 1.5], np.float32))
    eye = Graph.open(eye_graph(memory, normalisers, scales))
    score, odd, tops, typical = dict(zip(EYE_OUTPUTS, eye.run({INPUT: pictures[20]}), strict=True)).values()

    maps, medians = {}, []
    seen = Graph.open(feature_graph(GREY, memory.scale)).run_named({INPUT: pictures[20]})
    for name, head in memory.heads.items():
        if isinstance(head, KnnHead):
            cells = head.whitening.apply(seen[name])
            squared = ((cells[:, None] - head.memory[None]) ** 2).sum(2).min(1)
            raw = 0.5 * np.log(squared + head.floor).reshape(grids[name])
        else:
            assert isinstance(head, LayersHead)
            raw = head.apply(seen[name]).reshape(grids[name])
        medians.append(quartiles(raw)[0])
        normal = cv2.resize(normalisers[name].apply(raw), FINE_GRID[::-1], interpolation=cv2.INTER_LINEAR)
        maps[name] = correlate(normal, bank._BINOMIAL.astype(float), mode="mirror")
    whole = memory.whole
    clipped = np.clip((seen[WHOLE] - whole.mean) / whole.spread, -8, 8)
    expected = [*(top_of(one) for one in maps.values()), np.log(np.linalg.norm(clipped @ whole.axes) + 1e-4)]
    assert np.abs(tops - expected).max() < 2e-3  # in units of a good frame's own spread
    shown = (maps[FINE_SCORER] + maps[LONG_SCORER] + 2 * maps[PAINTED_SCORER]) / 4
    assert np.abs(odd - shown).max() < 2e-3
    assert float(typical) == pytest.approx(medians[0], abs=1e-4)
    assert float(score) == pytest.approx(((np.array(expected) - scales.mean) / scales.spread).mean(), abs=2e-3)
    assert scales.score(tops) == pytest.approx(float(score), abs=1e-4)


def test_a_graph_is_the_same_bytes_each_time() -> None:
    scale = CellScale(np.ones((GREY.fine.channels, 1), np.float32))
    assert feature_graph(GREY, scale) == feature_graph(GREY, scale)
