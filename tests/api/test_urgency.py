"""The order of the queue: risk x cost x time left, the same order as time passes, and nothing lost between pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.store.database import migrate
from api.store.queue import Place, QueueFilter, QueueStore
from api.store.rows import Harvest
from api.store.write import StoreWriter
from api.urgency import HALF_MS, Ranking, escape_cost, kinds_of_defect, paces, weight_on_line
from ingest.messages import Instant, Verdict, Visit, encode
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from tests.api.factory import PLAN, make_verdict, make_visit, now

ANY = QueueFilter()
MINUTE = 60_000


def plan_with(tmp_path: Path, old: str = "", new: str = "", more: str = "") -> Plan:
    (tmp_path / "plan.yaml").write_text(PLAN.replace(old, new) + more)
    return load_plan(tmp_path / "plan.yaml")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Parts leave the first line's gate ten minutes after they came; of the second line nothing is stated."""
    return plan_with(tmp_path, "deadline_ms: 500, needs", "deadline_ms: 500, moves_on_ms: 600000, needs")


class Ranked:
    """A store whose writer knows the plan."""

    def __init__(self, url: str, plan: Plan) -> None:
        migrate(url)
        self.writer, self.queue = StoreWriter(url, "one", ranking=Ranking(plan)), QueueStore(url)

    def take(self, *verdicts: Verdict, visits: tuple[Visit, ...] = ()) -> None:
        collected = tuple((verdict, encode(verdict).decode()) for verdict in verdicts)
        self.writer.apply(Harvest(verdicts=collected, visits=visits), now())

    def order(self, at: Instant) -> list[str]:
        return [one.part_id for one in self.queue.page(ANY, at, 1000)]


@pytest.fixture
def ranked(store_url: str, plan: Plan) -> Iterator[Ranked]:
    opened = Ranked(store_url, plan)
    yield opened
    opened.queue.close()
    opened.writer.close()


def flagged(part: str, risk: float, minutes_ago: float = 0.0, **changes: object) -> Verdict:
    return make_verdict(part, risk=risk, event_at=Instant(now() - minutes_ago * MINUTE), **changes)


def test_who_leaves_soon_goes_before_who_is_riskier_and_can_wait(ranked: Ranked) -> None:
    ranked.take(flagged("risky, nine minutes left", 0.9, 1), flagged("half of it, one minute left", 0.45, 9))
    assert ranked.order(now()) == ["half of it, one minute left", "risky, nine minutes left"]


def test_who_has_moved_on_counts_a_quarter_and_is_never_forgotten(ranked: Ranked) -> None:
    ranked.take(flagged("gone", 0.9, 30), flagged("here, risky", 0.8, 9.9), flagged("here, hardly", 0.05, 9.9))
    ranked.take(flagged("nobody knows when", 0.5, line_id="L2", gate_id="END"))
    assert ranked.order(now()) == ["here, risky", "gone", "nobody knows when", "here, hardly"]
    assert ranked.order(Instant(now() + 60 * MINUTE)) == ["gone", "here, risky", "nobody knows when", "here, hardly"]


def test_a_part_seen_behind_its_gate_has_moved_on_whatever_was_expected(tmp_path: Path, store_url: str) -> None:
    text = "gates: [{gate_id: EOL, after: OP20, deadline_ms: 500, moves_on_ms: 600000, needs: [sensors:OP20]}]"
    old = "gates: [{gate_id: EOL, after: OP40, deadline_ms: 500, needs: [camera:top, sensors:OP20]}]"
    ranked = Ranked(store_url, plan_with(tmp_path, old, text))
    at = now()
    ranked.take(flagged("P1", 0.9), flagged("P2", 0.5))
    assert [one.expected for one in ranked.queue.page(ANY, at, 9)] == [True, True]
    seen = make_visit("P1", station_id="OP40", started_at=Instant(at + 5000), ended_at=Instant(at + 9000))
    ranked.take(visits=(seen,))
    (gone,) = [one for one in ranked.queue.page(ANY, at, 9) if one.part_id == "P1"]
    assert (gone.expected, gone.moves_on_at) == (False, at + 5000)
    ranked.take(flagged("P1", 0.7, revision=2))
    (gone,) = [one for one in ranked.queue.page(ANY, at, 9) if one.part_id == "P1"]
    assert not gone.expected, "a later revision does not bring it back"
    ranked.queue.close()
    ranked.writer.close()


def test_an_escape_that_costs_more_is_looked_at_first(tmp_path: Path, store_url: str) -> None:
    more = "products: [{product: AXLE, escape_cost: 4500, kinds: [crack]}]\n"
    ranked = Ranked(store_url, plan_with(tmp_path, more=more))
    ranked.take(flagged("usual", 0.9), flagged("dear", 0.2, product="AXLE"))
    assert ranked.order(now()) == ["dear", "usual"]
    ranked.queue.close()
    ranked.writer.close()


