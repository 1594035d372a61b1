"""What watches a partition's judged parts and labels: the seam between the fold and its scans, drift and calibration.

A watch is a fold of its own inside a partition's fold: the same live, in a replay and after a takeover. It says what is
going wrong as incidents. `fusion/partition.py` makes them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fusion.gate import GateJudge
from fusion.incidents import Incident
from fusion.judge import Judgement
from fusion.labels import PartLabel
from ingest.join.evidence import Evidence
from ingest.messages import Instant


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict as watches see it. `gate`: the trained judge that spoke, None without one; `first`: the first verdict
    of this attempt, what is counted once; `at`: the log's time of the closing."""

    evidence: Evidence
    judgement: Judgement
    gate: GateJudge | None
    first: bool
    at: Instant


class Watch(Protocol):
    """One thing that is watched on every line of a partition."""

    def judged(self, judged: Judged) -> None:
        """A verdict was given."""

    def label(self, told: PartLabel) -> None:
        """Something else is said of a part now: a label was released, or taken back."""

    def incidents(self) -> list[Incident]:
        """What is open now."""

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        """Changelog since the last call: (line_id, key, value), None for what is gone."""

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        """Put one changelog entry back; the last one of a key counts."""
