"""The figures on people's judgement: textbook values, their limits, and that no person can be read out of them."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.agreement.kappa import CASES_MIN, cohen_kappa, fleiss_kappa, newcombe, share_of, wilson
from api.agreement.report import EVERYBODY, OTHERS, PEOPLE_MIN, UNGROUPED, QualityReport, by_group, report
from api.agreement.tally import Truths
from api.store.decisions import Decided, gathered, said_of
from api.store.rows import Made
from ingest.messages import Instant

counts = st.integers(0, 400)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_is_that_of_newcombes_tables(hits: int, of: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    assert wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((0, 10), (0, 20), -0.1611, 0.2775),
    ],
)
def test_newcombes_interval_is_that_of_his_paper(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10."""
    told = newcombe(first, second, least=1)
    assert told is not None
    assert (told.low, told.high) == pytest.approx((low, high), abs=5e-5)


def test_cohens_kappa_is_that_of_a_worked_example() -> None:
    pairs = [("ok", "ok")] * 20 + [("ok", "defect")] * 5 + [("defect", "ok")] * 10 + [("defect", "defect")] * 15
    told = cohen_kappa(Counter(pairs))
    assert told is not None
    assert told.value == pytest.approx(0.4)  # agreed 0.7, by chance 0.5
    assert told.low < 0.4 < told.high


def test_fleiss_kappa_is_that_of_his_paper() -> None:
    """The example of the paper as it is commonly quoted: 10 subjects, 14 raters, 5 categories, kappa 0.210."""
    table = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    told = fleiss_kappa(Counter(table), least=10)
    assert told is not None
    assert told.value == pytest.approx(0.210, abs=5e-4)
    assert told.low < told.value < told.high


@given(counts, counts)
def test_a_share_lies_within_its_interval(hits: int, more: int) -> None:
    low, high = wilson(hits, hits + more)
    assert 0.0 <= low <= high <= 1.0
    if hits + more:
        assert low <= hits / (hits + more) <= high


@given(counts, counts, counts, counts)
def test_a_difference_lies_within_its_interval_and_turns_with_its_sides(a: int, b: int, c: int, d: int) -> None:
    told, turned = newcombe((a, a + b), (c, c + d)), newcombe((c, c + d), (a, a + b))
    if told is None or turned is None:
        assert min(a + b, c + d) < CASES_MIN
        return
    assert -1.0 <= told.low <= told.value <= told.high <= 1.0
    assert (told.low, told.high) == pytest.approx((-turned.high, -turned.low))


@given(st.lists(st.tuples(st.sampled_from(["ok", "defect"]), st.sampled_from(["ok", "defect"])), max_size=60))
def test_kappa_does_not_care_who_is_first_nor_what_the_outcomes_are_called(pairs: list[tuple[str, str]]) -> None:
    told, turned = cohen_kappa(Counter(pairs)), cohen_kappa(Counter((b, a) for a, b in pairs))
    renamed = cohen_kappa(Counter((a.upper(), b.upper()) for a, b in pairs))
    if told is None:
        assert turned is None
        assert renamed is None
        assert len(pairs) < CASES_MIN or len({word for pair in pairs for word in pair}) == 1
        return
    assert turned is not None
    assert turned.value == pytest.approx(told.value)
    assert renamed == told
    assert -1.0 <= told.low <= told.value <= told.high <= 1.0


@given(st.lists(st.sampled_from([(2, 0), (1, 1), (0, 2)]), min_size=CASES_MIN, max_size=60))
def test_two_raters_agree_by_fleiss_as_by_scotts_pi(table: list[tuple[int, int]]) -> None:
    told = fleiss_kappa(Counter(table))
    bad = sum(one[0] for one in table) / (2 * len(table))
    chance = bad * bad + (1 - bad) ** 2
    if told is None:
        assert chance == 1.0
        return
    agreed = sum(one != (1, 1) for one in table) / len(table)
    assert told.value == pytest.approx((agreed - chance) / (1 - chance))


def test_too_little_says_nothing() -> None:
    assert share_of(1, CASES_MIN - 1) is None
    assert share_of(0, 0, least=0) is None
    assert newcombe((10, 100), (1, CASES_MIN - 1)) is None
    assert cohen_kappa({("ok", "defect"): CASES_MIN - 1}) is None
    assert cohen_kappa({("ok", "ok"): 100}) is None, "all the same: chance would have done as well"
    assert fleiss_kappa({(2, 0): 100}) is None
    assert fleiss_kappa({(1, 0): 100}) is None, "one person agrees with nobody"


def decided(part: str, by: str, outcome: str, at: int = 0, truth: str = "", **told: Any) -> Decided:
    made = Made(**{"risk": 0.9, "threshold": 0.1, "risk_shown": True} | told)
    return Decided(("L1", "EOL", part, 1), by, at, said_of(outcome, made), made.took_ms or 0, truth)


