"""What a line was running when a camera looked, for recordings whose frames do not say it themselves."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.folder.items import VisitRow
from ingest.messages import Instant


class BookedProducts:
    """What production had booked a part as by some moment: what a line's controller knew, and nothing from later.

    Replay, publishing and training all read frames through it, so that an eye is trained on the frames it is given.
    """

    def __init__(self, visits: Sequence[VisitRow]) -> None:
        self._of: dict[str, list[tuple[Instant, str]]] = {}
        for row in sorted(visits, key=lambda row: row.received_at):
            self._of.setdefault(row.part_id, []).append((row.received_at, row.visit.product))

    def before(self, part_id: str, moment: Instant) -> str:
        """The product of the latest booking that had come in before `moment`; empty when there was none."""
        return next((product for at, product in reversed(self._of.get(part_id, ())) if at < moment), "")
