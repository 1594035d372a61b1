"""History of one line: what its tools, lots and recipes did lately, as decayed means per entity (`attribute=value`).

Two means per entity: the *base risk* (risk without history among its inputs, known at once, no inspection needed) and
the *released defect rate* (labels, counted when they are released and not before). Both decay per part of the line and
are shrunk towards the line's own mean. A part enters once, with its first verdict. A label that is taken back takes
with it what is left of it by then, and a record that counts again weighs what it would weigh by now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from fusion.calibration.correction import Recalibration
from ingest.join.evidence import Evidence
from ingest.plan.plan import Plan

HALF_LIFE_PARTS = 3000.0  # best of 1000/3000/10000 measured on simulated plants with transient tool problems
SHRINK_PARTS = 20.0  # weight of the line's mean in an entity's; 0 to 20 measured alike
ENTITIES_MAX = 4000  # a plant with more live attribute values than this books serial numbers as attributes
NOTHING = 1e-9  # a sum of decayed labels below it is what rounding left of labels taken back
PARTS_MAX = 20_000  # labels that come later than this many parts teach nothing any more (half-life 3000)
LOG_RATIO_MAX = 4.0  # exp(4): an entity 55 times worse than its line says no more than this


T = TypeVar("T")


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """What a history's means of one entity rest on, decayed as they are: a part HALF_LIFE_PARTS ago counts half.

    `parts` with a risk, whose risks sum to `risk`; `labels` released and the `defects` among them; `expected`: the
    defects that the line's own rate would have given.
    """

    parts: float = 0.0
    risk: float = 0.0
    labels: float = 0.0
    defects: float = 0.0
    expected: float = 0.0


class HistoryView(msgspec.Struct, frozen=True):
    """What history said when a part was first judged; kept with the gate so that revisions use the same.

    `risk`, `rate`: entity -> log of (shrunk decayed mean of the entity / mean of the line), 0 where nothing is known.
    `parts`: how many parts of the line have entered. `recalibration`: what released labels said then of the model's
    risks (`fusion/calibration/recalibrate.py`), None while they stand as they are. `counts`: entity -> what its means
    rest on.
    `blamed`: what open incidents blame: (cause, times the natural rate, since when). `hold_below`: the risk below which
    parts over the threshold were held, inspectors having no time for them (`fusion/capacity.py`).
    """

    risk: dict[str, float] = {}
    rate: dict[str, float] = {}
    parts: int = 0
    recalibration: Recalibration | None = None
    counts: dict[str, Counted] = {}
    blamed: tuple[tuple[str, float, int], ...] = ()
    hold_below: float = 0.0


class _Tally(msgspec.Struct, array_like=True, gc=False):
    """Decayed sums of one entity as of `at` (parts of the line entered)."""

    at: int = 0
    risk: float = 0.0
    parts: float = 0.0
    defects: float = 0.0
    labels: float = 0.0


class _Remembered(msgspec.Struct, array_like=True, gc=False):
    """A part whose label may still come: the tallies it is counted in. `label`: 1 defect, 0 ok, -1 none. Places are
    parts of the line entered by then: `counted`, the label's, -1 not known; `places`, each record's that stands, by the
    time it was recorded."""

    at: int
    entities: list[str]
    label: int = -1
    counted: int = -1
    places: dict[int, int] = {}


@dataclass(frozen=True, slots=True)
class _Keys:
    line: str = "line"
    entity: str = "e:"
    part: str = "p:"


_KEYS = _Keys()
_PACK = msgspec.msgpack.Encoder()
_TALLY = msgspec.msgpack.Decoder(_Tally)
_REMEMBERED = msgspec.msgpack.Decoder(_Remembered)


def entities_of(evidence: Evidence, plan: Plan) -> list[str]:
    """The granted attribute values of a part as `attribute=value`, sorted, each once."""
    return sorted({f"{name}={value}" for (_, name), value in evidence.attributes.items() if plan.may_use(name)})


class History:
    """History of one line. Bounded: at most `ENTITIES_MAX` entities and `parts_max` parts waiting for a label."""

    def __init__(self, plan: Plan, line_id: str, parts_max: int = PARTS_MAX, entities_max: int = ENTITIES_MAX) -> None:
        self.line_id = line_id
        self.labels_unmatched = 0  # label records of parts that are not remembered (any more)
        self._plan = plan
        self._parts_max = parts_max
        self._entities_max = entities_max
        self._line = _Tally()
        self._entities: dict[str, _Tally] = {}
        self._parts: dict[str, _Remembered] = {}
        self._changed: dict[str, None] = {}  # insertion-ordered set of keys
        self._sorted = True

    @property
    def empty(self) -> bool:
        """Nothing has ever entered: a new line, or no state was restored."""
        return self._line.at == 0

    def view(self, evidence: Evidence) -> HistoryView:
        """What is known now of this part's entities."""
        risk: dict[str, float] = {}
        rate: dict[str, float] = {}
        counts: dict[str, Counted] = {}
        mean_risk = self._line.risk / self._line.parts if self._line.parts > 0 else 0.0
        mean_rate = self._line.defects / self._line.labels if self._line.labels > 0 else 0.0
        for entity in entities_of(evidence, self._plan):
            tally = self._entities.get(entity)
            if tally is None:
                continue
            fade = self._fade(tally)
            risk[entity] = _log_ratio(tally.risk * fade, tally.parts * fade, mean_risk)
            rate[entity] = _log_ratio(tally.defects * fade, tally.labels * fade, mean_rate)
            counts[entity] = _counted(tally, fade, mean_rate)
        return HistoryView(risk=risk, rate=rate, parts=self._line.at, counts=counts)

    def enter(self, evidence: Evidence, base_risk: float | None) -> None:
        """Count a part, once, with its first verdict. Without a base risk it only waits for its label."""
        self.count(evidence.part_id, entities_of(evidence, self._plan), base_risk)

    def count(self, part_id: str, entities: list[str], base_risk: float | None) -> None:
        """`enter`, of a part whose evidence is not at hand any more."""
        if part_id in self._parts:
            return
        clock = self._line.at + 1
        _advance(self._line, clock)
        if base_risk is not None:
            self._line.risk += base_risk
            self._line.parts += 1.0
            for entity in entities:
                tally = self._tally(entity, clock)
                tally.risk += base_risk
                tally.parts += 1.0
        self._parts[part_id] = _Remembered(at=clock, entities=entities)
        self._touch(_KEYS.line, _KEYS.part + part_id, *(_KEYS.entity + e for e in entities))
        self._forget_oldest()

    def label(self, part_id: str, outcome: str, said: Sequence[int], since: int) -> None:
        """What is said of a part from now on: `defect`, `ok`, or "" where nothing is any more. `said`: the times of the
        records that stand, `since`: of the first that says so."""
        part = self._parts.get(part_id)
        if part is None:
            self.labels_unmatched += outcome != ""
            return
        now, label = self._line.at, {"defect": 1, "ok": 0}.get(outcome, -1)
        places = {at: part.places.get(at, now) for at in said}
        counted = places.get(since, -1)
        if (label, counted) == (part.label, part.counted) and places == part.places:
            return
        self._parts[part_id] = _Remembered(part.at, part.entities, label, counted, places)
        before, after = _weight(part.label, part.counted, now), _weight(label, counted, now)
        for tally in (self._line, *(self._tally(entity, now) for entity in part.entities)):
            tally.defects = _summed(tally.defects, max(label, 0) * after - max(part.label, 0) * before)
            tally.labels = _summed(tally.labels, after - before)
        self._touch(_KEYS.line, _KEYS.part + part_id, *(_KEYS.entity + e for e in part.entities))

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Changelog since the last call: (key, value), None for a key that is gone. Keys are unique within a line."""
        changed = [(key, self._packed(key)) for key in self._changed]
        self._changed.clear()
        return changed

    def restore(self, key: str, value: bytes | None) -> None:
        """Put one changelog entry back; order does not matter but for the same key."""
        if key == _KEYS.line:
            self._line = _TALLY.decode(value) if value else _Tally()
        elif key.startswith(_KEYS.entity):
            _put(self._entities, key[2:], _TALLY.decode(value) if value else None)
        elif key.startswith(_KEYS.part):
            _put(self._parts, key[2:], _REMEMBERED.decode(value) if value else None)
        self._sorted = False

    def snapshot(self) -> dict[str, bytes]:
        """All tallies (without the parts that wait for labels): what a new installation may begin with."""
        keys = [_KEYS.line, *(_KEYS.entity + e for e in self._entities)]
        return {key: packed for key in keys if (packed := self._packed(key)) is not None}

    def seed(self, snapshot: Mapping[str, bytes]) -> None:
        """Begin with what training saw. Only on an empty history; the seed then belongs to the changelog."""
        if not self.empty:
            raise ValueError("a history that has begun cannot be seeded")
        for key, value in snapshot.items():
            self.restore(key, value)
            self._touch(key)

    def _tally(self, entity: str, clock: int) -> _Tally:
        tally = self._entities.setdefault(entity, _Tally(at=clock))
        _advance(tally, clock)
        return tally

    def _fade(self, tally: _Tally) -> float:
        return math.exp2(-(self._line.at - tally.at) / HALF_LIFE_PARTS)

    def _forget_oldest(self) -> None:
        if len(self._parts) > self._parts_max:
            if not self._sorted:  # restored entries came in the log's order, not in that of entering
                self._parts = dict(sorted(self._parts.items(), key=lambda item: item[1].at))
                self._sorted = True
            while len(self._parts) > self._parts_max:
                part_id = next(iter(self._parts))
                del self._parts[part_id]
                self._touch(_KEYS.part + part_id)
        if len(self._entities) > self._entities_max:
            # by what is in the state alone, so that a restart forgets the same; a tenth at once, because it sorts
            oldest = sorted(self._entities.items(), key=lambda item: (item[1].at, item[0]))
            for entity, _ in oldest[: len(oldest) - self._entities_max * 9 // 10]:
                del self._entities[entity]
                self._touch(_KEYS.entity + entity)

    def _touch(self, *keys: str) -> None:
        self._changed.update(dict.fromkeys(keys))

    def _packed(self, key: str) -> bytes | None:
        held: _Tally | _Remembered | None
        if key == _KEYS.line:
            held = self._line
        elif key.startswith(_KEYS.entity):
            held = self._entities.get(key[2:])
        else:
            held = self._parts.get(key[2:])
        return None if held is None else _PACK.encode(held)


def _advance(tally: _Tally, clock: int) -> None:
    fade = math.exp2(-(clock - tally.at) / HALF_LIFE_PARTS)
    tally.at = clock
    tally.risk *= fade
    tally.parts *= fade
    tally.defects *= fade
    tally.labels *= fade


def _weight(label: int, counted: int, now: int) -> float:
    """What is left by now of a label."""
    faded = math.exp2(-(now - counted) / HALF_LIFE_PARTS) if counted >= 0 else 1.0
    return faded if label >= 0 else 0.0


def _summed(total: float, step: float) -> float:
    total += step
    return total if total > NOTHING else 0.0


def _counted(tally: _Tally, fade: float, line_rate: float) -> Counted:
    """Rounded: it is kept with every open part."""
    figures = (tally.parts, tally.risk, tally.labels, tally.defects, tally.labels * line_rate)
    return Counted(*(round(figure * fade, 3) for figure in figures))


def _log_ratio(total: float, weight: float, mean: float) -> float:
    if mean <= 0.0 or weight <= 0.0:
        return 0.0
    shrunk = (total + SHRINK_PARTS * mean) / (weight + SHRINK_PARTS)
    return max(-LOG_RATIO_MAX, min(LOG_RATIO_MAX, math.log(shrunk / mean)))


def _put(kept: dict[str, T], key: str, value: T | None) -> None:
    if value is None:
        kept.pop(key, None)
    else:
        kept[key] = value
