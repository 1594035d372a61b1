"""One look of the scan at a line: both signals searched, open incidents updated, renamed, opened and closed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec
import numpy as np

from fusion.scan.incidents import ABSENT_PARTS, Onset, OpenExcess, count_exposed, ended
from fusion.scan.memory import BATCH, Remembered, ScanMemory
from fusion.scan.rates import ALL, LIMIT_WITHOUT_HISTORY, NONE, ScanNotes
from fusion.scan.rows import Rows
from fusion.scan.search import Excess, Sides, find_excesses, overlap
from fusion.scan.signals import SIGNALS, Explanation, Signal, expecting, sides_of, signal_rows

OVERLAP_RENAMED = 0.2  # so many parts in common, and nothing left without the new cause: it was the same trouble


class ScanBook(msgspec.Struct, array_like=True):
    """What is open, and what is over but still remembered, of one line."""

    open: list[OpenExcess] = []
    past: list[Explanation] = []


class Look:
    """One look."""

    def __init__(self, memory: ScanMemory, book: ScanBook, notes: ScanNotes | None) -> None:
        self._memory, self._book, self._notes = memory, book, notes
        self._seen: Remembered = memory.remembered()
        self._names = memory.names
        self._numbers = {name: number for number, name in enumerate(memory.names) if number != NONE}
        self._hidden = [number for number, name in enumerate(memory.names) if name.startswith(BATCH)]
        self._rows: dict[Signal, Rows | None] = {}
        self._everything = Rows(
            self._seen.levels, self._seen.flag == 1, np.zeros(len(self._seen.at)), np.zeros(len(self._seen.at)),
            np.arange(self._seen.start, memory.end), np.zeros(len(memory.names)), np.zeros(len(memory.names)),
        )  # fmt: skip

    def take(self) -> bool:
        """Look; does the book say anything else now?"""
        before = _PACK.encode(self._book)
        self._book.past = [one for one in self._book.past if one.until > self._seen.start]
        self._settle(self._search())
        self._close_ended()
        for one in self._book.open:
            carrying = self._everything.position[self._carrying(one.cause)]
            count_exposed(one, carrying, self._memory.end, self._memory.part_id)
        return _PACK.encode(self._book) != before

    # -- searching -----------------------------------------------------------------------------------------------------

    def _search(self) -> dict[tuple[str, ...], dict[Signal, Excess]]:
        """cause -> what each signal shows of it."""
        held = [sides for one in self._book.open if (sides := self._sides(one.cause)) is not None]
        found: dict[tuple[str, ...], dict[Signal, Excess]] = {}
        for signal in SIGNALS:
            rows = signal_rows(self._seen, self._names, signal, self._notes)
            self._rows[signal] = None if rows is None else self._without(rows, self._book.past, signal)
        for signal in SIGNALS:
            rows = self._rows[signal]
            if rows is None:
                continue
            if signal == "defects" and self._notes is not None and self._notes.lends:
                rows = replace(rows, flags=self._rows["flags"])
            already = [self._explanation(cause, shown) for cause, shown in found.items()]
            for excess in find_excesses(self._without(rows, already, signal), self._limit(signal), held, self._hidden):
                found.setdefault(self._cause(excess.sides), {})[signal] = excess
        return found

    def _without(self, rows: Rows, known: Iterable[Explanation], signal: Signal) -> Rows:
        for one in known:
            sides = self._sides(one.cause)
            if sides is not None:
                rows = expecting(rows, one, sides, signal)
        return rows

    def _explanation(self, cause: tuple[str, ...], shown: dict[Signal, Excess]) -> Explanation:
        signal, excess = next(iter(shown.items()))
        return Explanation(list(cause), self._position(signal, excess), -1, {})

    def _limit(self, signal: Signal) -> float:
        if self._notes is None:
            return LIMIT_WITHOUT_HISTORY
        return self._notes.defects_limit if signal == "defects" else self._notes.flags_limit

    # -- the book ------------------------------------------------------------------------------------------------------

    def _settle(self, found: dict[tuple[str, ...], dict[Signal, Excess]]) -> None:
        self._book.open = [one for one in self._book.open if one.stands(found.get(tuple(one.cause), {}))]
        known = {tuple(one.cause): one for one in self._book.open}
        for cause, shown in found.items():
            one = known.get(cause) or self._renamed(cause, set(found))
            if one is None:
                if not any(excess.clear for excess in shown.values()):
                    continue
                one = OpenExcess(list(cause), self._memory.end, 0, {})
                self._book.open.append(one)
            for signal, excess in shown.items():
                position = self._position(signal, excess)
                at = int(self._seen.at[position - self._seen.start])
                ties = [list(self._cause(sides)) for sides in excess.ties]
                one.shown(signal, excess, Onset(position, at, self._seen.start, ties))

    def _renamed(self, cause: tuple[str, ...], found: set[tuple[str, ...]]) -> OpenExcess | None:
        """The open incident that this cause explains better than its own, which nothing speaks for any more."""
        sides = self._sides(cause)
        for one in self._book.open:
            its = self._sides(one.cause)
            if tuple(one.cause) in found or sides is None or its is None:
                continue
            row = max(0, one.since - self._seen.start)
            if overlap(self._everything, sides, its, row) >= OVERLAP_RENAMED:
                one.cause, one.counts, one.since, one.doubted = list(cause), {}, self._memory.end, 0
                return one
        return None

    def _close_ended(self) -> None:
        kept = []
        for one in self._book.open:
            sides = self._sides(one.cause)
            until = self._memory.end if sides is None or self._absent(one) else ended(self._rows, one, sides)
            if until is None:
                kept.append(one)
            else:
                self._book.past.append(one.explanation(until))
        self._book.open = kept

    def _absent(self, one: OpenExcess) -> bool:
        latest = self._everything.position[self._carrying(one.cause)]
        return not len(latest) or int(latest[-1]) < self._memory.end - ABSENT_PARTS

    # -- numbers and names ---------------------------------------------------------------------------------------------

    def _sides(self, cause: Iterable[str]) -> Sides | None:
        return sides_of(list(cause), self._numbers)

    def _cause(self, sides: Sides) -> tuple[str, ...]:
        return tuple(sorted(self._names[side] for side in sides if side != ALL))

    def _carrying(self, cause: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        sides = self._sides(cause)
        return self._everything.carrying(*sides) if sides is not None else np.zeros(len(self._seen.at), dtype=np.bool_)

    def _position(self, signal: Signal, excess: Excess) -> int:
        rows = self._rows[signal]
        assert rows is not None
        return int(rows.position[excess.row])


_PACK = msgspec.msgpack.Encoder()
