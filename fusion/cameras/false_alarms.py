"""Does an eye keep the rate of false alarms that its threshold promised?

Every LOOK_PARTS parts the latest WINDOW_PARTS are put to an exact binomial test (Clopper and Pearson 1934, one-sided)
of level LEVEL against the promised rate. Whatever the looks have in common, an eye that keeps its promise is wrongly
accused LEVEL times a look on average (union bound), which is once in LOOK_PARTS / LEVEL = 100 000 parts.

With labels a false alarm is a flagged part that a person called ok, against all parts but those called defects: flagged
parts nobody has looked at yet count as right, so that an inspector who looks at flagged parts first accuses nobody.
Without any label it is every flagged part, and only from UNLABELLED_LEAST parts on: then it may also be defects.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from scipy.special import bdtrc, betaincinv

WINDOW_PARTS = 1000
LOOK_PARTS = 100
LEVEL = 1e-3
UNLABELLED_LEAST = 200


class LookedAt(msgspec.Struct, array_like=True, frozen=True):
    """One part a camera looked at by a fit frame: was it flagged, and what did a person say of it (`ok`, `defect`).
    `place`: its number in the order of looking, which the changelog's order is not: a label writes a part anew."""

    flagged: bool
    label: str = ""
    place: int = 0


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """False alarms of some parts. `low`: the lower end of the exact interval of level LEVEL."""

    alarms: int
    parts: int
    labelled: bool
    promised: float

    @property
    def share(self) -> float:
        return self.alarms / self.parts if self.parts else 0.0

    @property
    def low(self) -> float:
        return float(betaincinv(self.alarms, self.parts - self.alarms + 1, LEVEL)) if self.alarms else 0.0

    @property
    def broken(self) -> bool:
        """Is the promise broken, at this look?"""
        if not self.labelled and self.parts < UNLABELLED_LEAST:
            return False
        return self.alarms > 0 and float(bdtrc(self.alarms - 1, self.parts, self.promised)) < LEVEL

    @property
    def kept(self) -> bool:
        return self.share <= self.promised


class Ledger:
    """The latest parts of one camera, and which of them changed since the changelog was written."""

    def __init__(self) -> None:
        self.parts: OrderedDict[str, LookedAt] = OrderedDict()
        self._changed: dict[str, None] = {}
        self._next = 0
        self._sorted = True

    def enter(self, part_id: str, flagged: bool) -> None:
        """A part was looked at; several frames of one part are one look, flagged if one of them is."""
        self._sort()
        known = self.parts.get(part_id)
        if known is None:
            self.parts[part_id] = LookedAt(flagged, place=self._next)
            self._next += 1
            self._changed[part_id] = None
        elif flagged and not known.flagged:
            self.parts[part_id] = LookedAt(flagged, known.label, known.place)
            self._changed[part_id] = None
        while len(self.parts) > WINDOW_PARTS:
            old, _ = self.parts.popitem(last=False)
            self._changed[old] = None

    def _sort(self) -> None:
        """After a restart: by the order of looking."""
        if not self._sorted:
            self.parts = OrderedDict(sorted(self.parts.items(), key=lambda item: item[1].place))
            self._next = 1 + max((one.place for one in self.parts.values()), default=-1)
            self._sorted = True

    def label(self, part_id: str, label: str) -> bool:
        """What is said of a part from now on, "" nothing any more. Was something else said before?"""
        known = self.parts.get(part_id)
        if known is None or known.label == label:
            return False
        self.parts[part_id] = LookedAt(known.flagged, label, known.place)
        self._changed[part_id] = None
        return known.label != ""

    def forget(self) -> None:
        """Another eye looks from now on."""
        self._changed.update(dict.fromkeys(self.parts))
        self.parts.clear()

    def tally(self, promised: float) -> Tally:
        looked = self.parts.values()
        labelled = any(one.label for one in looked)
        alarms = sum(one.flagged and (one.label == "ok" or not labelled) for one in looked)
        parts = sum(one.label != "defect" for one in looked)
        return Tally(alarms=alarms, parts=parts, labelled=labelled, promised=promised)

    def changes(self) -> list[tuple[str, bytes | None]]:
        """(part, body) since the last call, None for a part that is no longer needed."""
        out = [(p, _PACK.encode(self.parts[p]) if p in self.parts else None) for p in self._changed]
        self._changed.clear()
        return out

    def restore(self, part_id: str, body: bytes | None) -> None:
        if body is None:
            self.parts.pop(part_id, None)
        else:
            self.parts[part_id] = _UNPACK.decode(body)
        self._sorted = False


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(LookedAt)