def figures(told: list[Decided], truths: Truths) -> QualityReport:
    return report(gathered(told), truths, {})


def test_people_who_follow_a_wrong_model_are_seen_to() -> None:
    """40 good parts that the model calls defective: shown, 30 of 40 follow it; hidden, 10 of 40 say the same."""
    told = [decided(f"S{n}", "anna", "defect" if n < 30 else "ok", truth="ok", seeded=True) for n in range(40)]
    told += [
        decided(f"H{n}", "bo", "defect" if n < 10 else "ok", truth="ok", seeded=True, risk_shown=False, blind=True)
        for n in range(40)
    ]
    found = figures(told, {})
    assert (found.bias.shown.value, found.bias.hidden.value) == (0.75, 0.25)
    assert found.bias.difference == pytest.approx(0.5)
    assert found.bias.low is not None
    assert 0.25 < found.bias.low < 0.5
    assert found.benefit.difference is None, "the model was never right"
    assert found.groups == [], "two people are no group"


def test_overkill_and_underkill_are_of_the_truth_that_came_after() -> None:
    people = ["anna", "bo", "cy"]
    told = [decided(f"G{n}", people[n % 3], "defect" if n < 6 else "ok", at=10, took_ms=1000 + n) for n in range(60)]
    told += [decided(f"B{n}", people[n % 3], "ok" if n < 9 else "defect", at=10) for n in range(30)]
    truths = {f"G{n}": (Instant(20), "ok") for n in range(60)} | {f"B{n}": (Instant(20), "defect") for n in range(30)}
    (everybody,) = figures(told, truths).groups
    assert (everybody.group, everybody.people, everybody.decisions) == (EVERYBODY, 3, 90)
    assert (everybody.overkill.hits, everybody.overkill.of) == (6, 60)
    assert (everybody.underkill.hits, everybody.underkill.of) == (9, 30)
    assert (everybody.median_ms_shown, everybody.median_ms_hidden) == (1030, None)
    before = {part: (Instant(5), outcome) for part, (_, outcome) in truths.items()}
    assert figures(told, before).with_truth == 0, "who decided knew it already"


def test_only_those_who_knew_nothing_of_each_other_agree() -> None:
    two = [decided(f"P{n}", by, "ok" if n % 2 else "defect", unaware=True) for n in range(30) for by in ("anna", "bo")]
    assert figures(two, {}).two.value == 1.0
    aware = [decided(f"P{n}", by, "ok" if n % 2 else "defect") for n in range(30) for by in ("anna", "bo")]
    assert figures(aware, {}).two.value is None
    lead = [decided(f"P{n}", "quinn", "ok", at=9, final=True) for n in range(30)]
    settled = figures([*two, *lead], {})
    assert (settled.two.value, settled.two.of) == (1.0, 30)
    assert settled.with_truth == 60, "the last word is the truth of the others' words, not of its own"


def test_the_first_word_counts_what_follows_has_been_told() -> None:
    told = [decided("P1", "anna", "ok", at=1, blind=True), decided("P1", "anna", "defect", at=2)]
    assert figures(told, {"P1": (Instant(9), "defect")}).with_truth == 1
    assert figures(told, {}).decisions == 1


groupings = st.dictionaries(st.sampled_from([f"p{n}" for n in range(14)]), st.sampled_from(["", "A", "B", "C", "D"]))


@given(groupings)
def test_no_difference_of_groups_is_about_fewer_than_three(groups: dict[str, str]) -> None:
    found = by_group(groups, groups)
    if len(groups) < PEOPLE_MIN:
        assert found == []
        return
    (name, everybody), *parts = found
    assert (name, everybody) == (EVERYBODY, set(groups))
    assert all(len(people) >= PEOPLE_MIN for _, people in parts)
    if parts:
        assert sum(len(people) for _, people in parts) == len(everybody), "the groups are everybody, each once"
        assert {name for name, _ in parts} <= {"A", "B", "C", "D", UNGROUPED, OTHERS}
        assert len(parts) > 1


def test_a_report_of_nothing_says_so() -> None:
    found = figures([], {})
    assert (found.decisions, found.two.value, found.bias.difference, found.groups) == (0, None, None, [])


def test_intervals_hold_what_they_promise() -> None:
    """Of 400 samples of a known difference the intervals of 95 % miss it about one time in twenty."""
    draw = random.Random(7)
    missed = 0
    for _ in range(400):
        first, second = (sum(draw.random() < p for _ in range(60)) for p in (0.4, 0.2))
        told = newcombe((first, 60), (second, 60))
        assert told is not None
        missed += not told.low <= 0.2 <= told.high
    assert missed / 400 < 0.08
