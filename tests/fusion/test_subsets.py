"""Subsets: the model that speaks never needs a source that is not there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fusion.risk.subsets import SUBSETS_MAX, speaking_subset, wanted_subsets

SOURCES = ("camera:side", "camera:top", "sensors:OP10", "sensors:OP20")
SETS = st.frozensets(st.sampled_from(SOURCES))


@given(SETS, st.lists(SETS, max_size=8))
def test_the_largest_trained_set_that_is_wholly_there_speaks(
    usable: frozenset[str], trained: list[frozenset[str]]
) -> None:
    chosen = speaking_subset(usable, trained)
    fitting = [sources for sources in trained if sources <= usable]
    if chosen is None:
        assert not fitting
    else:
        assert trained[chosen] <= usable
        assert len(trained[chosen]) == max(map(len, fitting))


@given(st.lists(SETS, max_size=30))
def test_every_plant_gets_all_sources_none_each_kind_and_each_one_missing(seen: list[frozenset[str]]) -> None:
    wanted = wanted_subsets(SOURCES, seen)
    assert wanted[0] == frozenset(SOURCES)
    assert frozenset() in wanted
    assert frozenset({"camera:side", "camera:top"}) in wanted
    assert len(wanted) == len(set(wanted)) <= SUBSETS_MAX


def test_a_set_that_history_shows_often_comes_before_single_gaps() -> None:
    often = frozenset({"camera:top", "sensors:OP20"})
    wanted = wanted_subsets(SOURCES, [often] * 10 + [frozenset(SOURCES)] * 90)
    assert wanted.index(often) < wanted.index(frozenset(SOURCES) - {"camera:top"})


def test_a_plant_without_sources_has_one_model() -> None:
    assert wanted_subsets((), [frozenset()] * 5) == [frozenset()]