def test_costs_and_kinds_are_the_products_else_the_gates_else_the_plans(tmp_path: Path) -> None:
    more = "products: [{product: AXLE, escape_cost: 4500, kinds: [crack]}]\n"
    plan = plan_with(tmp_path, "after: OP10,", "after: OP10, escape_cost: 90, kinds: [burr, crack],", more)
    assert escape_cost(plan, "L2", "END", "AXLE") == 4500
    assert escape_cost(plan, "L2", "END", "HSG-4") == 90
    assert escape_cost(plan, "L1", "EOL", "HSG-4") == plan.objective.escape_cost
    assert kinds_of_defect(plan, "L2", "END", "AXLE") == ["crack", "burr"]
    assert kinds_of_defect(plan, "L1", "nowhere", "") == []


parts = st.tuples(st.floats(0.001, 1), st.floats(-30, 20))


@given(st.lists(parts, min_size=2, max_size=12), st.floats(0, 5))
def test_the_order_of_those_still_there_does_not_change_as_time_passes(
    drawn: list[tuple[float, float]], later: float
) -> None:
    at = 1_700_000_000_000
    ranking = Ranking()
    ranking._pace[("L", "G")] = 20 * MINUTE  # as if learned
    pressing = [ranking.rank(u, "L", "G", Instant(at + m * MINUTE), None).pressing or 0.0 for u, m in drawn]
    for moment in (at, at + int(later * MINUTE)):
        weights = [u * 2 ** (-(at + m * MINUTE + 20 * MINUTE - moment) / HALF_MS) for u, m in drawn]
        for stored, weight in zip(pressing, weights, strict=True):
            assert weight_on_line(stored, Instant(moment)) == pytest.approx(weight, rel=1e-3)


def test_pages_lose_nothing_while_parts_come_and_move_on(ranked: Ranked) -> None:
    ranked.take(*(flagged(f"P{n}", (n % 9 + 1) / 10, n / 3) for n in range(60)))
    at, after, seen = now(), None, list[str]()
    before = ranked.order(at)
    for turn in range(20):
        page, after = ranked.queue.read(ANY, Instant(at + turn * 30_000), 7, after)  # half a minute a page
        seen += [one.part_id for one in page]
        if after is None:
            break
        ranked.take(flagged(f"new{turn}", 0.99))
    assert len(seen) == len(set(seen))
    assert [part for part in seen if part in before] == before, "in the order of the first page"


def test_an_old_cursor_is_still_a_place(ranked: Ranked) -> None:
    ranked.take(flagged("P1", 0.5))
    assert [one.part_id for one in ranked.queue.page(ANY, now(), 5, Place(Instant(0)))] == ["P1"]


def test_a_lines_pace_is_learned_from_its_own_visits(plan: Plan) -> None:
    at = now()
    line = plan.lines[0]
    middle = msgspec.structs.replace(line, gates=(msgspec.structs.replace(line.gates[0], after="OP20"),))
    visits = []
    for n in range(10):
        began = at + n * 12_000
        first = {"started_at": Instant(began), "ended_at": Instant(began + 4000)}
        then = {"started_at": Instant(began + 4000 + 7000), "ended_at": Instant(began + 14_000)}
        visits += [make_visit(f"P{n}", **first), make_visit(f"P{n}", station_id="OP40", **then)]
    assert paces(plan, visits) == {("L1", "EOL"): 12_000}, "at the end of a line the next part pushes this one on"
    assert paces(msgspec.structs.replace(plan, lines=(middle,)), visits) == {("L1", "EOL"): 7000}
    assert paces(plan, visits[:8]) == {}, "too few visits tell nothing"
    ranking = Ranking(msgspec.structs.replace(plan, lines=(middle,)))
    assert ranking.stays_ms("L1", "EOL") == 600_000, "what the plan states goes first"


def test_the_collector_learns_the_pace_from_what_it_collects_and_from_what_is_there_already(
    tmp_path: Path, store_url: str
) -> None:
    migrate(store_url)
    plan, at = plan_with(tmp_path), now()
    ends = [Instant(at - 60_000 + n * 5000) for n in range(8)]
    passing = [
        make_visit(f"P{n}", station_id="OP40", started_at=Instant(end - 1000), ended_at=end)
        for n, end in enumerate(ends)
    ]
    for holder, visits in (("one", passing), ("after a restart", passing[-1:])):
        writer, queue = StoreWriter(store_url, holder, ranking=Ranking(plan)), QueueStore(store_url)
        writer.apply(Harvest(visits=tuple(visits)), at)
        flagged_now = make_verdict(holder, event_at=at)
        writer.apply(Harvest(verdicts=((flagged_now, encode(flagged_now).decode()),)), at)
        (found,) = [one for one in queue.page(ANY, at, 9) if one.part_id == holder]
        assert (found.expected, found.moves_on_at) == (True, at + 5000)
        writer.close()
        queue.close()
