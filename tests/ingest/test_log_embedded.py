"""What only the embedded log has to care for: its file, its disk, and several processes at one file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import LogUnavailable
from ingest.log import embedded_records as log_embedded_records
from ingest.log.embedded import FILE_NAME, EmbeddedLog
from ingest.log.embedded_db import Database
from ingest.log.embedded_group import fair_share
from ingest.log.embedded_house import DiskLimit, delete_read, delete_superseded
from ingest.log.seam import Outgoing, TopicSpec

HOUR_MS = 3_600_000
ROOMY = DiskLimit(2**40, 24 * HOUR_MS)
ROOT = Path(__file__).parents[2]


def open_at(
    folder: Path, disk: DiskLimit = ROOMY, wait_s: float = 5.0, session_timeout_ms: int = 60_000
) -> EmbeddedLog:
    log = EmbeddedLog(folder, wait_s=wait_s, session_timeout_ms=session_timeout_ms, disk=disk)
    log.create_topics([TopicSpec(name, 2) for name in ("in", "out")])
    log.create_topics([TopicSpec("state", 2, compacted=True), TopicSpec("dead", 2, retention_ms=HOUR_MS)])
    return log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log(folder: Path) -> Iterator[EmbeddedLog]:
    log = open_at(folder)
    yield log
    log.close()


@pytest.fixture
def database(log: EmbeddedLog, folder: Path) -> Iterator[Database]:
    database = Database(folder / FILE_NAME, 5.0)
    yield database
    database.close()


def append(log: EmbeddedLog, topic: str, count: int, body: bytes = b"x", key: bytes = b"k") -> None:
    producer = log.producer()
    for _ in range(count):
        producer.append(Outgoing(topic, key, body, partition=0))
    producer.close()


def stored(database: Database) -> int:
    return int(database.rows("SELECT count(*) FROM records")[0][0])


def never() -> bool:
    return False


def test_what_a_group_has_not_read_is_never_deleted(log: EmbeddedLog, database: Database) -> None:
    append(log, "in", 10)
    member = log.member("slow", ["in"])
    member.poll(1)
    member.lanes()[0].commit([], {"in": 4})
    delete_read(database, DiskLimit(1, 0), never)
    reader = log.reader(["in"], "beginning")
    assert [r.offset for r in reader.poll(1)] == [4, 5, 6, 7, 8, 9]
    assert reader.positions()["in", 0] == 10
    reader.close()
    member.close()


def test_what_all_groups_have_read_goes_after_the_retention_and_not_before(
    log: EmbeddedLog, database: Database
) -> None:
    append(log, "in", 10)
    for group, offset in (("one", 10), ("two", 7)):
        member = log.member(group, ["in"])
        member.poll(1)
        member.lanes()[0].commit([], {"in": offset})
        member.close()
    delete_read(database, DiskLimit(2**40, HOUR_MS), never)
    assert stored(database) == 10
    delete_read(database, DiskLimit(2**40, 0), never)
    assert stored(database) == 3


def test_near_the_disk_limit_read_records_go_before_their_retention_the_oldest_first(
    log: EmbeddedLog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(log_embedded_records.wall_ms() - 20 * HOUR_MS, 2**60, HOUR_MS))
    monkeypatch.setattr(log_embedded_records, "wall_ms", lambda: next(clock))
    for _ in range(20):
        append(log, "in", 1, bytes(200_000))
    monkeypatch.undo()
    member = log.member("one", ["in"])
    member.poll(1)
    member.lanes()[0].commit([], {"in": 20})
    member.close()
    used = database.used_bytes()
    delete_read(database, DiskLimit(used, 24 * HOUR_MS), never)
    kept = [row[0] & 0xFF for row in database.rows("SELECT rid FROM records ORDER BY rid")]
    assert 0 < len(kept) < 20
    assert kept == list(range(20 - len(kept), 20))


def test_a_topic_that_no_group_reads_keeps_all_unless_it_has_a_retention_of_its_own(
    log: EmbeddedLog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = log_embedded_records.wall_ms()
    monkeypatch.setattr(log_embedded_records, "wall_ms", lambda: now - 2 * HOUR_MS)
    append(log, "in", 3)
    append(log, "dead", 3)
    monkeypatch.undo()
    append(log, "dead", 2)
    delete_read(database, DiskLimit(2**40, HOUR_MS), never)
    assert stored(database) == 3 + 2


def test_compacted_topics_are_really_compacted_and_tombstones_go_in_the_end(
    log: EmbeddedLog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(50):
        append(log, "state", 1, b"%d" % n, b"a")
        append(log, "state", 1, b"%d" % n, b"b")
    append(log, "state", 1, key=b"b", body=None)  # type: ignore[arg-type]
    delete_superseded(database, never)
    assert stored(database) == 101, "a reader at its heels still sees every record"
    now = log_embedded_records.wall_ms()
    later = log_embedded_records.SUPERSEDED_KEEP_MS + 1
    monkeypatch.setattr("ingest.log.embedded_house.wall_ms", lambda: now + later)
    delete_superseded(database, never)
    assert database.rows("SELECT key, body FROM records ORDER BY rid") == [(b"a", b"49"), (b"b", None)]
    monkeypatch.setattr(
        "ingest.log.embedded_house.wall_ms", lambda: now + log_embedded_records.TOMBSTONE_KEEP_MS + later
    )
    delete_superseded(database, never)
    assert database.rows("SELECT key, body FROM records ORDER BY rid") == [(b"a", b"49")]
    assert database.rows("SELECT key FROM latest") == [(b"a",)]
    reader = log.reader(["state"], "beginning")
    assert [r.body for r in reader.poll(1)] == [b"49"]
    assert reader.positions() == reader.ends()
    reader.close()


def test_producers_wait_at_the_disk_limit_and_consumers_free_it(tmp_path: Path) -> None:
    disk = DiskLimit(3_000_000, 24 * HOUR_MS)
    log = open_at(tmp_path, disk, wait_s=20)
    member = log.member("one", ["in"])
    member.poll(1)
    producer = log.producer()
    written = threading.Event()

    def write_much() -> None:
        for _ in range(60):
            producer.append(Outgoing("in", b"k", bytes(100_000), partition=0))
            producer.flush()
        written.set()

    writer = threading.Thread(target=write_much)
    writer.start()
    assert not written.wait(0.5), "6 MB fit into 3 MB"
    deadline = time.monotonic() + 20
    while not written.is_set():
        for record in member.poll(0.05):
            member.lanes()[0].commit([Outgoing("out", b"k", b"seen", partition=0)], {"in": record.offset + 1})
        assert time.monotonic() < deadline
    writer.join()
    producer.close()
    member.close()
    log.close()


def test_a_producer_gives_up_when_nobody_makes_room_and_loses_nothing(tmp_path: Path) -> None:
    log = open_at(tmp_path, DiskLimit(500_000, HOUR_MS), wait_s=0.3)
    append(log, "in", 1, bytes(600_000))
    producer = log.producer()
    producer.append(Outgoing("in", b"k", b"waiting", partition=0))
    with pytest.raises(LogUnavailable, match="reached its limit"):
        producer.flush()
    member = log.member("one", ["in"])
    member.poll(1)
    member.lanes()[0].commit([Outgoing("out", b"k", b"a consumer goes on", partition=0)], {"in": 1})
    deadline = time.monotonic() + 10
    while True:
        try:
            producer.flush()
            break
        except LogUnavailable:
            assert time.monotonic() < deadline
    reader = log.reader(["in"], "beginning")
    assert [r.body for r in reader.poll(1)] == [b"waiting"]
    for opened in (reader, member, producer, log):
        opened.close()


FULL_DISK = """
    import resource, signal, sys
    from ingest.errors import LogUnavailable
    from ingest.log.seam import Outgoing
    from tests.ingest.test_log_embedded import open_at, Path
    log = open_at(Path(sys.argv[1]), wait_s=0.5)
    member = log.member("one", ["in"])
    member.poll(1)
    lane = member.lanes()[0]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
    done = 0
    try:
        while True:
            lane.commit([Outgoing("out", b"k", bytes(50_000), partition=0)], {"in": done + 1})
            done += 1
    except LogUnavailable as error:
        print(done, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    lane.commit([Outgoing("out", b"k", b"room again", partition=0)], {"in": done + 1})
    member.close()
    log.close()
"""


def test_on_a_full_disk_a_commit_is_refused_whole_and_the_log_goes_on_when_there_is_room(folder: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(folder)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    done, _, sentence = outcome.stdout.partition(" ")
    assert "disk of the log" in sentence
    assert "nothing was lost" in sentence
    log = open_at(folder)
    reader = log.reader(["out"], "beginning")
    bodies = [r.body for r in reader.poll(1)]
    assert len(bodies) == int(done) + 1 > 10
    assert bodies[-1] == b"room again"
    member = log.member("one", ["in"])
    member.poll(1)
    assert member.lanes()[0].committed == {"in": len(bodies)}, "records and offsets went together"
    for opened in (reader, member, log):
        opened.close()


def test_a_file_that_is_no_log_is_one_clear_sentence(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"not a database at all" * 1000)
    with pytest.raises(LogUnavailable, match="not a log of qcfuse, or damaged"):
        open_at(folder)


def test_a_log_of_another_version_is_refused(log: EmbeddedLog, folder: Path) -> None:
    connection = sqlite3.connect(folder / FILE_NAME)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(LogUnavailable, match="schema 99"):
        open_at(folder)


def test_the_logs_time_never_goes_back_when_the_clock_does(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, "in", 1)
    now = log_embedded_records.wall_ms()
    monkeypatch.setattr(log_embedded_records, "wall_ms", lambda: now - HOUR_MS)
    append(log, "in", 1)
    reader = log.reader(["in"], "beginning")
    first, second = reader.poll(1)
    assert second.logged_at_ms == first.logged_at_ms
    reader.close()


def _append_many(folder: Path, name: str, count: int) -> None:
    log = open_at(folder)
    producer = log.producer()
    for n in range(count):
        producer.append(Outgoing("in", name.encode(), b"%d" % n, partition=0))
        if n % 3 == 0:
            producer.flush()
    producer.close()
    log.close()


def test_several_processes_write_at_once_and_nothing_is_lost_or_out_of_order(folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_many, args=(folder, f"w{n}", 200)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    log = open_at(folder)
    reader = log.reader(["in"], "beginning")
    records = reader.poll(1, records_max=1000)
    assert [r.offset for r in records] == list(range(600))
    for n in range(3):
        assert [int(r.body or b"") for r in records if r.key == b"w%d" % n] == list(range(200))
    reader.close()
    log.close()


def test_a_record_of_another_process_is_seen_within_milliseconds(log: EmbeddedLog, folder: Path) -> None:
    """Same machine, another connection: to SQLite that is what another process is."""
    reader = log.reader(["in"], "end")
    writer = open_at(folder)
    producer = writer.producer()
    waits = []
    seen = threading.Event()

    def write() -> None:
        for _ in range(40):
            time.sleep(0.02)
            seen.clear()
            waits.append(-time.monotonic())
            producer.append(Outgoing("in", b"k", b"x", partition=0))
            producer.flush()
            seen.wait(5)

    thread = threading.Thread(target=write)
    thread.start()
    for n in range(40):
        while not reader.poll(5):
            pass
        waits[n] += time.monotonic()
        seen.set()
    thread.join()
    assert sorted(waits)[20] < 0.02, "the median; on a quiet machine it is 3 ms"
    for opened in (producer, reader, writer):
        opened.close()


OWNER = """
    import sys, time
    from tests.ingest.test_log_embedded import open_at, Path
    member = open_at(Path(sys.argv[1])).member("one", ["in"])
    while not member.lanes():
        member.poll(0.1)
    print("owner", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_is_succeeded_at_once_not_after_its_session(folder: Path) -> None:
    log = open_at(folder)
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(folder)],
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"owner\n"
    member = log.member("one", ["in"])
    assert member.poll(0.3) == []
    assert len(member.lanes()) == 0, "while it lives and has not given them up"
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    killed_at = time.monotonic()
    while len(member.lanes()) < 2:
        member.poll(0.05)
        assert time.monotonic() - killed_at < 5, "its session would have lasted 60 s"
    member.close()
    log.close()


def test_fair_shares_cover_every_partition_once() -> None:
    for partitions in (1, 4, 12, 13):
        for count in range(1, 15):
            members = list(range(100, 100 + count))
            shares = [n for member in members for n in fair_share(members, member, partitions)]
            assert shares == list(range(partitions))
