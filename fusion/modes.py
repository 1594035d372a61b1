"""The mode that was ordered for each line: the stop that always works."""

from __future__ import annotations

from collections import Counter

from fusion.partition import Mode
from ingest.decode.door import Door
from ingest.errors import BadRecord
from ingest.log.seam import Log
from ingest.messages import Order
from ingest.settings import Settings

READ_S = 0.05


class Modes:
    """Reads all of `qc.control`, outside any group. The latest order that names a line (or all) counts."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self.counts: Counter[str] = Counter()
        self._door = Door(settings, None)
        self._reader = log.reader([settings.topic("control")], "beginning")
        self._ordered: dict[str, tuple[tuple[int, int, int], Mode]] = {}
        ends = self._reader.ends()
        while any(self._reader.positions().get(place, 0) < end for place, end in ends.items()):
            self.read(READ_S)

    def read(self, timeout_s: float = 0.0) -> None:
        """Take in the orders that came since. A bad order is counted and changes nothing."""
        for record in self._reader.poll(timeout_s):
            if record.body is None:
                continue
            try:
                order = self._door.decode("control", record)
            except BadRecord as trouble:
                self.counts[trouble.reason] += 1
                continue
            assert isinstance(order, Order)
            self._ordered[order.line_id] = ((record.logged_at_ms, record.partition, record.offset), order.mode)

    def of(self, line_id: str) -> Mode:
        """The mode of a line; `auto` where nobody ordered anything."""
        orders = [self._ordered[name] for name in (line_id, "*") if name in self._ordered]
        return max(orders)[1] if orders else "auto"

    def close(self) -> None:
        self._reader.close()
