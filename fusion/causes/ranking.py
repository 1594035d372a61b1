"""Causes: what counterfactuals find, what labels taught and what incidents tie to a part, ranked, each with sentences a
person can check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from fusion.causes.counterfactual import Counterfactual, Scorer, Undoing
from fusion.causes.good_only import GoodOnly
from fusion.causes.origins import PAIR, UNKNOWN, Origins
from fusion.causes.suspects import OpenCause, Suspect, lifted, merged, nothing, standing_out
from fusion.causes.witness import Witness
from fusion.history import Counted
from fusion.risk.features import FeatureRow, FeatureSpec, value_of
from ingest.join.evidence import Evidence
from ingest.messages import Cause

CAUSES_MAX = 5
SHARE_MIN = 0.03  # less than this is noise of the draws

Kind = Literal["attribute", "channel", "camera", "combination", "unknown"]


class CauseFinder:
    """Names the causes of one flagged part at one gate. `labels`: False when the gate's models saw no label."""

    def __init__(
        self,
        spec: FeatureSpec,
        counterfactual: Counterfactual,
        origins: Origins | None,
        witness: Witness,
        labels: bool = True,
    ) -> None:
        self._counterfactual = counterfactual
        self._good_only = GoodOnly(counterfactual.in_control, counterfactual.entities, counterfactual.reference)
        self._origins = origins
        self._witness = witness
        self._labels = labels
        self._slots = {f"attr:{slot.label}": slot for slot in spec.attributes}

    def find(
        self,
        evidence: Evidence,
        row: FeatureRow,
        models: Scorer,
        model: int | None,
        incidents: Sequence[OpenCause] = (),
        counts: Mapping[str, Counted] = MappingProxyType({}),
    ) -> list[Cause]:
        """Ranked causes; shares sum to at most 1. `unknown` when nothing stands out.

        `model`: the one that spoke for this part, None when none did; `incidents`: what the line's open incidents
        blame; `counts`: attribute=value → what its history rests on.
        """
        named = self._naming(evidence)
        suspects = nothing()
        if model is None or row.outside or not self._labels:  # nothing learned speaks of this part
            suspects = self._good_only.suspects(row, named.get)
        if model is not None and suspects[0].cause == UNKNOWN:
            suspects = self._explained(evidence, row, models, model, named)
        by_cause = {cause: entity for entity, cause in named.items()}
        suspects = lifted(suspects, incidents, by_cause)
        ranked = sorted(suspects, key=lambda s: (-s.share, s.cause))
        kept = [s for s in ranked if s.share >= SHARE_MIN][:CAUSES_MAX] or ranked[:1]
        return [self._told(suspect, by_cause, evidence, row, counts) for suspect in kept]

    def _explained(
        self, evidence: Evidence, row: FeatureRow, models: Scorer, model: int, named: Mapping[str, str]
    ) -> list[Suspect]:
        """What undoing finds, and what labels taught of parts on which undoing finds the same."""
        undoing = self._counterfactual.undo(row, models, model)
        found = standing_out(undoing, named.get)
        if self._origins is None:
            return found
        trust = self._origins.model.trust
        return merged([(1.0 - trust, found), (trust, self._taught(self._origins, evidence, row, undoing))])

    def _taught(self, origins: Origins, evidence: Evidence, row: FeatureRow, undoing: Undoing) -> list[Suspect]:
        shares = {found.entity: found.share for found in undoing.singles}
        return [
            Suspect(
                origin.cause,
                origin.sides,
                origin.probability,
                (f"{origin.probability:.0%} likely by {origin.learned_from} labelled defects of this cause",),
            )
            for origin in origins.of(row.features, evidence.attributes, shares)
        ]

    def _naming(self, evidence: Evidence) -> dict[str, str]:
        """Entity → the cause it is for this part; attributes that the part lacks are left out."""
        named = {}
        booked = evidence.attributes
        for entity in self._counterfactual.entities:
            slot = self._slots.get(entity)
            value = value_of(slot, booked) if slot is not None else None
            if slot is None:
                named[entity] = entity
            elif value is not None:
                named[entity] = f"{slot.name}={value}"
        return named

    def _told(
        self,
        suspect: Suspect,
        by_cause: Mapping[str, str],
        evidence: Evidence,
        row: FeatureRow,
        counts: Mapping[str, Counted],
    ) -> Cause:
        sides = suspect.sides or tuple(by_cause[s] for s in suspect.cause.split(PAIR) if s in by_cause)
        sentences = [s for side in sides for s in self._witness.of(side, evidence, row, counts)]
        if len(sides) > 1:
            sentences += self._witness.of_pair(sides[0], sides[1], row)
        if suspect.cause == UNKNOWN:
            sentences = ["no single channel, camera or attribute explains the risk"]
        return Cause(
            cause=suspect.cause,
            kind=_kind(suspect.cause),
            station_id=self._witness.station_of(sides[0], evidence) if sides else "",
            share=round(suspect.share, 4),
            evidence=[*sentences, *suspect.told],
        )


def _kind(cause: str) -> Kind:
    if cause == UNKNOWN:
        return "unknown"
    if PAIR in cause:
        return "combination"
    if cause.startswith("camera:"):
        return "camera"
    return "attribute" if "=" in cause else "channel"
