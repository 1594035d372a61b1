"""A line's history taken in by blocks of event time, so that it does not depend on the order of judging.

Parts and labels wait until a part of a block further on is judged, and are then counted in the order of their own
times. After a crash, a pause or a rebalance parts are judged in another order than they would have been; what history
says of each is the same, and so is the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fusion.history import History, HistoryView, entities_of
from fusion.labels import PartLabel
from fusion.waiting_room import WaitingRoom, block_before
from ingest.join.evidence import Evidence
from ingest.messages import CONCLUSIVE, Instant
from ingest.plan.plan import Plan

_OUTCOMES = ("ok", "defect", "")  # of a label that waits, by its number


class _Waiting(msgspec.Struct, array_like=True, order=True, gc=False):
    """A part (`label` -1) or a label (0, 1, or 2: none any more) that is not counted yet; ordered by time, a part
    before its label. `said`, `since`: as of `History.label`."""

    at: int
    label: int
    part_id: str
    entities: list[str] = []
    base_risk: float | None = None
    said: list[int] = []
    since: int = 0


class PacedHistory:
    """`History` with a waiting room. The same calls, the same changelog."""

    def __init__(self, plan: Plan, line_id: str) -> None:
        self._plan = plan
        self._history = History(plan, line_id)
        self._room = WaitingRoom(_Waiting)

    def view(self, evidence: Evidence) -> HistoryView:
        """What is known of this part's entities from the blocks of time before the one before its own."""
        self.settle(block_before(evidence.event_at))
        return self._history.view(evidence)

    def enter(self, evidence: Evidence, base_risk: float | None) -> None:
        """A part was judged for the first time."""
        self._wait(self._entry(evidence, base_risk))

    def amend(self, evidence: Evidence, base_risk: float | None) -> None:
        """A part was judged anew, on more evidence: what has not been counted yet is counted as it is now known."""
        self._room.amend(self._entry(evidence, base_risk))

    def _entry(self, evidence: Evidence, base_risk: float | None) -> _Waiting:
        entities = entities_of(evidence, self._plan)
        return _Waiting(int(evidence.event_at), -1, evidence.part_id, entities, base_risk)

    def label(self, told: PartLabel) -> None:
        """A label was released, or taken back."""
        said = [one.at for one in told.said]
        self._wait(_Waiting(told.at, _OUTCOMES.index(told.outcome), told.part_id, said=said, since=told.since))

    def _wait(self, entry: _Waiting) -> None:
        for crowded_out in self._room.wait(entry):
            self._count(crowded_out)

    def settle(self, until: int) -> None:
        """Count all that waits from before `until` (ms since 1970), in the order of time."""
        for entry in self._room.let_in(until):
            self._count(entry)

    def _count(self, entry: _Waiting) -> None:
        if entry.label < 0:
            self._history.count(entry.part_id, entry.entities, entry.base_risk)
        else:
            said = entry.said or ([entry.at] if entry.label < len(CONCLUSIVE) else [])  # [] of older state
            self._history.label(entry.part_id, _OUTCOMES[entry.label], said, entry.since or entry.at)

    def seed(self, snapshot: Mapping[str, bytes]) -> None:
        """Begin with what training saw (`History.seed`)."""
        self._history.seed(snapshot)

    def snapshot(self) -> dict[str, bytes]:
        """All that was ever said, counted: what a new installation may begin with."""
        self.settle(Instant(1 << 60))
        return self._history.snapshot()

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Changelog since the last call: (key, value), None for what is gone."""
        return self._room.changes() + self._history.changes()

    def restore(self, key: str, value: bytes | None) -> None:
        """Put one changelog entry back; the last one of a key counts."""
        if not self._room.restore(key, value):
            self._history.restore(key, value)
