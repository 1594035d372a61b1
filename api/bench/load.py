"""Load for the bench: parts pushed through a running road, as many at once as it bears, or at a steady pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ingest.errors import QcfuseError
from ingest.folder.replay_folder import Arrival
from ingest.log.seam import Log, Producer, Reader
from ingest.messages import Verdict, Visit, json_decoder
from ingest.publish import moved, outgoing_of
from ingest.settings import Settings

FULL = 12  # parts on the road at once: enough to keep both cores busy, too few to queue
PATIENCE_S = 60.0  # a road from which nothing comes for so long does not finish
_VERDICT = json_decoder(Verdict)


@dataclass(slots=True)
class Load:
    """What came of one load. Latencies are first verdicts', from the newest evidence to the commit."""

    parts: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def parts_per_s(self) -> float:
        return self.parts / self.seconds if self.seconds else 0.0


class _Watch:
    """The verdicts as they are committed; a part is done when each gate of its line has spoken."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self.reader: Reader = log.reader([settings.topic("verdicts")], "end")
        self.done: set[tuple[str, str]] = set()
        self.load = Load()
        self.heard_at = time.monotonic()

    def poll(self, timeout_s: float) -> None:
        for record in self.reader.poll(timeout_s):
            verdict = _VERDICT.decode(record.body or b"")
            self.heard_at = time.monotonic()
            if verdict.revision == 1 and verdict.latency_ms is not None:
                newest = verdict.decided_at - verdict.latency_ms
                self.load.latencies_ms.append(max(0.0, record.logged_at_ms - newest))
            if verdict.gate_id == "EOL":
                self.done.add((verdict.line_id, verdict.part_id))
        if time.monotonic() - self.heard_at > PATIENCE_S:
            raise QcfuseError(f"no verdict for {PATIENCE_S:.0f} s; the road does not finish")


def closed_loop(
    log: Log,
    settings: Settings,
    blocks: Sequence[Sequence[Arrival]],
    progress: Callable[[str], None],
    at_once: int = FULL,
) -> Load:
    """Push the next part when fewer than `at_once` are on the road: the most it bears without a queue."""
    return _drive(log, settings, blocks, progress, lambda sent, done, _: sent - done < at_once)


def paced(
    log: Log,
    settings: Settings,
    blocks: Sequence[Sequence[Arrival]],
    parts_per_s: float,
    progress: Callable[[str], None],
) -> Load:
    """Push parts at a steady pace, whether or not the road keeps up."""
    return _drive(log, settings, blocks, progress, lambda sent, _, elapsed: sent <= elapsed * parts_per_s)


def _drive(
    log: Log,
    settings: Settings,
    blocks: Sequence[Sequence[Arrival]],
    progress: Callable[[str], None],
    may_send: Callable[[int, int, float], bool],
) -> Load:
    watch, producer = _Watch(log, settings), log.producer()
    sent: set[tuple[str, str]] = set()
    began = told = time.monotonic()
    try:
        for block in blocks:
            while not may_send(len(sent), len(watch.done & sent), time.monotonic() - began):
                watch.poll(0.002)
            _send(producer, settings, block)
            sent |= {(a.message.line_id, a.message.part_id) for a in block if isinstance(a.message, Visit)}
            watch.poll(0.0)
            if time.monotonic() - told > 5.0:
                told = time.monotonic()
                progress(f"{len(watch.done)} of {len(sent)} parts judged")
        while sent - watch.done:
            watch.poll(0.01)
        watch.load.parts, watch.load.seconds = len(sent), time.monotonic() - began
    finally:
        producer.close()
        watch.reader.close()
    return watch.load


def _send(producer: Producer, settings: Settings, block: Sequence[Arrival]) -> None:
    """One part as it would come in now, its samples saying whose they are."""
    ends = [a.message.ended_at for a in block if isinstance(a.message, Visit)]
    shift = time.time_ns() // 1_000_000 - max(ends, default=int(block[-1].received_at))
    for arrival in block:
        producer.append(outgoing_of(moved(arrival.message, shift, arrival.part_id), settings)[1])
    producer.flush()
