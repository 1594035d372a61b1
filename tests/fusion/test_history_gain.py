"""History takes loss off on later lots, and not by knowing what it may not know yet."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.history import SHRINK_PARTS
from ingest.plan.plan import Plan
from tests.fusion.conftest import make_plan
from tests.fusion.history_stream import Doubles, Stream, base_risk, history_columns, lot_gains, make_stream

PARTS = 8000
DELAY = 300  # parts, until a label is released
HIDDEN = 1000  # the labels released last


@pytest.fixture(scope="module")
def plant() -> Plan:
    return make_plan()


@pytest.fixture(scope="module")
def stream() -> Stream:
    return make_stream(PARTS, seed=1)


@pytest.fixture(scope="module")
def told(stream: Stream, plant: Plan) -> Doubles:
    return history_columns(stream, base_risk(stream), DELAY, plant)


@pytest.fixture(scope="module")
def hidden(stream: Stream, plant: Plan) -> Doubles:
    return history_columns(stream, base_risk(stream), DELAY + HIDDEN, plant)


def falls_by(before: Doubles, after: Doubles) -> tuple[float, float]:
    """How much the gain fell, and twice the standard error of that between lots."""
    fall = before - after
    return float(fall.mean()), float(2.0 * fall.std() / np.sqrt(len(fall)))


def test_hiding_the_last_thousand_labels_does_not_lower_the_gain(
    stream: Stream, told: Doubles, hidden: Doubles
) -> None:
    base = base_risk(stream)
    gain, without = lot_gains(stream, base, told), lot_gains(stream, base, hidden)
    fall, doubt = falls_by(gain, without)
    assert gain.mean() > 0.0
    assert without.mean() > 0.0
    assert fall <= doubt


def test_a_leak_would_be_noticed(stream: Stream, told: Doubles, hidden: Doubles) -> None:
    """The lots' rates of the whole period, own label included: that gain is gone once the last labels are hidden."""
    counts, bad = np.bincount(stream.lot), np.bincount(stream.lot, stream.defect)
    mean = stream.defect.mean()
    leak = np.log((bad + SHRINK_PARTS * mean) / (counts + SHRINK_PARTS) / mean)[stream.lot]
    base = base_risk(stream)
    fall, doubt = falls_by(lot_gains(stream, base, np.column_stack([told, leak])), lot_gains(stream, base, hidden))
    assert fall > doubt


def test_the_tool_with_a_problem_stands_out_while_it_lasts(stream: Stream, told: Doubles) -> None:
    worst = told[:, 2] > np.log(1.2)
    assert stream.defect[worst].mean() > 1.3 * stream.defect[~worst].mean()
