"""The figures that are counted in columns are those that a slow and plain count gives, to the last digit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.agreement.report import report
from api.store.decisions import Decided, gathered, said_of
from api.store.exercises import ExerciseAnswer, ExerciseStore
from api.store.quality import QualityStore
from api.store.rows import Harvest, Made, Review
from api.store.write import StoreWriter
from ingest.messages import CONCLUSIVE, Defect, Instant
from tests.api.factory import make_defect, now
from tests.api.plain_quality import One, plain_report

PEOPLE, WORDS = [f"p{n}" for n in range(7)], ("ok", "defect")
FAR = Instant(10**15)
outcomes = st.sampled_from(WORDS)
mades = st.builds(
    Made,
    risk=st.sampled_from([None, 0.0, 0.05, 0.9]),
    threshold=st.sampled_from([None, 0.05]),
    risk_shown=st.sampled_from([None, True, False]),
    took_ms=st.sampled_from([None, 0, 1, 900, 2501, 10**7]),
    blind=st.booleans(),
    final=st.sampled_from([False, False, False, True]),
    unaware=st.booleans(),
)
cases = st.tuples(
    st.sampled_from(["L1", "L2"]), st.sampled_from(["EOL", "MID"]), st.integers(0, 30).map("P{}".format), st.just(1)
)
said = st.builds(One, case=cases, by=st.sampled_from(PEOPLE), at=st.integers(0, 40), outcome=outcomes, made=mades)
seeded = st.builds(
    One, case=cases, by=st.sampled_from(PEOPLE), at=st.integers(0, 40), outcome=outcomes, truth=outcomes,
    made=mades.map(lambda made: msgspec.structs.replace(made, seeded=True)),
)  # fmt: skip
heard = st.dictionaries(st.integers(0, 30).map("P{}".format), st.tuples(st.integers(0, 60), outcomes), max_size=31)
grouped = st.dictionaries(st.sampled_from(PEOPLE), st.sampled_from(["", "A", "B"]))


def in_order(real: list[One], exercises: list[One]) -> list[One]:
    """By time; at the same instant exercises last, and else by name."""
    return sorted([*real, *exercises], key=lambda one: (one.at, bool(one.truth), one.by))


@settings(max_examples=200, deadline=None)
@given(st.lists(said, max_size=150), st.lists(seeded, max_size=40), heard, grouped)
def test_columns_are_counted_as_decisions_one_by_one(
    real: list[One], exercises: list[One], truths: dict[str, tuple[int, str]], groups: dict[str, str]
) -> None:
    decided = in_order(real, exercises)
    columns = gathered(
        [
            Decided(one.case, one.by, one.at, said_of(one.outcome, one.made), one.made.took_ms or 0, one.truth)
            for one in decided
        ]
    )
    assert report(columns, truths, groups) == plain_report(decided, truths, groups)


class Filled:
    """A store whose records are known beside it. Each turn has a span of time of its own."""

    turns = itertools.count(1)

    def __init__(self, url: str) -> None:
        self.writer = StoreWriter(url, "one")
        self.quality, self.exercises = QualityStore(url), ExerciseStore(url)

    def close(self) -> None:
        for store in (self.writer, self.quality, self.exercises):
            store.close()


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    opened.close()


def reviewed(number: int, turn: int, one: One, undoes: str = "", outcome: str = "") -> Review:
    line_id, gate_id, part_id, attempt = one.case
    told = make_defect(
        f"{turn}-{part_id}", line_id=line_id, source="inspector", outcome=outcome or one.outcome, recorded_by=one.by,
        recorded_at=Instant(1000 * turn + one.at),
    )  # fmt: skip
    return Review(f"{turn}-{number}", gate_id, attempt, told, one.made, undoes)


def answered(number: int, turn: int, one: One) -> ExerciseAnswer:
    line_id, gate_id, part_id, attempt = one.case
    return ExerciseAnswer(
        f"{turn}-{number}", (line_id, gate_id, f"{turn}-{part_id}", attempt), "P", one.truth, one.outcome, "", "",
        one.by, Instant(1000 * turn + one.at), one.made,
    )  # fmt: skip


def moved(one: One, turn: int) -> One:
    line_id, gate_id, part_id, attempt = one.case
    case = (line_id, gate_id, f"{turn}-{part_id}", attempt)
    return One(case, one.by, 1000 * turn + one.at, one.outcome, one.made, one.truth)


records = st.tuples(
    st.integers(0, 30), st.integers(0, 90), st.sampled_from(["ok", "defect", "unsure"]),
    st.sampled_from(["customer", "audit", "history", "inspector"]),
)  # fmt: skip


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(said, max_size=60),
    st.lists(seeded, max_size=10),
    st.lists(records, max_size=30),
    st.lists(st.integers(0, 59), max_size=10, unique=True),
    st.tuples(st.integers(0, 20), st.integers(21, 60)),
)
def test_the_store_gives_what_was_recorded(
    filled: Filled,
    real: list[One],
    exercises: list[One],
    told: list[tuple[int, int, str, str]],
    slips: list[int],
    span: tuple[int, int],
) -> None:
    turn = next(Filled.turns)
    undone = {place for place in slips if place < len(real)}
    reviews = [reviewed(number, turn, one) for number, one in enumerate(real)]
    reviews += [
        reviewed(1000 + place, turn, One(real[place].case, real[place].by, 70, ""), f"{turn}-{place}", "unsure")
        for place in undone
    ]
    # A record at the very instant of a review would be taken for its own by whoever looks at time and outcome alone.
    elsewhere: list[Defect] = [
        make_defect(f"{turn}-P{part}", outcome=outcome, source=source, recorded_at=Instant(1000 * turn + at),
                    defect_code="", recorded_by=f"from elsewhere {number}")
        for number, (part, at, outcome, source) in enumerate(told)
    ]  # fmt: skip
    filled.writer.apply(Harvest(reviews=tuple(reviews), defects=(*elsewhere, *(one.defect for one in reviews))), now())
    for number, one in enumerate(exercises):
        filled.exercises.answer(answered(number, turn, one))
    since, until = (Instant(1000 * turn + at) for at in span)
    stands = [one for place, one in enumerate(real) if place not in undone]
    expected = [moved(one, turn) for one in in_order(stands, exercises) if span[0] <= one.at < span[1]]
    found = filled.quality.decisions(since, until)
    assert sorted(map(tuple, found.rows())) == sorted(
        (one.case, one.by, one.at, said_of(one.outcome, one.made), one.made.took_ms or 0, one.truth) for one in expected
    )
    latest = {
        f"{turn}-P{part}": 1000 * turn + at
        for part, at, outcome, source in sorted(told, key=lambda one: one[1])
        if outcome in CONCLUSIVE and source != "history" and at > span[0]
    }
    truths = {part: word for part, word in filled.quality.truths(since, until).items() if part.startswith(f"{turn}-")}
    assert {part: at for part, (at, _) in truths.items()} == latest
    assert report(found, truths, {}) == plain_report(expected, truths, {})
