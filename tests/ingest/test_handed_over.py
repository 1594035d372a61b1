"""The join changes hands: samples, clocks and bookings that the next owner still needs are there when it needs them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.join.assemble import Assembler, JoinMessage
from ingest.join.changelog import changes
from ingest.join.offsets import ENOUGH, MEMORY, ClockOffset
from ingest.join.parts import pack_part, unpack_part
from tests.ingest.test_assemble import (
    T0,
    feed,
    final_evidence,
    findings,
    join,
    same,
    samples,
    taken_over,
    visit,
)

VISIT_MS = 1000
Arrivals = list[tuple[int, JoinMessage]]


def next_owner(assembler: Assembler, at: int) -> Assembler:
    """The one that has the changelog, and nothing more to read."""
    following = taken_over(changes(assembler), at)
    following.gates.resume(T0 + at)
    return following


def made(parts: int, together: int, booked_after: list[int], cuts: list[int]) -> Arrivals:
    """Parts that go through OP20 back to back, `together` at a time; its samples end where they like. Before them two
    that showed whether it takes parts together: its first owner cannot know that of the first."""
    before = -100_000
    arrivals: Arrivals = [
        (before + n, visit(f"W{n}", "OP20", before - VISIT_MS * (2 if together > 1 else 2 - n))) for n in range(2)
    ]
    edges = sorted({0, parts * VISIT_MS, *(cut * 10 for cut in cuts)})
    for first, last in pairwise(edges):
        arrivals.append((last, samples(first, (last - first) // 10)))
    for number in range(parts):
        start = number // together * together * VISIT_MS
        end = start + together * VISIT_MS
        name = f"P{number}"
        arrivals.append((end + booked_after[number], visit(name, "OP20", start, end - start)))
        arrivals.append((end + 9000, findings(name, end + 8500)))
        arrivals.append((end + 9001, visit(name, "OP40", end + 8000)))
    return sorted(arrivals, key=lambda arrival: arrival[0])


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([1, 2, 3]),
    st.lists(st.integers(0, 5000), min_size=6, max_size=6),
    st.lists(st.integers(1, 599), max_size=12),
    st.dictionaries(st.integers(0, 30), st.integers(0, 3), min_size=1),
)
def test_every_visit_has_all_its_samples_whoever_owned_the_partition_when_they_came_or_it_was_booked(
    together: int, booked_after: list[int], cuts: list[int], takeovers: dict[int, int]
) -> None:
    arrivals = made(6, together, booked_after, cuts)
    assert same(final_evidence(arrivals, takeovers), final_evidence(arrivals))


def test_a_booking_corrected_in_its_times_after_the_samples_were_let_go_of_keeps_its_window() -> None:
    first = join()
    feed(first, [(1000, samples(0, 100)), (1010, visit("P1", "OP20", 0))])
    second = next_owner(first, 1100)
    later: Arrivals = [(1900, samples(1000, 30)), (2000, visit("P1", "OP20", 0, length=1050))]
    closings = feed(second, [*later, (3000, visit("P1", "OP40", 2000)), (3001, findings("P1", 2500))])
    assert [(c.evidence.complete, c.evidence.windows["OP20"].samples) for c in closings] == [(True, 100)]


def test_a_booking_made_longer_takes_in_what_its_next_owner_still_has() -> None:
    first = join()
    feed(first, [(1000, samples(0, 130)), (1010, visit("P1", "OP20", 0))])
    second = next_owner(first, 1100)
    feed(second, [(2000, visit("P1", "OP20", 0, length=1300))])
    third = next_owner(second, 2100)
    closings = feed(third, [(3000, visit("P1", "OP40", 2000)), (3001, findings("P1", 2500))])
    assert [c.evidence.windows["OP20"].samples for c in closings] == [130]


def test_a_visit_made_longer_reaches_samples_of_its_whole_length() -> None:
    assembler = join()
    feed(assembler, [(1010, visit("P1", "OP20", 0, length=500)), (2000, visit("P1", "OP20", 0, length=3000))])
    feed(assembler, [(3100, samples(2900, 10))])
    part = assembler.memory.known(("L1", "P1"))
    assert part is not None
    assert part.visits[0].samples_at == T0 + 3100


def test_a_clock_corrected_before_the_owner_died_is_corrected_in_windows_that_were_cut_before() -> None:
    """The windows of P2 and of the others lie half a second off until the clock has been watched for long enough."""
    assembler, kept = join(), list[tuple[str, bytes | None]]()
    for number in range(ENOUGH + 1):
        start, name = number * 4000, f"P{number}"
        feed(assembler, [(start + 1600, samples(start + 500, 100)), (start + 1601, visit(name, "OP20", start))])
        if number != 2:  # whose gate is still to come
            feed(
                assembler,
                [(start + 2500, findings(name, start + 2400)), (start + 3000, visit(name, "OP40", start + 2000))],
            )
        assembler.advance(T0 + start + 3900)
        kept += changes(assembler)
    following = taken_over(kept, 60_000)
    following.resume(T0 + 60_000)
    shifts = []
    for owner in (assembler, following):
        feed(owner, [(61_000, findings("P2", 10_400))])
        [closing] = feed(owner, [(61_001, visit("P2", "OP40", 10_000))])
        shifts.append((closing.evidence.windows["OP20"].shift_ms, closing.evidence.windows["OP20"].samples))
    assert shifts[0] == shifts[1]
    assert shifts[0][0] < -400.0


def test_a_clock_that_was_right_for_long_is_not_corrected_after_a_restart_for_the_odd_visits_it_remembers() -> None:
    clock, packed = ClockOffset(2000.0), b""
    for low, high in [(300.0, 400.0)] * (ENOUGH - 1) + [(-50.0, 50.0)] * (10 * MEMORY):
        clock.observe(low, high)
        packed = clock.pack() if clock.take_changed() else packed
    following = ClockOffset(2000.0)
    following.unpack(packed)
    following.observe(300.0, 400.0)
    assert following.shift_ms == 0.0


def test_a_clock_that_is_right_writes_nothing_once_all_it_remembers_is() -> None:
    clock = ClockOffset(2000.0)
    for _ in range(MEMORY):
        clock.observe(-50.0, 50.0)
    assert clock.take_changed()
    clock.observe(-50.0, 50.0)
    assert not clock.take_changed()


def test_the_clock_is_not_compared_with_a_visit_whose_samples_were_let_go_of() -> None:
    """Only the neighbour's are there, a cycle away: they would say that the clock is off by that cycle."""
    first = join()
    arrivals: Arrivals = []
    for number in range(8):
        start = number * 1500
        arrivals += [(start + 1010, samples(start, 100)), (start + 1020, visit(f"P{number}", "OP20", start))]
    feed(first, [*arrivals, (13_100, samples(12_000, 100))])
    second = next_owner(first, 13_200)
    for number in range(8):
        at = 20_000 + number * 100
        feed(second, [(at, findings(f"P{number}", at - 10)), (at + 1, visit(f"P{number}", "OP40", at - 50, length=50))])
    clock = second.memory.station("L1", "OP20").clock
    assert (clock.shift_ms, clock.alarmed) == (0.0, False)
    assert all(low <= 0.0 <= high for low, high in clock._intervals)


