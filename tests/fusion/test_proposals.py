"""Proposed features stay only where unseen lots say that they help."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.risk.families import fit_family, probability
from fusion.risk.features import (
    CHANNEL_COLUMNS,
    PAIR_SIGNS,
    PHASE,
    ChannelSlot,
    FeatureSpec,
    Floats,
    Norms,
    RowBuilder,
    _put_phase,
    derived_columns,
    pair_sign,
    raw_columns,
)
from fusion.risk.fit import Examples
from fusion.risk.onnx_export import export
from fusion.risk.proposals import keep_helpful
from ingest.join.evidence import CURVE_POINTS, STATS
from models.manifest import TrainedOn
from models.open import open_model
from models.shelf import save_model

MEAN = CHANNEL_COLUMNS.index("mean")
PARTS, LOTS = 1500, 30


def two_channels(kept: tuple[int, ...] = ()) -> FeatureSpec:
    slots = tuple(ChannelSlot(station_id="OP10", channel=name) for name in ("torque", "speed"))
    return FeatureSpec(
        line_id="L1", gate_id="EOL", channels=slots, cameras=(), attributes=(), products=(), pairs=((0, 1),), kept=kept
    )


def norms(channels: int) -> Norms:
    flat = np.zeros((1, channels, CURVE_POINTS), np.float32)
    limit = np.full((channels, 3), np.inf, np.float32)
    return Norms(flat, flat + 1, -limit, limit, np.zeros(0, np.float32))


def means(seed: int) -> tuple[FeatureSpec, Floats, np.random.Generator]:
    """A spec that keeps two means and what their pair makes; its features for PARTS parts."""
    rng = np.random.default_rng(seed)
    width = len(raw_columns(two_channels()))
    spec = two_channels((MEAN, len(CHANNEL_COLUMNS) + MEAN, *range(width, width + len(PAIR_SIGNS))))
    raw = np.zeros((PARTS, width), np.float32)
    raw[:, MEAN], raw[:, len(CHANNEL_COLUMNS) + MEAN] = rng.uniform(1, 2, (2, PARTS))
    return spec, RowBuilder(spec, norms(2)).derive(raw), rng


def kept_signs(spec: FeatureSpec) -> set[str]:
    return {sign for at in spec.kept if (sign := pair_sign(spec, at))}


def test_a_product_that_decides_is_kept_and_what_it_makes_needless_is_not() -> None:
    spec, features, _ = means(0)
    power = features[:, 0] * features[:, 1]
    examples = Examples(features, np.abs(power - np.median(power)) > 1.05, np.arange(PARTS) % LOTS)
    said: list[str] = []
    assert {"-", "*"} <= kept_signs(keep_helpful(spec, examples, said.append))
    assert any("differences and products: 2 proposed, kept" in line for line in said)


@pytest.mark.parametrize("seed", range(3))
def test_ratios_that_say_nothing_more_than_their_channels_stay_out(seed: int) -> None:
    spec, features, rng = means(seed)
    defect = rng.random(PARTS) < np.where(features[:, 0] > 1.8, 0.4, 0.02)
    helped = keep_helpful(spec, Examples(features, defect, np.arange(PARTS) % LOTS), lambda _: None)
    assert "/" not in kept_signs(helped)
    assert set(helped.kept) >= {MEAN, len(CHANNEL_COLUMNS) + MEAN}


def test_without_enough_labels_every_proposal_stays() -> None:
    spec, features, _ = means(1)
    assert keep_helpful(spec, Examples(features, np.zeros(PARTS, np.bool_), np.arange(PARTS)), lambda _: None) == spec


def test_the_sign_of_a_column_is_that_of_its_pair() -> None:
    spec = two_channels()
    for at, column in enumerate(derived_columns(spec)):
        sign = pair_sign(spec, at)
        assert bool(sign) == (not column.entity)
        assert not sign or column.name == f"OP10.torque{sign}speed"


def test_the_phase_of_a_cycle_says_how_long_it_was_high_out_of_its_band_and_where_it_was_lowest() -> None:
    builder = RowBuilder(two_channels(), norms(2))
    curve = np.zeros(CURVE_POINTS, np.float32)
    curve[: CURVE_POINTS // 4] = 10.0  # a quarter high; the golden cycle is flat with a deviation of 1
    curve[-1] = -1.0
    block = np.full((2, len(CHANNEL_COLUMNS)), np.nan, np.float32)
    curves = np.stack([curve, np.full(CURVE_POINTS, np.nan, np.float32)])
    _put_phase(block[:, len(CHANNEL_COLUMNS) - len(PHASE) :], curves, curves)
    told = dict(zip(PHASE, block[0, -len(PHASE) :].tolist(), strict=True))
    assert told == {
        "beyond_share": pytest.approx(0.25),
        "high_share": pytest.approx(0.25),
        "min_at": pytest.approx(1.0),
    }
    assert np.isnan(block[1, -len(PHASE) :]).all()
    assert len(builder.spec.channels) * len(CHANNEL_COLUMNS) == len(raw_columns(builder.spec))
    assert len(STATS) + 3 + len(PHASE) == len(CHANNEL_COLUMNS)


def test_values_next_to_a_limit_of_boosting_go_the_same_way_in_the_graph(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    low = np.float32(300.1)
    middle = np.nextafter(low, np.float32(np.inf))
    values = np.array([low, middle, np.nextafter(middle, np.float32(np.inf))], np.float32)
    at = rng.integers(0, 3, 2000)
    features = np.stack([values[at], rng.normal(size=2000).astype(np.float32)], axis=1)
    model = fit_family("lightgbm", features, rng.random(2000) < np.array([0.1, 0.5, 0.9])[at], 100)
    save_model(
        tmp_path, name="fusion", kind="fusion", files={"m.onnx": export(("lightgbm",), [model], 2)}, features=[],
        threshold=None, trained_on=TrainedOn(), notes={}, card="",
    )  # fmt: skip
    scores = open_model(tmp_path, "fusion").run("m.onnx", {"x": features})[0][:, 1]
    np.testing.assert_allclose(scores, probability(model, features), atol=1e-5)
