"""The scan of one line, by blocks of event time: parts and labels wait until a part of a block further on is judged.

So what it says does not depend on the order of judging, and a part sees the incidents as of the block before its own,
as it sees history (`fusion/paced_history.py`).
"""

from __future__ import annotations

import msgspec

from fusion.incidents import Incident
from fusion.scan.looks import Look, ScanBook
from fusion.scan.memory import ScanMemory, ScanPart
from fusion.scan.rates import ScanNotes
from fusion.waiting_room import BLOCK_MS, WaitingRoom, block_before

LOOK_PARTS = 128  # from one look to the next: some 80 us a part of a look's 10 ms
BLAMED_KEPT = 16  # latest changes of what is open, for parts that are judged late
NONE_ANY_MORE = 2  # in the place of a label that was taken back
Blamed = tuple[str, float, int]  # cause, how many times the natural rate, since when
_BOOK = "book"


class _Waiting(msgspec.Struct, array_like=True, order=True, gc=False):
    """A part (`label` -1) or a label (0, 1, NONE_ANY_MORE) that is not counted yet; ordered by time, a part before its
    label."""

    at: int
    label: int
    part_id: str
    levels: list[str] = []
    risk: int = -1
    flag: int = -1


class _Book(msgspec.Struct, array_like=True):
    """What is kept beside the parts. `counted`: parts in all; `blamed`: (from this time on, what is blamed)."""

    counted: int = 0
    scan: ScanBook = msgspec.field(default_factory=ScanBook)
    blamed: list[tuple[int, list[Blamed]]] = []


_PACK = msgspec.msgpack.Encoder()
_UNPACK_BOOK = msgspec.msgpack.Decoder(_Book)


class ScanLine:
    """One line. `notes`: what training left, of the model that judged last."""

    def __init__(self, line_id: str) -> None:
        self.line_id = line_id
        self.notes: ScanNotes | None = None
        self.memory = ScanMemory()
        self._book = _Book()
        self._book_changed = False
        self._room = WaitingRoom(_Waiting)

    def enter(self, part: ScanPart) -> None:
        """A part was judged for the first time at the line's last gate."""
        self._wait(_Waiting(part.at, -1, part.part_id, part.levels, part.risk, part.flag))

    def label(self, part_id: str, label: int, at: int) -> None:
        """A label was released: 1 defect, 0 good, NONE_ANY_MORE: taken back."""
        self._wait(_Waiting(at, label, part_id))

    def incidents(self) -> list[Incident]:
        return [one.told(self.line_id) for one in self._book.scan.open]

    def blamed_at(self, event_at: int) -> list[Blamed]:
        """What the incidents blame that were open as of the block before that of this moment."""
        until = block_before(event_at)
        self.settle(until)
        return next((blamed for since, blamed in reversed(self._book.blamed) if since <= until), [])

    def settle(self, until: int) -> None:
        """Count all that waits from before `until` (ms since 1970), in the order of time."""
        for entry in self._room.let_in(until):
            self._count(entry)

    def _wait(self, entry: _Waiting) -> None:
        for crowded_out in self._room.wait(entry):
            self._count(crowded_out)

    def _count(self, entry: _Waiting) -> None:
        if entry.label >= 0:
            self._label(entry.part_id, -1 if entry.label == NONE_ANY_MORE else entry.label)
        elif not self.memory.knows(entry.part_id):
            self.memory.enter(ScanPart(entry.at, entry.part_id, entry.levels, entry.risk, entry.flag))
            self._book.counted += 1
            self._book_changed = True
            if self._book.counted % LOOK_PARTS == 0:
                self._look(entry.at)

    def _label(self, part_id: str, label: int) -> None:
        looks = self._book.counted // LOOK_PARTS
        changed = self.memory.label(part_id, label, looks)
        if changed is None or changed[1].label != 1 or changed[1].looks == looks:
            return  # no look has seen a defect there
        for one in self._book.scan.open:
            self._book_changed |= one.doubt(*changed)

    def _look(self, at: int) -> None:
        if not Look(self.memory, self._book.scan, self.notes).take():
            return
        blamed = sorted(one.blamed for one in self._book.scan.open if one.cause and "defects" in one.counts)
        if blamed != (self._book.blamed[-1][1] if self._book.blamed else []):
            since = (at // BLOCK_MS + 1) * BLOCK_MS  # whoever has this block settled sees it
            self._book.blamed = [*self._book.blamed, (since, blamed)][-BLAMED_KEPT:]

    # -- state ---------------------------------------------------------------------------------------------------------

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Changelog since the last call: (key, value), None for a key that is gone."""
        out = [*self._room.changes(), *self.memory.changes()]
        if self._book_changed:
            out.append((_BOOK, _PACK.encode(self._book)))
            self._book_changed = False
        return out

    def restore(self, key: str, value: bytes | None) -> None:
        """Put one entry of the changelog back; the last one of a key counts."""
        if key == _BOOK:
            self._book = _UNPACK_BOOK.decode(value) if value else _Book()
        elif not self._room.restore(key, value):
            self.memory.restore(key, value)
