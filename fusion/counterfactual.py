"""Counterfactuals: how much of a part's risk goes away when one entity, or two together, are put back in control.

The in-control value is conditional on everything else about the part, so that undoing one of two correlated channels
does not make a part that never was. Half of the draws are taken as they are from the good parts most like this one
(they know the shape of what is usual), half are the regression on the other channels with such a part's residual (it
reaches where no good part is near; matching with bias correction, Abadie and Imbens 2011). Measured on AI4I with the
channels behind each failure known, the mean of both names more of them than either alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fusion.calibrate import sigmoid
from fusion.features import CHANNEL_COLUMNS, Column, FeatureRow, Floats, RowBuilder, raw_columns
from fusion.in_control import InControl

ROWS_MAX = 72  # counterfactual rows a part; 120 rows of 300 trees are 1.1 ms through ONNX, pairs need some too
DRAWS_MAX = 16
DRAWS_MIN = 4
ENTITIES_MAX = 15  # undone with draws; of more, one expected value each says which
SCREENED_MAX = 40
PAIR_SHARE_MIN = 0.1  # of the risk; half of a combination takes away more
EXPLAINS = 0.5  # of the risk taken away by one entity: no need to look for a second that it waits for
PAIRED = 3  # of the first three each two are undone together
PAIR_DRAWS = 5
LIKENESS = ("mean", "std", "golden_rms", "golden_mean")  # what makes two channels alike


class Scorer(Protocol):
    """What gives the risk of rows: the models of a gate."""

    def logits(self, model: int, features: Floats) -> npt.NDArray[np.float64]:
        """float32[n, features] with NaN → float64[n]."""


@dataclass(frozen=True, slots=True)
class Undone:
    """One entity put back: the share of the risk that went away with it, 0..1, and its standard error."""

    entity: str
    share: float
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class UndoneTogether:
    """Two entities put back at once, in the order of their shares alone. `alike`: how much the two follow each other
    among good parts, squared correlation, 0..1."""

    first: str
    second: str
    share: float
    alike: float


@dataclass(frozen=True, slots=True)
class Undoing:
    """What putting things back did to one part: singles, the one that explains most first, and pairs of the first."""

    singles: Sequence[Undone] = ()
    pairs: Sequence[UndoneTogether] = ()


class Counterfactual:
    """Of one gate. `reference`: float32[m, raw columns], good parts."""

    def __init__(self, builder: RowBuilder, reference: Floats) -> None:
        columns = raw_columns(builder.spec)
        self._builder = builder
        self.reference = reference
        self.entities = list(dict.fromkeys(c.entity for c in columns if c.entity))
        number = {entity: e for e, entity in enumerate(self.entities)}
        owner = np.array([number.get(c.entity, -1) for c in columns], dtype=np.intp)
        self._source = [next(c.source for c in columns if c.entity == entity) for entity in self.entities]
        self._columns = [np.flatnonzero(owner == e) for e in range(len(self.entities))]
        told = np.array([i for i, c in enumerate(columns) if _is_expected(c)], dtype=np.intp)
        given = np.array([i for i, c in enumerate(columns) if _conditions(c)], dtype=np.intp)
        self.in_control = InControl(reference, owner, given, told)
        self._channels = len(builder.spec.channels)  # whose every column is expected; they come first
        self._told = np.split(np.arange(len(told)), np.flatnonzero(np.diff(owner[told])) + 1) if len(told) else []
        alike = np.array([i for i, c in enumerate(columns) if _is_likeness(c.name, c.source)], dtype=np.intp)
        self._alike = alike[np.argsort(owner[alike], kind="stable")]
        self._alike_first = np.flatnonzero(np.diff(owner[self._alike], prepend=-2))
        self._alike_owner = owner[self._alike][self._alike_first]
        near = np.nan_to_num(reference[:, self._alike])
        spread = near.std(axis=0)
        self._scale = np.where(spread > 0, 1.0 / np.maximum(spread, 1e-9), 0.0).astype(np.float32)
        self._follow = _squared_correlation(reference, [cols[0] for cols in self._columns])

    def undo(self, row: FeatureRow, models: Scorer, model: int) -> Undoing:
        """Every entity of a part that the speaking model looks at, and pairs of those that explain most."""
        present = [e for e, source in enumerate(self._source) if source in row.usable or source == "attributes"]
        if not present or len(self.reference) < DRAWS_MIN:
            return Undoing()
        distance, own = self._distances(row.raw)
        expected = self.in_control.expected(row.raw) if self._told else row.raw[:0]
        if len(present) > ENTITIES_MAX:
            present = self._screened(row.raw, present, distance - own, expected, models, model)
        draws = int(np.clip(ROWS_MAX // len(present), DRAWS_MIN, min(DRAWS_MAX, len(self.reference))))
        values = [self._values(e, self._nearest(distance[:, 0] - own[:, e], draws), expected) for e in present]
        rows = np.repeat(row.raw[None, :], len(present) * draws + 1, axis=0)
        for place, (e, value) in enumerate(zip(present, values, strict=True)):
            rows[1 + place * draws : 1 + (place + 1) * draws, self._columns[e]] = value
        risk = sigmoid(models.logits(model, self._builder.derive(rows)))
        left = risk[1:].reshape(len(present), draws) / max(float(risk[0]), 1e-9)
        share, error = 1.0 - left.mean(axis=1), left.std(axis=1) / np.sqrt(draws)
        order = sorted(range(len(present)), key=lambda p: (-share[p], self.entities[present[p]]))
        singles = [Undone(self.entities[present[p]], max(0.0, float(share[p])), float(error[p])) for p in order]
        pairs = [(present[order[a]], present[order[b]]) for a, b in _worth_pairing(singles)]
        return Undoing(singles, self._undo_pairs(row.raw, pairs, distance[:, 0], own, models, model, float(risk[0])))

    def _undo_pairs(
        self,
        raw: Floats,
        pairs: Sequence[tuple[int, int]],
        distance: Floats,
        own: Floats,
        models: Scorer,
        model: int,
        risk: float,
    ) -> list[UndoneTogether]:
        """Pairs of entities, both taken from the same good part, one of those most like this part in the rest."""
        draws = min(PAIR_DRAWS, len(self.reference))
        if not pairs:
            return []
        rows = np.repeat(raw[None, :], len(pairs) * draws, axis=0)
        for place, (a, b) in enumerate(pairs):
            donors = self._nearest(distance - own[:, a] - own[:, b], draws)
            both = np.concatenate([self._columns[a], self._columns[b]])
            rows[place * draws : (place + 1) * draws, both] = self.reference[donors[:, None], both]
        left = sigmoid(models.logits(model, self._builder.derive(rows))).reshape(len(pairs), draws).mean(axis=1)
        share = np.maximum(0.0, 1.0 - left / max(risk, 1e-9))
        return [
            UndoneTogether(self.entities[a], self.entities[b], float(s), float(self._follow[a, b]))
            for (a, b), s in zip(pairs, share, strict=True)
        ]

    def _screened(
        self, raw: Floats, present: Sequence[int], without: Floats, expected: Floats, models: Scorer, model: int
    ) -> list[int]:
        """The entities worth undoing with draws: one value each, put back into the part, says whose it may be."""
        surprise = np.full(len(self.entities), np.inf)  # cameras and attributes are few
        surprise[self.in_control.judged_entities] = self.in_control.surprise(raw) if self._told else 0.0
        tried = sorted(present, key=lambda e: (-surprise[e], e))[:SCREENED_MAX]
        rows = np.repeat(raw[None, :], len(tried), axis=0)
        nearest = np.argmin(without[:, tried], axis=0)
        for place, e in enumerate(tried):
            value = expected[self._told[e]] if e < self._channels else self.reference[nearest[place], self._columns[e]]
            rows[place, self._columns[e]] = value
        left = models.logits(model, self._builder.derive(rows))
        kept = sorted(range(len(tried)), key=lambda p: (left[p], tried[p]))[:ENTITIES_MAX]
        return sorted(tried[p] for p in kept)

    def _values(self, entity: int, donors: npt.NDArray[np.intp], expected: Floats) -> Floats:
        """float32[draws, own columns]: what the entity could have been, had it been in control."""
        values: Floats = self.reference[donors[:, None], self._columns[entity]]
        if entity < self._channels:
            told = self._told[entity]
            drawn = expected[told] + self.in_control.residual[donors[1::2, None], told]
            values[1::2] = np.clip(drawn, self.in_control.low[told], self.in_control.high[told])
        return values

    def _distances(self, raw: Floats) -> tuple[Floats, Floats]:
        """float32[m, 1] and float32[m, entities]: squared distance to each good part, and what each entity adds."""
        away = np.nan_to_num((self.reference[:, self._alike] - raw[self._alike]) * self._scale)
        own = np.zeros((len(away), len(self.entities)), dtype=np.float32)
        if len(self._alike):
            own[:, self._alike_owner] = np.add.reduceat(away * away, self._alike_first, axis=1)
        return own.sum(axis=1, keepdims=True), own

    @staticmethod
    def _nearest(distance: Floats, draws: int) -> npt.NDArray[np.intp]:
        """int[draws]: the nearest good parts."""
        if len(distance) <= draws:
            return np.resize(np.arange(len(distance)), draws)
        return np.asarray(np.argpartition(distance, draws)[:draws])


def _worth_pairing(singles: Sequence[Undone]) -> list[tuple[int, int]]:
    """Places in this ranking that may act together, or of which both are needed. One that explains all alone is left
    in peace: most defects have one cause."""
    weighty = [place for place, found in enumerate(singles[:PAIRED]) if found.share >= PAIR_SHARE_MIN]
    if len(weighty) < 2 and singles[0].share < EXPLAINS:
        weighty = list(range(min(PAIRED, len(singles))))
    return list(combinations(weighty, 2))


def _conditions(column: Column) -> bool:
    """Is this a column that the expected value of a channel may depend on?"""
    if column.source.startswith("sensors:"):
        return column.name.rsplit(":", 1)[-1] in LIKENESS
    return column.name.startswith("product=") or column.name.endswith((":number", ":ratio"))


def _is_expected(column: Column) -> bool:
    """Is this a column whose expected value is asked? Of a camera only its score: boxes are where they are."""
    return column.source.startswith("sensors:") or column.name.endswith(":ratio")


def _is_likeness(name: str, source: str) -> bool:
    if source.startswith("sensors:"):
        return name.rsplit(":", 1)[-1] in LIKENESS
    return name.endswith((":ratio", ":number")) or source == "attributes"


def _squared_correlation(reference: Floats, at: Sequence[np.intp]) -> Floats:
    """float32[entities, entities] of the first column of each."""
    rows = np.nan_to_num(reference[:, list(at)])
    rows = rows - rows.mean(axis=0)
    length = np.sqrt((rows * rows).sum(axis=0))
    rows = rows / np.where(length > 0, length, np.inf)
    return np.asarray((rows.T @ rows) ** 2, dtype=np.float32)


assert set(LIKENESS) <= set(CHANNEL_COLUMNS)