def test_evidence_that_came_too_late_while_nobody_judged_revises_nothing() -> None:
    first = join()
    feed(first, [(3000, visit("P1", "OP40", 2000))])
    for closing in first.advance(T0 + 3500):
        first.published(closing, b"", False)
    second = taken_over(changes(first), 130_000)
    assert feed(second, [(3501 + 120_000, findings("P1", 2400))]) == []
    assert second.gates.resume(T0 + 130_000) == []


def test_parts_of_an_outage_are_judged_in_the_order_in_which_they_were_made() -> None:
    second = taken_over([], 0)
    for place, number in enumerate((2, 0, 1)):
        feed(second, [(9000 + place, visit(f"P{number}", "OP40", number * 2000))])
    assert [closing.evidence.part_id for closing in second.resume(T0 + 20_000)] == ["P0", "P1", "P2"]


def test_a_part_written_by_another_version_is_read_without_what_this_one_does_not_know() -> None:
    assembler = join()
    feed(
        assembler, [(1000, samples(0, 90)), (1010, visit("P1", "OP20", 0, tool_id="T1")), (2500, findings("P1", 2400))]
    )
    changes(assembler)
    part = assembler.memory.known(("L1", "P1"))
    assert part is not None
    written: dict[str, Any] = msgspec.msgpack.decode(pack_part(part))
    for here in (written, written["visits"][0], written["visits"][0]["visit"], written["findings"][0]["findings"]):
        here["of_a_later_version"] = {"x": 1}
    written["findings"][0]["findings"]["fitness"]["of_a_later_version"] = 1
    del written["unseen"], written["entered"]
    assert pack_part(unpack_part(msgspec.msgpack.encode(written))) == pack_part(part)
