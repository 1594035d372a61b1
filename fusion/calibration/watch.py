"""The watch of calibration: each judged part's own risk is remembered until its label comes, and labels correct risks.

Labels take effect by blocks of event time, like history (`fusion/paced_history.py`): a part uses the correction as of
the block before its own, in whatever order parts are judged. Each correction is a record of the state (`GateMemory`).
Labels of source `customer` and `challenge` are left out: who complains has a defect, who presents a part chose it.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from fusion.calibration.correction import Recalibration
from fusion.calibration.counts import LotLabels, bin_of
from fusion.calibration.gate import LOTS_MAX, GateMemory, step, withdraw
from fusion.history import PARTS_MAX
from fusion.incidents import Incident
from fusion.labels import PartLabel
from fusion.training.cases import booked_values, outcome_at_gate
from fusion.waiting_room import BLOCK_MS, WAITING_MAX, block_before
from fusion.watch import Judged
from ingest.join.changelog import SEPARATOR
from ingest.plan.plan import Plan

SOURCES = ("inspector", "audit", "history")  # of labels that somebody other than the outcome chose to give
SHIFT_MS = 28_800_000  # a batch that lasts longer than eight hours counts as several lots
NEVER = 1 << 60
MODELS_MAX = 2  # of one gate: the one before is remembered while its parts may still be judged


class _Part(msgspec.Struct, array_like=True, gc=False):
    """A judged part whose label may come. `booked`: its attribute values, where the gate is not its line's last;
    `counted`: end of the block in which its label was counted."""

    at: int
    model: str
    lot: str
    place: int
    booked: list[str] = []
    label: int = -1
    counted: int = 0
    cell: str = ""


class _Waiting(msgspec.Struct, array_like=True, gc=False):
    """What is said of a part, not counted yet. `outcome` "": nothing any more."""

    at: int
    part_id: str
    outcome: str = ""
    causes: list[str] = []


_PACK = msgspec.msgpack.Encoder()
_OF: dict[str, Any] = {"p": _Part, "w": _Waiting, "l": LotLabels, "g": GateMemory}
_DECODERS = {kind: msgspec.msgpack.Decoder(of) for kind, of in _OF.items()}


class _Line:
    """One line. `kept`: kind → key → what is remembered; keys of parts (gate, part), of lots (gate, model, lot), of
    gates (gate, model)."""

    def __init__(self, plan: Plan, line_id: str) -> None:
        self._plan = plan
        self._line_id = line_id
        line = plan.line(line_id)
        self._gates = [gate.gate_id for gate in line.gates] if line is not None else []
        self._last = max(line.gates, key=lambda gate: line.order(gate.after)).gate_id if line and line.gates else ""
        self.parts: dict[tuple[str, ...], _Part] = {}
        self.waiting: dict[tuple[str, ...], _Waiting] = {}
        self.lots: dict[tuple[str, ...], LotLabels] = {}
        self.gates: dict[tuple[str, ...], GateMemory] = {}
        self.kept: dict[str, dict[tuple[str, ...], Any]] = {
            "p": self.parts, "w": self.waiting, "l": self.lots, "g": self.gates
        }  # fmt: skip
        self.changed: dict[tuple[str, tuple[str, ...]], None] = {}
        self._settled_to = 0

    def remember(self, judged: Judged) -> None:
        """A part was judged for the first time; not one that training never saw the like of."""
        reading, gate, evidence = judged.judgement.reading, judged.gate, judged.evidence
        if reading is None or gate is None:  # a missed deadline tells no risk, and the part has one all the same
            return
        if reading.strange.novel or not reading.product_known or math.isnan(reading.estimate.own):
            return
        own, at, model = (evidence.gate_id, gate.model), int(evidence.event_at), gate.model
        if own not in self.gates:
            self._begin(own, GateMemory(model=model, spread=gate.lot_spread, begun=at))
        booked = [] if evidence.gate_id == self._last else sorted(booked_values(evidence))
        lot = f"{evidence.batch_id}/{at // SHIFT_MS}"
        part = _Part(at, model, lot, bin_of(reading.estimate.own), booked, cell=gate.cell_of(reading, evidence.product))
        self._put("p", (evidence.gate_id, evidence.part_id), part)
        self._forget()

    def _begin(self, key: tuple[str, ...], memory: GateMemory) -> None:
        self._put("g", key, memory)
        others = sorted((kept.begun, one) for one, kept in self.gates.items() if one[0] == key[0] and one != key)
        for _, gone in others[: max(0, len(others) + 1 - MODELS_MAX)]:
            self._put("g", gone, None)
            for lot in [lot for lot in self.lots if lot[:2] == gone]:
                self._put("l", lot, None)

    def _forget(self) -> None:
        excess = len(self.parts) - PARTS_MAX * max(1, len(self._gates))
        if excess > 0:  # a tenth at once, because it sorts
            oldest = sorted((part.at, key) for key, part in self.parts.items())[: excess + PARTS_MAX // 10]
            for _, key in oldest:
                self._put("p", key, None)

    def wait(self, told: PartLabel) -> None:
        """A label was released, or taken back."""
        last, at = told.last(SOURCES), told.released_at
        if last is None and not told.taken_back:
            return
        waiting = _Waiting(at, told.part_id, last.outcome, list(last.causes)) if last else _Waiting(at, told.part_id)
        self._put("w", (str(at), told.part_id, waiting.outcome), waiting)
        self._settled_to = min(self._settled_to, at)  # or a restart, which does not know it, would count it sooner
        if len(self.waiting) > WAITING_MAX:
            oldest = sorted(self.waiting, key=lambda key: (int(key[0]), key))[: WAITING_MAX // 10]
            self._settle_block(oldest, at)  # a tenth at once, because it sorts

    def settle(self, until: int) -> None:
        """Count the labels released before `until`, block after block: how often somebody asks changes nothing."""
        if until <= self._settled_to:
            return
        self._settled_to = until
        due = sorted((key for key in self.waiting if int(key[0]) < until), key=lambda key: (int(key[0]), key))
        blocks: dict[int, list[tuple[str, ...]]] = {}
        for key in due:
            blocks.setdefault(int(key[0]) // BLOCK_MS, []).append(key)
        for block, keys in blocks.items():
            self._settle_block(keys, (block + 1) * BLOCK_MS)

    def _settle_block(self, keys: list[tuple[str, ...]], until: int) -> None:
        """Of several labels of a part in a block the last counts: what was taken back at once was never there."""
        latest = {self.waiting[key].part_id: self.waiting[key] for key in keys}
        for key in keys:
            self._put("w", key, None)
        told: dict[tuple[str, ...], int] = {}  # gate and model -> since when a label counted that does not stand
        for label in latest.values():
            for gate_id in self._gates:
                if (counted := self._count(label, gate_id, until)) is not None:
                    own, since = counted
                    told[own] = min(since, told.get(own, since))
        for own, since in sorted(told.items()):
            withdraw(self.gates[own], since)
            lots = {key[2]: lot for key, lot in self.lots.items() if key[:2] == own}
            for _, name in sorted((lot.at, name) for name, lot in lots.items())[: max(0, len(lots) - LOTS_MAX)]:
                del lots[name]
                self._put("l", (*own, name), None)
            step(self.gates[own], lots, until, self._line_id, own[0])
            self.changed["g", own] = None

    def _count(self, label: _Waiting, gate_id: str, until: int) -> tuple[tuple[str, ...], int] | None:
        """Count a label at one gate. Gate and model whose counts it changed, and since when another one counted there
        in its place (NEVER: none did)."""
        part = self.parts.get((gate_id, label.part_id))
        own = (gate_id, part.model) if part is not None else ()
        if part is None or own not in self.gates:
            return None
        bad, _ = outcome_at_gate(label.outcome, label.causes, self._line_id, gate_id, part.booked, self._plan)
        now = int(bad) if label.outcome else -1
        if part.label == now:
            return None
        since = part.counted if part.label >= 0 else NEVER
        lot = self.lots.get((*own, part.lot)) or LotLabels(part.at)
        lot.count(part.place, int(now >= 0) - int(part.label >= 0), max(now, 0) - max(part.label, 0), part.cell)
        part.label, part.counted = now, until
        self._put("p", (gate_id, label.part_id), part)
        if now >= 0:
            lot.at = min(lot.at, part.at)
        elif not lot.empty and lot.at == part.at:
            lot.at = self._began(own, part)
        self._put("l", (*own, part.lot), None if lot.empty else lot)
        return own, since

    def _began(self, own: tuple[str, ...], gone: _Part) -> int:
        """When a lot's first labelled part came, now that one has lost its label."""
        of_lot = (part for key, part in self.parts.items() if key[0] == own[0] and part.lot == gone.lot)
        return min((part.at for part in of_lot if part.label >= 0 and part.model == own[1]), default=gone.at)

    def _put(self, kind: str, key: tuple[str, ...], value: Any) -> None:
        self.changed[kind, key] = None
        if value is None:
            self.kept[kind].pop(key, None)
        else:
            self.kept[kind][key] = value


