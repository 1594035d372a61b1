"""History: counted once, decayed per part, bounded, and the same after a restart."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.history import HALF_LIFE_PARTS, History, HistoryView, entities_of
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan

Make = Callable[..., Evidence]


def label(history: History, number: int, outcome: str = "defect") -> None:
    history.label(f"P{number}", outcome, [1], 1)


def test_a_part_enters_once(plan: Plan, make: Make) -> None:
    once, twice = History(plan, "L1"), History(plan, "L1")
    once.enter(make(1), 0.5)
    twice.enter(make(1), 0.5)
    twice.enter(make(1), 0.9)
    assert once.view(make(2)) == twice.view(make(2))
    assert twice.view(make(2)).parts == 1


def test_forbidden_attributes_are_no_entities(plan: Plan, make: Make) -> None:
    assert entities_of(make(1), plan) == ["supplier_lot=S1", "tool_id=T1"]


def test_a_tool_with_riskier_parts_is_seen_and_a_tool_like_the_line_is_not(plan: Plan, make: Make) -> None:
    history = History(plan, "L1")
    for number in range(400):
        bad = number % 4 == 0
        history.enter(make(number, tool="T1" if bad else "T2", lot="S1"), 0.4 if bad else 0.01)
    view = history.view(make(1000, tool="T1", lot="S1"))
    assert view.risk["tool_id=T1"] > 1.0
    assert abs(view.risk["supplier_lot=S1"]) < 1e-9


def test_old_parts_fade_by_half_every_half_life(plan: Plan, make: Make) -> None:
    history = History(plan, "L1", parts_max=10)
    history.enter(make(0, tool="OLD", lot="S"), 1.0)
    for number in range(1, int(HALF_LIFE_PARTS) + 1):
        history.enter(make(number, tool="NEW", lot="S"), 0.1)
    faded = 0.5
    mean = (faded * 1.0 + 0.1 * (1 - 0.5) / (1 - 0.5 ** (1 / HALF_LIFE_PARTS))) / (
        faded + (1 - 0.5) / (1 - 0.5 ** (1 / HALF_LIFE_PARTS))
    )
    expected = math.log((faded * 1.0 + 20.0 * mean) / (faded + 20.0) / mean)
    assert history.view(make(1, tool="OLD")).risk["tool_id=OLD"] == pytest.approx(expected, abs=1e-3)


def test_a_label_counts_when_it_is_released_and_once(plan: Plan, make: Make) -> None:
    history = History(plan, "L1")
    for number in range(40):
        history.enter(make(number, tool=f"T{number % 2}", lot="S"), 0.1)
    assert set(history.view(make(99, tool="T0")).rate.values()) == {0.0}
    for number in range(40):
        label(history, number, "defect" if number % 4 == 0 else "ok")
    once = history.view(make(99, tool="T0"))
    label(history, 0)
    assert history.view(make(99, tool="T0")) == once
    assert once.rate["tool_id=T0"] > 0.2


def test_a_view_says_what_its_means_rest_on(plan: Plan, make: Make) -> None:
    history = History(plan, "L1")
    for number in range(80):
        history.enter(make(number, tool=f"T{number % 2}", lot="S"), 0.1 if number % 2 else 0.02)
        label(history, number, "defect" if number % 8 == 0 else "ok")
    counted = history.view(make(99, tool="T0", lot="S")).counts["tool_id=T0"]
    assert counted.parts == pytest.approx(40, rel=0.02)
    assert counted.risk == pytest.approx(0.8, rel=0.02)
    assert counted.labels == pytest.approx(40, rel=0.02)
    assert counted.defects == pytest.approx(10, rel=0.02)
    assert counted.expected == pytest.approx(5, rel=0.02)


def test_a_corrected_label_takes_the_first_one_back(plan: Plan, make: Make) -> None:
    wrong, right = History(plan, "L1"), History(plan, "L1")
    for history in (wrong, right):
        for number in range(10):
            history.enter(make(number), 0.1)
            label(history, number, "defect" if number == 3 else "ok")
    label(wrong, 5)
    assert wrong.view(make(99)) != right.view(make(99)) or wrong.changes() != right.changes()
    label(wrong, 5, "ok")
    assert wrong.view(make(99)) == right.view(make(99))


def test_unknown_parts_teach_nothing(plan: Plan, make: Make) -> None:
    history = History(plan, "L1")
    history.enter(make(1), 0.1)
    before = history.view(make(2))
    label(history, 77)
    assert history.view(make(2)) == before
    assert history.labels_unmatched == 1


def test_memory_is_bounded_and_what_is_gone_is_a_tombstone(plan: Plan, make: Make) -> None:
    history = History(plan, "L1", parts_max=5, entities_max=6)
    kept: dict[str, bytes] = {}
    for number in range(50):
        history.enter(make(number, tool=f"T{number}", lot=f"S{number}"), 0.1)
        for key, value in history.changes():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
    assert sum(key.startswith("p:") for key in kept) == 5
    assert 0 < sum(key.startswith("e:") for key in kept) <= 6


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 12), st.floats(0, 1)),
        st.tuples(st.just("label"), st.integers(0, 12), st.sampled_from([0.0, 1.0])),
        st.tuples(st.just("commit"), st.just(0), st.just(0.0)),
    ),
    max_size=60,
)


def apply(history: History, step: tuple[str, int, float], make: Make) -> None:
    what, number, value = step
    if what == "enter":
        history.enter(make(number, tool=f"T{number % 3}", lot=f"S{number % 4}"), value)
    elif what == "label":
        label(history, number, "defect" if value else "ok")


@given(before=STEPS, after=STEPS)
@settings(max_examples=40, deadline=None)
def test_a_restart_changes_nothing(plan: Plan, make: Make, before: list, after: list) -> None:  # type: ignore[type-arg]
    """Restored from its changelog, in any order of keys, a history answers as if it had never stopped."""
    lasting = History(plan, "L1", parts_max=6, entities_max=5)
    log: dict[str, bytes | None] = {}
    for step in before:
        apply(lasting, step, make)
        if step[0] == "commit":
            log.update(lasting.changes())
    log.update(lasting.changes())
    restored = History(plan, "L1", parts_max=6, entities_max=5)
    for key in sorted(log, reverse=True):
        restored.restore(key, log[key])
    for step in after:
        apply(lasting, step, make)
        apply(restored, step, make)
        assert restored.view(make(5, tool="T2", lot="S1")) == lasting.view(make(5, tool="T2", lot="S1"))
    assert dict(restored.changes()) == dict(lasting.changes())


def test_a_seed_is_only_for_the_beginning_and_belongs_to_the_changelog(plan: Plan, make: Make) -> None:
    trained, fresh = History(plan, "L1"), History(plan, "L1")
    for number in range(30):
        trained.enter(make(number, tool=f"T{number % 2}"), 0.1 * (number % 2))
    fresh.seed(trained.snapshot())
    assert fresh.view(make(99, tool="T1")) == trained.view(make(99, tool="T1"))
    assert {key for key, _ in fresh.changes()} == set(trained.snapshot())
    with pytest.raises(ValueError, match="begun"):
        fresh.seed(trained.snapshot())


def test_nothing_is_known_of_a_new_line(plan: Plan, make: Make) -> None:
    assert History(plan, "L1").view(make(1)) == HistoryView()
