"""Origins: what the `cause_code` of released labels teach. A symptom (a pit seen by a camera) points at its origin (the
supplier's lot) once labels have tied the two together.

Causes are learned as classes. An attribute cause is learned without its value (`supplier_lot` of this station) and
named with the value that the part at hand carries, so that a lot never seen before can be blamed for what lots do. In a
combination a frequent value is kept: that one recipe cannot stand the heat says nothing of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from fusion.risk.features import AttributeSlot, FeatureSpec, Floats, value_of
from fusion.risk.model import INPUT
from models.open import OpenModel

UNKNOWN = "unknown"
PAIR = " & "
LABELS_HALF = 8.0  # labelled causes that weigh as much as the counterfactual
ACCURACY_MIN = 0.3  # of held-out first guesses; five causes guessed at random reach 0.2
ATTRIBUTE_MARK = "@"  # a class of attributes is `@<slot label>`; no cause of CONTRACT begins with it


class OriginModel(msgspec.Struct, frozen=True, kw_only=True):
    """`classes`: what each output column stands for. `accuracy`: share of held-out labelled defects (by lot) whose most
    likely class was among their causes; `learned_from`: labelled defects per class. `entities`: whose shares by undoing
    it takes behind the features."""

    file: str
    classes: tuple[str, ...]
    accuracy: float
    learned_from: tuple[int, ...]
    entities: tuple[str, ...] = ()

    @property
    def trust(self) -> float:
        """Weight of what labels taught against counterfactuals, which can only name the symptom: grows with the
        number of labels, unless held-out labels say that nothing was learned."""
        labels = sum(self.learned_from)
        return self.accuracy if self.accuracy < ACCURACY_MIN else labels / (labels + LABELS_HALF)


@dataclass(frozen=True, slots=True)
class Origin:
    """A class resolved for one part. `cause` as CONTRACT writes it; `sides`: its entities."""

    cause: str
    sides: tuple[str, ...]
    probability: float
    learned_from: int


def cause_class(cause: str, booked: Mapping[tuple[str, str], str], spec: FeatureSpec) -> str | None:
    """The class of a labelled cause of a part that booked these attributes; None when it names an attribute value the
    part does not carry or that may not be used, or a channel or camera that this gate does not know."""
    named = [side.strip() for side in cause.split(PAIR.strip())]
    sides = [_side_class(side, dict(booked), spec, len(named) > 1) for side in named]
    known = [side for side in sides if side is not None]
    return PAIR.join(sorted(known)) if known and len(known) == len(sides) else None


def _side_class(side: str, booked: dict[tuple[str, str], str], spec: FeatureSpec, combined: bool) -> str | None:
    if "=" not in side:
        known = {UNKNOWN, *(slot.entity for slot in spec.channels), *(f"camera:{c}" for c in spec.cameras)}
        return side if side in known else None
    name, value = side.split("=", 1)
    for slot in spec.attributes:
        if slot.name == name and value_of(slot, booked) == value:
            kept = f"={value}" if combined and value in slot.values else ""
            return f"{ATTRIBUTE_MARK}{slot.label}{kept}"
    return None


def resolve(kind: str, booked: Mapping[tuple[str, str], str], spec: FeatureSpec) -> str | None:
    """A class in CONTRACT's words for a part that booked these attributes; None when it lacks the attribute."""
    sides = [_side_cause(side, dict(booked), spec) for side in kind.split(PAIR)]
    known = [side for side in sides if side is not None]
    return PAIR.join(sorted(known)) if len(known) == len(sides) else None


def _side_cause(side: str, booked: dict[tuple[str, str], str], spec: FeatureSpec) -> str | None:
    slot = slot_of(side, spec)
    if slot is None:
        return side
    value = value_of(slot, booked)
    asked = side[1 + len(slot.label) + 1 :]
    return f"{slot.name}={value}" if value is not None and asked in ("", value) else None


def slot_of(side: str, spec: FeatureSpec) -> AttributeSlot | None:
    """The attribute slot a class side stands for, None for a channel or a camera."""
    if not side.startswith(ATTRIBUTE_MARK):
        return None
    return next((s for s in spec.attributes if side[1:] == s.label or side[1:].startswith(f"{s.label}=")), None)


def entity_of(side: str, spec: FeatureSpec) -> str:
    """The entity a class side stands for."""
    slot = slot_of(side, spec)
    return side if slot is None else f"attr:{slot.label}"


class Origins:
    """The classifier of one gate."""

    def __init__(self, model: OriginModel, opened: OpenModel, spec: FeatureSpec, fill: Floats) -> None:
        self.model = model
        self._opened = opened
        self._spec = spec
        self._fill = fill

    def of(self, features: Floats, booked: Mapping[tuple[str, str], str], shares: Mapping[str, float]) -> list[Origin]:
        """The classes of one defective part, float32[features] with NaN, that can be named; together ≤ 1. `shares`: of
        its risk, by undoing each entity."""
        undone = np.array([shares.get(entity, 0.0) for entity in self.model.entities], dtype=np.float32)
        row = np.concatenate([np.where(np.isnan(features), self._fill, features), undone])[None, :]
        probabilities = self._opened.run(self.model.file, {INPUT: row})[0][0]
        origins = []
        for kind, probability, seen in zip(self.model.classes, probabilities, self.model.learned_from, strict=True):
            cause = resolve(kind, booked, self._spec)
            if cause is not None:
                sides = tuple(entity_of(side, self._spec) for side in kind.split(PAIR) if side != UNKNOWN)
                origins.append(Origin(cause, sides, float(probability), seen))
        return origins


def classes_of(causes: Sequence[str], booked: Mapping[tuple[str, str], str], spec: FeatureSpec) -> list[str]:
    """The classes of all causes of one labelled defect, without repeats; `unknown` for a label that names none."""
    if not causes:
        return [UNKNOWN]
    found = (cause_class(cause, booked, spec) for cause in causes)
    return list(dict.fromkeys(kind for kind in found if kind is not None))
