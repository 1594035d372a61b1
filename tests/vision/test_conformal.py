from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.training.conformal import conformal_cut


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=150), st.sampled_from([0.01, 0.02, 0.05, 0.2]))
def test_no_more_good_frames_than_promised_lie_above_the_cut_whichever_of_them_is_the_new_one(
    scores: list[float], alpha: float
) -> None:
    """The promise itself: for exchangeable scores it is an average over which one is new, so it holds for every set."""
    flagged = sum(
        scores[new] > conformal_cut(scores[:new] + scores[new + 1 :], alpha).threshold
        for new in range(len(scores))
        if len(scores) > 1
    )
    promised = conformal_cut(scores[1:] or scores, alpha).promised
    assert flagged <= promised * len(scores) + 1e-9


def test_with_too_few_frames_the_cut_says_what_it_can_promise() -> None:
    cut = conformal_cut(list(np.arange(48.0)), 0.02)
    assert cut.threshold == 47.0
    assert cut.promised == pytest.approx(1 / 49)
    assert conformal_cut(list(np.arange(49.0)), 0.02).promised == 0.02
    with pytest.raises(ValueError, match="no held-out scores"):
        conformal_cut([], 0.02)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_the_mean_share_of_false_alarms_is_the_one_asked_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = [
        (rng.normal(size=400) > conformal_cut(list(rng.normal(size=99)), 0.05).threshold).mean() for _ in range(200)
    ]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.01)
