"""Where a verdict's time goes, stage by stage, and what the slowest have in common.

Read from the log when the load is over: looking costs the road nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from ingest.log.seam import Log
from ingest.messages import Findings, Verdict, json_decoder
from ingest.settings import Settings
from ingest.topics import tail

SLOWEST_SHARE = 0.02
_FINDINGS, _VERDICT = json_decoder(Findings), json_decoder(Verdict)


@dataclass(frozen=True, slots=True)
class Course:
    """One first verdict of a part with frames, in ms from the eye's beginning on.

    look: until its findings were on the log, with the frames of its batch. judge: until it was decided, with the wait
    in the log and the records folded before. commit: until the verdict was on the log."""

    look: float
    judge: float
    commit: float

    @property
    def whole(self) -> float:
        return self.look + self.judge + self.commit


def courses(log: Log, settings: Settings, since_ms: int) -> list[Course]:
    """Of the verdicts on the log since then. Where a verdict rests on several frames, the last that came counts."""
    looked: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for record in tail(log, settings, "findings"):
        found = _FINDINGS.decode(record.body or b"")
        looked[found.line_id, found.part_id].append((record.logged_at_ms, int(found.inspected_at)))
    told = []
    for record in tail(log, settings, "verdicts"):
        verdict = _VERDICT.decode(record.body or b"")
        if verdict.revision > 1 or record.logged_at_ms < since_ms:
            continue
        before = [look for look in looked[verdict.line_id, verdict.part_id] if look[0] <= verdict.decided_at]
        if before:
            logged, began = max(before)
            told.append(Course(logged - began, verdict.decided_at - logged, record.logged_at_ms - verdict.decided_at))
    return told


def slowest(every: Sequence[Course]) -> list[Course]:
    """The slowest SLOWEST_SHARE of them, one at least."""
    ranked = sorted(every, key=lambda one: one.whole, reverse=True)
    return ranked[: max(1, round(SLOWEST_SHARE * len(ranked)))]


def mean_ms(some: Iterable[Course]) -> dict[str, float]:
    """Mean of each stage; nothing of none."""
    rows = [astuple(one) for one in some]
    means = np.mean(rows, axis=0) if rows else ()
    return {field.name: float(mean) for field, mean in zip(fields(Course), means, strict=False)}
