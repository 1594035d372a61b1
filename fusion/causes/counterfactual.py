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

from fusion.calibration.calibrate import sigmoid
from fusion.causes.in_control import Doubles, InControl
from fusion.risk.features import CHANNEL_COLUMNS, Column, FeatureRow, Floats, RowBuilder, raw_columns

DRAWS_MIN = 2  # good parts to draw from
GLANCES = 2  # draws of every entity; the most telling few get LOOKS more: ten microseconds a row with 300 trees
FINALISTS = 6
LOOKS = 6
GLANCED = 20  # entities that get a glance each; of more, one expected value says which
SCREENED_MAX = 40
PAIR_SHARE_MIN = 0.1  # of the risk; half of a combination takes away more
EXPLAINS = 0.5  # of the risk taken away by one entity: no need to look for a second that it waits for
PAIRED = 3  # of the first three each two are undone together
PAIR_DRAWS = 4
ROWS_MAX = 1 + SCREENED_MAX + FINALISTS * LOOKS + 3 * PAIR_DRAWS  # asked of a model for one part, at most
RISK_MIN = 1e-9
FAR = 1e6  # standard deviations; its square is finite
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
    """What putting things back did to one part: singles, the one that explains most first, and pairs of the first.
    `risk`: of the part as it is."""

    risk: float = 0.0
    singles: Sequence[Undone] = ()
    pairs: Sequence[UndoneTogether] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """What draws need. `distance`: float32[m], squared, to each good part; `own`: float32[m, entities], what each
    entity adds to it; `away`: of `InControl`."""

    raw: Floats
    distance: Floats
    own: Floats
    away: Floats


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
        self._spans = [  # of the told columns, which lie together
            slice(int(np.searchsorted(owner[told], e)), int(np.searchsorted(owner[told], e, "right")))
            for e in range(self._channels)
        ]
        alike = np.array([i for i, c in enumerate(columns) if _is_likeness(c.name, c.source)], dtype=np.intp)
        self._alike = alike[np.argsort(owner[alike], kind="stable")]
        self._alike_first = np.flatnonzero(np.diff(owner[self._alike], prepend=-2))
        self._alike_owner = owner[self._alike][self._alike_first]
        spread = np.nan_to_num(reference[:, self._alike]).std(axis=0)
        self._scale = np.where(spread > 0, 1.0 / np.maximum(spread, 1e-9), 0.0).astype(np.float32)
        self._near = reference[:, self._alike] * self._scale
        self._follow = _squared_correlation(reference, [cols[0] for cols in self._columns])

    def undo(self, row: FeatureRow, models: Scorer, model: int) -> Undoing:
        """Every entity of a part that the speaking model looks at, and pairs of those that explain most."""
        present = [e for e, source in enumerate(self._source) if source in row.usable or source == "attributes"]
        if not present or len(self.reference) < DRAWS_MIN:
            return Undoing()
        part = self._part(row.raw)
        risk, tried, left = self._glance(part, present, models, model)
        first = np.argsort(left.mean(axis=0), kind="stable")[:FINALISTS]
        more = self._look(part, [tried[place] for place in first], models, model)
        mean, error = _mean_and_error(left)
        mean[first], error[first] = _mean_and_error(np.concatenate([left[:, first], more]) if len(left) > 1 else more)
        shares, errors = np.maximum(0.0, 1.0 - mean / risk).tolist(), (error / risk).tolist()
        singles = [Undone(self.entities[e], s, r) for e, s, r in zip(tried, shares, errors, strict=True)]
        singles.sort(key=lambda found: (-found.share, found.entity))
        number = {self.entities[e]: e for e in tried}
        pairs = [(number[a], number[b]) for a, b in _worth_pairing(singles)]
        return Undoing(risk, singles, self._undo_pairs(part, pairs, models, model, risk))

    def _part(self, raw: Floats) -> _Part:
        """What all draws of one part need."""
        away = self._near - np.clip(raw[self._alike] * self._scale, -FAR, FAR)
        np.copyto(away, 0.0, where=np.isnan(away))
        own = np.zeros((len(away), len(self.entities)), dtype=np.float32)
        if len(self._alike):
            own[:, self._alike_owner] = np.add.reduceat(away * away, self._alike_first, axis=1)
        return _Part(raw, own.sum(axis=1), own, self.in_control.away(raw))

    def _glance(
        self, part: _Part, present: Sequence[int], models: Scorer, model: int
    ) -> tuple[float, Sequence[int], Doubles]:
        """The part's own risk, the entities tried, and float64[draws, tried] of what risk was left.

        Of more entities than GLANCED only the most surprising are tried, each with its one expected value."""
        draws, tried = GLANCES, present
        if len(present) > GLANCED:
            surprise = np.full(len(self.entities), np.inf)  # attributes are few, and have no usual value
            surprise[self.in_control.judged_entities] = self.in_control.surprise(part.raw)
            draws, tried = 1, sorted(sorted(present, key=lambda e: (-surprise[e], e))[:SCREENED_MAX])
        nearest = self._nearest(part.distance[:, None] - part.own[:, tried], draws)
        rows = np.repeat(part.raw[None, :], len(tried) * draws + 1, axis=0)
        for place, e in enumerate(tried):
            at = slice(1 + place * draws, 1 + (place + 1) * draws)
            if draws == 1 and e < self._channels:
                rows[at, self._columns[e]] = self.in_control.expected(part.away, self._spans[e])
            else:
                rows[at, self._columns[e]] = self._values(e, nearest[:, place], part.away)
        risk = sigmoid(models.logits(model, self._builder.derive(rows)))
        return max(float(risk[0]), RISK_MIN), tried, risk[1:].reshape(len(tried), draws).T

    def _look(self, part: _Part, finalists: Sequence[int], models: Scorer, model: int) -> Doubles:
        """float64[LOOKS, finalists]: the risk left after further draws."""
        nearest = self._nearest(part.distance[:, None] - part.own[:, finalists], GLANCES + LOOKS)[GLANCES:]
        rows = np.repeat(part.raw[None, :], len(finalists) * LOOKS, axis=0)
        for place, e in enumerate(finalists):
            at = slice(place * LOOKS, (place + 1) * LOOKS)
            rows[at, self._columns[e]] = self._values(e, nearest[:, place], part.away)
        risk = sigmoid(models.logits(model, self._builder.derive(rows)))
        return risk.reshape(len(finalists), LOOKS).T

    def _undo_pairs(
        self, part: _Part, pairs: Sequence[tuple[int, int]], models: Scorer, model: int, risk: float
    ) -> list[UndoneTogether]:
        """Pairs of entities, both taken from the same good part, one of those most like this part in the rest."""
        if not pairs:
            return []
        without = np.stack([part.distance - part.own[:, a] - part.own[:, b] for a, b in pairs], axis=1)
        nearest = self._nearest(without, PAIR_DRAWS)
        rows = np.repeat(part.raw[None, :], len(pairs) * PAIR_DRAWS, axis=0)
        for place, (a, b) in enumerate(pairs):
            both = np.concatenate([self._columns[a], self._columns[b]])
            at = slice(place * PAIR_DRAWS, (place + 1) * PAIR_DRAWS)
            rows[at, both] = self.reference[nearest[:, place, None], both]
        left = sigmoid(models.logits(model, self._builder.derive(rows))).reshape(len(pairs), PAIR_DRAWS).mean(axis=1)
        share = np.maximum(0.0, 1.0 - left / risk)
        return [
            UndoneTogether(self.entities[a], self.entities[b], float(s), float(self._follow[a, b]))
            for (a, b), s in zip(pairs, share, strict=True)
        ]

    def _values(self, entity: int, donors: npt.NDArray[np.intp], away: Floats) -> Floats:
        """float32[draws, own columns]: what the entity could have been, had it been in control."""
        values: Floats = self.reference[donors[:, None], self._columns[entity]]
        if entity < self._channels and len(donors) > 1:
            told = self._spans[entity]
            drawn = self.in_control.expected(away, told) + self.in_control.residual[donors[1::2], told]
            np.minimum(np.maximum(drawn, self.in_control.low[told]), self.in_control.high[told], out=values[1::2])
        return values

    @staticmethod
    def _nearest(distance: Floats, draws: int) -> npt.NDArray[np.intp]:
        """float32[m, n] → int[draws, n]: the nearest good parts of each column, the nearest first."""
        if len(distance) <= draws:
            return np.resize(np.argsort(distance, axis=0, kind="stable"), (draws, distance.shape[1]))
        some = np.argpartition(distance, draws, axis=0)[:draws]
        order = np.argsort(np.take_along_axis(distance, some, axis=0), axis=0, kind="stable")
        return np.asarray(np.take_along_axis(some, order, axis=0))


def _mean_and_error(left: Doubles) -> tuple[Doubles, Doubles]:
    """Of float64[draws, n]: float64[n] each."""
    return left.mean(axis=0), left.std(axis=0) / np.sqrt(len(left))


def _worth_pairing(singles: Sequence[Undone]) -> list[tuple[str, str]]:
    """Entities of this ranking that may act together, or of which both are needed. One that explains all alone is left
    in peace: most defects have one cause."""
    first = [found.entity for found in singles[:PAIRED]]
    weighty = [found.entity for found in singles[:PAIRED] if found.share >= PAIR_SHARE_MIN]
    if len(weighty) < 2 and singles[0].share < EXPLAINS:
        weighty = first
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
