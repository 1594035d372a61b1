from __future__ import annotations

import numpy as np
import pytest

from models.open import Graph
from vision.eye.export import GraphPen
from vision.eye.normalise import CENTRINGS, Centring, MapStatistics, quartile_nodes, quartiles


def learn(maps: list[np.ndarray], folds: int = 4) -> MapStatistics:
    statistics = MapStatistics(folds)
    for number, one in enumerate(maps):
        statistics.add(number % folds, one)
    return statistics


def test_the_median_carries_what_differs_between_frames_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    differing = [rng.normal(0, 0.1, (12, 16)) + rng.normal(0, 1) for _ in range(40)]
    alike = [rng.normal(0, 1, (12, 16)) for _ in range(40)]
    rotated = [rng.normal(0, 0.1, (12, 16)) + (np.arange(16) < rng.integers(5, 11)) for _ in range(40)]
    assert learn(differing).median_ratio() < 0.05
    assert learn(rotated).median_ratio() > 1
    assert learn(alike).median_ratio() == pytest.approx(1.0, abs=0.02)


def test_a_place_is_learned_only_where_it_explains_other_lots() -> None:
    rng = np.random.default_rng(1)
    rim = np.pad(np.zeros((8, 12)), 2, constant_values=2.0)
    with_rim = learn([rim + rng.normal(0, 0.3, rim.shape) for _ in range(40)]).normaliser("raw")
    without = learn([rng.normal(0, 0.3, rim.shape) for _ in range(40)]).normaliser("raw")
    assert with_rim.by_place
    assert with_rim.mean[0, 0] > with_rim.mean[6, 8] + 1
    assert not without.by_place
    assert np.ptp(without.mean) == 0


def test_a_folds_normaliser_has_not_seen_the_fold() -> None:
    rim = np.pad(np.zeros((8, 8)), 2, constant_values=2.0)
    spot = np.zeros_like(rim)
    spot[5:7, 5:7] = 1.0
    maps = [rim + (number % 2) * spot for number in range(20)]  # only fold 1 has the spot
    statistics = learn(maps, folds=2)
    assert (
        statistics.normaliser("raw", without_fold=1).mean[5, 5]
        < statistics.normaliser("raw", without_fold=0).mean[5, 5] - 0.3
    )


def test_identical_frames_do_not_divide_by_zero() -> None:
    normaliser = learn([np.zeros((8, 8)) for _ in range(10)]).normaliser("raw")
    assert (normaliser.spread > 0).all()


def test_the_quartiles_of_an_even_map_are_values_of_it() -> None:
    assert quartiles(np.array([[4.0, 1.0], [3.0, 2.0]])) == (2.0, 3.0)
    assert quartiles(np.array([[3.0, 1.0, 2.0]])) == (2.0, 3.0)


def test_a_scorer_that_knows_the_place_is_not_told_twice() -> None:
    rim = np.pad(np.zeros((8, 12)), 2, constant_values=2.0)
    statistics = MapStatistics(2, knows_place=True)
    for number in range(20):
        statistics.add(number % 2, rim + 0.01 * number)
    assert not statistics.normaliser("raw").by_place


@pytest.mark.parametrize("centring", CENTRINGS)
@pytest.mark.parametrize("shape", [(9, 12), (7, 7), (2, 3)])
def test_the_graph_normalises_as_numpy_does(centring: Centring, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    normaliser = learn([rng.normal(size=shape) * rng.uniform(1, 3) for _ in range(20)]).normaliser(centring)
    raw = rng.normal(size=shape).astype(np.float32)
    pen = GraphPen()
    given = pen.node("Reshape", pen.input("raw", shape), pen.integers(1, 1, *shape))
    normal = normaliser.nodes(pen, given, *quartile_nodes(pen, given, shape))
    pen.output(pen.node("Reshape", normal, pen.integers(*shape)), "normal", shape)
    assert np.abs(Graph.open(pen.finish("n")).run({"raw": raw})[0] - normaliser.apply(raw)).max() < 1e-4
