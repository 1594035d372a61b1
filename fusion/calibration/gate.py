"""The labels of one gate's model by lot, the corrections they asked for, and the incident while they ask for one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from fusion.calibration.calibrate import sigmoid
from fusion.calibration.correction import WITHOUT, Recalibration
from fusion.calibration.counts import Counts, LotLabels
from fusion.calibration.lot_spread import LotSpread
from fusion.calibration.recalibrate import fit_recalibration, onset, rejected
from fusion.incidents import Incident
from ingest.messages import Instant

CORRECTIONS_MAX = 32  # the latest are kept: a part that is judged late uses the one of its own time
LOTS_MAX = 120  # twice as many as an onset is looked for among
MOVES_MAX = 16  # onsets come some weeks apart; a label is taken back within minutes
STEP = 0.05  # logits: a correction that changes by less is not worth another record


class GateMemory(msgspec.Struct):
    """State of one gate and model. `begun`: event time of its first part; `start`: lots that began before it are not
    asked any more; `since`: where the incident began, None while none is open; `moves`: when `start` or `since` were
    set, and what they had been. Times in ms since 1970."""

    model: str
    spread: LotSpread
    begun: int
    start: int = 0
    since: int | None = None
    corrections: list[Recalibration] = []
    incident: Incident | None = None
    moves: list[tuple[int, int, int | None]] = []

    def at(self, until: int) -> Recalibration | None:
        """The correction that rests on labels released before `until`; None: risks stand as they are."""
        known = [one for one in self.corrections if one.since <= until]
        return known[-1] if known and known[-1].labels else None

    @property
    def current(self) -> Recalibration | None:
        """The latest correction."""
        return self.corrections[-1] if self.since is not None and self.corrections else None


def step(memory: GateMemory, lots: Mapping[str, LotLabels], until: int, line_id: str, gate_id: str) -> None:
    """Labels released before `until` were counted: open, follow or close the incident, and correct anew."""
    counts = Counts.of(lots, memory.start)
    if not counts.at:
        if memory.since is not None:
            _move(memory, until, memory.start, None)
        _fall_silent(memory, until)
        return
    begins = onset(counts, memory.current, memory.spread)
    if begins is not None:
        counts = counts.since(begins)
        start = counts.at[0]
        _move(memory, until, start, start if memory.since is None else memory.since)
    if memory.since is None:
        _fall_silent(memory, until)
        return
    if begins is None and not rejected(counts, memory.spread, _offsets(memory)):
        _move(memory, until, memory.start, None)
        _fall_silent(memory, until)
        return
    correction = fit_recalibration(counts, memory.spread, memory.model, until)
    if begins is not None or _differs(memory.current, correction):
        _record(memory, correction)
    memory.incident = _incident(memory, counts, line_id, gate_id)


def withdraw(memory: GateMemory, since: int) -> None:
    """A label that counted from the block on that ended at `since` does not stand: what was concluded since then about
    onsets is forgotten, for the next step to find it again in the labels that stand."""
    undone = [move for move in memory.moves if move[0] >= since]
    if undone:
        _, memory.start, memory.since = undone[0]
        memory.moves = memory.moves[: -len(undone)]


def _move(memory: GateMemory, until: int, start: int, since: int | None) -> None:
    memory.moves = [*memory.moves, (until, memory.start, memory.since)][-MOVES_MAX:]
    memory.start, memory.since = start, since


def _fall_silent(memory: GateMemory, until: int) -> None:
    """No incident is open: from now on risks stand as they are."""
    memory.incident = None
    if memory.corrections and memory.corrections[-1].labels:
        _record(memory, Recalibration(model=memory.model, since=until))


def _record(memory: GateMemory, correction: Recalibration) -> None:
    memory.corrections = [*memory.corrections, correction][-CORRECTIONS_MAX:]


def _offsets(memory: GateMemory) -> list[str]:
    return list(memory.current.offsets) if memory.current is not None else []


def _differs(before: Recalibration | None, after: Recalibration) -> bool:
    """Does it move a labelled risk by a STEP, or know it a tenth better?"""
    if before is None:
        return True
    moved = 0.0
    for groups in ((), *((group,) for group in {**before.offsets, **after.offsets})):
        was, now = before.narrowed(groups), after.narrowed(groups)
        moved = max(moved, *(abs(was.corrected(own) - now.corrected(own)) for own in (now.low, now.pivot, now.high)))
    return moved >= STEP or after.half_width(after.pivot) < 0.9 * before.half_width(after.pivot)


def _of_groups(correction: Recalibration) -> str:
    """Which group is off by most, where groups are off by more than the gate."""
    if not correction.offsets:
        return ""
    off = {group: correction.shift + offset for group, (offset, _) in correction.offsets.items()}
    most = max(off, key=lambda group: (abs(off[group]), group))
    kind, _, name = most.partition("=")
    where = f"parts {kind} {name}" if name and most.startswith(WITHOUT) else f"product {name}"
    where = "parts with all sources" if most == WITHOUT else where
    return f"; most of {where}, whose odds are {math.exp(off[most]):.1f} times that"


def _incident(memory: GateMemory, counts: Counts, line_id: str, gate_id: str) -> Incident:
    since, correction = memory.since, memory.corrections[-1]
    assert since is not None
    parts, bad = float(counts.parts.sum()), float(counts.defects.sum())
    expected = float(counts.parts.sum(axis=0) @ sigmoid(counts.own))
    ratio = bad / max(expected, 1e-9)
    said = f"mean {ratio:.1f} times what they say"
    if correction.tilt:
        said += ", high ones less than that" if correction.tilt < 0 else ", high ones more than that"
    said += _of_groups(correction)
    what = (
        f"Risks of gate {gate_id} {said} since {Instant(since).isoformat()}: {bad:.0f} "
        f"of {parts:.0f} labelled parts were defects, {expected:.1f} were expected. Recalibrated from "
        f"{correction.labels} labels of {correction.lots} lots; if it lasts, train the model again."
    )
    figures = {
        "ratio": ratio, "observed": bad, "expected": expected, "labels": parts, "lots": float(len(counts.at)),
        "shift": correction.shift, "tilt": correction.tilt, "since_correction": float(correction.since),
    }  # fmt: skip
    return Incident(
        line_id=line_id, incident="miscalibrated", cause=f"gate_id={gate_id}", since=since,
        parts_count=int(parts), what=what, measure={name: round(value, 4) for name, value in figures.items()},
    )  # fmt: skip
