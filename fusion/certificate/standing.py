"""Does a certificate still stand? It is void the moment what it rests on no longer holds: an incident is open on the
line, a source of the model is gone, the line is in manual mode, or the plan asks something else than it did."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

import msgspec

from fusion.certificate.promise import Certificate, plan_mark, say_rate
from fusion.gate import GateJudge
from fusion.incidents import Incident
from fusion.judge import Judge
from fusion.labels import PartLabel
from fusion.watch import Judged
from ingest.messages import Instant
from ingest.plan.plan import Plan

GONE_AT = math.log(1e5)  # of the cumulated log-likelihood ratio: at most one false alarm in 100 000 parts (Lorden 1971)
BACK_AT = GONE_AT / 2.0
LEVEL_MAX = 2.0 * GONE_AT  # a source that is back is believed after some 150 parts, however long it was away
SHARE_MIN = 0.005  # a source that never missed in training may miss so often: then four in a row are an alarm
SHARE_MAX = 0.8  # a source that was hardly ever there is no evidence to rest on
WORDS = {
    "frozen": "a camera is frozen",
    "lens_dirt": "dirt on a lens",
    "camera_moved": "a camera moved",
    "false_alarms": "an eye flags more than it promised",
    "excess": "more defects or flags than expected",
    "shift": "a source moved and explains more flags than expected",
    "drift": "drift",
    "miscalibrated": "risks are not what labels say",
    "unlike_training": "parts are unlike those of training",
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one gate's certificate stands now. `since`: when it became void, where that is known. `why`: why it is void
    or cannot be given. `conflict`: why the plan's limits cannot both be held."""

    line_id: str
    gate_id: str
    standing: Literal["valid", "void", "cannot_certify"]
    promise: float | None
    asked: float
    confidence: float
    parts: int
    lots: int
    more_lots: int | None = None
    why: str = ""
    since: Instant | None = None
    conflict: str = ""

    def say(self) -> str:
        """One line for the end of a replay."""
        named = f"{self.line_id}/{self.gate_id}"
        if self.promise is None:
            return f"{named}: no escape rate is certified: {self.why}"
        promised = f"at most {say_rate(self.promise)} escapes of made parts ({self.parts} parts in {self.lots} lots)"
        return (
            f"{named}: certified: {promised}" if self.standing == "valid" else f"{named}: void: {self.why}; {promised}"
        )

    def told(self) -> dict[str, object]:
        """JSON for the heartbeat and the API."""
        since = self.since.isoformat() if self.since is not None else None
        return {**msgspec.structs.asdict(self), "since": since}


class _Absence(msgspec.Struct, array_like=True):
    """`level` of a CUSUM of one source's absence; `since`: event time of the first part of this run; `gone`: it is."""

    level: float
    since: int
    gone: bool


class SourceWatch:
    """Which sources of a model are gone: absent or unfit beyond what training had (Page 1954, Bernoulli CUSUM)."""

    def __init__(self) -> None:
        self._absent: dict[tuple[str, str, str], _Absence] = {}
        self._changed: dict[tuple[str, str, str], None] = {}

    def judged(self, judged: Judged) -> None:
        certificate = judged.gate.certificate if judged.gate is not None else None
        if certificate is None or not judged.first:
            return
        evidence, reading = judged.evidence, judged.judgement.reading
        usable = reading.row.usable if reading is not None else frozenset()
        for source, share in certificate.without.items():
            if share <= SHARE_MAX:
                key = (evidence.line_id, evidence.gate_id, source)
                self._count(key, source not in usable, max(share, SHARE_MIN), int(evidence.event_at))

    def _count(self, key: tuple[str, str, str], absent: bool, share: float, at: int) -> None:
        before = self._absent.get(key)
        if before is None and not absent:
            return
        worse = min(max(2.0 * share, share + 0.1), (1.0 + share) / 2.0)
        step = math.log(worse / share) if absent else math.log((1.0 - worse) / (1.0 - share))
        level = min((before.level if before else 0.0) + step, LEVEL_MAX)
        self._changed[key] = None
        if level <= 0.0:
            self._absent.pop(key, None)
            return
        gone = level > (BACK_AT if before is not None and before.gone else GONE_AT)
        self._absent[key] = _Absence(round(level, 6), before.since if before else at, gone)

    def gone(self, line_id: str, gate_id: str) -> list[tuple[str, int]]:
        """(source, since) of the sources of a gate that are gone."""
        return [
            (source, one.since)
            for (line, gate, source), one in sorted(self._absent.items())
            if (line, gate) == (line_id, gate_id) and one.gone
        ]

    def label(self, told: PartLabel) -> None:
        """Labels say nothing of sources."""

    def incidents(self) -> list[Incident]:
        """None of its own: a source that is gone voids a certificate, and parts without it are `cannot_tell`."""
        return []

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        """Changelog since the last call: (line_id, key, value), None for what is gone."""
        out: list[tuple[str, str, bytes | None]] = []
        for line_id, gate_id, source in self._changed:
            one = self._absent.get((line_id, gate_id, source))
            name = msgspec.json.encode([gate_id, source]).decode()
            out.append((line_id, name, msgspec.msgpack.encode(one) if one is not None else None))
        self._changed.clear()
        return out

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        """Put one changelog entry back; the last one of a key counts."""
        gate_id, source = msgspec.json.decode(key, type=tuple[str, str])
        if value is None:
            self._absent.pop((line_id, gate_id, source), None)
        else:
            self._absent[line_id, gate_id, source] = msgspec.msgpack.decode(value, type=_Absence)


