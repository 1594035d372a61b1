"""The scan's statistics: what screening sums, what is natural, and what limits a line's own history asks for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.scan_fit import fit_scan, level_table, null_limit
from fusion.scan_glr import (
    EXPECTED_LONG,
    OBSERVED_MIN,
    RATIO_MIN,
    Rows,
    added_ratio,
    best_since,
    log_ratio,
    natural_variance,
    screen,
    window_sizes,
)
from fusion.scan_rates import ALL, Numbers, Wander, fit_natural, fit_wander, value_spread
from tests.fusion.scan_lines import BASE, make


def rows_of(levels: np.ndarray, observed: np.ndarray, rate: float, count: int, doubt: float = 0.0) -> Rows:  # type: ignore[type-arg]
    everything = np.full((len(levels), 1), ALL, dtype=np.int32)
    expected = np.full(len(levels), rate)
    doubts = np.full(count, doubt)
    return Rows(
        np.hstack([everything, levels]).astype(np.int32), observed, expected, expected, np.arange(len(levels)), doubts,
        np.zeros(count), Wander(variance=0.0),
    )  # fmt: skip


def counts(*values: float) -> Numbers:
    return np.array(values, dtype=np.float64)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_screening_finds_the_best_window_of_every_level_as_a_count_by_hand_does(parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.integers(2, 6, (parts, 2)).astype(np.int32)
    levels[:, 1] += 4
    rows = rows_of(levels, rng.random(parts) < 0.2, 0.05, 10, 0.1)
    found = screen(rows)
    for level in (ALL, *range(2, 10)):
        best = 0.0
        for size in window_sizes(parts).tolist():
            taken = rows.carrying(level) & (np.arange(parts) >= parts - size)
            n, o, e = float(taken.sum()), float(rows.observed[taken].sum()), float(rows.expected[taken].sum())
            if o >= OBSERVED_MIN and o / n >= RATIO_MIN * e / n:
                variance = 0.1 if level == ALL else 0.2
                rest = (n - o) * np.log((n - o) / (n - e)) if o < n else 0.0
                spread = 1.0 + variance * e / (1.0 - e / n)
                best = max(best, (o * np.log(o / e) + rest) / spread - np.log(EXPECTED_LONG / min(e, EXPECTED_LONG)))
        assert max(0.0, found.statistic[level]) == pytest.approx(best, abs=1e-9)


def test_the_likelihood_ratio_is_nothing_for_few_for_little_and_for_less_than_expected() -> None:
    assert log_ratio(counts(3, 14, 2), counts(0.1, 10, 10), counts(50, 500, 500)).tolist() == [0.0, 0.0, 0.0]
    assert log_ratio(counts(40), counts(10), counts(500))[0] == pytest.approx(
        40 * np.log(4) + 460 * np.log(460 / 490), rel=1e-9
    )


def test_part_by_part_the_ratio_is_that_of_the_counts_where_all_parts_expect_the_same() -> None:
    observed = np.arange(400) % 8 == 0
    rows = rows_of(np.full((400, 1), 2), observed, 0.03, 3)
    assert added_ratio(rows) == pytest.approx(log_ratio(counts(50), counts(12), counts(400))[0], rel=1e-9)


def test_the_onset_is_where_the_rate_rose() -> None:
    rng = np.random.default_rng(1)
    rate = np.where(np.arange(2000) < 1200, 0.02, 0.12)
    since = best_since(rows_of(np.full((2000, 1), 2), rng.random(2000) < rate, 0.02, 3))
    assert abs(since.row - 1200) < 60
    assert since.ratio == pytest.approx(6.0, rel=0.2)


def test_a_window_of_one_lot_must_stand_out_more_than_one_of_many() -> None:
    one = rows_of(np.full((400, 1), 2), np.zeros(400, dtype=bool), 0.02, 12, 0.2)
    many = rows_of((2 + np.arange(400) % 10)[:, None], np.zeros(400, dtype=bool), 0.02, 12, 0.2)
    assert natural_variance(one) == pytest.approx(0.2 + 0.2)  # the lot's and the plant's
    assert natural_variance(many) == pytest.approx(0.2 / 10 + 0.2)


def test_fitting_tells_crossed_effects_apart_and_shrinks_what_little_is_known_of() -> None:
    """Tool b runs at 3 times the rate, and mostly in shift 2, which has none of its own."""
    rng = np.random.default_rng(2)
    n = 20_000
    late = rng.random(n) < 0.5
    tool = np.where(rng.random(n) < np.where(late, 0.8, 0.2), "b", "a")
    defect = rng.random(n) < np.where(tool == "b", 0.06, 0.02)
    levels = [[f"shift={2 if x else 1}", f"tool={t}"] for x, t in zip(late, tool, strict=True)]
    levels[0].append("rare=x")
    table, names = level_table(levels)
    natural = fit_natural(table, names, defect.astype(np.float64))
    assert natural.effect_of("tool=b") / natural.effect_of("tool=a") == pytest.approx(3.0, rel=0.2)
    assert natural.effect_of("shift=2") == pytest.approx(1.0, abs=0.12)
    assert natural.effect_of("rare=x") == pytest.approx(1.0, abs=0.25)
    assert natural.doubt_of("rare=x") > 5 * natural.doubt_of("tool=b")
    assert natural.doubt_of("tool=new") == natural.spread["tool"]


def test_a_station_books_its_tool_under_the_same_name_as_another() -> None:
    table, names = level_table([["tool=T1", "tool=T7"], ["tool=T2", "tool=T7"], ["tool=T1", "tool=T8"]])
    assert table.shape == (3, 2)
    assert {names[number] for number in table[:, 0]} == {"tool=T1", "tool=T2"}
    assert {names[number] for number in table[:, 1]} == {"tool=T7", "tool=T8"}


@pytest.mark.parametrize(("sd", "low", "high"), [(0.0, 0.001, 0.03), (0.5, 0.2, 0.6)])
def test_the_spread_of_lots_is_found_from_counts(sd: float, low: float, high: float) -> None:
    rng = np.random.default_rng(3)
    expected = np.full(60, 40.0)
    observed = rng.poisson(expected * np.exp(rng.normal(0.0, sd, 60) - sd**2 / 2)).astype(np.float64)
    assert low < value_spread(observed, expected) < high


def test_a_line_that_wanders_by_itself_is_found_to() -> None:
    rng = np.random.default_rng(4)
    steady = np.full(20_000, 0.02)
    moving = steady * np.repeat(np.exp(rng.normal(0, 0.6, 20)), 1000)
    found = [fit_wander((rng.random(20_000) < rate).astype(np.float64), steady).variance for rate in (steady, moving)]
    assert found[1] > 3 * found[0]


def test_limits_come_from_the_lines_own_history_the_same_each_time_and_from_none_that_is_short() -> None:
    made = make(3000, 5)
    levels = [one.levels for one in made]
    defects = np.array([float(one.defect) for one in made])
    notes = fit_scan(levels, defects, defects)
    assert notes is not None
    assert notes.defects.rate == pytest.approx(BASE, rel=0.25)
    assert 8.0 < notes.defects_limit < 13.0
    assert fit_scan(levels[:150], defects[:150], defects[:150]) is None
    table, names = level_table(levels)
    assert null_limit(table, names, notes.defects, np.random.default_rng(0)) == notes.defects_limit
