"""Calibration: risks mean what they say, and the interval holds the risk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.calibration.calibrate import (
    calibrated,
    calibration_floor,
    expected_calibration_error,
    fit_calibration,
    logit,
    sigmoid,
)
from fusion.calibration.card import calibration_lines
from fusion.calibration.lot_spread import LotSpread, fit_lot_spread
from fusion.calibration.maps import Fit, fit_beta, fit_isotonic, fit_line, map_for
from fusion.calibration.products import fit_product_offsets, offset_risk


def test_an_overconfident_score_is_brought_back() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(-2.0, 1.0, 6000)
    defect = rng.random(6000) < sigmoid(truth)
    score = sigmoid(2.0 * truth + 1.0)
    calibration = fit_calibration(score, defect, np.arange(6000) // 50)
    assert calibration.slope == pytest.approx(0.5, abs=0.06)
    assert expected_calibration_error(score, defect) > 0.03
    assert expected_calibration_error(calibrated(calibration, score), defect) < 0.015


def test_a_score_that_knows_nothing_says_the_base_rate() -> None:
    rng = np.random.default_rng(1)
    defect = rng.random(2000) < 0.1
    score = np.where(defect, 0.1, 0.3) + rng.random(2000) * 0.01  # worse than nothing: defects score lower
    risk = calibrated(fit_calibration(score, defect, np.arange(2000) // 20), score)
    assert np.ptp(risk) < 1e-9
    assert risk[0] == pytest.approx(defect.mean(), abs=0.01)


@given(st.integers(0, 10_000), st.sampled_from([2.0, 6.0, 9.0]), st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_ranking_that_is_good_stays_as_good(seed: int, apart: float, spread: float, zeros: bool) -> None:
    rng = np.random.default_rng(seed)
    defect = rng.random(2500) < 0.025
    score = sigmoid(rng.normal(-6.0 + apart * defect, spread, 2500))
    score = np.where(zeros & (rng.random(2500) < 0.3), 0.0, score)
    risk = calibrated(fit_calibration(score, defect, np.arange(2500) // 50), score)
    good, bad = score[~defect], score[defect]
    if np.mean(bad[:, None] > good[None, :]) > 0.7:  # a score that ranks is never flattened to the base rate
        assert np.mean(risk[defect][:, None] >= risk[~defect][None, :]) > np.mean(bad[:, None] > good[None, :]) - 0.02
        assert np.ptp(risk) > 1e-3


@given(st.integers(0, 10_000), st.integers(10, 60), st.floats(-3, 1))
@settings(max_examples=25, deadline=None)
def test_the_interval_holds_the_risk_everywhere(seed: int, lots: int, centre: float) -> None:
    rng = np.random.default_rng(seed)
    n = lots * 20
    truth = rng.normal(centre, 1.0, n)
    defect = rng.random(n) < sigmoid(truth)
    calibration = fit_calibration(sigmoid(truth + rng.normal(0, 0.5, n)), defect, np.arange(n) // 20)
    middle = calibration.slope * np.array(calibration.nodes) + calibration.intercept
    assert np.all(np.array(calibration.low) <= middle + 1e-9)
    assert np.all(middle <= np.array(calibration.high) + 1e-9)


def test_fewer_lots_give_a_wider_interval() -> None:
    def width(n_lots: int) -> float:
        rng = np.random.default_rng(2)
        lot = np.repeat(rng.normal(0, 1.0, n_lots), 40)  # lots differ: parts of one lot are not independent
        truth = rng.normal(-1.5, 1.0, len(lot))
        defect = rng.random(len(lot)) < sigmoid(truth + lot)
        c = fit_calibration(sigmoid(truth), defect, np.arange(len(lot)) // 40)
        at = len(c.nodes) // 2
        return c.high[at] - c.low[at]

    assert width(10) > 1.5 * width(160)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_logit_and_sigmoid_undo_each_other_within_the_clip(scores: list[float]) -> None:
    given_scores = np.array(scores)
    assert np.allclose(sigmoid(logit(given_scores)), np.clip(given_scores, 1e-4, 1 - 1e-4))


@pytest.mark.parametrize(("lots", "centre"), [(8, -1.0), (30, -3.0)])
def test_the_interval_covers_the_mean_risk_of_lots_to_come(lots: int, centre: float) -> None:
    """Lots have a random intercept; what holds on average over lots lies within in 85 of 100 plants or more."""
    grid = np.linspace(-2.5, 2.5, 11)
    density = np.exp(-(grid**2) / 2) / np.exp(-(grid**2) / 2).sum()
    hits = []
    for seed in range(60, 120):
        rng = np.random.default_rng(seed)
        lot = np.repeat(np.arange(lots), 60)
        truth = rng.normal(centre, 1.5, len(lot))
        defect = rng.random(len(lot)) < sigmoid(truth + rng.normal(0.0, 0.5, lots)[lot])
        c = fit_calibration(sigmoid(truth), defect, lot)
        place = np.array([centre, centre + 2.0])
        true = np.log(1.0 / (1.0 / (sigmoid(place[:, None] + 0.5 * grid) @ density) - 1.0))
        hits.append((np.interp(place, c.nodes, c.low) <= true) & (true <= np.interp(place, c.nodes, c.high)))
    assert np.mean(hits) >= 0.85


STEP = np.linspace(-9.2, 9.2, 33)


@given(st.integers(0, 10_000), st.sampled_from([fit_line, fit_beta, fit_isotonic]))
@settings(max_examples=40, deadline=None)
def test_every_map_keeps_the_order_of_scores(seed: int, fit: Fit) -> None:
    rng = np.random.default_rng(seed)
    place = rng.normal(-2.0, 2.0, 300)
    defect = rng.random(300) < sigmoid(rng.normal() * place)
    defect[:2] = (True, False)
    assert np.all(np.diff(fit(place, defect, np.ones(300), STEP)) >= -1e-9)


def test_another_map_is_taken_only_where_many_lots_ask_for_it() -> None:
    rng = np.random.default_rng(3)
    place = rng.normal(-2.0, 1.5, 6000)
    plain, bent = sigmoid(0.8 * place), sigmoid(np.where(place > -1.5, 0.5, -4.5))
    many, few = np.arange(6000) // 40, np.arange(6000) // 1500
    assert map_for(place, rng.random(6000) < plain, many, STEP) is fit_line
    stepped = rng.random(6000) < bent
    assert map_for(place, stepped, many, STEP) is not fit_line
    assert map_for(place, stepped, few, STEP) is fit_line


def test_a_product_has_an_offset_only_where_lots_it_has_not_seen_are_better_told_with_it() -> None:
    rng = np.random.default_rng(4)
    lot = np.arange(12_000) // 100
    products = [("A", "B", "C")[number % 3] for number in lot]
    own = rng.normal(-3.0, 1.0, len(lot))
    moved = own + np.array([0.0, 1.2, -0.6])[lot % 3]
    assert fit_product_offsets(sigmoid(own), rng.random(len(lot)) < sigmoid(own), products, lot) == {}
    offsets = fit_product_offsets(sigmoid(own), rng.random(len(lot)) < sigmoid(moved), products, lot)
    assert offsets["B"] == pytest.approx(1.2, abs=0.25)
    assert offset_risk(np.array([0.1, 0.1]), ["B", "new"], offsets)[1] == pytest.approx(0.1)
    few = slice(0, 300)
    assert fit_product_offsets(sigmoid(own[few]), own[few] > -2.0, products[few], lot[few]) == {}


def test_the_floor_is_what_luck_alone_gives() -> None:
    rng = np.random.default_rng(5)
    risk = sigmoid(rng.normal(-2.0, 1.0, 1000))
    floor = calibration_floor(risk)
    assert 0.5 * floor < expected_calibration_error(risk, rng.random(1000) < risk) < 2.0 * floor


def test_the_card_tells_luck_from_error_and_what_lots_do() -> None:
    rng = np.random.default_rng(6)
    risk = sigmoid(rng.normal(-2.0, 1.0, 2000))
    defect = rng.random(2000) < risk
    lines = calibration_lines(risk, defect, fit_lot_spread(risk, defect, np.arange(2000) // 50), {"B": 0.7})
    assert "of which luck alone gives" in lines[0]
    assert "one standard deviation of 40 lots" in lines[1]
    assert lines[2] == "Products with odds of their own: B x 2.01."
    assert "too few" in calibration_lines(risk, defect, LotSpread(lots=3), {})[1]
