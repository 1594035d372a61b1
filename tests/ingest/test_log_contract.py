"""What `ingest.log.seam` promises, claimed of both logs: the embedded one, and real Apache Kafka."""

from __future__ import annotations

import time

import pytest

from ingest.errors import BadInput, BadRecord, Fenced
from ingest.log.seam import Lane, Member, Outgoing, Record
from ingest.partition import partition_of
from tests.ingest.log_plant import PATIENCE_S, Plant, numbered, own, poll_until, spec, take


def test_a_record_comes_back_as_it_was_appended(plant: Plant) -> None:
    headers = (("part_id", b"P1"), ("part_id", b"again"), ("raw", b"\xff\x00"))
    before = time.time_ns() // 1_000_000
    plant.append(
        Outgoing(plant.topic("in"), b"L1", b"body", headers),
        Outgoing(plant.topic("in"), b"L1", b"", ()),
        Outgoing(plant.topic("in"), b"L1", None, ()),
    )
    full, empty, tombstone = plant.everything("in")
    assert (full.key, full.body, full.headers) == (b"L1", b"body", headers)
    assert (empty.body, tombstone.body) == (b"", None)
    assert [r.offset for r in (full, empty, tombstone)] == [0, 1, 2]
    assert before - 1 <= full.logged_at_ms <= empty.logged_at_ms <= tombstone.logged_at_ms <= before + 60_000


def test_a_key_goes_to_the_partition_of_kafkas_default(plant: Plant) -> None:
    keys = [b"L%d" % n for n in range(20)]
    plant.append(*(Outgoing(plant.topic("in"), key, b"x") for key in keys))
    assert {r.key: r.partition for r in plant.everything("in")} == {key: partition_of(key, 4) for key in keys}


def test_an_appended_record_is_there_without_a_flush(plant: Plant) -> None:
    producer = plant.log.producer()
    plant.opened.append(producer.close)
    producer.append(Outgoing(plant.topic("in"), b"L1", b"x"))
    deadline = time.monotonic() + 5
    while not plant.everything("in"):
        assert time.monotonic() < deadline


def test_topics_are_made_once_and_never_with_another_number_of_partitions(plant: Plant) -> None:
    assert plant.log.create_topics([spec(plant, "in"), spec(plant, "new", 3)]) == [plant.topic("new")]
    assert (plant.log.partitions(plant.topic("new")), plant.log.partitions(plant.topic("none"))) == (3, 0)
    with pytest.raises(BadInput, match="4 partitions"):
        plant.another_log().create_topics([spec(plant, "in", 5)])
    with pytest.raises(BadInput, match="same number"):
        plant.log.member("workers", [plant.topic("in"), plant.topic("new")])


def test_what_cannot_be_appended_is_refused_and_nothing_of_the_commit_is_written(plant: Plant) -> None:
    member = plant.member("in")
    lane = own(member)[0]
    good = Outgoing(plant.topic("out"), b"k", b"good", partition=0)
    with pytest.raises(BadInput, match="no topic"):
        lane.commit([good, Outgoing(plant.topic("none"), b"k", b"x")], {plant.topic("in"): 5})
    with pytest.raises(BadRecord, match="record_too_large"):
        lane.commit([good, Outgoing(plant.topic("out"), b"k", bytes(20_000_000))], {plant.topic("in"): 5})
    lane.commit([good], {})
    assert [r.body for r in plant.everything("out")] == [b"good"]


def test_lanes_come_before_their_records_and_each_partition_is_in_order(plant: Plant) -> None:
    plant.append(*numbered(plant, 50, 0), *numbered(plant, 50, 3), *numbered(plant, 50, 3, "more"))
    member = plant.member("in", "more")
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(records) < 150:
        owned_before = set(member.lanes())
        found = member.poll(0.1, records_max=20)
        assert len(found) <= 20
        assert {r.partition for r in found} <= owned_before
        records += found
        assert time.monotonic() < deadline
    for topic, partition in (("in", 0), ("in", 3), ("more", 3)):
        bodies = [r.body for r in records if (r.topic, r.partition) == (plant.topic(topic), partition)]
        assert bodies == [b"%d" % n for n in range(50)]


