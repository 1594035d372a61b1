"""The scan's statistics: what screening sums, what is natural, and what limits a line's own history asks for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.scan.fit import fit_scan, level_table, null_limit
from fusion.scan.glr import (
    ADDED,
    EXPECTED_LONG,
    OBSERVED_MIN,
    RATIO_MIN,
    best_since,
    likeliest_raise,
    natural_variance,
    overdispersion,
    screen,
    window_sizes,
)
from fusion.scan.rates import ALL, Wander, fit_natural, fit_wander, value_spread, weighed
from fusion.scan.redraw import Plant
from fusion.scan.rows import Rows
from tests.fusion.scan_lines import BASE, make


def rows_of(
    levels: np.ndarray,  # type: ignore[type-arg]
    observed: np.ndarray,  # type: ignore[type-arg]
    rate: float,
    count: int,
    doubt: float = 0.0,
    factor: np.ndarray | None = None,  # type: ignore[type-arg]
) -> Rows:
    """Rows of one natural rate; `factor`: what the risk of each makes of it."""
    everything = np.full((len(levels), 1), ALL, dtype=np.int32)
    natural = np.full(len(levels), rate)
    return Rows(
        np.hstack([everything, levels]).astype(np.int32), observed, natural if factor is None else natural * factor,
        natural, np.arange(len(levels)), np.full(count, doubt), np.zeros(count), Wander(variance=0.0),
    )  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_screening_finds_the_best_window_of_every_level_as_a_sum_by_hand_does(parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.integers(2, 6, (parts, 2)).astype(np.int32)
    levels[:, 1] += 4
    rows = rows_of(levels, rng.random(parts) < 0.2, 0.05, 10, 0.1, rng.choice([0.2, 1.0, 4.0], parts))
    found = screen(rows)
    for level in (ALL, *range(2, 10)):
        best = 0.0
        for size in window_sizes(parts).tolist():
            taken = rows.only(rows.carrying(level) & (np.arange(parts) >= parts - size))
            o, e, n = taken.observed.sum(), float(taken.expected.sum()), float(taken.natural.sum())
            if o >= OBSERVED_MIN and o - e >= (RATIO_MIN - 1.0) * n:
                tried = [
                    sum(
                        np.log((p + more * q) / p) if bad else np.log((1 - p - more * q) / (1 - p))
                        for p, q, bad in zip(taken.expected, taken.natural, taken.observed, strict=True)
                    )
                    for more in ADDED
                ]
                spread = overdispersion(taken, 0.1 if level == ALL else 0.2)
                best = max(best, max(tried) / spread - np.log(EXPECTED_LONG / min(n, EXPECTED_LONG)))
        assert max(0.0, found.statistic[level]) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize(("observed", "rate"), [(3, 0.001), (14, 0.02), (2, 0.02)])
def test_few_defects_little_more_and_fewer_than_expected_are_nothing(observed: int, rate: float) -> None:
    since = best_since(rows_of(np.full((500, 1), 2), np.arange(500) < observed, rate, 3))
    assert since.log_ratio == 0.0


def test_the_likeliest_raise_is_near_that_of_the_counts_where_all_parts_expect_the_same() -> None:
    rows = rows_of(np.full((400, 1), 2), np.arange(400) % 8 == 0, 0.03, 3)
    nats, more = likeliest_raise(rows)
    by_counts = 50 * np.log(50 / 12) + 350 * np.log(350 / 388)
    assert by_counts >= nats > 0.99 * by_counts
    assert 1.0 + more == pytest.approx(50 / 12, rel=0.15)


def test_a_defect_that_the_model_did_not_expect_speaks_louder() -> None:
    """400 parts of a low risk, 100 of a high one; twelve more defects than usual among the ones or the others."""
    factor = np.repeat([0.1, 4.6], [400, 100])
    surprising, expected = np.zeros(500, dtype=bool), np.zeros(500, dtype=bool)
    surprising[:13] = surprising[400:409] = True
    expected[:1] = expected[400:421] = True
    found = [
        best_since(rows_of(np.full((500, 1), 2), bad, 0.02, 3, 0.1, factor)).statistic for bad in (surprising, expected)
    ]
    assert found[0] > 10.0 > 4.0 > found[1]


def test_what_multiplies_every_rate_hardly_touches_the_statistic_of_unexpected_defects() -> None:
    """Lots that are all worse by as much are told from a cause that adds to every part: the spread costs less."""
    parts, levels = 500, np.full((500, 1), 2)
    plain = rows_of(levels, np.zeros(parts, dtype=bool), 0.02, 3)
    strata = rows_of(levels, np.zeros(parts, dtype=bool), 0.02, 3, factor=np.repeat([0.1, 4.6], [400, 100]))
    assert 1.0 + 0.6 * (overdispersion(plain, 0.1) - 1.0) > overdispersion(strata, 0.1) > 1.0


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
    assert low < value_spread(np.stack([observed - expected, expected, expected], axis=1)) < high


def test_the_spread_of_lots_is_the_same_whatever_the_risk_of_their_parts() -> None:
    rng = np.random.default_rng(6)
    n = 60_000
    lot = (np.arange(n) // 1000).astype(np.int32)
    rates = 0.02 * rng.choice([0.1, 1.0, 6.0], n, p=[0.6, 0.25, 0.15])
    factor = np.exp(rng.normal(0.0, 0.5, 60) - 0.125)[lot]
    outcome = (rng.random(n) < rates * factor).astype(np.float64)
    assert 0.12 < value_spread(weighed(lot, outcome, rates, np.full(n, 0.02), 60)) < 0.6


def test_strata_of_risk_are_learnt_and_a_part_without_a_risk_is_of_none() -> None:
    rng = np.random.default_rng(7)
    risk = np.exp(rng.normal(-6.0, 2.0, 8000)).clip(0.0, 0.9)
    table, names = level_table([["tool=a"]] * 8000)
    defect = (rng.random(8000) < risk).astype(np.float64)
    natural = fit_natural(table, names, defect, risk)
    strata = natural.strata
    assert all(low < high for low, high in itertools.pairwise(strata.effects[:-1]))
    assert strata.effects[0] < 0.3 < 5.0 < strata.effects[-2]
    assert strata.effects[int(strata.of(np.array([np.nan]))[0])] == 1.0
    mean = float(np.array(strata.effects)[strata.of(risk)].mean())
    assert mean == pytest.approx(1.0, rel=0.15)
    assert fit_natural(table, names, defect, np.full(8000, 0.02)).strata == fit_natural(table, names, defect).strata


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
    assert 7.0 <= notes.defects_limit < 13.0
    assert fit_scan(levels[:150], defects[:150], defects[:150]) is None
    flagged_all = fit_scan(levels, defects, np.ones(len(levels)))
    assert flagged_all is not None
    assert np.isfinite(flagged_all.flags_limit)
    table, names = level_table(levels)
    plant = Plant(table, names, notes.defects.strata.of(np.full(len(table), np.nan)))
    assert null_limit(plant, notes.defects, np.random.default_rng(0), notes.flags) == notes.defects_limit
