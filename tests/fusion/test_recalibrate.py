"""Recalibration: labels by lots say when risks no longer mean what they say, and by how much."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from fusion.calibration.calibrate import sigmoid
from fusion.calibration.correction import Recalibration
from fusion.calibration.counts import Counts, LotLabels, bin_of
from fusion.calibration.lot_spread import Lots, LotSpread, departure, fit_lot_spread, highest_runs
from fusion.calibration.recalibrate import fit_recalibration, onset, rejected

Doubles = npt.NDArray[np.float64]
SPREAD = LotSpread(lots=40, variance=0.04, variance_high=0.08, weight=3.0, alarm=3.8)


def lots_of(
    rng: np.random.Generator, n_lots: int, parts: int, *, shift: float = 0.0, tilt: float = 0.0, lot_sd: float = 0.0,
    flagged_only: float = -np.inf, first: int = 0, centre: float = -3.5,
) -> dict[str, LotLabels]:  # fmt: skip
    """Labels of lots whose parts' own logits are normal around `centre`, and whose true logit is shifted and tilted."""
    lots = {}
    for number in range(first, first + n_lots):
        own = rng.normal(centre, 1.5, parts)
        true = own + shift + tilt * (own - centre) + rng.normal(0, lot_sd)
        defect = rng.random(parts) < sigmoid(true)
        lot = lots[f"B{number}"] = LotLabels(1000 * (number + 1))
        for place, bad in zip(own[own > flagged_only], defect[own > flagged_only], strict=True):
            lot.count(bin_of(place), 1, int(bad))
    return lots


def fitted(lots: dict[str, LotLabels]) -> Recalibration:
    return fit_recalibration(Counts.of(lots, 0), SPREAD, "sha", 0)


@pytest.mark.parametrize("flagged_only", [-np.inf, -2.0])
def test_a_shift_is_found_whoever_was_labelled_by_their_risk(flagged_only: float) -> None:
    lots = lots_of(np.random.default_rng(0), 40, 200, shift=1.0, flagged_only=flagged_only)
    assert onset(Counts.of(lots, 0), None, SPREAD) is not None
    correction = fitted(lots)
    centre = max(-3.5, flagged_only)
    assert correction.corrected(centre) - centre == pytest.approx(1.0, abs=0.3)
    assert abs(correction.corrected(centre) - centre - 1.0) < 2.0 * correction.half_width(centre)


def test_a_slope_is_followed_when_labels_show_it_and_only_then() -> None:
    rng = np.random.default_rng(1)
    assert fitted(lots_of(rng, 60, 400, tilt=-0.5, shift=-0.3)).tilt == pytest.approx(-0.45, abs=0.15)
    assert fitted(lots_of(rng, 60, 400, shift=0.8)).tilt == 0.0


