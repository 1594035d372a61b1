"""One partition's fold: messages in, verdicts out, and what changed in its state; the same live and in a replay."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from fusion.calibration.watch import RecalibrationWatch
from fusion.cameras.promises import Promises
from fusion.cameras.watch import PROBLEMS, CameraWatch
from fusion.capacity import CapacityWatch
from fusion.certificate.journal import VoidJournal
from fusion.certificate.standing import SourceWatch, Standing, standings
from fusion.drift.watch import DriftWatch
from fusion.history import HistoryView
from fusion.incidents import Incident
from fusion.judge import Judge, Judgement
from fusion.labels import LabelBook
from fusion.paced_history import PacedHistory
from fusion.scan.watch import ScanWatch, told_once
from fusion.watch import Judged, Watch
from ingest.blobs import blob_name
from ingest.join.assemble import Assembler
from ingest.join.changelog import SEPARATOR, changes, finish, restore, state_key
from ingest.join.gates import Closing
from ingest.messages import Defect, EvidenceSummary, Findings, Instant, SensorRecord, Verdict, Visit, encode
from ingest.plan.plan import Plan
from ingest.settings import Settings

Mode = Literal["auto", "manual"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict, with the exhibit its `evidence_ref` points to."""

    verdict: Verdict
    exhibit: bytes


