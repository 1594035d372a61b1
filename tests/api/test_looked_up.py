"""What the store looks up by its indices is what a plain search of all that was told finds, on both stores."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.store.database import leave_engine, share_engine
from api.store.exposed import place_of
from api.store.listed import listed_verdicts
from api.store.order import QueueFilter
from api.store.queue import QueueStore
from api.store.read import StoreReader
from api.store.rows import Harvest, VerdictFilter
from api.store.tables import cases
from api.store.write import StoreWriter
from ingest.messages import Instant, Verdict, Visit, encode
from tests.api.factory import make_pass, make_verdict, make_visit, now

AT = 1_700_000_000_000


class Filled:
    """A store. What each turn of a property tells is on a line of its own."""

    turns = itertools.count(1)

    def __init__(self, url: str) -> None:
        self.url = url
        self.writer, self.reader, self.queue = StoreWriter(url, "one"), StoreReader(url), QueueStore(url)

    def take(self, *told: Verdict, visits: tuple[Visit, ...] = ()) -> None:
        self.writer.apply(Harvest(verdicts=tuple((one, encode(one).decode()) for one in told), visits=visits), now())

    def plans(self, ask: Callable[[], object]) -> list[str]:
        """How the database goes about each statement that is about cases alone. PostgreSQL is told that to read a whole
        table is dear: this one is small."""
        asked: list[tuple[str, Any]] = []
        engine = share_engine(self.url, writing=False)

        def note(_connection: object, _cursor: object, statement: str, given: Any, *_: object) -> None:
            if "cases" in statement:
                asked.append((statement, given))

        sa.event.listen(engine, "before_cursor_execute", note)
        ask()
        sa.event.remove(engine, "before_cursor_execute", note)
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
            told = [
                "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, given))
                for statement, given in asked
            ]
        leave_engine(engine)
        return told

    def close(self) -> None:
        for store in (self.writer, self.reader, self.queue):
            store.close()


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    opened = Filled(store_url)
    yield opened
    opened.close()


booked = st.fixed_dictionaries({}, optional={"tool": st.sampled_from("ab"), "lot": st.sampled_from(["x", "x=1", "%"])})
visited = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["OP1", "OP2"]), st.integers(0, 9), booked), max_size=25
)
property_of_a_store = settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def holds(visit: Visit, side: str) -> bool:
    name, _, value = side.partition("=")
    return visit.attributes.get(name) == value


def exposed(visits: list[Visit], sides: list[str], since: int) -> list[Visit]:
    """The plain way: the visits with a side, of parts with all of them, newest first."""
    parts = [{(one.line_id, one.part_id) for one in visits if holds(one, side)} for side in sides]
    both = set.intersection(*parts)
    found = [one for one in visits if any(holds(one, side) for side in sides) and (one.line_id, one.part_id) in both]
    return sorted((one for one in found if one.started_at >= since), key=order, reverse=True)


def order(visit: Visit) -> tuple[int, str, str, str]:
    place = place_of(visit)
    return place.started_at, place.line_id, place.part_id, place.station_id


@property_of_a_store
@given(visited, st.lists(st.sampled_from(["tool=a", "tool=b", "lot=x", "lot=x=1", "lot=%"]), min_size=1, max_size=2),
       st.one_of(st.none(), st.integers(0, 9)), st.integers(1, 4))  # fmt: skip
def test_exposed_are_the_visits_that_booked_it(
    filled: Filled, told: list[tuple[int, str, int, dict[str, str]]], sides: list[str], since: int | None, limit: int
) -> None:
    turn = next(Filled.turns)
    once = {(part, station, at): attributes for part, station, at, attributes in told}
    visits = [
        make_visit(
            f"{turn}-P{part}", line_id=f"turn {turn}", station_id=station, started_at=Instant(AT + at),
            ended_at=Instant(AT + at), attributes={f"{name}{turn}": value for name, value in attributes.items()},
        )
        for (part, station, at), attributes in once.items()
    ]  # fmt: skip
    filled.take(visits=tuple(visits))
    named = [side.replace("=", f"{turn}=", 1) for side in dict.fromkeys(sides)]
    cause, begun = " & ".join(named), None if since is None else Instant(AT + since)
    expected = exposed(visits, named, begun or 0)
    seen: list[Visit] = []
    while page := filled.reader.exposed(cause, begun, limit, place_of(seen[-1]) if seen else None):
        assert len(page) <= limit
        seen += page
    assert seen == expected
    assert filled.reader.count_exposed(cause, begun) == len({one.part_id for one in expected})


judged = st.lists(
    st.tuples(
        st.integers(0, 6), st.integers(1, 2), st.integers(1, 3), st.sampled_from(["pass", "review", "cannot_tell"])
    ),
    max_size=25,
)


@property_of_a_store
@given(judged, st.integers(1, 5))
def test_cases_are_counted_as_they_come_in_whatever_order(
    filled: Filled, told: list[tuple[int, int, int, str]], at_once: int
) -> None:
    turn = next(Filled.turns)
    verdicts = [
        (make_pass if decision == "pass" else make_verdict)(
            f"{turn}-P{part}", attempt=attempt, revision=revision, decision=decision
        )
        for part, attempt, revision, decision in told
    ]
    for first in range(0, len(verdicts), at_once):
        filled.take(*verdicts[first : first + at_once])
    engine = share_engine(filled.url, writing=False)
    with engine.connect() as connection:
        each = connection.execute(sa.select(cases.c.state, cases.c.decision))
        plain = Counter((state, decision) for state, decision in each)
    leave_engine(engine)
    assert filled.reader.count_cases() == plain


filters = st.builds(
    VerdictFilter,
    decision=st.sampled_from([(), ("review",), ("pass", "cannot_tell")]),
    product=st.sampled_from(["", "A", "B"]),
    batch_id=st.sampled_from(["", "B1"]),
    since=st.sampled_from([None, Instant(AT + 2), Instant(AT + 9)]),
    state=st.sampled_from(["", "open", "done"]),
    cause=st.sampled_from(["", "tool_id=T7", "none"]),
)
listed = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(0, 5), st.sampled_from("AB"), st.sampled_from(["B1", "B2"]), st.booleans()
    ),
    max_size=15,
)


@property_of_a_store
@given(listed, filters)
def test_a_list_of_verdicts_holds_what_fits_the_newest_first(
    filled: Filled, told: list[tuple[int, int, str, str, bool]], wanted: VerdictFilter
) -> None:
    line = f"turn {next(Filled.turns)}"
    made = [
        (make_verdict if flagged else make_pass)(
            f"{line} P{part}", line_id=line, revision=number, product=product, batch_id=batch,
            decided_at=Instant(AT + at),
        )
        for number, (part, at, product, batch, flagged) in enumerate(told, 1)
    ]  # fmt: skip
    filled.take(*made)
    newest = {one.part_id: one for one in made}  # revisions rise

    def fits(one: Verdict) -> bool:
        state = "done" if one.decision == "pass" else "open"
        return (
            (not wanted.decision or one.decision in wanted.decision)
            and wanted.product in ("", one.product)
            and wanted.batch_id in ("", one.batch_id)
            and (wanted.since is None or one.decided_at >= wanted.since)
            and (not wanted.state or (newest[one.part_id] is one and wanted.state == state))
            and (not wanted.cause or any(cause.cause == wanted.cause for cause in one.causes))
        )

    on_line = replace(wanted, line_id=line)
    expected = [encode(one) for one in reversed(made) if fits(one)]
    assert [one.body for one in filled.reader.verdicts(on_line, 100)] == expected
    engine = share_engine(filled.url, writing=False)
    with engine.connect() as connection:
        for few in (True, False):
            rows = connection.execute(listed_verdicts(on_line, 100, None, few))
            assert [row.body.encode() for row in rows] == expected
    leave_engine(engine)


OF_WHAT_WAITS = ("urgency", "line", "product", "pressing", "open", "waits", "said")
FILTERS = {
    "everything": QueueFilter(),
    "a line": QueueFilter(line_id="L1"),
    "a product": QueueFilter(product="A"),
    "both": QueueFilter(line_id="L1", product="A"),
    "a decision": QueueFilter(decision=("review",)),
    "a camera": QueueFilter(camera="top"),
    "an hour": QueueFilter(since=Instant(AT)),
    "what is older": QueueFilter(until=Instant(AT)),
    "an inspector": QueueFilter(inspector="anna"),
}


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=list(FILTERS))
def test_what_waits_is_found_without_a_look_at_what_does_not(filled: Filled, wanted: QueueFilter) -> None:
    plans = filled.plans(lambda: (filled.queue.page(wanted, now(), 10), filled.queue.count(wanted)))
    assert plans
    for plan in plans:
        assert "Seq Scan on cases" not in plan
        for step in plan.splitlines():
            if "SCAN cases" in step:  # of SQLite: not by a key
                assert "USING COVERING INDEX cases_" in step
        assert any(f"cases_{name}" in plan for name in OF_WHAT_WAITS)