def test_a_sensor_that_tells_less_is_found_though_as_many_parts_are_defective_as_said() -> None:
    """The level is right, high risks are too high and low ones too low."""
    rng = np.random.default_rng(8)
    own = rng.normal(-3.5, 1.5, 80 * 150)
    spread = fit_lot_spread(sigmoid(own), rng.random(len(own)) < sigmoid(own), np.arange(len(own)) // 150)
    before = lots_of(rng, 20, 150)
    assert onset(Counts.of(before, 0), None, spread) is None
    after = lots_of(rng, 20, 150, tilt=-0.6, shift=0.28, first=20)
    counts = Counts.of(before | after, 0)
    begins = onset(counts, None, spread)
    assert begins is not None
    assert begins >= 15
    correction = fit_recalibration(counts.since(begins), spread, "sha", 0)
    assert correction.tilt < -0.3
    assert rejected(counts.since(begins), spread)


def test_an_onset_is_dated_to_its_lot() -> None:
    rng = np.random.default_rng(2)
    lots = lots_of(rng, 20, 200) | lots_of(rng, 8, 200, shift=1.2, first=20)
    counts = Counts.of(lots, 0)
    begins = onset(counts, None, SPREAD)
    assert begins is not None
    assert abs(begins - 20) <= 1


def test_lots_in_control_open_nothing_and_a_bad_lot_among_lots_that_differ_is_no_news() -> None:
    rng = np.random.default_rng(3)
    assert not [s for s in range(30) if onset(Counts.of(lots_of(rng, 40, 60, lot_sd=0.2), 0), None, SPREAD) is not None]
    one = lots_of(rng, 20, 60) | lots_of(rng, 1, 60, shift=1.5, first=20)
    varied = LotSpread(lots=40, variance=0.6, variance_high=0.9, weight=3.0, alarm=3.8)
    assert onset(Counts.of(one, 0), None, varied) is None


def test_the_alarm_level_of_training_lots_holds_on_fresh_lots() -> None:
    """The unit is the lot: five in a hundred streams of a hundred lots may alarm; counted iid it would be most."""
    rng = np.random.default_rng(4)

    def plant(n_lots: int) -> tuple[Doubles, npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
        lot = np.repeat(np.arange(n_lots), 150)
        own = rng.normal(-3.5, 1.5, len(lot))
        risk = sigmoid(own[:, None] + 0.5 * _GRID) @ _NORMAL  # what holds on average over lots
        return risk, rng.random(len(lot)) < sigmoid(own + rng.normal(0, 0.5, n_lots)[lot]), lot

    spread = fit_lot_spread(*plant(80))
    assert 0.1 < spread.variance < 0.5
    risk, defect, lot = plant(100 * 40)
    doubt = risk * (1 - risk)
    sides = (defect - risk, doubt, doubt * (1 - 2 * risk))
    residual, weight, third = (np.bincount(lot, side).reshape(40, 100).astype(np.float64) for side in sides)
    by_lots = highest_runs(Lots(residual, weight, third, weight + spread.variance_high * weight**2), spread.doubt)
    as_if_independent = highest_runs(Lots(residual, weight, third, weight), 0.0)
    assert np.mean(by_lots > spread.alarm) <= 0.15
    assert np.mean(as_if_independent > spread.alarm) > 0.5


_GRID = np.linspace(-2.5, 2.5, 9)
_NORMAL = np.exp(-(_GRID**2) / 2) / np.exp(-(_GRID**2) / 2).sum()


def test_more_parts_of_the_same_lots_do_not_make_the_correction_surer_than_the_lots_allow() -> None:
    rng = np.random.default_rng(5)
    few, many = (fitted(lots_of(rng, 6, n, shift=1.0, centre=-1.0)) for n in (200, 20_000))
    assert many.half_width(many.pivot) > 1.6449 * np.sqrt(SPREAD.variance / 7.5)
    assert many.half_width(many.pivot) > 0.8 * few.half_width(few.pivot)


def test_a_register_of_defects_alone_says_nothing() -> None:
    lots = lots_of(np.random.default_rng(6), 40, 100, shift=2.0)
    only = {name: LotLabels(lot.at, {b: (bad, bad) for b, (_, bad) in lot.bins.items()}) for name, lot in lots.items()}
    assert onset(Counts.of(only, 0), None, SPREAD) is None


def test_when_risks_mean_again_what_they_say_the_labels_no_longer_speak_against_them() -> None:
    rng = np.random.default_rng(7)
    bad = lots_of(rng, 20, 200, shift=1.2)
    assert rejected(Counts.of(bad, 0), SPREAD)
    assert not rejected(Counts.of(bad | lots_of(rng, 100, 200, first=20), 0), SPREAD)


corrections = st.builds(
    lambda shift, tilt, pivot, low, width: Recalibration(
        model="m", since=0, shift=shift, tilt=tilt, pivot=pivot, low=low, high=low + width, labels=1
    ),
    st.floats(-4, 4), st.floats(-0.8, 1), st.floats(-6, 2), st.floats(-9, 2), st.floats(0, 8),
)  # fmt: skip


@given(corrections, st.floats(-9.3, 9.3), st.floats(0, 5))
def test_a_correction_keeps_the_order_of_risks(correction: Recalibration, own: float, more: float) -> None:
    assert correction.corrected(own) <= correction.corrected(own + more) + 1e-9


@given(corrections, st.floats(-9.3, 9.3))
def test_where_nothing_was_labelled_no_risk_is_lowered_below_the_edge(correction: Recalibration, own: float) -> None:
    if own < correction.low:
        assert correction.corrected(own) >= min(own, correction.corrected(correction.low)) - 1e-9


def seen_of(observed: float, risk: float, count: int) -> float:
    doubt = count * risk * (1 - risk)
    sides = (observed - count * risk, doubt, doubt * (1 - 2 * risk), doubt)
    return float(departure(Lots(*(np.array(side) for side in sides)), 0.0))


@given(st.integers(0, 400), st.floats(0.001, 0.999), st.integers(1, 400))
def test_a_departure_has_the_sign_of_its_excess(observed: int, risk: float, count: int) -> None:
    observed = min(observed, count)
    value = seen_of(observed, risk, count)
    assert value == 0.0 or np.sign(value) == np.sign(observed - count * risk)


@pytest.mark.parametrize(("risk", "count"), [(0.002, 2000), (0.05, 300), (0.5, 60), (0.95, 300)])
def test_a_departure_is_as_rare_as_a_normal_one_of_its_size(risk: float, count: int) -> None:
    """Within a factor of two and a half at three standard deviations, on either side, however skewed the count is."""
    outcomes = np.arange(count + 1)
    value = np.array([seen_of(k, risk, count) for k in outcomes.tolist()])
    chance = binom.pmf(outcomes, count, risk)
    for tail in (chance[value > 3.0].sum(), chance[value < -3.0].sum()):
        assert tail < 2.5 * norm.sf(3.0)
