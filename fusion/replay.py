"""A replay folder through the whole road in one process, in the order and by the clock of `received_at`."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fusion.certificate.standing import Standing
from fusion.incidents import Incident
from fusion.judge import Judge
from fusion.partition import Partition, Ruling
from ingest.blobs import Blobs
from ingest.folder.replay_folder import Arrival, DeadRow, Folder
from ingest.folder.rows import write_dead_rows
from ingest.join.assemble import Assembler
from ingest.join.gates import Closing
from ingest.messages import Defect, Findings, Frame, Instant, SensorRecord, Verdict, Visit, encode
from ingest.settings import Settings
from vision.inspect import Eyes, Look
from vision.keep import keep_pictures

LOOKAHEAD = 32  # frames inspected ahead of the fold, so that decoding and nets overlap with it
FOREVER = 1 << 60


@dataclass(slots=True)
class ReplaySummary:
    """What a replay did. `dead`: the rows that could not be used; `incidents`: open when it ended;
    `incidents_opened`: of cameras, how many there were; `certificates`: how those of the gates stood when it ended;
    `held`: parts that inspectors had no time for."""

    records: int = 0
    verdicts: int = 0
    parts: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    dead: list[DeadRow] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    incidents_opened: int = 0
    certificates: list[Standing] = field(default_factory=list)
    held: int = 0
    seconds: float = 0.0


def replay_folder(
    path: Path,
    settings: Settings,
    since: Instant | None,
    speed: float,
    out: Path | None,
    progress: Callable[[str], None],
) -> ReplaySummary:
    """Judge the folder's parts with its own plan and the models of the shelf. `speed` 0: as fast as it goes.

    Writes one verdict a line to `out`, and unusable rows to `deadletters.jsonl` under the home. Raises BadInput.
    """
    folder = Folder(path, settings)
    judge = Judge.open(Path(settings.shelf), folder.plan)
    if judge.problem:
        progress(f"no risk model: {judge.problem}; every part will be cannot_tell")
    cameras = [camera.camera_id for line in folder.plan.lines for camera in line.cameras]
    eyes = Eyes.open(Path(settings.shelf), cameras, settings.image_pixels_max)
    blobs = Blobs(settings.blobs)
    summary = ReplaySummary()
    parts: set[tuple[str, str]] = set()
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(_whole(out)) if out is not None else None
        for ruling in _rulings(folder, settings, judge, eyes, blobs, since, speed, summary):
            blobs.put(ruling.verdict.evidence_ref, ruling.exhibit)
            if lines is not None:
                lines.write(encode(ruling.verdict) + b"\n")
            summary.verdicts += 1
            parts.add((ruling.verdict.line_id, ruling.verdict.part_id))
            if summary.verdicts % 1000 == 0:
                progress(f"{summary.verdicts} verdicts, {len(parts)} parts")
            _count(summary, ruling.verdict)
    summary.parts, summary.seconds = len(parts), time.perf_counter() - started
    summary.dead += folder.dead_letters
    write_dead_rows(Path(settings.home), summary.dead, progress)
    counted = ", ".join(f"{count} {decision}" for decision, count in sorted(summary.decisions.items()))
    progress(
        f"{summary.records} records, {summary.parts} parts, {summary.verdicts} verdicts ({counted}), "
        f"{len(summary.dead)} dead letters, {summary.incidents_opened} camera incidents in {summary.seconds:.1f} s"
    )
    if summary.held:
        progress(f"{summary.held} parts over the threshold were held: more than inspectors can clear")
    for one in summary.certificates:
        progress(one.say())
    for incident in summary.incidents:
        progress(f"line {incident.line_id}: {incident.what}")
    return summary


def _count(summary: ReplaySummary, verdict: Verdict) -> None:
    summary.decisions[verdict.decision] += 1


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name only when it is whole."""
    half = out.with_name(f"{out.name}.{os.getpid()}.half")
    try:
        with half.open("wb") as file:
            yield file
        half.replace(out)
    finally:
        half.unlink(missing_ok=True)


class _Clock:
    """The recorded time plus the work done since the record came in."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def start(self) -> None:
        self.began = time.perf_counter()

    def __call__(self, at: int) -> int:
        return at + round((time.perf_counter() - self.began) * 1000.0)


def _rulings(
    folder: Folder,
    settings: Settings,
    judge: Judge,
    eyes: Eyes,
    blobs: Blobs,
    since: Instant | None,
    speed: float,
    summary: ReplaySummary,
) -> Iterator[Ruling]:
    clock = _Clock()
    partition = Partition(folder.plan, settings, judge, live=False, mode_of=lambda _: "auto", now=clock)
    pace = _Pace(speed)
    for arrival, look in _looked_at(folder.arrivals(since=since), eyes):
        pace.wait(arrival.received_at)
        summary.records += 1
        clock.start()
        message: Visit | SensorRecord | Findings | Defect
        if isinstance(arrival.message, Frame):
            assert look is not None
            message = keep_pictures(blobs, arrival.message, look)
            if look.trouble is not None:
                file, _, row = arrival.where.rpartition(":")
                summary.dead.append(DeadRow(file, int(row), look.trouble.reason, look.trouble.detail))
        else:
            message = arrival.message
        yield from partition.take(message, arrival.received_at)
    clock.start()
    yield from partition.advance(FOREVER)
    summary.incidents = partition.incidents()
    summary.incidents_opened = partition.cameras.counts["incidents_opened"]
    summary.certificates = partition.certificates([line.line_id for line in folder.plan.lines])
    summary.held = partition.capacity.counts["held_for_capacity"]


class _Pace:
    """Sleeps so that the recording runs at `speed` times its own pace; 0 never sleeps."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._origin: tuple[float, int] | None = None

    def wait(self, at: int) -> None:
        if not self._speed:
            return
        if self._origin is None:
            self._origin = (time.monotonic(), at)
        due = self._origin[0] + (at - self._origin[1]) / 1000.0 / self._speed
        time.sleep(max(0.0, due - time.monotonic()))


def _looked_at(arrivals: Iterator[Arrival], eyes: Eyes) -> Iterator[tuple[Arrival, Look | None]]:
    """Each arrival in order, frames with what the eyes saw, inspected a little ahead on as many threads as cores."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="eye") as pool:
        ahead: deque[tuple[Arrival, Future[Look] | None]] = deque()
        frames = 0
        for arrival in arrivals:
            look = None
            if isinstance(arrival.message, Frame):
                look = pool.submit(eyes.inspect, arrival.message, arrival.received_at)
                frames += 1
            ahead.append((arrival, look))
            while ahead and (frames > LOOKAHEAD or ahead[0][1] is None):
                first, seen = ahead.popleft()
                frames -= seen is not None
                yield first, seen.result() if seen else None
        for first, seen in ahead:
            yield first, seen.result() if seen else None


def assemble_folder(
    folder: Folder, settings: Settings, findings: Mapping[str, Findings], until: Instant | None = None
) -> Iterator[Closing]:
    """The evidence of every gate of a folder's parts, as the judge would have seen it: what training learns from.

    `findings`: frame_id -> findings of the frames (out of fold where they trained an eye); frames without are left out.
    Gives each first closing and each later look at the same part (the same gate and attempt again), in clock order.
    """
    join = Assembler(folder.plan, settings, live=False)
    for arrival in folder.arrivals(until=until):
        message = arrival.message
        if isinstance(message, Frame):
            seen = findings.get(message.frame_id)
            if seen is not None:
                yield from join.take(seen, arrival.received_at)
        elif not isinstance(message, Defect):
            yield from join.take(message, arrival.received_at)
    yield from join.advance(FOREVER)
