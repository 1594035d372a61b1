"""Counterfactuals: what is put back takes its share of the risk away, and the work is bounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from fusion.causes.counterfactual import ROWS_MAX, Counterfactual
from fusion.risk.features import (
    CHANNEL_COLUMNS,
    ChannelSlot,
    FeatureRow,
    FeatureSpec,
    Floats,
    Norms,
    RowBuilder,
    raw_columns,
)
from ingest.join.evidence import CURVE_POINTS

M = 128
MEAN = CHANNEL_COLUMNS.index("mean")


class Rule:
    """A risk that is a known function of the channels' means. Counts the rows it was asked about."""

    def __init__(self, logit: Callable[[Floats], Floats]) -> None:
        self.rows = 0
        self._logit = logit

    def logits(self, model: int, features: Floats) -> npt.NDArray[np.float64]:
        self.rows += len(features)
        return np.asarray(self._logit(features), dtype=np.float64)


def counterfactual(channels: int) -> Counterfactual:
    """Of a gate with so many independent channels, each of one sample: its mean is normal, the rest is missing."""
    spec = FeatureSpec(
        line_id="L", gate_id="G", cameras=(), attributes=(), products=(), pairs=(),
        channels=tuple(ChannelSlot(station_id="OP10", channel=f"c{i:03}") for i in range(channels)),
    )  # fmt: skip
    kept = tuple(i * len(CHANNEL_COLUMNS) + MEAN for i in range(channels))
    spec = FeatureSpec(**{**{f: getattr(spec, f) for f in spec.__struct_fields__}, "kept": kept})
    none = np.zeros((1, channels, CURVE_POINTS), dtype=np.float32)
    range_of = np.zeros((channels, 3), dtype=np.float32)
    builder = RowBuilder(spec, Norms(none, none + 1, range_of, range_of, np.zeros(channels, dtype=np.float32)))
    reference = np.full((M, len(raw_columns(spec))), np.nan, dtype=np.float32)
    reference[:, kept] = np.random.default_rng(0).normal(size=(M, channels))
    return Counterfactual(builder, reference)


def part(of: Counterfactual, **means: float) -> FeatureRow:
    raw = np.full(of.reference.shape[1], np.nan, dtype=np.float32)
    raw[MEAN :: len(CHANNEL_COLUMNS)] = 0.0
    for name, value in means.items():
        raw[int(name[1:]) * len(CHANNEL_COLUMNS) + MEAN] = value
    return FeatureRow(raw, raw[MEAN :: len(CHANNEL_COLUMNS)], frozenset({"sensors:OP10"}), ())


def test_the_channel_the_risk_comes_from_takes_it_away_and_the_others_do_not() -> None:
    of = counterfactual(5)
    undone = of.undo(part(of, c002=8.0), Rule(lambda x: 2.0 * x[:, 2] - 6.0), 0)
    assert undone.singles[0].entity == "OP10.c002"
    assert undone.singles[0].share > 0.9
    assert all(single.share < 0.05 for single in undone.singles[1:])


def test_two_that_must_both_be_high_are_each_enough_to_undo() -> None:
    of = counterfactual(5)
    rule = Rule(lambda x: np.where((x[:, 1] > 2) & (x[:, 3] > 2), 4.0, -4.0))
    undone = of.undo(part(of, c001=4.0, c003=4.0), rule, 0)
    assert {single.entity for single in undone.singles[:2]} == {"OP10.c001", "OP10.c003"}
    assert undone.singles[1].share > 0.9
    assert undone.pairs[0].share < undone.singles[0].share + undone.singles[1].share - 0.5


def test_two_of_which_each_suffices_only_help_together() -> None:
    of = counterfactual(5)
    rule = Rule(lambda x: np.where((x[:, 0] > 2) | (x[:, 1] > 2), 4.0, -4.0))
    undone = of.undo(part(of, c000=4.0, c001=4.0), rule, 0)
    assert undone.singles[0].share < 0.1
    assert max(pair.share for pair in undone.pairs) > 0.9


@pytest.mark.parametrize("channels", [1, 15, 16, 100])
def test_the_rows_asked_of_the_model_are_bounded_however_many_channels_there_are(channels: int) -> None:
    of = counterfactual(channels)
    rule = Rule(lambda x: x.sum(axis=1))
    of.undo(part(of, c000=9.0), rule, 0)
    assert rule.rows <= ROWS_MAX


def test_of_a_hundred_channels_the_one_behind_the_risk_survives_the_screening() -> None:
    of = counterfactual(100)
    undone = of.undo(part(of, c077=6.0, c003=5.0), Rule(lambda x: 2.0 * x[:, 77] - 6.0), 0)
    assert undone.singles[0].entity == "OP10.c077"
    assert undone.singles[0].share > 0.9


def test_equal_parts_are_undone_equally() -> None:
    of = counterfactual(20)
    rule = Rule(lambda x: x[:, 0] * x[:, 1])
    assert of.undo(part(of, c000=3.0, c001=2.0), rule, 0) == of.undo(part(of, c000=3.0, c001=2.0), rule, 0)


def test_without_a_source_nothing_of_it_is_undone() -> None:
    of = counterfactual(3)
    row = part(of)
    assert of.undo(FeatureRow(row.raw, row.features, frozenset(), ()), Rule(lambda x: x[:, 0]), 0).singles == ()
