"""Never more flags than inspectors can clear: the riskiest are flagged, the rest is held as `cannot_tell`, `capacity`.

A token bucket a line, by event time: it fills with the reviews that inspectors can clear, up to what may wait for them,
and every part that goes to a person takes one. When parts over the threshold come faster than tokens, only the riskiest
are flagged: the risk below which the others are held is set for a block of time from what was counted up to the block
before the last (as in `paced_history.py`), so that it does not depend on the order of judging.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from fusion.incidents import Incident
from fusion.labels import PartLabel
from fusion.waiting_room import BLOCK_MS
from fusion.watch import Judged
from ingest.plan.plan import Capacity, Plan

HOUR_MS = 3_600_000
WINDOW = 20  # blocks (ten minutes) over which the risks of flagged parts are compared
RECENT = 2  # blocks after which a rush is believed
RESERVE = 0.25  # of the bucket: kept for the two blocks that are not counted yet
CUTS_KEPT = 240  # blocks (two hours): parts that are judged later than that see no limit
ALL = 2.0  # a risk no part reaches: everything over the threshold is held
BOOK = "book"
_WAITING = "w:"


class _Load(msgspec.Struct, array_like=True):
    """A part's first verdict. `risk`: of a part over the threshold, -1 of one that a person sees for another reason;
    `taken`: it went to a person."""

    at: int
    risk: float
    taken: bool


class _Book(msgspec.Struct):
    """A line's account. `block`: the last one that has a cut; `level`: tokens after the block before the last; `risks`,
    `others`: of the last WINDOW counted blocks; `expected`: tokens that `block` will take; `cuts`: those that hold."""

    block: int
    level: float
    risks: list[list[float]] = []
    others: list[int] = []
    expected: float = 0.0
    cuts: dict[int, float] = {}
    held: int = 0


class CapacityWatch:
    """The buckets of all lines that have a capacity. Lines without one are never held back."""

    def __init__(self, plan: Plan) -> None:
        self.counts: Counter[str] = Counter()
        self._of = {line.line_id: line.capacity for line in plan.lines if line.capacity is not None}
        self._books: dict[str, _Book] = {}
        self._waiting: dict[str, dict[str, _Load]] = {}
        self._changed: dict[tuple[str, str], None] = {}
        self._missed = ""

    def hold_below(self, line_id: str, at: int) -> float:
        """The risk below which a part with this event time is held although it is over the threshold; 0: none is."""
        capacity = self._of.get(line_id)
        if capacity is None:
            return 0.0
        block, book = at // BLOCK_MS, self._books.get(line_id)
        if book is None:
            book = self._books[line_id] = _Book(block, capacity.queue_max)
            self._changed[line_id, BOOK] = None
        while book.block < block:
            if block - book.block > CUTS_KEPT:  # the line stood still: nothing came, and the queue was cleared
                self._settle(line_id, book, capacity, block - CUTS_KEPT)
            self._settle(line_id, book, capacity, book.block + 1)
        return book.cuts.get(block, 0.0)

    def _settle(self, line_id: str, book: _Book, capacity: Capacity, block: int) -> None:
        """Give `block` its cut, from all that was counted before the block before it."""
        a_block = capacity.reviews_per_hour * BLOCK_MS / HOUR_MS
        waiting = self._waiting.get(line_id, {})
        due = sorted(key for key, load in waiting.items() if load.at < (block - 1) * BLOCK_MS)
        loads = [waiting.pop(key) for key in due]
        self._changed.update(dict.fromkeys((line_id, key) for key in (*due, BOOK)))
        filled = min(book.level + a_block * (block - book.block), capacity.queue_max)
        flagged = filled - sum(load.taken for load in loads if load.risk >= 0.0)
        # what a person must see anyway (a camera out for hours) makes a debt that is soon forgiven: the riskiest wait
        book.level = max(flagged - sum(load.risk < 0.0 for load in loads), min(flagged, -capacity.queue_max))
        book.risks = [*book.risks, sorted(load.risk for load in loads if load.risk >= 0.0)][-WINDOW:]
        book.others = [*book.others, sum(load.risk < 0.0 for load in loads)][-WINDOW:]
        tokens = min(book.level + a_block, capacity.queue_max) - book.expected
        others, come = sum(book.others) / len(book.others), _mean(book.risks)
        spare = tokens - RESERVE * capacity.queue_max
        free = max(a_block + spare / WINDOW - others, 0.0) if tokens > 0.0 else 0.0
        cut = 0.0 if spare >= others + come else _cut(book, free, come)
        book.block = block
        book.expected = others + (min(free, come) if cut > 0.0 else come)
        book.cuts = {at: kept for at, kept in book.cuts.items() if at > block - CUTS_KEPT}
        if cut > 0.0:
            book.cuts[block] = cut

    def judged(self, judged: Judged) -> None:
        """A verdict was given; the first of an attempt counts. Manual mode is nobody's queue."""
        said, evidence = judged.judgement, judged.evidence
        key = f"{_WAITING}{evidence.event_at}:{evidence.gate_id}:{evidence.part_id}:{evidence.attempt}"
        if judged.first and "deadline_missed" in said.reasons:
            self._missed = key  # the real answer comes right behind
            return
        counts, self._missed = judged.first or self._missed == key, ""
        book = self._books.get(evidence.line_id)
        if book is None or not counts or said.decision == "pass" or "manual_mode" in said.reasons:
            return
        held = "capacity" in said.reasons
        over = "risk_over_threshold" in said.reasons and said.risk is not None
        load = _Load(int(evidence.event_at), said.risk if over and said.risk is not None else -1.0, not held)
        self._waiting.setdefault(evidence.line_id, {})[key] = load
        self._changed[evidence.line_id, key] = None
        if held:
            book.held += 1
            self.counts["held_for_capacity"] += 1
            self._changed[evidence.line_id, BOOK] = None

    def told(self) -> list[dict[str, object]]:
        """JSON for the heartbeat: how much inspectors have before them, a line each."""
        return [
            {
                "line_id": line_id,
                "reviews_per_hour": self._of[line_id].reviews_per_hour,
                "queue_max": self._of[line_id].queue_max,
                "free": round(book.level, 2),
                "hold_below": book.cuts.get(book.block, 0.0),
                "held": book.held,
            }
            for line_id, book in sorted(self._books.items())
        ]

    def label(self, told: PartLabel) -> None:
        """Labels fill no bucket: how fast inspectors are is the plan's word."""

    def incidents(self) -> list[Incident]:
        """None: a full queue is told of as such."""
        return []

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        """Changelog since the last call: (line_id, key, value), None for what is gone."""
        out: list[tuple[str, str, bytes | None]] = []
        for line_id, key in self._changed:
            kept = self._books[line_id] if key == BOOK else self._waiting.get(line_id, {}).get(key)
            out.append((line_id, key, msgspec.msgpack.encode(kept) if kept is not None else None))
        self._changed.clear()
        return out

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        """Put one changelog entry back; the last one of a key counts. A line that lost its capacity is left out."""
        if line_id not in self._of:
            return
        if key == BOOK and value is not None:
            self._books[line_id] = msgspec.msgpack.decode(value, type=_Book, strict=False)
        elif value is None:
            self._waiting.get(line_id, {}).pop(key, None)
        else:
            self._waiting.setdefault(line_id, {})[key] = msgspec.msgpack.decode(value, type=_Load)


def _mean(risks: list[list[float]]) -> float:
    """Parts over the threshold a block: over the window, or lately when there is a rush."""
    recent = risks[-RECENT:]
    return max(sum(map(len, risks)) / len(risks), sum(map(len, recent)) / len(recent))


def _cut(book: _Book, free: float, come: float) -> float:
    """The risk that lets `free` parts a block through, of the `come` that come; 0 when all may."""
    if come <= free:
        return 0.0
    risks = sorted((risk for block in book.risks for risk in block), reverse=True)
    through = int(len(risks) * free / come)
    return risks[through - 1] if through else ALL
