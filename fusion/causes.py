"""Causes: what counterfactuals find and what labels taught, merged, ranked, each with sentences a person can check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fusion.counterfactual import Counterfactual, Undone
from fusion.features import FeatureRow, FeatureSpec, value_of
from fusion.origins import PAIR, Origin, Origins
from fusion.risk import RiskModels
from fusion.witness import Witness
from ingest.evidence import Evidence
from ingest.messages import Cause

CAUSES_MAX = 5
SHARE_MIN = 0.03  # less than this is noise of the draws
STANDS_OUT = 0.15  # undoing the best entity takes away less than this of the risk: nothing stands out
TOGETHER = 0.6  # undoing either of two takes away this much: they act together
COMPARABLE = 0.7

Kind = Literal["attribute", "channel", "camera", "combination", "unknown"]


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A cause in CONTRACT's words with its sides as entities, and how sure we are."""

    cause: str
    sides: tuple[str, ...]
    share: float
    told: str = ""


class CauseFinder:
    """Names the causes of one flagged part at one gate."""

    def __init__(
        self, spec: FeatureSpec, counterfactual: Counterfactual, origins: Origins | None, witness: Witness
    ) -> None:
        self._spec = spec
        self._counterfactual = counterfactual
        self._origins = origins
        self._witness = witness

    def find(self, evidence: Evidence, row: FeatureRow, models: RiskModels, model: int) -> list[Cause]:
        """Ranked causes; shares sum to at most 1. `unknown` when nothing stands out."""
        undone = self._counterfactual.undo(row, models, model)
        suspects = self._standing_out(undone, evidence)
        trust = 0.0
        taught: list[Origin] = []
        if self._origins is not None:
            trust = self._origins.model.trust
            taught = self._origins.of(row.features, evidence.attributes)
        merged: dict[str, _Suspect] = {}
        for suspect in suspects:
            _add(merged, suspect, 1.0 - trust)
        for origin in taught:
            told = f"{origin.probability:.0%} likely by {origin.learned_from} labelled defects of this cause"
            sides = tuple(f"attr:{s[1:]}" if s.startswith("@") else s for s in origin.sides)
            _add(merged, _Suspect(origin.cause, sides, origin.probability, told), trust)
        ranked = sorted(merged.values(), key=lambda s: (-s.share, s.cause))
        kept = [s for s in ranked if s.share >= SHARE_MIN][:CAUSES_MAX] or ranked[:1]
        return [self._told(suspect, evidence, row) for suspect in kept]

    def _standing_out(self, undone: Sequence[Undone], evidence: Evidence) -> list[_Suspect]:
        if not undone or undone[0].share < STANDS_OUT:
            return [_Suspect("unknown", (), 1.0)]
        singles = [
            _Suspect(cause, (found.entity,), found.share)
            for found in undone
            if (cause := self._named(found.entity, evidence)) is not None
        ]
        suspects = [*self._pairs(singles), *singles]
        total = max(1.0, sum(s.share for s in suspects))
        return [_Suspect(s.cause, s.sides, s.share / total) for s in suspects]

    def _pairs(self, singles: Sequence[_Suspect]) -> list[_Suspect]:
        """An interaction: putting back either of the first two is enough."""
        if len(singles) < 2 or singles[1].share < max(TOGETHER, COMPARABLE * singles[0].share):
            return []
        first, second = singles[0], singles[1]
        cause = PAIR.join(sorted((first.cause, second.cause)))
        return [_Suspect(cause, first.sides + second.sides, first.share + second.share)]

    def _named(self, entity: str, evidence: Evidence) -> str | None:
        if not entity.startswith("attr:"):
            return entity
        slot = next(slot for slot in self._spec.attributes if slot.label == entity.removeprefix("attr:"))
        value = value_of(slot, evidence.attributes)
        return f"{slot.name}={value}" if value is not None else None

    def _told(self, suspect: _Suspect, evidence: Evidence, row: FeatureRow) -> Cause:
        sentences = [s for side in suspect.sides for s in self._witness.of(side, evidence, row)]
        if suspect.cause == "unknown":
            sentences = ["no single channel, camera or attribute explains the risk"]
        return Cause(
            cause=suspect.cause,
            kind=_kind(suspect),
            station_id=self._witness.station_of(suspect.sides[0], evidence) if suspect.sides else "",
            share=round(suspect.share, 4),
            evidence=[*sentences, *([suspect.told] if suspect.told else [])],
        )


def _add(merged: dict[str, _Suspect], suspect: _Suspect, weight: float) -> None:
    known = merged.get(suspect.cause)
    share = weight * suspect.share + (known.share if known else 0.0)
    sides = suspect.sides or (known.sides if known else ())
    merged[suspect.cause] = _Suspect(suspect.cause, sides, share, suspect.told or (known.told if known else ""))


def _kind(suspect: _Suspect) -> Kind:
    if suspect.cause == "unknown":
        return "unknown"
    if PAIR in suspect.cause:
        return "combination"
    if suspect.cause.startswith("camera:"):
        return "camera"
    return "attribute" if "=" in suspect.cause else "channel"
