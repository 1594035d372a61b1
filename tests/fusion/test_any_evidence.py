"""No evidence makes the judge raise, whatever it lacks or holds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion.history import HistoryView
from fusion.judge import Judge
from ingest.join.evidence import ChannelWindow, Evidence
from ingest.messages import Fitness

Make = Callable[..., Evidence]
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=False)
TEXT = st.text(max_size=6)


@given(
    mean=FLOATS,
    channel=st.sampled_from(["current_a", "unheard_of"]),
    score=st.none() | st.floats(-1e6, 1e6),
    threshold=st.none() | st.floats(0, 1e6),
    fit=st.booleans(),
    product=TEXT,
    attributes=st.dictionaries(TEXT, TEXT, max_size=3),
    present=st.sets(st.sampled_from(["camera:top", "sensors:OP10", "camera:unheard_of"])),
    risk=st.dictionaries(st.sampled_from(["tool_id=T1", "x=y"]), st.floats(-4, 4)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_evidence_gets_a_verdict_and_only_whole_evidence_passes(
    judge: Judge, make: Make, mean: float, channel: str, score: float | None, threshold: float | None, fit: bool,
    product: str, attributes: dict[str, str], present: set[str], risk: dict[str, float],
) -> None:  # fmt: skip
    part = make(700)
    stats = part.windows["OP10"].channels["current_a"].stats.copy()
    stats[:3] = mean
    window = ChannelWindow(stats, np.full(64, mean, dtype=np.float32))
    seen = msgspec.structs.replace(
        part.findings["top"][0], score=score, threshold=threshold, fitness=Fitness(ok=fit), boxes=[]
    )
    odd = dataclasses.replace(
        part,
        product=product,
        windows={"OP10": dataclasses.replace(part.windows["OP10"], channels={channel: window})},
        findings={"top": (seen,)},
        visits=tuple(msgspec.structs.replace(visit, attributes=attributes) for visit in part.visits),
        present=tuple(sorted(present)),
    )
    judgement = judge.judge(odd, HistoryView(risk=risk), "auto", False)
    json.loads(judgement.blob)
    assert judgement.risk is None or 0.0 <= judgement.risk <= 1.0
    if judgement.decision == "pass":
        assert {"camera:top", "sensors:OP10"} <= present
        assert product == "P"
