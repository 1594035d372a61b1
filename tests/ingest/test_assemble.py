"""The join: gates open, close and revise by the letter of the contract, and order does not matter in the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.join.assemble import Assembler, JoinMessage
from ingest.join.changelog import changes, finish, restore
from ingest.join.evidence import Evidence
from ingest.join.gates import Closing
from ingest.messages import Findings, Fitness, Instant, SensorRecord, Visit
from ingest.plan.plan import Audit, Camera, Channel, Constraints, Gate, Grants, Line, Objective, Owners, Plan, Station
from ingest.settings import Settings

T0 = 1_767_600_000_000
RATE_HZ = 100.0
NEEDS = ("camera:top", "sensors:OP20")
GATE = Gate(gate_id="EOL", after="OP40", deadline_ms=500, needs=NEEDS, booking_ms=5000, late_ms=120_000)
PLAN = Plan(
    plan=1,
    plant="test",
    owners=Owners(objective="a", model="b", stop="c"),
    objective=Objective(escape_cost=450.0, review_cost=2.5, currency="USD"),
    constraints=Constraints(escape_rate_max=0.003, review_share_max=0.1, latency_ms_max=500),
    grants=Grants(topics=("qc.frames", "qc.sensors", "qc.production", "qc.defects")),
    audit=Audit(share=0.0),
    lines=(
        Line(
            line_id="L1",
            stations=(
                Station(station_id="OP20", channels=(Channel(channel="amps", unit="A", rate_hz=RATE_HZ),)),
                Station(station_id="OP40"),
                Station(station_id="OP50"),
            ),
            cameras=(Camera(camera_id="top", station_id="OP40"),),
            gates=(GATE,),
        ),
    ),
)


def join(live: bool = False, **changed: int) -> Assembler:
    return Assembler(PLAN, Settings(**changed), live)


def visit(part: str, station: str, start: int, length: int = 1000, **attributes: str) -> Visit:
    return Visit(
        part_id=part, line_id="L1", station_id=station, started_at=Instant(T0 + start),
        ended_at=Instant(T0 + start + length), batch_id="B1", product="HSG", attributes=attributes,
    )  # fmt: skip


def findings(part: str, at: int, score: float | None = 0.2, ok: bool = True) -> Findings:
    return Findings(
        part_id=part, line_id="L1", station_id="OP40", camera_id="top", frame_id=f"top@{at}",
        captured_at=Instant(T0 + at), inspected_at=Instant(T0 + at), score=score, threshold=0.5, fitness=Fitness(ok=ok),
    )  # fmt: skip


def samples(start: int, count: int, part: str | None = None, station: str = "OP20") -> SensorRecord:
    ts_ms = T0 + start + np.arange(count) * 1000.0 / RATE_HZ
    return SensorRecord("L1", station, ts_ms, {"amps": np.sin(ts_ms / 37.0)}, part)


def feed(assembler: Assembler, arrivals: Iterable[tuple[int, JoinMessage]]) -> list[Closing]:
    closings: list[Closing] = []
    for at, message in arrivals:
        new = assembler.take(message, T0 + at)
        for closing in new:
            assembler.published(closing, b"", False)
        closings += new
    return closings


def test_a_gate_closes_at_the_record_that_meets_its_last_need() -> None:
    closings = feed(
        join(),
        [
            (1000, samples(0, 100)),
            (1010, visit("P1", "OP20", 0)),
            (2500, findings("P1", 2400)),
            (3000, visit("P1", "OP40", 2000)),
        ],
    )
    assert [(c.at - T0, c.evidence.complete, c.first) for c in closings] == [(3000, True, True)]
    assert closings[0].evidence.present == ("camera:top", "sensors:OP20")
    assert closings[0].evidence.event_at == T0 + 3000


def test_a_gate_closes_at_its_deadline_with_what_there_is_and_late_evidence_revises_it() -> None:
    assembler = join()
    assert feed(assembler, [(3000, visit("P1", "OP40", 2000)), (3010, findings("P1", 2400))]) == []
    [closing] = assembler.advance(T0 + 3500)
    assert (closing.at - T0, closing.evidence.complete, closing.evidence.missing) == (3500, False, ("sensors:OP20",))
    later = feed(assembler, [(9000, samples(0, 100)), (9001, visit("P1", "OP20", 0))])
    assert [c.evidence.complete for c in later] == [True]
    assert later[0].evidence.late == ("sensors:OP20",)
    assert not later[0].first


def test_evidence_after_late_ms_changes_nothing_and_is_counted() -> None:
    assembler = join()
    feed(assembler, [(3000, visit("P1", "OP40", 2000))])
    assembler.advance(T0 + 3500)
    assert feed(assembler, [(3501 + 120_000, findings("P1", 2400))]) == []
    assert assembler.counts["too_late"] == 1


def test_findings_alone_open_the_gate_after_booking_ms() -> None:
    assembler = join()
    assert feed(assembler, [(2500, findings("P1", 2400))]) == []
    assert assembler.advance(T0 + 2500 + 4999) == []
    closings = assembler.advance(T0 + 2500 + 5000 + 500)
    assert [(c.at - T0, c.evidence.missing) for c in closings] == [(2500 + 5000 + 500, ("sensors:OP20",))]


def test_samples_that_name_the_part_at_the_gate_open_it_after_booking_ms() -> None:
    assembler = join()
    feed(assembler, [(2500, samples(2000, 10, part="P1", station="OP40"))])
    assert [c.at - T0 for c in assembler.advance(T0 + 20_000)] == [2500 + 5000 + 500]


def test_what_a_corrected_booking_takes_in_opens_no_second_attempt() -> None:
    assembler = join()
    first = feed(assembler, [(3000, visit("P1", "OP40", 2000)), (4600, findings("P1", 4500))])
    assert [c.at - T0 for c in first] == [3500]
    feed(assembler, [(5000, visit("P1", "OP40", 2000, length=3000))])
    assert assembler.advance(T0 + 30_000) == []
    again = feed(assembler, [(31_000, findings("P1", 30_500))])
    again += assembler.advance(T0 + 60_000)
    assert [(c.evidence.attempt, c.at - T0) for c in again if c.first] == [(2, 31_000 + 5000 + 500)]


def test_a_visit_behind_the_gate_opens_it() -> None:
    assembler = join()
    feed(assembler, [(5000, visit("P1", "OP50", 4000))])
    assert [c.at - T0 for c in assembler.advance(T0 + 6000)] == [5500]


def test_a_second_visit_at_the_gate_is_the_next_attempt_and_evidence_after_the_first_end_belongs_to_it() -> None:
    assembler = join()
    first = feed(assembler, [(3000, visit("P1", "OP40", 2000)), (3001, findings("P1", 2500))])
    first += assembler.advance(T0 + 4000)
    second = feed(assembler, [(9000, visit("P1", "OP40", 8000)), (9001, findings("P1", 8500, score=0.9))])
    second += assembler.advance(T0 + 10_000)
    assert [c.evidence.attempt for c in first] == [1]
    assert [c.evidence.attempt for c in second] == [2]
    assert [f.score for f in second[0].evidence.findings["top"]] == [0.9]


def test_the_next_attempt_begins_at_the_very_end_of_the_one_before_but_an_overlapping_visit_does_not() -> None:
    assembler = join()
    feed(assembler, [(3000, visit("P1", "OP40", 2000)), (3100, visit("P1", "OP40", 2500))])
    assert {c.evidence.attempt for c in assembler.advance(T0 + 5000)} == {1}
    feed(assembler, [(9000, visit("P1", "OP40", 3000))])
    assert {c.evidence.attempt for c in assembler.advance(T0 + 10_000)} == {2}


def test_a_visit_booked_twice_is_a_repeat() -> None:
    assembler = join()
    feed(assembler, [(3000, visit("P1", "OP40", 2000)), (3100, visit("P1", "OP40", 2000))])
    assert [c.evidence.attempt for c in assembler.advance(T0 + 5000)] == [1]
    assert assembler.counts["repeated_visit"] == 1


@pytest.mark.parametrize(
    ("count", "offset", "met"),
    [(100, 0, True), (90, 0, False), (90, 100, True), (89, 110, False), (99, 0, True), (0, 0, False)],
)
def test_a_sensor_need_wants_nine_tenths_of_the_samples_reaching_to_the_end(count: int, offset: int, met: bool) -> None:
    # 90 samples from the start end 110 ms before the visit does: nine tenths, but more than two samples short of it
    arrivals: list[tuple[int, JoinMessage]] = [(900, samples(offset, count))] if count else []
    closings = feed(
        join(),
        [*arrivals, (1010, visit("P1", "OP20", 0)), (2500, findings("P1", 2400)), (3000, visit("P1", "OP40", 2000))],
    )
    assert bool(closings) is met


def test_a_frame_that_could_not_be_read_is_unfit_and_meets_no_need() -> None:
    assembler = join()
    feed(assembler, [(3000, visit("P1", "OP40", 2000)), (3001, findings("P1", 2500, score=None, ok=False))])
    [closing] = assembler.advance(T0 + 5000)
    assert closing.evidence.unfit == ("camera:top",)
    assert "camera:top" not in closing.evidence.present


def test_a_deadline_that_had_passed_when_the_record_was_read_is_missed_and_the_answer_is_right_behind() -> None:
    assembler = join(live=True)
    ready: list[tuple[int, JoinMessage]] = [
        (1000, samples(0, 100)), (1010, visit("P1", "OP20", 0)), (2500, findings("P1", 2400)),
    ]  # fmt: skip
    feed(assembler, ready)
    closings = assembler.take(visit("P1", "OP40", 2000), T0 + 3000, read_at=T0 + 3501)
    assert [(c.missed, c.first, c.evidence.complete) for c in closings] == [(True, True, True), (False, False, True)]
    on_time = join(live=True)
    feed(on_time, ready)
    closings = on_time.take(visit("P1", "OP40", 2000), T0 + 3000, read_at=T0 + 3500)
    assert [(c.missed, c.first) for c in closings] == [(False, True)]


def test_memory_is_bounded_and_an_open_gate_closes_before_its_part_is_forgotten() -> None:
    assembler = join(wip_parts_max=10)
    closings = feed(assembler, [(3000 + n, visit(f"P{n}", "OP40", 2000 + n)) for n in range(30)])
    assert len(assembler.memory.parts) == 10
    assert [c.evidence.part_id for c in closings] == [f"P{n}" for n in range(20)]
    assert assembler.counts["parts_forgotten"] == 20


def test_a_camera_clock_that_runs_ahead_is_corrected_after_a_few_parts() -> None:
    assembler = join()
    for n in range(12):
        base = n * 10_000
        feed(
            assembler,
            [(base + 3600, findings(f"P{n}", base + 3500)), (base + 3700, visit(f"P{n}", "OP40", base + 2000))],
        )
        closings = assembler.advance(T0 + base + 5000)
    assert "camera:top" in closings[0].evidence.present
    assert -1500 <= closings[0].evidence.clock["camera:top"] <= -500


def test_a_sensor_clock_that_lags_is_corrected_and_beyond_the_limit_only_alarmed() -> None:
    for skew, corrected in ((-300, True), (-2600, False)):
        assembler = join()
        for n in range(12):
            base = n * 10_000
            feed(
                assembler,
                [
                    (base + 1000, samples(base + skew, 100)),
                    (base + 1010, visit(f"P{n}", "OP20", base)),
                    (base + 2500, findings(f"P{n}", base + 2400)),
                    (base + 3000, visit(f"P{n}", "OP40", base + 2000)),
                ],
            )
            assembler.advance(T0 + base + 5000)
        shift = assembler.memory.stations[("L1", "OP20")].clock.shift_ms
        assert (abs(shift + skew) <= 25) is corrected
        assert (assembler.counts["clock_alarm"] > 0) is not corrected


# -- order does not matter ---------------------------------------------------------------------------------------------


def story() -> list[JoinMessage]:
    """Two parts through the line, one of them twice, one with a visit nobody booked."""
    records: list[JoinMessage] = []
    for n, part in enumerate(("P1", "P2")):
        base = n * 1500
        records += [samples(base, 60), samples(base + 600, 40), visit(part, "OP20", base, tool_id=f"T{n}")]
        records += [findings(part, base + 12_400), visit(part, "OP40", base + 12_000)]
    records += [visit("P1", "OP40", 20_000), findings("P1", 20_500, score=0.7), findings("P1", 20_600, score=None)]
    return [*records, findings("P3", 30_000), visit("P3", "OP50", 32_000)]


def final_evidence(
    arrivals: list[tuple[int, JoinMessage]], takeovers: Mapping[int, int] | None = None
) -> dict[tuple[str, int], Evidence]:
    """What the last closing of each part's attempts rests on. `takeovers`: after which record another owner begins, and
    how many records it then reads before it judges; the next may take over before that."""
    assembler, kept = join(), list[tuple[str, bytes | None]]()
    last: dict[tuple[str, int], Evidence] = {}
    to_read = 0

    def note(closings: list[Closing]) -> None:
        for closing in closings:
            assembler.published(closing, b"", False)
            plain = dataclasses.replace(closing.evidence, late=(), newest_at=Instant(0))
            last[(plain.part_id, plain.attempt)] = plain

    for n, (at, message) in enumerate(arrivals):
        note(assembler.take(message, T0 + at))
        to_read -= 1
        if assembler.gates.holding and to_read <= 0:
            note(assembler.gates.resume(T0 + at))
        if takeovers and n in takeovers:
            kept += changes(assembler)
            assembler, to_read = taken_over(kept, at), takeovers[n]
            if to_read == 0:
                note(assembler.gates.resume(T0 + at))
    if assembler.gates.holding:
        note(assembler.gates.resume(T0 + 10_000_000))
    note(assembler.advance(T0 + 10_000_000))
    return last


def taken_over(kept: list[tuple[str, bytes | None]], at: int, live: bool = False) -> Assembler:
    """The join of the next owner, who has the changelog and still has records to read before it judges."""
    assembler = join(live)
    for key, body in kept:
        restore(assembler, key, body)
    finish(assembler)
    assembler.gates.hold(T0 + at)
    return assembler


def same(one: dict[tuple[str, int], Evidence], other: dict[tuple[str, int], Evidence]) -> bool:
    return one.keys() == other.keys() and all(_plain(one[key]) == _plain(other[key]) for key in one)


def _plain(evidence: Evidence) -> tuple[object, ...]:
    windows = {
        station: (w.samples, w.complete, {c: (v.stats.tobytes(), v.curve.tobytes()) for c, v in w.channels.items()})
        for station, w in evidence.windows.items()
    }
    return (evidence.visits, windows, evidence.findings, evidence.present, evidence.missing, evidence.unfit)


IN_ORDER = final_evidence([(n * 100, record) for n, record in enumerate(story())])


def test_the_story_has_every_attempt_once() -> None:
    assert sorted(IN_ORDER) == [("P1", 1), ("P1", 2), ("P2", 1), ("P3", 1)]
    assert IN_ORDER[("P1", 2)].present == ("camera:top", "sensors:OP20")


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(range(len(story()))), st.lists(st.integers(0, len(story()) - 1), max_size=5), st.integers(1, 4000)
)
def test_any_interleaving_within_late_ms_ends_in_the_same_evidence(
    order: list[int], twice: list[int], step: int
) -> None:
    records = story()
    arrivals = [(n * step, records[place]) for n, place in enumerate([*order, *twice])]
    assert same(final_evidence(arrivals), IN_ORDER)


@settings(max_examples=150, deadline=None)
@given(
    st.permutations(range(len(story()))),
    st.integers(1, 4000),
    st.dictionaries(st.integers(0, len(story()) - 1), st.integers(0, 6)),
)
def test_owners_that_change_at_any_record_even_before_they_have_caught_up_end_in_the_same_evidence(
    order: list[int], step: int, takeovers: dict[int, int]
) -> None:
    records = story()
    arrivals = [(n * step, records[place]) for n, place in enumerate(order)]
    assert same(final_evidence(arrivals, takeovers), IN_ORDER)


def test_evidence_that_came_to_an_owner_who_never_judged_revises_the_verdict_under_the_next() -> None:
    first = join(live=True)
    feed(first, [(3000, visit("P1", "OP40", 2000)), (3010, samples(0, 100)), (3011, visit("P1", "OP20", 0))])
    for closing in first.advance(T0 + 3500):
        first.published(closing, b"", False)
    kept = changes(first)
    second = taken_over(kept, 4000, live=True)
    assert feed(second, [(4000, findings("P1", 2400))]) == []  # absorbed and committed; then this owner is killed
    kept += changes(second)
    third = taken_over(kept, 5000, live=True)
    assert [(c.evidence.complete, c.first) for c in third.gates.resume(T0 + 5000)] == [(True, False)]
    kept += changes(third)
    assert taken_over(kept, 6000, live=True).gates.resume(T0 + 6000) == []
