"""In control: what a column would be given the other entities, and how surprising it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.causes.in_control import InControl

M = 400


def twins(seed: int = 0) -> np.ndarray:
    """float32[M, 3]: the second follows the first, the third is alone."""
    rng = np.random.default_rng(seed)
    first = rng.normal(10.0, 2.0, M)
    return np.stack([first, first + rng.normal(0.0, 0.2, M), rng.normal(0.0, 1.0, M)], axis=1).astype(np.float32)


def of(good: np.ndarray) -> InControl:
    at = np.arange(good.shape[1])
    return InControl(good, at, at, at)


def expected(fitted: InControl, given: np.ndarray) -> np.ndarray:
    return fitted.expected(fitted.away(given), slice(None))


def row(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_column_is_expected_where_the_others_say_and_its_own_value_says_nothing() -> None:
    fitted = of(twins())
    low, high = expected(fitted, row(12.0, 99.0, 0.0)), expected(fitted, row(12.0, -99.0, 0.0))
    assert low[1] == pytest.approx(12.0, abs=0.4)
    assert low[1] == high[1]


def test_the_channel_that_left_its_company_is_the_most_surprising_not_the_one_it_left() -> None:
    surprise = of(twins()).surprise(row(10.0, 15.0, 0.0))
    assert int(np.argmax(surprise)) == 1


def test_an_ordinary_part_surprises_less_than_an_odd_one() -> None:
    fitted = of(twins())
    assert fitted.surprise(row(10.0, 10.0, 0.1)).max() < 1.0 < fitted.surprise(row(10.0, 10.0, 6.0)).max()


def test_what_never_varied_or_is_missing_neither_predicts_nor_surprises() -> None:
    good = np.concatenate([twins(), np.full((M, 1), 7.0, dtype=np.float32)], axis=1)
    fitted = of(good)
    surprise = fitted.surprise(row(10.0, np.nan, 0.0, 7.5))
    assert surprise[1] == 0.0
    assert surprise[3] == 0.0
    assert expected(fitted, row(10.0, 10.0, 0.0, 7.5))[3] == pytest.approx(7.0)


def test_one_entitys_columns_are_expected_from_other_entities_alone() -> None:
    good = twins()
    at = np.arange(3)
    together = InControl(good, np.array([0, 0, 1]), at, at)
    assert expected(together, row(14.0, 14.0, 0.0))[1] == pytest.approx(float(good[:, 1].mean()), abs=0.5)


def test_more_columns_than_good_parts_still_give_finite_expectations() -> None:
    good = np.random.default_rng(1).normal(size=(20, 60)).astype(np.float32)
    fitted = of(good)
    assert np.isfinite(expected(fitted, good[0])).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(width=32), min_size=3, max_size=3))
def test_whatever_a_sensor_sends_the_surprise_is_a_number_and_not_negative(values: list[float]) -> None:
    with np.errstate(over="ignore"):
        surprise = of(twins()).surprise(row(*values))
    assert np.isfinite(surprise).all()
    assert (surprise >= 0.0).all()