class RecalibrationWatch:
    """Calibration of every gate of the lines of one partition, against released labels."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lines: dict[str, _Line] = {}

    def at(self, line_id: str, gate_id: str, model: str, event_at: int) -> Recalibration | None:
        """The correction for a part of this event time (ms since 1970): from labels of blocks before the one before
        its own. None: the model's own calibration stands."""
        until = block_before(event_at)
        line = self._line(line_id)
        line.settle(until)
        memory = line.gates.get((gate_id, model))
        return memory.at(until) if memory is not None else None

    def judged(self, judged: Judged) -> None:
        """A verdict was given; the first of an attempt is remembered."""
        if judged.first:
            self._line(judged.evidence.line_id).remember(judged)

    def label(self, told: PartLabel) -> None:
        """A label was released, or taken back."""
        self._line(told.line_id).wait(told)

    def incidents(self) -> list[Incident]:
        """One for each gate whose model's own calibration is rejected."""
        return [told for line in self._lines.values() for one in line.gates.values() if (told := one.incident)]

    def figures(self) -> list[dict[str, object]]:
        """For the heartbeat: per line, gate and model how many corrections there were, and the one in force."""
        return [
            {
                "line_id": line_id, "gate_id": gate_id, "model": model, "changes": len(memory.corrections),
                "correction": msgspec.to_builtins(memory.current),
            }
            for line_id, line in sorted(self._lines.items())
            for (gate_id, model), memory in sorted(line.gates.items())
        ]  # fmt: skip

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        """(line, rest of the key, body) since the last call."""
        out: list[tuple[str, str, bytes | None]] = []
        for line_id, line in self._lines.items():
            for kind, key in line.changed:
                value = line.kept[kind].get(key)
                out.append((line_id, SEPARATOR.join((kind, *key)), None if value is None else _PACK.encode(value)))
            line.changed.clear()
        return out

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        """Put one changelog entry back; the last one of a key counts."""
        kind, *rest = key.split(SEPARATOR)
        kept = self._line(line_id).kept.get(kind)
        if kept is None:
            return  # of another version
        if value is None:
            kept.pop(tuple(rest), None)
        else:
            kept[tuple(rest)] = _DECODERS[kind].decode(value)

    def _line(self, line_id: str) -> _Line:
        line = self._lines.get(line_id)
        if line is None:
            line = self._lines[line_id] = _Line(self._plan, line_id)
        return line
