"""Signals that no longer go together as in training are told and named, though each by itself is as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.drift.contrast import contrast, fit_contrast, telling
from fusion.drift.signals import Signal
from fusion.drift.structure import fit_structure, structure

Rows = npt.NDArray[np.float32]
SIGNALS, WINDOW, LINK = 12, 1000, 0.7
NAMED = [Signal(entity=f"OP10.c{i}", measure="mean") for i in range(SIGNALS)]


def drawn(parts: int, seed: int) -> Rows:
    """Parts of a line that wanders slowly; signals 1 and 2 are linked."""
    rng = np.random.default_rng(seed)
    wander = np.cumsum(rng.standard_normal((parts, SIGNALS)), axis=0) * 0.004
    rows = rng.standard_normal((parts, SIGNALS))
    rows[:, 2] = LINK * rows[:, 1] + np.sqrt(1 - LINK**2) * rows[:, 2]
    return np.asarray(rows + wander - wander.mean(axis=0), dtype=np.float32)


def link_lost(rows: Rows, rng: np.random.Generator) -> None:
    rows[:, 2] = rng.permutation(rows[:, 2])


def link_found(rows: Rows, rng: np.random.Generator) -> None:
    rows[:, 8] = 0.7 * rows[:, 5] + np.sqrt(1 - 0.49) * rows[:, 8]


def second_mode(rows: Rows, rng: np.random.Generator) -> None:
    apart = np.array([1.0, -1.0, 1.0, 1.0], dtype=np.float32) * 2.0
    rows[:, 6:10] += ((rng.random(len(rows)) < 0.1).astype(np.float32)[:, None] - np.float32(0.1)) * apart


@pytest.fixture(scope="module")
def history() -> Rows:
    return drawn(10_000, 0)


@pytest.fixture(scope="module")
def limit(history: Rows) -> float:
    return fit_structure(history, history[::5], WINDOW)


@pytest.mark.parametrize(
    ("change", "involved"), [(link_lost, {1, 2}), (link_found, {5, 8}), (second_mode, {6, 7, 8, 9})]
)
def test_what_no_signal_shows_by_itself_is_told_and_named(
    history: Rows, limit: float, change: Callable[[Rows, np.random.Generator], None], involved: set[int]
) -> None:
    _, by_means = fit_contrast(history, history[::5])
    window = drawn(WINDOW, 1)
    change(window, np.random.default_rng(2))
    found = structure(window, history[::5])
    assert found.score > limit
    assert telling(NAMED, found.weight)[0] in {f"OP10.c{i}" for i in involved}
    assert contrast(window, history[::5]).score < by_means


def test_a_link_found_is_less_variation_along_one_combination_and_a_second_mode_more(history: Rows) -> None:
    for change, more in ((link_found, False), (second_mode, True)):
        window = drawn(WINDOW, 3)
        change(window, np.random.default_rng(4))
        assert structure(window, history[::5]).more is more


def test_windows_of_the_same_line_stay_below_the_limit(history: Rows, limit: float) -> None:
    later = drawn(40_000, 5)
    scores = [structure(later[at : at + WINDOW], history[::5]).score for at in range(0, len(later), WINDOW)]
    assert max(scores) < limit


def test_a_signal_that_half_of_the_parts_lack_is_no_change_and_one_that_most_lack_is_not_asked(
    history: Rows, limit: float
) -> None:
    window = drawn(WINDOW, 6)
    window[np.random.default_rng(7).random(WINDOW) < 0.4, 5] = np.nan
    window[: WINDOW * 3 // 4, 8] = np.nan
    found = structure(window, history[::5])
    assert found.score < limit
    assert found.weight[8] == 0.0


@given(st.integers(2, 5), st.integers(0, 99))
def test_the_units_of_the_combination_and_the_order_of_signals_do_not_matter(signals: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = (rng.standard_normal((300, signals)).astype(np.float32) for _ in range(2))
    order = rng.permutation(signals)
    plain, turned = structure(new, old), structure(new[:, order], old[:, order])
    assert turned.score == pytest.approx(plain.score, abs=1e-6)
    assert turned.weight == pytest.approx(plain.weight[order], abs=1e-6)


def test_few_windows_or_one_signal_say_nothing(history: Rows) -> None:
    assert np.isinf(fit_structure(history[:2500], history[:2500:5], WINDOW))
    assert structure(history[:500, :1], history[500:1000, :1]).score == 0.0
