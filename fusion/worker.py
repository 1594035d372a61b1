"""The role that judges: findings, samples, visits and defect records in, verdicts out; exactly once (DESIGN).

A cycle: poll, fold each lane's records in the order the log took them, fire the timers that are due, commit verdicts,
state, dead letters, forwarded records and offsets of each lane in one transaction. A lane that says something commits
at once; one that only took something in does so ten times a second.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fusion.judge import Judge
from fusion.modes import Modes
from fusion.partition import Partition, Ruling
from ingest.blobs import Blobs
from ingest.decode.door import Door
from ingest.errors import BadRecord
from ingest.letters import dead_letter
from ingest.log.opening import open_log
from ingest.log.seam import Batch, Lane, Log, Outgoing, Record
from ingest.messages import Defect, Findings, Instant, SensorRecord, Visit, encode
from ingest.partition import partition_of
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from ingest.role import BEAT_S, Role, ShelfWatch, wall_ms
from ingest.settings import Settings

INPUTS = ("sensors", "findings", "production", "defects")  # the order at one moment, as in a replay
CYCLE_RECORDS = 200  # records of one cycle: bounds how long an order to stop may wait
WAIT_S = 0.1
QUIET_S = 0.1  # what a lane only took in may wait so long for its commit: whoever takes over meanwhile reads it again
CERTIFICATES_TOLD = 40  # gates; a heartbeat must stay small
VOIDS_TOLD = 60  # spans in which a certificate was void, of all gates together
INCIDENTS_TOLD = 20  # the oldest; a heartbeat must stay small, and nobody reads more
WRITERS = 4  # files written at once: a disk takes several as fast as one


@dataclass(slots=True)
class Post:
    """One owned lane: its fold, what it is about to commit, and how far it must read before it judges."""

    lane: Lane
    partition: Partition
    offsets: dict[str, int]
    catching_up: bool = True
    out: list[Outgoing] = field(default_factory=list)
    exhibits: list[Future[None]] = field(default_factory=list)
    unsaved_since: float | None = None  # monotonic; since when records are folded that no commit covers

    def must_commit(self, now: float) -> bool:
        """What is said goes out at once, and catching up is saved step by step; the rest may wait for QUIET_S."""
        if self.out or self.partition.voids.changed:
            return True
        return self.unsaved_since is not None and (self.catching_up or now - self.unsaved_since >= QUIET_S)


class FusionWorker:
    """Owns lanes of the log and folds their records into verdicts."""

    def __init__(self, plan: Plan, settings: Settings, judge: Judge, log: Log) -> None:
        self.plan = plan
        self.settings = settings
        self.judge = judge
        self.counts: Counter[str] = Counter()
        self.posts: dict[int, Post] = {}
        self.modes = Modes(log, settings)
        self._door = Door(settings, plan)
        self._blobs = Blobs(settings.blobs)
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="exhibit")
        self._topics = {settings.topic(name): name for name in INPUTS}
        self._rank = {settings.topic(name): rank for rank, name in enumerate(INPUTS)}
        self._partitions = log.partitions(settings.topic("production"))
        self._lines_of: dict[int, list[str]] = defaultdict(list)
        for line in plan.lines:
            self._lines_of[partition_of(line.line_id.encode(), self._partitions)].append(line.line_id)
        self.member = log.member("fusion", list(self._topics))
        self._looked, self._certificates_told = -math.inf, list[dict[str, object]]()

    def cycle(self) -> None:
        """One round of the loop. Raises LogUnavailable; nothing of the lanes not yet committed has then happened."""
        records = self.member.poll(self._patience(), CYCLE_RECORDS)
        self.modes.read()
        self._settle_lanes()
        by_lane: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_lane[record.partition].append(record)
        for number, waiting in by_lane.items():
            if number in self.posts:
                self._fold(self.posts[number], waiting)
        behind = len(records) >= CYCLE_RECORDS
        for post in self.posts.values():
            self._tick(post, behind)
        self._commit(time.monotonic())

    def finish(self) -> None:
        """Before a stop: nothing that was taken in is left to be read again."""
        self._commit(math.inf)

    def _patience(self) -> float:
        """How long to wait for records: until the next timer at most."""
        due = min((d for b in self.posts.values() if (d := b.partition.next_due()) is not None), default=None)
        if any(post.catching_up for post in self.posts.values()):
            return 0.005
        return WAIT_S if due is None else min(WAIT_S, max(0.0, (due - wall_ms()) / 1000.0))

    def _settle_lanes(self) -> None:
        """Drop lanes that were lost; take over those that were won."""
        lanes = self.member.lanes()
        for number, post in list(self.posts.items()):
            if lanes.get(number) is not post.lane:
                del self.posts[number]
        for number, lane in lanes.items():
            if number not in self.posts:
                self.posts[number] = self._take_over(lane)

    def _take_over(self, lane: Lane) -> Post:
        """State to its end, then the inputs to the ends found, then judge (DESIGN "Scale and exactly once")."""
        partition = Partition(
            self.plan, self.settings, self.judge, live=True, mode_of=self.modes.of, now=lambda _: wall_ms()
        )
        state = [(r.key.decode(), r.body) for r in lane.read_state(self.settings.topic("state")) if r.key is not None]
        partition.restore(state)
        partition.hold(wall_ms())
        self.counts["takeovers"] += 1
        return Post(lane, partition, dict(lane.committed))

    def _fold(self, post: Post, records: list[Record]) -> None:
        """Fold one lane's records in the order in which the log took them, whatever their topics."""
        now = wall_ms()
        for record in sorted(records, key=lambda r: (r.logged_at_ms, self._rank[r.topic], r.offset)):
            try:
                message = self._door.decode(self._topics[record.topic], record)
                assert isinstance(message, Visit | SensorRecord | Findings | Defect)
                home = partition_of(message.line_id.encode(), self._partitions)
                if home != record.partition:
                    post.out.append(self._forward(record, message.line_id, home))
                else:
                    self._keep(post, post.partition.take(message, _logged_at(record), now))
            except BadRecord as trouble:
                self.counts["dead_letters"] += 1
                post.out.append(dead_letter(record, trouble, self.settings.topic("deadletter"), now))
            post.offsets[record.topic] = max(post.offsets.get(record.topic, 0), record.offset + 1)
        self.counts["records"] += len(records)
        if post.unsaved_since is None:
            post.unsaved_since = time.monotonic()

    def _forward(self, record: Record, line_id: str, home: int) -> Outgoing:
        """A record that another client's hash put elsewhere goes on to its line's partition, with its first time."""
        self.counts["forwarded"] += 1
        received = Instant(record.logged_at_ms).isoformat().encode()
        headers = (*(h for h in record.headers if h[0] != "received_at"), ("received_at", received))
        return Outgoing(record.topic, line_id.encode(), record.body, headers, partition=home)

    def _tick(self, post: Post, behind: bool) -> None:
        """Fire timers by the wall clock, but not while records that came in time are still to be read."""
        if post.catching_up:
            if not post.lane.caught_up():
                return
            post.catching_up = False
            self._keep(post, post.partition.resume(wall_ms()))
        elif not behind:
            self._keep(post, post.partition.advance(wall_ms()))

    def _keep(self, post: Post, rulings: list[Ruling]) -> None:
        topic = self.settings.topic("verdicts")
        for ruling in rulings:
            verdict = ruling.verdict
            post.exhibits.append(self._writers.submit(self._blobs.put, verdict.evidence_ref, ruling.exhibit))
            out = Outgoing(topic, verdict.line_id.encode(), encode(verdict), partition=post.lane.partition)
            post.out.append(out)
            self.counts[f"verdicts_{verdict.decision}"] += 1

    def _commit(self, now: float) -> None:
        """Each lane whose time it is: verdicts, dead letters, forwarded records, state and offsets, or nothing."""
        batches: dict[int, Batch] = {}
        for number, post in self.posts.items():
            if not post.must_commit(now):
                continue
            for exhibit in post.exhibits:
                exhibit.result()  # what a verdict refers to is there before the verdict is
            state = self.settings.topic("state")
            changed = [Outgoing(state, key.encode(), body, partition=number) for key, body in post.partition.changes()]
            batches[number] = ([*post.out, *changed], post.offsets)
            post.out, post.exhibits, post.unsaved_since = [], [], None
        for number in self.member.commit_lanes(batches):
            self.counts["fenced"] += 1
            del self.posts[number]

    def state(self) -> dict[str, object]:
        """What the heartbeat says: owned partitions, counters, mode, model."""
        counts = Counter(self.counts)
        for post in self.posts.values():
            counts.update(post.partition.join.counts)
            counts.update(post.partition.cameras.counts)
            counts.update(post.partition.capacity.counts)
            counts["verdicts_late"] += post.partition.late.total()
        incidents = [one for post in self.posts.values() for one in post.partition.incidents()]
        catching_up = sorted(number for number, post in self.posts.items() if post.catching_up)
        return {
            "partitions": sorted(self.posts),
            "catching_up": catching_up,
            "counts": dict(counts),
            "open_parts": sum(len(post.partition.join.memory.parts) for post in self.posts.values()),
            "modes": {line.line_id: self.modes.of(line.line_id) for line in self.plan.lines},
            "model": self.judge.model.version if self.judge.model else None,
            "problem": self.judge.problem,
            "calibration": [one for post in self.posts.values() for one in post.partition.calibration.figures()],
            "drift_limits": [
                one
                for number, post in self.posts.items()
                for one in post.partition.drift.figures(self.judge, self._lines_of[number])
            ],
            "certificates": self._certificates(),
            "capacity": [told for post in self.posts.values() for told in post.partition.capacity.told()],
            "incidents_open": len(incidents),
            "incidents": [one.told() for one in sorted(incidents, key=lambda one: one.since)[:INCIDENTS_TOLD]],
        }

    def _certificates(self) -> list[dict[str, object]]:
        """How the certificates of the lines in our hands stand; looked at once a heartbeat."""
        if time.monotonic() - self._looked >= BEAT_S:
            self._looked, now = time.monotonic(), wall_ms()
            last = max(1, VOIDS_TOLD // max(1, sum(len(line.gates) for line in self.plan.lines)))
            told = [
                one
                for number, post in self.posts.items()
                for one in post.partition.certificates_told(self._lines_of[number], now, last)
            ]
            self._certificates_told = told[:CERTIFICATES_TOLD]
        return self._certificates_told

    def use(self, judge: Judge) -> None:
        """Another model went live: judge with it from the next record on."""
        self.judge = judge
        for post in self.posts.values():
            post.partition.judge = judge

    def close(self) -> None:
        self._writers.shutdown()
        self.modes.close()
        self.member.close()


def _logged_at(record: Record) -> int:
    """The log's time of a record; of a forwarded one, the time it first came in."""
    received = record.header("received_at")
    if received is None:
        return record.logged_at_ms
    try:
        return min(int(Instant.parse(received)), record.logged_at_ms)
    except ValueError as error:
        raise BadRecord("bad_time", f"header received_at: {error}") from error


def run(settings: Settings) -> None:
    """Judge until told to stop. Raises LogUnavailable when the log stays away; nothing is then committed."""
    plan = load_plan(Path(settings.plan))
    shelf = Path(settings.shelf)
    watch = ShelfWatch(shelf, "fusion")
    log = open_log(settings)
    worker = FusionWorker(plan, settings, Judge.open(shelf, plan), log)
    with Role("fusion", settings.home) as role:
        try:
            while not role.stopping:
                worker.cycle()
                if role.beat(worker.state) and watch.changed():
                    worker.use(Judge.open(shelf, plan))
            worker.finish()
        finally:
            worker.close()
            log.close()
