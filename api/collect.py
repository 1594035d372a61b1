"""The collector: the log's verdicts and evidence into the store, by one writer.

Reads from the offsets that the store itself keeps, so that what was written and how far it was read cannot disagree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from api.harvest import Harvester
from api.store.database import StoreUnavailable
from api.store.rows import Stored
from api.store.write import StoreWriter
from ingest.errors import Fenced, LogUnavailable
from ingest.log.seam import Log, Reader, Record
from ingest.messages import Instant

GATHER_S = 0.01  # records of the next 10 ms share one transaction: a commit costs about as much as 100 rows
GATHER_TIMES, GATHER_S_MAX = 4.0, 0.1  # or those of four times as long as the last one took: a fifth of a core at most
POLL_S = 0.05
RECORDS_MAX = 2000  # a transaction of this size takes a tenth of a second on a slow disk
RETRY_S = 1.0  # the world is down: look again once a second
LAG_EVERY_S = 1.0
NEVER = Instant(0)


def wall_clock() -> Instant:
    return Instant(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class CollectorState:
    """How the collector stands. `trouble` is empty while all is well."""

    leading: bool = False
    polled_at: Instant = NEVER
    lag_records: int = 0
    collected: int = 0
    repeats: int = 0
    trouble: str = "not started"


class Collector:
    """One thread: `run` until told to stop. `state` may be read from any thread."""

    def __init__(
        self,
        open_log: Callable[[], Log],
        writer: StoreWriter,
        harvester: Harvester,
        on_stored: Callable[[], None] = lambda: None,
        clock: Callable[[], Instant] = wall_clock,
    ) -> None:
        self._open_log = open_log
        self._writer = writer
        self._harvester = harvester
        self._on_stored = on_stored
        self._clock = clock
        self._collected = 0
        self._repeats = 0
        self.state = CollectorState()

    @property
    def left_out(self) -> dict[tuple[str, str], int]:
        """(topic, reason) -> records that could not be used."""
        return dict(self._harvester.left_out)

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop`; when log or store are away, say so in `state` and look again."""
        while not stop.is_set():
            try:
                if self._writer.take_lease(self._clock()):
                    self._lead(stop)
                else:
                    self._tell(leading=False, trouble="")  # another collector is at work, and that is well
            except (LogUnavailable, StoreUnavailable, Fenced) as error:
                self._tell(leading=False, trouble=str(error))
            stop.wait(RETRY_S)

    def _lead(self, stop: threading.Event) -> None:
        log = self._open_log()
        try:
            known = self._writer.offsets()
            reader = log.reader(self._harvester.topics, _start(log, self._harvester.topics, known))
            try:
                self._follow(reader, known, stop)
            finally:
                reader.close()
        finally:
            log.close()

    def _follow(self, reader: Reader, known: dict[tuple[str, int], int], stop: threading.Event) -> None:
        looked_at, took_s = 0.0, 0.0
        while not stop.is_set():
            records = _gather(reader, min(GATHER_S_MAX, max(GATHER_S, GATHER_TIMES * took_s)))
            if records:
                began_s = time.monotonic()
                stored = self._store(records, known)
                took_s = time.monotonic() - began_s
                if stored.verdicts:
                    self._on_stored()
            if time.monotonic() - looked_at >= LAG_EVERY_S:
                looked_at = time.monotonic()
                here = reader.positions()
                lag = sum(max(0, end - here.get(place, 0)) for place, end in reader.ends().items())
                if not self._writer.take_lease(self._clock()):
                    raise Fenced("another collector holds the store's lease")
                self._tell(leading=True, trouble="", lag=lag)
            else:
                self._tell(leading=True, trouble="", lag=self.state.lag_records)

    def _store(self, records: list[Record], known: dict[tuple[str, int], int]) -> Stored:
        harvest = self._harvester.gather(records, known)
        stored = self._writer.apply(harvest, self._clock())
        known.update({place: now for place, (_, now) in harvest.offsets.items()})
        self._collected += stored.verdicts
        self._repeats += stored.repeats
        return stored

    def _tell(self, *, leading: bool, trouble: str, lag: int = 0) -> None:
        polled_at = self.state.polled_at if trouble else self._clock()
        self.state = CollectorState(leading, polled_at, lag, self._collected, self._repeats, trouble)


def _gather(reader: Reader, gather_s: float) -> list[Record]:
    """What there is, and what comes within so long after the first of it."""
    records = reader.poll(POLL_S, RECORDS_MAX)
    ends_at = time.monotonic() + gather_s
    while records and len(records) < RECORDS_MAX and (left := ends_at - time.monotonic()) > 0:
        records += reader.poll(left, RECORDS_MAX - len(records))
    return records


def _start(log: Log, topics: list[str], known: dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """Where to read on. Offsets past the log's end are of another log (its folder was replaced): begin at its start,
    repeats are left out anyway."""
    reader = log.reader(topics, "end")
    try:
        ends = reader.ends()
    finally:
        reader.close()
    return {place: offset for place, offset in known.items() if offset <= ends.get(place, 0)}