def test_two_members_share_the_partitions_and_own_the_same_numbers_of_all_topics(plant: Plant) -> None:
    first = plant.member("in", "more")
    own(first)
    second = plant.member("in", "more")
    deadline = time.monotonic() + PATIENCE_S
    while not (len(first.lanes()) == 2 and len(second.lanes()) == 2):
        first.poll(0.05)
        second.poll(0.05)
        assert time.monotonic() < deadline
    assert sorted([*first.lanes(), *second.lanes()]) == [0, 1, 2, 3]
    assert sorted(first.lanes()) in ([0, 1], [2, 3])
    plant.append(*(o for n in range(4) for name in ("in", "more") for o in numbered(plant, 5, n, name)))
    found = {id(first): take(first, 20), id(second): take(second, 20)}
    for member in (first, second):
        assert {r.partition for r in found[id(member)]} == set(member.lanes())


def test_a_lane_that_is_kept_through_a_rebalance_is_the_same_object_and_reads_on(plant: Plant) -> None:
    plant.append(*(o for n in range(4) for o in numbered(plant, 10, n)))
    first = plant.member("in")
    before = own(first)
    take(first, 40)
    second = plant.member("in")
    deadline = time.monotonic() + PATIENCE_S
    again: list[Record] = []
    while len(first.lanes()) != 2 or len(second.lanes()) < 2:
        again += first.poll(0.05)
        second.poll(0.05)
        assert time.monotonic() < deadline
    kept = first.lanes()
    assert all(lane is before[partition] for partition, lane in kept.items())
    assert again == [], "what was read and not committed of a kept lane does not come twice"
    for partition, lane in kept.items():
        lane.commit([], {plant.topic("in"): 10})
        plant.append(Outgoing(plant.topic("in"), b"k", b"after", partition=partition))
    assert [r.body for r in take(first, 2)] == [b"after", b"after"]


