"""Features: one road for training and serving; what is missing is NaN, what is forbidden is nowhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from fusion.history import HistoryView
from fusion.risk.features import RowBuilder, feature_columns, raw_columns
from fusion.risk.fit_features import fit_norms, fit_spec, keep_informative, raw_rows
from fusion.risk.sight import CAMERA_COLUMNS, camera_values
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan

Make = Callable[..., Evidence]


def parts_of(make: Make, n: int = 120) -> list[Evidence]:
    rng = np.random.default_rng(3)
    return [
        make(i, current=float(rng.normal(4, 0.3)), pit=i % 9 == 0, tool=f"T{i % 3}", lot=f"S{i // 20}",
             product=f"P{i % 2}")
        for i in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def builder(plan: Plan, make: Make) -> RowBuilder:
    parts = parts_of(make)
    spec = fit_spec(parts, plan, "L1", "EOL")
    norms = fit_norms(parts, np.ones(len(parts), bool), spec)
    raw = raw_rows(parts, [HistoryView()] * len(parts), RowBuilder(spec, norms))
    return RowBuilder(keep_informative(spec, raw), norms)


def test_sources_that_are_not_there_are_nan_and_the_others_are_not(builder: RowBuilder, make: Make) -> None:
    row = builder.row(make(500, sources=("sensors:OP10",), tool="T1", lot="S1", product="P1"), HistoryView())
    for column, value in zip(feature_columns(builder.spec), row.features, strict=True):
        assert np.isnan(value) == (column.source == "camera:top"), column.name
    assert row.usable == {"sensors:OP10"}


def test_an_unfit_camera_does_not_speak(builder: RowBuilder, make: Make) -> None:
    assert builder.row(make(501, fit=False), HistoryView()).usable == {"sensors:OP10"}


def test_forbidden_and_ungranted_attributes_are_nowhere(plan: Plan, make: Make) -> None:
    granted = msgspec.structs.replace(plan, grants=msgspec.structs.replace(plan.grants, attributes=("tool_id",)))
    names = [column.name for column in raw_columns(fit_spec(parts_of(make), granted, "L1", "EOL"))]
    assert any("tool_id" in name for name in names)
    assert not any("operator_id" in name or "supplier_lot" in name for name in names)
    allowed = [column.name for column in raw_columns(fit_spec(parts_of(make), plan, "L1", "EOL"))]
    assert any("supplier_lot" in name for name in allowed)
    assert not any("operator_id" in name for name in allowed)


def test_an_attribute_that_every_visit_agrees_on_is_the_parts(plan: Plan, make: Make) -> None:
    slots = {slot.name: slot.station_id for slot in fit_spec(parts_of(make), plan, "L1", "EOL").attributes}
    assert slots == {"supplier_lot": "", "tool_id": "OP10"}


def test_values_never_seen_are_named_and_normal_ones_are_not(builder: RowBuilder, make: Make) -> None:
    assert builder.row(make(502), HistoryView()).outside == ()
    outside = builder.row(make(503, current=40.0), HistoryView()).outside
    assert "OP10.current_a:max" in outside
    assert not any("oil_c" in name for name in outside)


def test_history_moves_only_the_columns_of_history(builder: RowBuilder, make: Make) -> None:
    part = make(504, tool="T1", lot="S1", product="P1")
    calm = builder.row(part, HistoryView()).features
    told = builder.row(part, HistoryView(risk={"tool_id=T1": 1.5, "tool_id=T2": 3.0})).features
    moved = [c.name for c, a, b in zip(feature_columns(builder.spec), calm, told, strict=True) if a != b]
    assert moved == ["history:OP10:tool_id:risk"]


def test_columns_that_order_parts_alike_are_kept_once(builder: RowBuilder) -> None:
    names = {column.name for column in feature_columns(builder.spec)}
    assert "OP10.current_a:mean" in names
    assert "OP10.current_a:energy" not in names  # the mean square of a positive signal ranks as its mean does
    assert "OP10.current_a:count" not in names  # never varies


def test_a_difference_and_a_product_of_two_channels_are_features(builder: RowBuilder) -> None:
    names = {column.name for column in feature_columns(builder.spec)}
    assert {"OP10.current_a-oil_c", "OP10.current_a*oil_c"} & names


def test_the_worst_fit_frame_of_a_camera_counts(make: Make) -> None:
    good, bad = make(1).findings["top"][0], make(2, pit=True).findings["top"][0]
    unfit = msgspec.structs.replace(bad, fitness=msgspec.structs.replace(bad.fitness, ok=False))
    assert np.array_equal(camera_values((bad, good)), camera_values((good, bad)))
    assert np.array_equal(camera_values((good, unfit)), camera_values((good,)), equal_nan=True)
    values = dict(zip(CAMERA_COLUMNS, camera_values((bad,)), strict=True))
    assert values["ratio"] == pytest.approx(bad.score / 0.5)  # type: ignore[operator]
    assert (values["box_count"], values["box_x"], values["box_y"]) == (1, 14, 24)


def test_the_order_of_visits_changes_nothing(builder: RowBuilder, make: Make) -> None:
    part = make(505)
    turned = dataclasses.replace(part, visits=tuple(reversed(part.visits)))
    a, b = builder.row(part, HistoryView()), builder.row(turned, HistoryView())
    assert np.array_equal(a.features, b.features, equal_nan=True)
