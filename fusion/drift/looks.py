"""What is looked for in a gate's latest parts now and then: a shift that explains flags, and parts unlike training.

Bounded work: a look every LOOK_PARTS parts, some hundred rows scored for each of a few entities (`undo_shift.py`), one
small linear classifier (`contrast.py`), two extreme roots (`structure.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from fusion.drift.book import SHIFT, UNLIKE, DriftBook
from fusion.drift.contrast import contrast, telling
from fusion.drift.recent import RecentRows
from fusion.drift.signals import FLAGS, RESIDUAL_MAX, DriftReference
from fusion.drift.structure import structure
from fusion.drift.undo_shift import Explained, UndoShift, moved_most
from fusion.drift.words import say_shift, say_structure, say_unlike
from fusion.gate import GateJudge, Reading
from fusion.incidents import Incident
from fusion.risk.features import Floats

LOOK_PARTS = 500
UNDO_PARTS = 1000  # the latest, in which a shift is undone
EXPLAINED_MIN = 0.3  # of the flags in excess: less explains nothing a person could act on
EXCESS_SDS = 2.0  # standard deviations of a count: below it there is no excess to explain
HALF_WAY = 0.5  # of its own limit: what has moved so far may explain flags that are beyond theirs


class Looks:
    """The looks of one gate. Begins anew with a restart or another model (`recent.py`)."""

    def __init__(self, gate: GateJudge, reference: DriftReference) -> None:
        spec = gate.builder.spec
        self.digest = reference.digest
        self._reference = reference
        self._recent = RecentRows(reference.typical.shape[1], len(reference.signals))
        self._undo = UndoShift(spec, gate.builder, gate.risk_models, gate.threshold)
        self._flags = next((i for i, signal in enumerate(reference.signals) if signal.measure == FLAGS), None)

    def enter(self, reading: Reading, residuals: Floats, product: int) -> None:
        """One part."""
        bounded = np.clip(residuals, -RESIDUAL_MAX, RESIDUAL_MAX)
        self._recent.enter(reading.row.raw, bounded, product, reading.estimate.model, reading.estimate.risk)

    def look(self, book: DriftBook, at: int) -> None:
        """Look when it is time to; `at`: the time of the latest part."""
        if self._recent.seen % LOOK_PARTS:
            return
        self._look_for_shift(book, at)
        self._look_for_unlike(book, at)

    def explained(self) -> tuple[list[Explained], float]:
        """What each entity's shift explains of the latest parts' flags, and how many flags are in excess."""
        rows = self._recent.latest(UNDO_PARTS)
        moved = moved_most(rows.residuals, self._reference.limits.scale, self._reference.entities)
        excess = self._observed() - self._expected()
        return self._undo.explain(rows, self._reference.typical, moved), excess

    def _observed(self) -> float:
        flags = self._recent.residuals(UNDO_PARTS)[:, self._flags] if self._flags is not None else np.zeros(1)
        return float(np.nansum(flags))

    def _expected(self) -> float:
        """Flags of so many parts in control, of the charted root (`drift_signals.charted`)."""
        if self._flags is None:
            return 0.0
        root = self._reference.limits.centre[self._flags] / 2.0
        return float(max(root * root - 0.375, 0.0) * min(UNDO_PARTS, len(self._recent)) / self._reference.block)

    def _look_for_shift(self, book: DriftBook, at: int) -> None:
        strength = book.strength(self._reference)
        known = [key for key in book.incidents if key.startswith(SHIFT)]
        for key in known:
            if strength.get(key.removeprefix(SHIFT), 0.0) < HALF_WAY and not self._beyond(book):
                book.settle(key, None)
        open_drift = {entity for entity in book.incidents if entity in self._reference.entities}
        beyond = self._beyond(book)
        if len(self._recent) < LOOK_PARTS or not (beyond or open_drift):
            return
        ranked, excess = self.explained()
        if not ranked or excess < EXCESS_SDS * np.sqrt(max(self._expected(), 1.0)):
            return
        first = ranked[0]
        sure = first.entity in open_drift or (beyond and strength.get(first.entity, 0.0) >= HALF_WAY)
        if sure and first.flags >= EXPLAINED_MIN * excess:
            self._tell_shift(book, first, excess, at)

    def _tell_shift(self, book: DriftBook, first: Explained, excess: float, at: int) -> None:
        drift, known = book.incidents.get(first.entity), book.incidents.get(SHIFT + first.entity)
        share = min(first.flags / excess, 1.0)
        since = known.since if known else drift.since if drift else book.since(self._reference, first.entity) or at
        parts = LOOK_PARTS if known else max(drift.parts_count if drift else 0, LOOK_PARTS)
        figures = {"explained": share, "flags_in_excess": excess, "spreads": first.shift}
        incident = Incident(
            line_id=book.line_id,
            incident="shift",
            camera_id=first.entity.removeprefix("camera:") if first.entity.startswith("camera:") else "",
            cause=first.entity,
            since=since,
            parts=book.named(),
            parts_count=(known.parts_count if known else 0) + parts,
            what=say_shift(first.entity, first.shift, share, excess, min(UNDO_PARTS, len(self._recent)), since),
            measure={name: float(f"{value:.4g}") for name, value in figures.items()},
        )
        book.settle(SHIFT + first.entity, incident)

    def _beyond(self, book: DriftBook) -> bool:
        """Are more parts flagged than in control?"""
        if self._flags is None:
            return False
        limits, charts = book.limits(self._reference), book.charts
        return bool(
            charts.level[self._flags] > limits.ewma[self._flags]
            or charts.sums[0, self._flags] > limits.cusum[self._flags]
        )

    def _look_for_unlike(self, book: DriftBook, at: int) -> None:
        """One incident of both tests: the first that tells the latest parts from training's speaks."""
        window = self._reference.window
        if len(self._recent) < window or not window:
            return
        residuals, known = self._recent.residuals(window), book.incidents.get(UNLIKE)
        since = known.since if known else at
        told = self._contrasted(residuals, since) or self._apart(residuals, since)
        if told is not None:
            count = (known.parts_count + LOOK_PARTS) if known else window
            told = msgspec.structs.replace(told, line_id=book.line_id, parts=book.named(), parts_count=count)
        book.settle(UNLIKE, told)

    def _contrasted(self, residuals: Floats, since: int) -> Incident | None:
        """Do the parts as a whole differ? Without its line and parts."""
        limit = self._reference.contrast_limit
        found = contrast(residuals, self._reference.sample) if np.isfinite(limit) else None
        if found is None or found.score <= limit:
            return None
        entities, allowed = telling(self._reference.signals, found.weight), 1.0 / (1.0 + np.exp(-limit))
        what = say_unlike(entities, len(residuals), found.auc, allowed, since)
        return _unlike(entities, since, what, {"auc": found.auc, "limit": float(allowed)})

    def _apart(self, residuals: Floats, since: int) -> Incident | None:
        """Do signals no longer go together? Without its line and parts."""
        limit = self._reference.structure_limit
        found = structure(residuals, self._reference.sample) if np.isfinite(limit) else None
        if found is None or found.score <= limit:
            return None
        entities, allowed = telling(self._reference.signals, found.weight), float(np.exp(limit))
        what = say_structure(entities, len(residuals), found.more, found.times, allowed, since)
        ratio = found.times if found.more else 1.0 / found.times
        return _unlike(entities, since, what, {"variance_ratio": ratio, "limit": allowed})


def _unlike(entities: Sequence[str], since: int, what: str, figures: Mapping[str, float]) -> Incident:
    measure = {name: round(value, 4) for name, value in figures.items()}
    cause = entities[0] if entities else ""
    return Incident(line_id="", incident="unlike_training", cause=cause, since=since, what=what, measure=measure)