class Partition:
    """The lines of one partition. `mode_of`: the mode ordered for a line; `now`: log's time of a closing -> the time
    of deciding (the wall clock live, the recorded clock plus the work done in a replay)."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        judge: Judge,
        live: bool,
        mode_of: Callable[[str], Mode],
        now: Callable[[int], int],
    ) -> None:
        self.plan = plan
        self.judge = judge
        self.join = Assembler(plan, settings, live)
        self.sequences: dict[tuple[str, str], int] = {}
        self.histories: dict[str, PacedHistory] = {}
        self.labels = LabelBook()
        self.cameras = CameraWatch(plan, Promises(Path(settings.shelf)).of)
        self.late: Counter[str] = Counter()  # line -> verdicts later than the plan allows after their gate closed
        self.sources, self.capacity, self.voids = SourceWatch(), CapacityWatch(plan), VoidJournal()
        self.calibration, self.scan, self.drift = RecalibrationWatch(plan), ScanWatch(plan), DriftWatch()
        self.watches: dict[str, Watch] = {  # by the kind of their records in `qc.state`
            "drift": self.drift, "sources": self.sources, "capacity": self.capacity, "voids": self.voids,
            "calibration": self.calibration, "scan": self.scan,
        }  # fmt: skip
        self._mode_of = mode_of
        self._now = now
        self._sequences_changed: set[tuple[str, str]] = set()

    def take(
        self, message: Visit | SensorRecord | Findings | Defect, logged_at: int, read_at: int | None = None
    ) -> list[Ruling]:
        """One message in the order of the log; the verdicts that follow from it."""
        if isinstance(message, Defect):
            rulings = self.advance(logged_at - 1)
            self._label(message, logged_at)
            return rulings
        if isinstance(message, Findings):
            message = self.cameras.take(message, self._earlier_problems(message))
        return self._rule_all(self.join.take(message, logged_at, read_at))

    def _label(self, defect: Defect, logged_at: int) -> None:
        told = self.labels.take(defect, logged_at)
        if told is None:
            return
        self.history(told.line_id).label(told)
        self.cameras.label(told)
        for watch in self.watches.values():
            watch.label(told)

    def _earlier_problems(self, findings: Findings) -> list[str] | None:
        """What was held against the same frame when it came before: a repeat is as unfit as it was. None: no repeat."""
        part = self.join.memory.known((findings.line_id, findings.part_id))
        for kept in part.findings if part is not None else ():
            same = kept.findings
            if (same.camera_id, same.captured_at) == (findings.camera_id, findings.captured_at):
                return [problem for problem in same.fitness.problems if problem in PROBLEMS]
        return None

    def advance(self, now: int) -> list[Ruling]:
        """The verdicts of the timers due by `now`."""
        return self._rule_all(self.join.advance(now))

    def hold(self, now: int) -> None:
        """Absorb without judging until `resume`: the partition was taken over and has its input still to read."""
        self.join.gates.hold(now)

    def resume(self, now: int) -> list[Ruling]:
        return self._rule_all(self.join.resume(now))

    def next_due(self) -> int | None:
        return self.join.next_due()

    # -- one verdict ---------------------------------------------------------------------------------------------------

    def _rule_all(self, closings: list[Closing]) -> list[Ruling]:
        return [ruling for closing in closings if (ruling := self._rule(closing)) is not None]

    def _rule(self, closing: Closing) -> Ruling | None:
        """Judge one closing. None: a later look at the same part that changes nothing."""
        evidence = closing.evidence
        history = self.history(evidence.line_id)
        view = self._view(closing, history)
        mode = self._mode_of(evidence.line_id)
        judgement = self.judge.judge(evidence, view, mode, closing.missed)
        summary = EvidenceSummary(
            complete=evidence.complete, present=list(evidence.present), missing=list(evidence.missing),
            late=list(evidence.late), unfit=list(evidence.unfit), clock=dict(evidence.clock),
        )  # fmt: skip
        digest = _digest(judgement, summary)
        if not closing.first and digest == closing.attempt.digest:
            return None
        if not closing.part.entered:
            closing.part.entered = True
            history.enter(evidence, judgement.base_risk)
        elif not closing.first:
            history.amend(evidence, judgement.base_risk)
        revision = self.join.published(closing, digest, judgement.decision == "pass")
        gate = self.judge.gate(evidence.line_id, evidence.gate_id)
        for watch in self.watches.values():
            watch.judged(Judged(evidence, judgement, gate, closing.first, Instant(closing.at)))
        return self._verdict(closing, judgement, summary, revision, mode)

    def _view(self, closing: Closing, history: PacedHistory) -> HistoryView:
        """What history said at this attempt's first look: a revision uses the same."""
        if closing.attempt.history:
            return msgspec.json.decode(closing.attempt.history, type=HistoryView)
        evidence = closing.evidence
        view = history.view(evidence)
        gate = self.judge.gate(evidence.line_id, evidence.gate_id)
        if gate is not None:
            told = self.calibration.at(evidence.line_id, evidence.gate_id, gate.model, int(evidence.event_at))
            view = msgspec.structs.replace(view, recalibration=told)
        blamed = self.scan.blamed_at(evidence.line_id, evidence.event_at, self.judge)
        hold_below = self.capacity.hold_below(evidence.line_id, evidence.event_at)
        view = msgspec.structs.replace(view, blamed=tuple(blamed), hold_below=hold_below)
        closing.attempt.history = msgspec.json.encode(view)
        return view

    def _verdict(
        self, closing: Closing, judgement: Judgement, summary: EvidenceSummary, revision: int, mode: Mode
    ) -> Ruling:
        evidence = closing.evidence
        gate = (evidence.line_id, evidence.gate_id)
        self.sequences[gate] = self.sequences.get(gate, 0) + 1
        self._sequences_changed.add(gate)
        identity = f"{evidence.line_id}/{evidence.gate_id}/{evidence.part_id}/{evidence.attempt}/{revision}"
        decided_at = self._now(closing.at)
        self.late[evidence.line_id] += decided_at - closing.at > self.plan.constraints.latency_ms_max
        verdict = Verdict(
            verdict_id=identity, part_id=evidence.part_id, line_id=evidence.line_id, gate_id=evidence.gate_id,
            batch_id=evidence.batch_id, product=evidence.product, attempt=evidence.attempt, revision=revision,
            sequence=self.sequences[gate], decision=judgement.decision, risk=judgement.risk,
            risk_low=judgement.risk_low, risk_high=judgement.risk_high, threshold=judgement.threshold,
            reasons=judgement.reasons if closing.first else _corrected(judgement.reasons, revision),
            evidence=summary, causes=judgement.causes, model=judgement.model, plan_sha256=self.plan.sha256, mode=mode,
            event_at=evidence.event_at, decided_at=Instant(decided_at),
            latency_ms=float(max(0, decided_at - evidence.newest_at)), audit=judgement.audit,
            evidence_ref=_exhibit_name(identity, judgement.blob), remarks=judgement.remarks,
        )  # fmt: skip
        return Ruling(verdict, judgement.blob)

    def incidents(self) -> list[Incident]:
        """What is going wrong now on the lines of this partition, the oldest first."""
        watched = [one for watch in self.watches.values() for one in watch.incidents()]
        return sorted(told_once([*self.cameras.incidents(), *watched]), key=lambda one: one.since)

    def certificates(self, line_ids: Collection[str]) -> list[Standing]:
        """How the certificates of these lines' gates stand now."""
        return standings(self.plan, self.judge, line_ids, self.incidents(), self.sources, self._mode_of)

    def certificates_told(self, line_ids: Collection[str], now: int, last: int) -> list[dict[str, object]]:
        """The same as JSON, with the `last` spans in which each was void; noted as looked at `now`."""
        told: list[dict[str, object]] = []
        for one in self.certificates(line_ids):
            self.voids.note(one, now)
            told.append({**one.told(), **self.voids.told(one.line_id, one.gate_id, last)})
        return told

    def history(self, line_id: str) -> PacedHistory:
        """The history of a line; a new one begins with what training saw."""
        history = self.histories.get(line_id)
        if history is None:
            history = self.histories[line_id] = PacedHistory(self.plan, line_id)
            history.seed(self.judge.history_seed(line_id))
        return history

    # -- state ---------------------------------------------------------------------------------------------------------

    def changes(self) -> list[tuple[str, bytes | None]]:
        """Records for `qc.state` since the last call: (key, body), None for what is gone."""
        out = changes(self.join)
        for line_id, history in self.histories.items():
            out += [(state_key(line_id, "history", key), body) for key, body in history.changes()]
        out += [(state_key(line_id, "label", part_id), body) for line_id, part_id, body in self.labels.changes()]
        out += [(state_key(line_id, "camera", rest), body) for line_id, rest, body in self.cameras.changes()]
        for kind, watch in self.watches.items():
            out += [(state_key(line_id, kind, rest), body) for line_id, rest, body in watch.changes()]
        for line_id, gate_id in sorted(self._sequences_changed):
            out.append((state_key(line_id, "sequence", gate_id), str(self.sequences[(line_id, gate_id)]).encode()))
        self._sequences_changed.clear()
        return out

    def restore(self, records: list[tuple[str, bytes | None]]) -> None:
        """Put the whole changelog back, in the order of the log."""
        for key, body in records:
            if restore(self.join, key, body):
                continue
            line_id, kind, rest = key.split(SEPARATOR, 2)
            if kind == "history":
                self.histories.setdefault(line_id, PacedHistory(self.plan, line_id)).restore(rest, body)
            elif kind == "label":
                self.labels.restore(line_id, rest, body)
            elif kind == "camera":
                self.cameras.restore(line_id, rest, body)
            elif kind in self.watches:
                self.watches[kind].restore(line_id, rest, body)
            elif kind == "sequence" and body is not None:
                self.sequences[(line_id, rest)] = int(body)
        finish(self.join)


def _digest(judgement: Judgement, summary: EvidenceSummary) -> bytes:
    """What makes a verdict differ from the one before: decision, risk, causes, evidence (CONTRACT section 2)."""
    causes = b"".join(encode(cause) for cause in judgement.causes)
    said = f"{judgement.decision} {judgement.risk} {','.join(judgement.reasons)}".encode()
    return hashlib.blake2b(said + causes + encode(summary), digest_size=12).digest()


def _exhibit_name(identity: str, exhibit: bytes) -> str:
    """Other content has another name: what an owner was still writing when it lost the partition spoils nothing that
    the next one has written of the same verdict."""
    return blob_name("evidence", f"{identity}/{hashlib.blake2b(exhibit, digest_size=12).hexdigest()}", ".json")


def _corrected(reasons: list[str], revision: int) -> list[str]:
    return [*reasons, "corrected"] if revision > 1 and "corrected" not in reasons else reasons
