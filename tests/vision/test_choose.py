from __future__ import annotations

import numpy as np

from vision.eye.choose import choose_centring
from vision.eye.normalise import MapStatistics

Maps = list[tuple[int, np.ndarray]]


def learned(maps: Maps) -> MapStatistics:
    statistics = MapStatistics(4)
    for fold, raw in maps:
        statistics.add(fold, raw)
    return statistics


def test_where_rough_frames_score_higher_their_roughness_goes_out() -> None:
    rng = np.random.default_rng(0)
    maps = [(n % 4, rng.normal(0, rng.uniform(0.3, 3), (16, 20)) + rng.normal(0, 5)) for n in range(60)]
    choice = choose_centring(learned(maps), maps, maps)
    assert choice.centring == "spread"
    assert choice.dependence["spread"] < 0.3 < choice.dependence["median"]


def test_where_frames_are_alike_in_roughness_and_differ_in_level_only_the_level_matters_little() -> None:
    rng = np.random.default_rng(1)
    maps = [(n % 4, rng.normal(0, 1, (16, 20)) + rng.normal(0, 5)) for n in range(60)]
    choice = choose_centring(learned(maps), maps, maps)
    assert choice.centring != "raw"


def test_structured_frames_whose_median_says_nothing_are_left_as_they_are() -> None:
    rng = np.random.default_rng(2)
    maps = [(n % 4, rng.normal(0, 0.1, (16, 20)) + (np.arange(20) < rng.integers(6, 14))) for n in range(60)]
    assert choose_centring(learned(maps), maps, maps).centring == "raw"


def test_painted_frames_are_reported_and_do_not_decide() -> None:
    rng = np.random.default_rng(3)
    good = [(n % 4, rng.normal(0, 1, (16, 20)) + rng.normal(0, 5)) for n in range(40)]
    marked = [(fold, raw + 8 * (np.indices(raw.shape).sum(0) < 3)) for fold, raw in good]
    statistics = learned(good)
    with_paint, without = choose_centring(statistics, good, marked), choose_centring(statistics, good, [])
    assert with_paint.centring == without.centring
    assert with_paint.painted_auroc["median"] > 0.95
    assert without.painted_auroc["median"] == 0.5
