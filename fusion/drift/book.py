"""What drift remembers of one gate: its charts, the block being filled, what is open; and its way into `qc.state`."""

from __future__ import annotations

import msgspec
import numpy as np

from fusion.drift.charts import Charts, Gathered
from fusion.drift.growth import Growth
from fusion.drift.limits import ChartLimits, false_probability
from fusion.drift.signals import PLAIN_MAX, RESIDUAL_MAX, DriftReference, charted
from fusion.drift.watched import Watched, watched
from fusion.drift.words import drift_figures, say_drift
from fusion.incidents import PARTS_NAMED, Incident
from fusion.risk.features import Floats

SHIFT, UNLIKE = "shift:", "unlike"  # keys of incidents besides entities, whose drift has the bare name
_CHARTS, _BLOCK, _OPEN, _GATE = "charts", "block", "open:", "gate"


class _Block(msgspec.Struct, array_like=True):
    """Parts since the last chart point. `bounded`, `plain`: sums of residuals; `counts`: of parts with the signal;
    `quiet`: did nothing speak against the risks of any? `growing`, `released`: of `Growth`."""

    parts: int = 0
    began_at: int = 0
    bounded: bytes = b""
    plain: bytes = b""
    counts: bytes = b""
    named: list[str] = []
    quiet: bool = True
    growing: int = 0
    released: int = 0


