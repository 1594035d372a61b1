"""Disorder: when records came in, which came twice, which never, and whose clock was off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ingest.errors import BadInput
from ingest.simulate.plant import Ints

PROMPT_MS = 40.0  # mean way of a record that is not late
REPEAT_MS = 20_000  # a repeat follows within this time


@dataclass(frozen=True, slots=True)
class Disorder:
    """Shares are of records (a visit's booking, a frame, the samples of one visit, a defect record).

    `skew_ms`: source (`camera:C` or `sensors:S`) -> by how much its clock is ahead. `shuffle`: prompt records are
    spread over two seconds, so that topics overtake each other, and the rows of the files stand in any order.
    """

    late_share: float = 0.2
    late_ms: int = 60_000
    repeat_share: float = 0.05
    missing_share: float = 0.1
    skew_ms: Mapping[str, int] = field(default_factory=dict)
    shuffle: bool = True

    def __post_init__(self) -> None:
        for name in ("late_share", "repeat_share", "missing_share"):
            share = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise BadInput(f"disorder: {name} must lie between 0 and 1, got {share!r}")
        if self.late_ms < 0:
            raise BadInput(f"disorder: late_ms must not be negative, got {self.late_ms!r}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came in, in the order in which it stands in the file: `record` names the one meant, `received_at` its time
    (ms since 1970). A record that is missing is not named, a repeated one twice."""

    record: Ints
    received_at: Ints


def receive(disorder: Disorder, complete_at: Ints, rng: np.random.Generator) -> Receipt:
    """Send records on their way, of which each was complete at its time."""
    count = len(complete_at)
    prompt_ms = 2000.0 if disorder.shuffle else 2 * PROMPT_MS
    way = rng.uniform(0.0, prompt_ms, count)
    late = rng.random(count) < disorder.late_share
    way += np.where(late, rng.uniform(0.0, disorder.late_ms, count), 0.0)
    kept = np.flatnonzero(rng.random(count) >= disorder.missing_share)
    again = kept[rng.random(len(kept)) < disorder.repeat_share]
    received = complete_at + np.rint(way).astype(np.int64)
    record = np.concatenate([kept, again])
    moment = np.concatenate([received[kept], received[again] + rng.integers(1, REPEAT_MS, len(again))])
    order = rng.permutation(len(record)) if disorder.shuffle else np.argsort(moment, kind="stable")
    return Receipt(record[order], moment[order])
