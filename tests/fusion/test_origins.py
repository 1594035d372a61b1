"""Origins: causes are learned without their values and named with those of the part at hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fusion.causes.origins import UNKNOWN, OriginModel, cause_class, classes_of, resolve
from fusion.risk.features import FeatureSpec
from fusion.risk.fit_features import fit_spec
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan

Make = Callable[..., Evidence]


@pytest.fixture(scope="module")
def spec(plan: Plan, make: Make) -> FeatureSpec:
    return fit_spec([make(i) for i in range(30)], plan, "L1", "EOL")


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("camera:top", "camera:top"),
        ("OP10.current_a", "OP10.current_a"),
        ("supplier_lot=S1", "@supplier_lot"),
        ("tool_id=T1", "@OP10:tool_id"),
        ("OP10.oil_c & tool_id=T1", "@OP10:tool_id=T1 & OP10.oil_c"),
        ("tool_id=T9", None),  # the part was not made with it
        ("operator_id=op1", None),  # forbidden: it is no slot
        ("camera:nowhere", None),
        ("burr", None),
        ("OP10.oil_c & burr", None),
    ],
)
def test_a_labelled_cause_has_a_class_or_teaches_nothing(
    spec: FeatureSpec, make: Make, cause: str, kind: str | None
) -> None:
    assert cause_class(cause, make(1).attributes, spec) == kind


def test_a_class_is_named_with_this_parts_value_in_alphabetical_order(spec: FeatureSpec, make: Make) -> None:
    part = make(1, tool="T77", lot="A5").attributes
    assert resolve("@supplier_lot", part, spec) == "supplier_lot=A5"
    assert resolve("@OP10:tool_id & OP10.oil_c", part, spec) == "OP10.oil_c & tool_id=T77"
    assert resolve("@supplier_lot", {}, spec) is None


def test_what_a_combination_says_of_one_frequent_value_it_says_of_no_other(spec: FeatureSpec, make: Make) -> None:
    kind = "@OP10:tool_id=T1 & OP10.oil_c"
    assert resolve(kind, make(1, tool="T1").attributes, spec) == "OP10.oil_c & tool_id=T1"
    assert resolve(kind, make(1, tool="T77").attributes, spec) is None


def test_a_label_without_a_cause_is_unknown_and_one_that_teaches_nothing_is_none(spec: FeatureSpec, make: Make) -> None:
    part = make(1).attributes
    assert classes_of((), part, spec) == [UNKNOWN]
    assert classes_of(("operator_id=op1",), part, spec) == []
    assert classes_of(("camera:top", "camera:top", "supplier_lot=S1"), part, spec) == ["camera:top", "@supplier_lot"]


def test_labels_weigh_more_as_they_grow_unless_nothing_was_learned() -> None:
    def trust(labels: int, accuracy: float) -> float:
        return OriginModel(file="", classes=("a",), accuracy=accuracy, learned_from=(labels,)).trust

    assert trust(8, 0.9) == 0.5
    assert trust(200, 0.9) > 0.95
    assert trust(200, 0.1) == 0.1