class DriftBook:
    """One gate's drift. `digest` names the reference that everything here is measured against."""

    def __init__(self, line_id: str) -> None:
        self.line_id = line_id
        self.incidents: dict[str, Incident] = {}
        self.opened = self.closed = 0
        self.charts = Charts(0)
        self.growth = Growth()
        self.digest = b""
        self._parts = 0
        self._quiet = True
        self._began_at = 0
        self._named: list[str] = []
        self._sums = np.zeros((3, 0))  # bounded residuals, plain residuals, counts
        self._changed: dict[str, None] = {}

    def use(self, reference: DriftReference) -> None:
        """Another reference begins anew: its signals and their usual values are others."""
        if reference.digest == self.digest and len(self.charts.level) == len(reference.signals):
            return
        self.digest = reference.digest
        self.charts = Charts(len(reference.signals))
        self.growth.reset()
        self._parts, self._sums, self._named = 0, np.zeros((3, len(reference.signals))), []
        for entity in list(self.incidents):
            self.settle(entity, None)
        self._touch(_GATE, _CHARTS, _BLOCK)

    def limits(self, reference: DriftReference) -> ChartLimits:
        """Those of training, or as they have tightened since."""
        return self.growth.limits or reference.limits

    def watched(self, reference: DriftReference) -> Watched:
        """What the charts can show as limits are now."""
        blocks, again = self.growth.rests_on_now(reference), self.growth.next_blocks(reference)
        entities = [signal.entity for signal in reference.signals]
        return watched(entities, self.limits(reference), reference.block, blocks, again)

    def count(
        self, reference: DriftReference, residuals: Floats, part_id: str, at: int, contradicted: bool = False
    ) -> bool:
        """One part, float32[signals]; `contradicted`: labels speak against its risk. True when it was the last of a
        block and the charts went a step."""
        if self._parts == 0:
            self._began_at, self._quiet = at, True
        there = np.isfinite(residuals)
        plain = np.where(there, residuals, 0.0)
        self._sums[0] += np.clip(plain, -RESIDUAL_MAX, RESIDUAL_MAX)
        self._sums[1] += np.clip(plain, -PLAIN_MAX, PLAIN_MAX)
        self._sums[2] += there
        self._parts += 1
        self._quiet &= not contradicted
        self._named = [*self._named, part_id][-PARTS_NAMED:]
        self._touch(_BLOCK)
        self._grow(reference, at)
        if self._parts < reference.block:
            return False
        self._close_block(reference)
        return True

    def _grow(self, reference: DriftReference, at: int) -> None:
        before = self.limits(reference)
        after = self.growth.step(reference, false_probability(reference.block, len(reference.signals)), at)
        if after is not None:
            self.charts.rescale(before.centre, before.scale, after.centre, after.scale)
            self._touch(_CHARTS)

    def _close_block(self, reference: DriftReference) -> None:
        limits = self.limits(reference)
        bounded, plain, counts = self._sums
        row = charted(reference.signals, bounded, counts, reference.block)
        z = (row - limits.centre) / limits.scale
        self.charts.step(z, Gathered(self._began_at, plain, counts), limits.slack, limits.cusum)
        self._judge_entities(reference)
        loud = np.zeros(len(row), dtype=np.bool_)
        for entity in self.incidents.keys() & reference.entities.keys():
            loud[reference.entities[entity]] = True
        whole = any(key == UNLIKE or key.startswith(SHIFT) for key in self.incidents)
        self.growth.take(reference, row, loud, self._quiet and not whole)
        self._parts, self._sums = 0, np.zeros_like(self._sums)
        self._touch(_CHARTS)

    def _judge_entities(self, reference: DriftReference) -> None:
        """One incident per thing that moved, however many of its summaries did."""
        limits = self.limits(reference)
        beyond = self.charts.beyond(limits.ewma, limits.cusum)
        back = self.charts.back(limits.slack)
        for entity, members in reference.entities.items():
            known = self.incidents.get(entity)
            if known is None and not beyond[members].any():
                continue
            if known is not None and back[members].all():
                forgotten = np.zeros(len(back), dtype=np.bool_)
                forgotten[members] = True
                self.charts.forget(forgotten)
                self.settle(entity, None)
                continue
            self.settle(entity, self._tell(reference, entity, known))

    def _tell(self, reference: DriftReference, entity: str, known: Incident | None) -> Incident:
        """The incident as it stands after this block."""
        limits = self.limits(reference)
        members = reference.entities[entity]
        strength = np.maximum(
            np.abs(self.charts.level[members]) / limits.ewma[members],
            self.charts.sums[:, members].max(axis=0) / limits.cusum[members],
        )
        signal = int(members[int(np.argmax(strength))])
        run = self.charts.run(signal)
        since = known.since if known is not None else run.since or self._began_at
        count = known.parts_count + self._parts if known is not None else max(run.parts, self._parts)
        named = [*(known.parts if known is not None else ()), *self._named]
        return Incident(
            line_id=self.line_id,
            incident="drift",
            camera_id=entity.removeprefix("camera:") if entity.startswith("camera:") else "",
            cause=entity,
            since=since,
            parts=list(dict.fromkeys(named))[-PARTS_NAMED:],
            parts_count=count,
            what=say_drift(reference, signal, run.residual, since),
            measure=drift_figures(reference, signal, run),
        )

    def strength(self, reference: DriftReference) -> dict[str, float]:
        """Entity → how far its signals are towards their limits, 1 at the limit of the one that is furthest."""
        limits = self.limits(reference)
        towards = np.maximum(np.abs(self.charts.level) / limits.ewma, self.charts.sums.max(axis=0) / limits.cusum)
        return {entity: float(towards[members].max()) for entity, members in reference.entities.items()}

    def since(self, reference: DriftReference, entity: str) -> int:
        """When the run began that took an entity furthest, 0 where none has begun."""
        members = reference.entities[entity]
        furthest = int(members[int(np.argmax(self.charts.sums[:, members].max(axis=0)))])
        run = self.charts.run(furthest)
        return run.since if run.parts else 0

    def told(self) -> dict[str, Incident]:
        """Cause → the incident to tell of it: a shift stands for the drift it is; unlike training only where alone."""
        shifts = {key.removeprefix(SHIFT): one for key, one in self.incidents.items() if key.startswith(SHIFT)}
        drifts = {key: one for key, one in self.incidents.items() if key != UNLIKE and not key.startswith(SHIFT)}
        return drifts | shifts or {key: one for key, one in self.incidents.items() if key == UNLIKE}

    def named(self) -> list[str]:
        """The latest parts."""
        return list(self._named)

    def settle(self, entity: str, incident: Incident | None) -> None:
        """Open, update or (None) close the one incident of a key: an entity's drift, or what `looks.py` found."""
        if incident is None and entity not in self.incidents:
            return
        if incident is None:
            self.closed += self.incidents.pop(entity, None) is not None
        else:
            self.opened += entity not in self.incidents
            self.incidents[entity] = incident
        self._touch(_OPEN + entity)

    def _touch(self, *keys: str) -> None:
        self._changed.update(dict.fromkeys(keys))

    # -- state ---------------------------------------------------------------------------------------------------------

    def changes(self) -> list[tuple[str, bytes | None]]:
        """(key, value) since the last call."""
        out = [(key, self._packed(key)) for key in self._changed]
        self._changed.clear()
        return out + self.growth.changes()

    def _packed(self, key: str) -> bytes | None:
        if key == _GATE:
            return self.digest
        if key == _CHARTS:
            return self.charts.pack()
        if key == _BLOCK:
            bounded, plain, counts = (row.tobytes() for row in self._sums)
            of_growth = self._quiet, self.growth.parts, self.growth.released
            return _PACK.encode(_Block(self._parts, self._began_at, bounded, plain, counts, self._named, *of_growth))
        incident = self.incidents.get(key.removeprefix(_OPEN))
        return None if incident is None else _PACK.encode(incident)

    def restore(self, key: str, value: bytes | None) -> None:
        if self.growth.restore(key, value):
            return
        if key.startswith(_OPEN):
            entity = key.removeprefix(_OPEN)
            self.incidents.pop(entity, None)
            if value is not None:
                self.incidents[entity] = _INCIDENT.decode(value)
        elif value is None:
            return
        elif key == _GATE:
            self.digest = value
        elif key == _CHARTS:
            self.charts = Charts.unpack(value)
        elif key == _BLOCK:
            held = _BLOCKS.decode(value)
            self._parts, self._began_at, self._named = held.parts, held.began_at, held.named
            self._quiet, self.growth.parts, self.growth.released = held.quiet, held.growing, held.released
            self._sums = np.stack([np.frombuffer(one) for one in (held.bounded, held.plain, held.counts)])


_PACK = msgspec.msgpack.Encoder()
_BLOCKS = msgspec.msgpack.Decoder(_Block)
_INCIDENT = msgspec.msgpack.Decoder(Incident)
