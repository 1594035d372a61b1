"""What people said of parts, and what of it stands: the one place that knows how a record takes another one back.

Everything that learns is told what stands of a part, never a single record, so a word that was taken back is forgotten
by all of them, and what others said of the part comes into its own again. Of the words that stand the latest counts, by
the time it was recorded. `unsure` says nothing of the part and takes nothing back: who means that has a key for it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

import msgspec

from ingest.messages import CONCLUSIVE, Defect

UNDONE = "undone"  # comment of a record that takes back, written before there was a field to say which one
PARTS_MAX = 20_000  # of one line, the latest labelled: what history remembers of a line too
RECORDS_MAX = 32  # of one part; beyond it the oldest are forgotten, which the latest outweigh anyhow

T = TypeVar("T")


class Said(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One record that says `defect` or `ok`. `at`: when it was recorded, ms since 1970; `place`: its number among
    records, where somebody asks which of them stand."""

    at: int
    source: str
    outcome: str
    causes: tuple[str, ...] = ()
    by: str = ""
    record_id: str = ""
    place: int = 0


class Records(msgspec.Struct, array_like=True, gc=False):
    """The records of one part. `said`: what stands, by time; `void`: what was taken back, and may not come again.
    `at`, `released_at`: of the latest change, see `PartLabel`."""

    said: list[Said] = []
    void: list[str] = []
    at: int = 0
    released_at: int = 0

    def take(self, defect: Defect, place: int = 0) -> bool:
        """One more record. False: it changes nothing (a doubt, or a repeat)."""
        record_id = defect.record_id or ""
        if defect.undoes or (defect.outcome == "unsure" and defect.comment == UNDONE and defect.recorded_by):
            return self._take_back(defect)
        known = record_id and (record_id in self.void or any(one.record_id == record_id for one in self.said))
        if defect.outcome not in CONCLUSIVE or known:
            return False
        at, who = int(defect.recorded_at), defect.recorded_by
        one = Said(at, defect.source, defect.outcome, defect.causes, who, record_id, place)
        insort(self.said, one, key=lambda one: one.at)
        return True

    def _take_back(self, undo: Defect) -> bool:
        """A record may be taken back before it comes: logs keep the order of a line, but not every sender does."""
        voided = undo.undoes or f"{UNDONE} {int(undo.recorded_at)} {undo.source} {undo.recorded_by}"
        if voided in self.void:
            return False
        self.void.append(voided)
        meant = [one for one in self.said if one.record_id == undo.undoes]
        if not meant and undo.comment == UNDONE:  # the record had no name yet: the latest of the same person
            whose = (undo.recorded_by, undo.source, "")
            mine = [one for one in self.said if (one.by, one.source, one.record_id) == whose]
            meant = [one for one in mine if one.at <= undo.recorded_at][-1:]
        gone = [msgspec.structs.replace(one, place=0) for one in meant]  # with repeats of it that had no name
        self.said = [one for one in self.said if msgspec.structs.replace(one, place=0) not in gone]
        return True

    def limit(self) -> None:
        """Forget the oldest beyond the limit."""
        del self.said[:-RECORDS_MAX], self.void[:-RECORDS_MAX]


@dataclass(frozen=True, slots=True)
class PartLabel:
    """What is said of a part from now on. `said`: the records that stand, the latest last; none: nothing is known of it
    any more. `at`: since when by the records' own times, `released_at`: by the log's, in ms since 1970; each of a part
    is later than the one before, so that whatever lets labels wait lets them in in their order. `taken_back`: a record
    was taken back, none came."""

    line_id: str
    part_id: str
    at: int
    released_at: int
    said: tuple[Said, ...]
    taken_back: bool = False

    @classmethod
    def of(cls, defect: Defect, released_at: int) -> PartLabel:
        """Of a part's only record."""
        records = Records()
        records.take(defect)
        return cls(defect.line_id, defect.part_id, int(defect.recorded_at), released_at, tuple(records.said))

    def last(self, sources: Collection[str] | None = None) -> Said | None:
        """The word that counts, of all or of these sources."""
        return next((one for one in reversed(self.said) if sources is None or one.source in sources), None)

    @property
    def outcome(self) -> str:
        """`defect`, `ok`, or "" where nothing is known."""
        last = self.last()
        return last.outcome if last is not None else ""

    @property
    def since(self) -> int:
        """When the first of the latest records that agree was recorded; 0 where nothing is known."""
        agreeing = takewhile(lambda one: one.outcome == self.outcome, reversed(self.said))
        return min((one.at for one in agreeing), default=0)


class LabelBook:
    """The records of the parts of one partition. Bounded: PARTS_MAX parts of a line, RECORDS_MAX records of a part."""

    def __init__(self, parts_max: int = PARTS_MAX) -> None:
        self._parts_max = parts_max
        self._lines: dict[str, dict[str, Records]] = {}
        self._changed: dict[tuple[str, str], None] = {}

    def take(self, defect: Defect, logged_at: int) -> PartLabel | None:
        """A record came at the log's time `logged_at`; what is said of its part now. None: the same as before."""
        line = self._lines.setdefault(defect.line_id, {})
        records = line.get(defect.part_id) or Records()
        if not records.take(defect):
            return None
        records.limit()
        latest = max((one.at for one in records.said), default=0)
        records.at = max(records.at + 1, int(defect.recorded_at), latest)
        records.released_at = max(records.released_at + 1, logged_at)
        line[defect.part_id] = records
        self._changed[defect.line_id, defect.part_id] = None
        self._forget_oldest(defect.line_id, line)
        said, back = tuple(records.said), defect.outcome not in CONCLUSIVE
        return PartLabel(defect.line_id, defect.part_id, records.at, records.released_at, said, back)

    def _forget_oldest(self, line_id: str, line: dict[str, Records]) -> None:
        if len(line) <= self._parts_max:
            return
        # by what is in the state alone, so that a restart forgets the same; a tenth at once, because it sorts
        oldest = sorted((records.released_at, part_id) for part_id, records in line.items())
        for _, part_id in oldest[: len(line) - self._parts_max * 9 // 10]:
            del line[part_id]
            self._changed[line_id, part_id] = None

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        """Changelog since the last call: (line, part, body), None for a part that is forgotten."""
        out: list[tuple[str, str, bytes | None]] = []
        for line_id, part_id in self._changed:
            records = self._lines[line_id].get(part_id)
            out.append((line_id, part_id, None if records is None else _PACK.encode(records)))
        self._changed.clear()
        return out

    def restore(self, line_id: str, part_id: str, body: bytes | None) -> None:
        """Put one changelog entry back; the last one of a part counts."""
        line = self._lines.setdefault(line_id, {})
        if body is None:
            line.pop(part_id, None)
        else:
            line[part_id] = _UNPACK.decode(body)


def standing(items: Iterable[T], record_of: Callable[[T], Defect]) -> list[T]:
    """The items, given in the order of release, without those whose record was taken back, came before, or takes back:
    what learns from a recording learns as if these had never been."""
    kept = list(items)
    parts: dict[tuple[str, str], Records] = {}
    gone: set[int] = set()
    for place, item in enumerate(kept):
        record = record_of(item)
        records = parts.setdefault((record.line_id, record.part_id), Records())
        changed = records.take(record, place)
        if record.outcome in CONCLUSIVE or record.undoes or changed:
            gone.add(place)
    gone -= {one.place for records in parts.values() for one in records.said}
    return [item for place, item in enumerate(kept) if place not in gone]


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(Records)