def take_one(member: Member) -> Record:
    """The first record there is; the client has read more than it gave."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := member.poll(0.1, records_max=1)):
        assert time.monotonic() < deadline
    return found[0]


def test_a_lane_forgotten_while_more_of_it_was_read_ahead_comes_again_from_its_committed_offset(plant: Plant) -> None:
    plant.append(*(o for n in range(4) for o in numbered(plant, 30, n)))
    member = plant.member("in")
    own(member)
    first = take_one(member)
    member.forget(first.partition)
    lane = own(member)[first.partition]
    assert lane.committed == {plant.topic("in"): 0}
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len([r for r in found if r.partition == first.partition]) < 30:
        found += member.poll(0.1)
        assert time.monotonic() < deadline, "what was read ahead of the forgotten lane blocks it"
    assert [r.offset for r in found if r.partition == first.partition] == list(range(30))


def test_no_record_is_skipped_when_lanes_change_while_records_flow(plant: Plant) -> None:
    first, second = plant.member("in"), None
    own(first)
    producer = plant.log.producer()
    plant.opened.append(producer.close)
    read: dict[Lane, list[int]] = {}

    def read_some(wait_s: float) -> None:
        for record in first.poll(wait_s):
            read.setdefault(first.lanes()[record.partition], []).append(record.offset)

    for n in range(400):
        for partition in range(4):
            producer.append(Outgoing(plant.topic("in"), b"k", b"x", partition=partition))
        if n == 100:
            second = plant.member("in")
        if second is not None and n % 4 == 0:
            second.poll(0.001)
        read_some(0.005)
    producer.flush()
    assert second is not None
    deadline = time.monotonic() + 2 * PATIENCE_S
    while len(second.lanes()) < 2 or any(len(read.get(lane, ())) < 400 for lane in first.lanes().values()):
        second.poll(0.01)
        read_some(0.05)
        assert time.monotonic() < deadline, {lane.partition: len(found) for lane, found in read.items()}
    assert len(first.lanes()) == 2
    for offsets in read.values():
        assert offsets == list(range(len(offsets))), "each lane from its first record on, none left out, none twice"


def test_a_successor_begins_at_the_committed_offsets(plant: Plant) -> None:
    plant.append(*numbered(plant, 10, 1))
    first = plant.member("in")
    lane = own(first)[1]
    take(first, 10)
    lane.commit([Outgoing(plant.topic("out"), b"k", b"effect", partition=1)], {plant.topic("in"): 6})
    first.close()
    second = plant.member("in")
    successor = own(second)[1]
    assert successor.committed == {plant.topic("in"): 6}
    assert successor.ends == {plant.topic("in"): 10}
    assert not successor.caught_up()
    assert [r.offset for r in take(second, 4)] == [6, 7, 8, 9]
    assert successor.caught_up()
    assert [r.body for r in plant.everything("out")] == [b"effect"]


def test_a_lane_has_caught_up_although_the_last_offsets_hold_no_record(plant: Plant) -> None:
    writer = own(plant.member("in"))[2]
    for n in range(3):
        writer.commit([Outgoing(plant.topic("out"), b"k", b"%d" % n, partition=2)], {})
    reader = plant.member("out", group="others")
    lane = own(reader)[2]
    assert [r.body for r in take(reader, 3)] == [b"0", b"1", b"2"]
    poll_until(reader, lane.caught_up)


def test_who_was_succeeded_writes_nothing(plant: Plant) -> None:
    first = plant.member("in")
    late = own(first)[0]
    first.close()
    second = plant.member("in")
    lane = own(second)[0]
    with pytest.raises(Fenced):
        late.commit([Outgoing(plant.topic("out"), b"k", b"late", partition=0)], {plant.topic("in"): 7})
    lane.commit([Outgoing(plant.topic("out"), b"k", b"mine", partition=0)], {plant.topic("in"): 1})
    assert [r.body for r in plant.everything("out")] == [b"mine"]


def test_a_forgotten_lane_is_taken_over_afresh_from_what_was_committed(plant: Plant) -> None:
    plant.append(*numbered(plant, 6, 0), *numbered(plant, 3, 1))
    member = plant.member("in")
    old = own(member)[0]
    take(member, 9)
    old.commit([], {plant.topic("in"): 2})
    other = member.lanes()[1]
    member.forget(0)
    assert 0 not in member.lanes()
    poll_until(member, lambda: 0 in member.lanes())
    assert member.lanes()[0] is not old
    assert member.lanes()[1] is other
    assert [r.offset for r in take(member, 4)] == [2, 3, 4, 5]
    with pytest.raises(Fenced):
        old.commit([], {plant.topic("in"): 3})
    member.lanes()[0].commit([], {plant.topic("in"): 6})


def test_a_lane_can_be_read_again_from_an_offset(plant: Plant) -> None:
    plant.append(*numbered(plant, 5, 0))
    member = plant.member("in")
    own(member)
    take(member, 5)
    member.seek(0, {plant.topic("in"): 3})
    assert [r.offset for r in take(member, 2)] == [3, 4]


def test_state_is_the_last_record_of_each_key_of_that_partition(plant: Plant) -> None:
    lanes = own(plant.member("in"))
    state = plant.topic("state")
    for n in range(5):
        lanes[0].commit(
            [Outgoing(state, b"a", b"a%d" % n, partition=0), Outgoing(state, b"b%d" % n, b"b", partition=0)], {}
        )
    lanes[0].commit([Outgoing(state, b"b1", None, partition=0)], {})
    lanes[1].commit([Outgoing(state, b"a", b"other", partition=1)], {})
    found = {r.key: r.body for r in lanes[0].read_state(state)}
    assert {key: body for key, body in found.items() if body is not None} == {
        b"a": b"a4", b"b0": b"b", b"b2": b"b", b"b3": b"b", b"b4": b"b",
    }  # fmt: skip
    assert {r.key: r.body for r in lanes[1].read_state(state)} == {b"a": b"other"}
    assert list(lanes[2].read_state(state)) == []


def test_a_reader_starts_where_it_is_told(plant: Plant) -> None:
    plant.append(*numbered(plant, 4, 0), *numbered(plant, 2, 1))
    topic = plant.topic("in")
    at_end = plant.log.reader([topic], "end")
    by_offset = plant.log.reader([topic], {(topic, 0): 3, (topic, 1): 2})
    assert at_end.positions() == at_end.ends() == {(topic, 0): 4, (topic, 1): 2, (topic, 2): 0, (topic, 3): 0}
    assert [(r.partition, r.offset) for r in by_offset.poll(5)] == [(0, 3)]
    plant.append(*numbered(plant, 1, 2))
    found: list[Record] = []
    while not found:
        found = at_end.poll(1)
    assert [(r.partition, r.offset) for r in found] == [(2, 0)]
    at_end.close()
    by_offset.close()


def test_one_topic_may_serve_two_groups(plant: Plant) -> None:
    plant.append(*numbered(plant, 3, 0))
    for group in ("one", "two"):
        member = plant.member("in", group=group)
        own(member)
        assert len(take(member, 3)) == 3
