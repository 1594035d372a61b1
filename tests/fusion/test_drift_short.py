"""Limits of a short history hold for wanders it could not show, and say what they cannot show yet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.drift.limits import ChartLimits, fit_limits, own_highest
from fusion.drift.wander import filter_steps, posterior
from fusion.drift.watched import WATCHED_SD, least_shift, say_watched, watched

Doubles = npt.NDArray[np.float64]
SIGNALS, BLOCK = 20, 20
SLOWEST = 75.0  # blocks


def wandering(blocks: int, memory: float, seed: int) -> Doubles:
    """float64[blocks, SIGNALS]: block means whose wander is half as large again as their noise."""
    rng, keep = np.random.default_rng(seed), np.exp(-1.0 / memory)
    out, state = np.empty((blocks, SIGNALS)), rng.standard_normal(SIGNALS)
    for row in out:
        state = keep * state + np.sqrt(1 - keep**2) * rng.standard_normal(SIGNALS)
        row[:] = 0.33 * state + 0.22 * rng.standard_normal(SIGNALS)
    return out


def beyond(limits: ChartLimits, blocks: Doubles) -> int:
    ewma, cusum = own_highest((blocks - limits.centre) / limits.scale, limits.slack)
    return int(np.sum((ewma > limits.ewma) | (cusum > limits.cusum)))


@pytest.mark.parametrize("known", [15, 30, 60])
@pytest.mark.parametrize("memory", [5.0, 20.0, 50.0])
def test_a_wander_that_a_short_history_could_not_show_opens_nothing(known: int, memory: float) -> None:
    blocks = wandering(known + 1000, memory, seed=known)
    assert beyond(fit_limits(blocks[:known], 0.001, SLOWEST), blocks[known:]) == 0


def test_limits_that_trust_a_short_history_cry_wolf() -> None:
    blocks = wandering(1030, 50.0, seed=30)
    assert beyond(fit_limits(blocks[:30], 0.001), blocks[30:]) >= 2  # of twenty signals: what is mended here


def test_limits_tighten_as_history_grows() -> None:
    blocks = wandering(500, 5.0, seed=2)
    least = [np.median(least_shift(fit_limits(blocks[:known], 0.001, SLOWEST), BLOCK)) for known in (15, 60, 250, 500)]
    assert least == sorted(least, reverse=True)
    assert least[-1] < 0.5 * least[0]


@given(st.floats(0.0, 500.0), st.integers(12, 80))
def test_every_wander_held_possible_has_a_weight_and_the_slowest_is_among_them(slowest: float, known: int) -> None:
    blocks, steps = wandering(known, 5.0, seed=1), 0
    filtering = posterior(blocks, slowest)
    try:
        while True:
            next(filtering)
            steps += 1
    except StopIteration as ended:
        found = ended.value
    assert steps == filter_steps(blocks)
    assert found.weight.sum(axis=0) == pytest.approx(np.ones(SIGNALS))
    assert found.phi.max() == pytest.approx(np.exp(-1.0 / max(slowest, known / 3.0)))


def test_a_short_history_says_of_how_many_signals_and_from_when_on_it_is_looked_at_again() -> None:
    names = [*(f"OP10.c{i}" for i in range(SIGNALS)), ""]
    blocks = np.concatenate([wandering(500, 20.0, seed=4), wandering(500, 20.0, seed=5)[:, :1]], axis=1)
    short, long = (
        watched(names, fit_limits(blocks[:known], 0.001, SLOWEST), BLOCK, known, again)
        for known, again in ((15, 30), (500, None))
    )
    assert (short.parts, short.signals, short.again_parts) == (300, SIGNALS, 600)
    assert short.not_yet == SIGNALS
    assert short.shift_sd > WATCHED_SD
    said = say_watched(short)
    assert "20 of 20 signals are not watched in earnest on 300 parts" in said
    assert "looked at again from 600 quiet parts on" in said
    assert (long.not_yet, long.again_parts, say_watched(long)) == (0, 0, "")


def test_without_limits_no_shift_is_seen_and_that_is_said() -> None:
    names = [f"OP10.c{i}" for i in range(SIGNALS)]
    told = watched(names, fit_limits(wandering(8, 5.0, seed=0), 0.001, SLOWEST), BLOCK, 8, 16)
    assert (told.not_yet, told.shift_sd) == (SIGNALS, 0.0)
    assert "no shift is seen" in say_watched(told)
