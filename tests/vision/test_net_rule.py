"""The rule keeps a network that helps, and none that only tells paint, that is noise, or that cries wolf elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.network.rule import GOOD_MIN, HALVES, LABELS_MIN, Pair, Trial, decide_net, pooled
from vision.training.synthetic import KINDS

GOOD = 120
BATCHES = [f"B{i % 12}" for i in range(GOOD)]


def pair(seed: int, count: int, eye: float, net: float) -> Pair:
    """Scores whose means lie so many spreads above good frames'."""
    rng = np.random.default_rng(seed)
    return Pair(rng.normal(eye, 1, count), rng.normal(net, 1, count))


def test_a_network_that_sees_what_the_eye_misses_is_kept() -> None:
    decision = decide_net(pair(0, GOOD, 0, 0), BATCHES, pair(1, 200, 1.0, 3.0))
    assert decision.kept, decision.why
    assert decision.by == "painted"
    assert decision.gain > decision.gain_low > 0


def test_a_network_of_noise_is_not_kept() -> None:
    assert not decide_net(pair(0, GOOD, 0, 0), BATCHES, pair(1, 200, 3.0, 0.0)).kept


def test_labelled_defects_overrule_painted_ones() -> None:
    good, painted, labelled = pair(0, GOOD, 0, 0), pair(1, 200, 1.0, 3.0), pair(2, 40, 3.0, 0.0)
    decision = decide_net(good, BATCHES, painted, labelled)
    assert not decision.kept
    assert decision.by == "labels"
    few = Pair(labelled.eye[: LABELS_MIN - 1], labelled.net[: LABELS_MIN - 1])
    assert decide_net(good, BATCHES, painted, few).by == "painted"


def test_a_network_that_dislikes_whole_batches_is_not_kept() -> None:
    """Judged by the cut of the others, one batch would be flagged as a whole: the next such batch will be."""
    good, painted = pair(0, GOOD, 0, 0), pair(1, 200, 0.5, 30.0)
    loud = np.array([name == "B3" for name in BATCHES])
    decision = decide_net(Pair(good.eye, good.net + 20 * loud), BATCHES, painted, share=0.5)
    assert not decision.kept
    assert decision.false_alarms[1] > decision.false_alarms[0]
    assert "batches it does not know" in decision.why


def test_too_few_good_frames_decide_nothing() -> None:
    few = GOOD_MIN - 1
    decision = decide_net(pair(0, few, 0, 0), BATCHES[:few], pair(1, 200, 0.0, 9.0))
    assert not decision.kept
    assert decision.by == "nothing"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 50), st.floats(-100, 100))
def test_the_units_of_a_score_do_not_matter(seed: int, factor: float, offset: float) -> None:
    good, painted = pair(seed, GOOD, 0, 0), pair(seed + 1, 60, 1.5, 1.5)
    moved = [Pair(one.eye, factor * one.net + offset) for one in (good, painted)]
    first, second = decide_net(good, BATCHES, painted), decide_net(moved[0], BATCHES, moved[1])
    assert first.kept == second.kept
    assert first.gain == pytest.approx(second.gain, abs=0.02)


def test_the_network_itself_taken_twice_gains_nothing() -> None:
    good, painted = (np.random.default_rng(seed).normal(seed, 1, 150) for seed in (0, 1))
    batches = [f"B{i % 10}" for i in range(150)]
    decision = decide_net(Pair(good, good), batches, Pair(painted, painted))
    assert decision.gain == pytest.approx(0)
    assert not decision.kept


def test_each_half_of_the_kinds_is_judged_by_the_other() -> None:
    assert sorted(HALVES[0] + HALVES[1]) == sorted(KINDS)
    assert not set(HALVES[0]) & set(HALVES[1])


def test_networks_of_different_scales_are_pooled_on_their_own_good_frames() -> None:
    first = Trial(pair(0, GOOD, 0, 0), pair(1, 80, 1.0, 3.0))
    second = Trial(pair(2, GOOD, 0, 0), pair(3, 80, 1.0, 3.0))
    louder = Trial(Pair(second.good.eye, 9 * second.good.net + 4), Pair(second.painted.eye, 9 * second.painted.net + 4))
    same, scaled = pooled([first, second]), pooled([first, louder])
    np.testing.assert_allclose(same.good.net, scaled.good.net)
    np.testing.assert_allclose(same.painted.net, scaled.painted.net)
    assert decide_net(scaled.good, BATCHES * 2, scaled.painted).kept