def standings(
    plan: Plan,
    judge: Judge,
    line_ids: Collection[str],
    incidents: Sequence[Incident],
    sources: SourceWatch,
    mode_of: Callable[[str], str],
) -> list[Standing]:
    """How the certificate of every gate of these lines stands."""
    found = []
    for line in plan.lines:
        for gate in line.gates if line.line_id in line_ids else ():
            trained = judge.gate(line.line_id, gate.gate_id)
            if trained is None or trained.certificate is None:
                found.append(_without(plan, line.line_id, gate.gate_id, trained))
                continue
            doubts = list(_doubts(plan, trained.certificate, line.line_id, gate.gate_id, incidents, sources, mode_of))
            found.append(_stand(trained.certificate, line.line_id, gate.gate_id, doubts, trained.conflict))
    return found


def _doubts(
    plan: Plan,
    certificate: Certificate,
    line_id: str,
    gate_id: str,
    incidents: Sequence[Incident],
    sources: SourceWatch,
    mode_of: Callable[[str], str],
) -> Iterable[tuple[int | None, str]]:
    """(since, why) of each thing that voids a certificate."""
    if mode_of(line_id) == "manual":
        yield None, "the line is in manual mode"
    if plan_mark(plan, line_id, gate_id) != certificate.rests_on:
        yield None, "the plan says something else of this gate than in training; train again"
    for one in incidents:
        if one.line_id == line_id:
            named = one.cause or (f"camera {one.camera_id}" if one.camera_id else "")
            yield one.since, WORDS.get(one.incident, one.incident) + (f" ({named})" if named else "")
    for source, since in sources.gone(line_id, gate_id):
        yield since, f"{source} is missing or unfit more often than in training"


def _stand(
    certificate: Certificate, line_id: str, gate_id: str, doubts: Sequence[tuple[int | None, str]], conflict: str
) -> Standing:
    none = certificate.promise is None
    times = [since for since, _ in doubts if since is not None]
    return Standing(
        line_id=line_id,
        gate_id=gate_id,
        standing="cannot_certify" if none else "void" if doubts else "valid",
        promise=certificate.promise,
        asked=certificate.asked,
        confidence=certificate.confidence,
        parts=certificate.parts,
        lots=certificate.lots,
        more_lots=certificate.more_lots,
        why=certificate.why if none else "; ".join(why for _, why in doubts),
        since=Instant(min(times)) if times and not none else None,
        conflict=conflict,
    )


def _without(plan: Plan, line_id: str, gate_id: str, trained: GateJudge | None) -> Standing:
    why = "no model is ready." if trained is None else "the model was trained without enough labels, or before this."
    return Standing(
        line_id=line_id,
        gate_id=gate_id,
        standing="cannot_certify",
        promise=None,
        asked=plan.constraints.escape_rate_max,
        confidence=0.0,
        parts=0,
        lots=0,
        why=why,
        conflict=trained.conflict if trained is not None else "",
    )
