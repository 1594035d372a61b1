"""A recorded folder published on the log as if it happened now (`qcfuse replay DIR --publish`).

At speed 1 everything is moved by one span and appended when it is due. At any other speed time inside a part must stay
as it was recorded (a curve played ten times as fast is another curve), so each part is moved as a block that ends when
it is published; parts then overlap at their stations, which is why their samples say whose they are.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ingest.encode import encode_frame, encode_samples_arrow
from ingest.folder.replay_folder import Arrival, Folder
from ingest.folder.rows import write_dead_rows
from ingest.log.seam import Log, Outgoing, Producer
from ingest.messages import Defect, Frame, Instant, SensorRecord, Visit, encode
from ingest.settings import Settings

PROGRESS_EVERY_MS = 2000  # often enough to see that it moves, rare enough to read
Plant = Frame | Visit | SensorRecord | Defect


@dataclass(frozen=True, slots=True)
class Published:
    """How many records went to each topic (name without prefix)."""

    records: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.records.values())


def publish_folder(
    folder: Folder,
    log: Log,
    settings: Settings,
    speed: float,
    progress: Callable[[str], None],
    now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    sleep: Callable[[float], None] = time.sleep,
    since: Instant | None = None,
) -> Published:
    """Append the folder's records to the plant's topics, from now on; return when all of them are durable.

    Rows that could not be used go to `deadletters.jsonl` under the home, and are counted in the last progress.
    `speed` 0: as fast as the log takes them; 1: as recorded; `now` in ms since 1970. Raises LogUnavailable.
    """
    producer = log.producer()
    try:
        publisher = _Publisher(producer, settings, progress, now, sleep)
        if speed == 1:
            publisher.as_recorded(folder.arrivals(since))
        else:
            publisher.by_part(folder.blocks(since), speed)
        producer.flush()
    finally:
        producer.close()
    published = Published(dict(publisher.records))
    write_dead_rows(Path(settings.home), folder.dead_letters, progress)
    progress(f"{published.total} records published, {len(folder.dead_letters)} rows could not be used")
    return published


class _Publisher:
    def __init__(
        self,
        producer: Producer,
        settings: Settings,
        progress: Callable[[str], None],
        now: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:
        self._producer = producer
        self._settings = settings
        self._progress = progress
        self._now = now
        self._sleep = sleep
        self._began = self._told = now()
        self.records: Counter[str] = Counter()

    def as_recorded(self, arrivals: Iterator[Arrival]) -> None:
        shift: int | None = None
        for arrival in arrivals:
            shift = self._began - arrival.received_at if shift is None else shift
            self._wait_until(arrival.received_at + shift)
            self._append(moved(arrival.message, shift))

    def by_part(self, blocks: Iterator[tuple[Instant, Iterator[Arrival]]], speed: float) -> None:
        first: Instant | None = None
        for received_at, arrivals in blocks:
            first = received_at if first is None else first
            if speed > 0:
                self._wait_until(self._began + (received_at - first) / speed)
            block = list(arrivals)
            shift = self._now() - max((_ended_ms(arrival.message) for arrival in block), default=0)
            for arrival in block:
                self._append(moved(arrival.message, shift, arrival.part_id))

    def _wait_until(self, due_ms: float) -> None:
        wait_ms = due_ms - self._now()
        if wait_ms > 0:
            self._producer.flush()
            self._sleep(wait_ms / 1000)

    def _append(self, message: Plant) -> None:
        topic, outgoing = outgoing_of(message, self._settings)
        self._producer.append(outgoing)
        self.records[topic] += 1
        if self._now() - self._told >= PROGRESS_EVERY_MS:
            self._told = self._now()
            self._progress(f"{self.records.total()} records published")


def outgoing_of(message: Plant, settings: Settings) -> tuple[str, Outgoing]:
    """The topic (without prefix) and the record that carries this message: frames by part, all else by line."""
    line = message.line_id.encode()
    match message:
        case Frame():
            headers, body = encode_frame(message)
            return "frames", Outgoing(settings.topic("frames"), message.part_id.encode(), body, headers)
        case SensorRecord():
            headers, body = encode_samples_arrow(message)
            return "sensors", Outgoing(settings.topic("sensors"), line, body, headers)
        case Visit():
            return "production", Outgoing(settings.topic("production"), line, encode(message))
        case Defect():
            return "defects", Outgoing(settings.topic("defects"), line, encode(message))


def moved(message: Plant, shift_ms: int, part_id: str = "") -> Plant:
    """The message with every time `shift_ms` later. `part_id`: samples that name no part are given this one."""
    match message:
        case Frame():
            at = Instant(message.captured_at + shift_ms)
            own = message.frame_id != f"{message.camera_id}@{message.captured_at.isoformat()}"
            frame_id = message.frame_id if own else f"{message.camera_id}@{at.isoformat()}"
            return dataclasses.replace(message, captured_at=at, frame_id=frame_id)
        case SensorRecord():
            named = message.part_id or part_id or None
            return dataclasses.replace(message, ts_ms=message.ts_ms + shift_ms, part_id=named)
        case Visit():
            started_at, ended_at = Instant(message.started_at + shift_ms), Instant(message.ended_at + shift_ms)
            return msgspec.structs.replace(message, started_at=started_at, ended_at=ended_at)
        case Defect():
            return msgspec.structs.replace(message, recorded_at=Instant(message.recorded_at + shift_ms))


def _ended_ms(message: Plant) -> int:
    match message:
        case Frame():
            return message.captured_at
        case SensorRecord():
            return round(float(message.ts_ms.max()))
        case Visit():
            return message.ended_at
        case Defect():
            return message.recorded_at
