"""Calibration: risks mean what they say, and the interval holds the risk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.calibrate import calibrated, expected_calibration_error, fit_calibration, logit, sigmoid


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
