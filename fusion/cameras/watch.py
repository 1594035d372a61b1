"""What only the camera's order shows: a frozen picture, dirt on the lens, a camera that moved, a promise not kept.

A fold over findings in the order of the log, the same live, in a replay and after a takeover. A frame that shows one of
the first three is made unfit before the join sees it: its part becomes `cannot_tell` with one incident that says why,
instead of a stream of false defects or, worse, of passes. Nothing here makes a frame fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from fusion.cameras.false_alarms import LOOK_PARTS
from fusion.cameras.moved import CONFIDENCE_MIN
from fusion.cameras.state import RECENT, CameraBook, CameraMemory, Seen
from fusion.cameras.words import say_dirt, say_false_alarms, say_frozen, say_moved
from fusion.incidents import Incident, IncidentKind
from fusion.labels import PartLabel
from ingest.join.changelog import SEPARATOR
from ingest.messages import Findings, ModelName
from ingest.plan.plan import Plan

FROZEN: Final = "frozen"
LENS_DIRT: Final = "lens_dirt"
CAMERA_MOVED: Final = "camera_moved"
FALSE_ALARMS: Final = "false_alarms"
PROBLEMS = (FROZEN, LENS_DIRT, CAMERA_MOVED)
FRESH_PARTS = 3  # in a row with pictures of their own before a camera no longer counts as frozen


class CameraWatch:
    """The cameras that the plan declares on the lines of one partition.

    `promise_of`: the share of good frames that the eye of these findings promised to flag at most.
    `counts`: incidents opened and closed, frames made unfit, findings that came late."""

    def __init__(self, plan: Plan, promise_of: Callable[[Findings], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._promise_of = promise_of
        self._books = {(line.line_id, c.camera_id): CameraBook() for line in plan.lines for c in line.cameras}

    def take(self, findings: Findings, earlier: Sequence[str] | None = None) -> Findings:
        """Findings as the join shall see them. `earlier`: the problems this frame was given when it came before."""
        book = self._books.get((findings.line_id, findings.camera_id))
        if book is None:
            return findings
        memory = book.memory
        known = memory.repeat(findings)
        if known is not None or earlier is not None:
            return self._amend(findings, known.problems if known is not None else earlier or [])
        book.changed = True
        if self._is_late(memory, findings):
            self.counts["camera_late"] += 1
            return self._amend(findings, _problems(memory, findings))
        if findings.model is not None and findings.model.sha256 != memory.eyes.get(findings.model.name):
            self._begin_with_eye(book, findings, findings.model)
        first = memory.is_new(findings.part_id)
        self._watch_frozen(memory, findings, first)
        if FROZEN not in _problems(memory, findings):  # the same picture again says nothing of this part
            self._watch_moved(memory, findings, first)
            self._watch_dirt(memory, findings, first)
            self._watch_promise(book, findings, first)
        problems = _problems(memory, findings)
        seen = Seen(findings.part_id, int(findings.captured_at), findings.fingerprint, problems)
        memory.recent = [*memory.recent, seen][-RECENT:]
        return self._amend(findings, problems)

    def label(self, told: PartLabel) -> None:
        """A person said what a part is, or took it back."""
        for (line_id, _), book in self._books.items():
            if line_id == told.line_id and book.ledger.label(told.part_id, told.outcome):
                book.memory.doubted = book.changed = True

    def incidents(self) -> list[Incident]:
        """What is open now, by line, camera and kind."""
        return [one for _, book in sorted(self._books.items()) for _, one in sorted(book.memory.incidents.items())]

    # -- state ---------------------------------------------------------------------------------------------------------

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        """(line, rest of the key, body) since the last call."""
        return [
            (line_id, f"{camera_id}{SEPARATOR}{key}", body)
            for (line_id, camera_id), book in self._books.items()
            for key, body in book.changes()
        ]

    def restore(self, line_id: str, rest: str, body: bytes | None) -> None:
        """Put one entry of the changelog back; of a camera that the plan no longer has, nothing."""
        camera_id, _, key = rest.partition(SEPARATOR)
        book = self._books.get((line_id, camera_id))
        if book is not None:
            book.restore(key, body)

    # -- one finding ---------------------------------------------------------------------------------------------------

    def _amend(self, findings: Findings, problems: Iterable[str]) -> Findings:
        more = sorted({*findings.fitness.problems, *problems})
        if more == sorted(findings.fitness.problems):
            return findings
        self.counts["camera_unfit"] += 1
        return msgspec.structs.replace(
            findings, fitness=msgspec.structs.replace(findings.fitness, ok=False, problems=more)
        )

    def _is_late(self, memory: CameraMemory, findings: Findings) -> bool:
        """Older than all of the recent frames, and not because the camera's clock was set back."""
        old = len(memory.recent) == RECENT and all(findings.captured_at < seen.captured_at for seen in memory.recent)
        memory.late = memory.late + 1 if old else 0
        if memory.late < RECENT:
            return old
        memory.late, memory.recent = 0, []
        return False

    def _begin_with_eye(self, book: CameraBook, findings: Findings, model: ModelName) -> None:
        """Another eye has another reference and another promise; dirt and a frozen picture stay what they are. One of
        another name is another product's and looks beside those there are: nothing begins anew with each change of
        product, and the loosest promise of them counts."""
        memory, fresh = book.memory, CameraMemory()
        promised = self._promise_of(findings)
        if memory.eyes and model.name not in memory.eyes:
            memory.eyes, memory.promised = memory.eyes | {model.name: model.sha256}, max(promised, memory.promised)
            return
        memory.eyes, memory.promised = {model.name: model.sha256}, promised
        memory.pose, memory.looks, memory.tally = fresh.pose, 0, None
        book.ledger.forget()
        self._settle(memory, CAMERA_MOVED, None)
        self._settle(memory, FALSE_ALARMS, None)

    def _watch_frozen(self, memory: CameraMemory, findings: Findings, first: bool) -> None:
        same = memory.same_picture(findings)
        if same:
            memory.fresh = 0
            known = memory.incidents.get(FROZEN) or _opened(findings, FROZEN, same[0].captured_at, [same[0].part_id])
            self._settle(memory, FROZEN, say_frozen(known.concerning(findings.part_id)))
        elif findings.fingerprint and first:
            memory.fresh += 1
            if memory.fresh >= FRESH_PARTS:
                self._settle(memory, FROZEN, None)

    def _watch_moved(self, memory: CameraMemory, findings: Findings, first: bool) -> None:
        measures, pose = findings.fitness.measures, memory.pose
        sure = measures.get("pose_confidence", 0.0) >= CONFIDENCE_MIN
        if first and sure and "shift_x" in measures and "shift_y" in measures:
            pose.step(measures["shift_x"], measures["shift_y"], int(findings.captured_at))
        if not pose.has_moved:
            self._settle(memory, CAMERA_MOVED, None)
            return
        known = memory.incidents.get(CAMERA_MOVED) or _opened(findings, CAMERA_MOVED, pose.since(), [])
        self._settle(memory, CAMERA_MOVED, say_moved(known.concerning(findings.part_id), pose))

    def _watch_dirt(self, memory: CameraMemory, findings: Findings, first: bool) -> None:
        usable = findings.fitness.ok and findings.score is not None
        if first and usable and not memory.pose.has_moved:  # a shifted part has odd places of its own
            memory.dirt.step(findings.part_id, int(findings.captured_at), findings.boxes)
        dirt = memory.dirt.dirt()
        if not dirt:
            self._settle(memory, LENS_DIRT, None)
            return
        oldest = min(dirt, key=lambda mark: mark.since)
        known = memory.incidents.get(LENS_DIRT)
        if known is None:
            known = _opened(findings, LENS_DIRT, oldest.since, oldest.parts, oldest.run)
        elif memory.dirt.explains(findings.boxes):
            known = known.concerning(findings.part_id)
        self._settle(memory, LENS_DIRT, say_dirt(known, dirt))

    def _watch_promise(self, book: CameraBook, findings: Findings, first: bool) -> None:
        """Frames in doubt are neither alarms nor right."""
        memory = book.memory
        if findings.score is None or findings.threshold is None or not findings.fitness.ok:
            return
        if _problems(memory, findings):
            return
        flagged = findings.score > findings.threshold
        book.ledger.enter(findings.part_id, flagged)
        memory.looks += first
        if first and memory.looks % LOOK_PARTS == 0:
            memory.tally = book.ledger.tally(memory.promised)
            if memory.doubted and not memory.tally.broken:  # what a withdrawn label opened, no other label keeps open
                self._settle(memory, FALSE_ALARMS, None)
            memory.doubted = False
        tally = memory.tally
        known = memory.incidents.get(FALSE_ALARMS)
        if tally is None or (known is None and not tally.broken) or tally.kept:
            self._settle(memory, FALSE_ALARMS, None)
            return
        known = known or _opened(findings, FALSE_ALARMS, int(findings.captured_at), [])
        concerned = known.concerning(findings.part_id) if flagged else known
        self._settle(memory, FALSE_ALARMS, say_false_alarms(concerned, tally))

    def _settle(self, memory: CameraMemory, kind: IncidentKind, incident: Incident | None) -> None:
        """Open, update or (None) close the one incident of a kind."""
        if incident is None:
            self.counts["incidents_closed"] += memory.incidents.pop(kind, None) is not None
            return
        self.counts["incidents_opened"] += kind not in memory.incidents
        memory.incidents[kind] = incident


def _opened(findings: Findings, kind: IncidentKind, since: int, parts: Sequence[str], count: int = 0) -> Incident:
    """A new incident; `count`: how many parts it concerns already, if more than are named."""
    incident = Incident(line_id=findings.line_id, camera_id=findings.camera_id, incident=kind, since=since)
    for part_id in (*parts, findings.part_id):
        incident = incident.concerning(part_id)
    return msgspec.structs.replace(incident, parts_count=max(count, incident.parts_count))


def _problems(memory: CameraMemory, findings: Findings) -> list[str]:
    """What the camera's order says against this frame; against one from before an incident, nothing."""
    moved = memory.incidents.get(CAMERA_MOVED)
    dirt = memory.incidents.get(LENS_DIRT)
    problems = []
    if moved is not None and findings.captured_at >= moved.since:
        problems.append(CAMERA_MOVED)
    if memory.same_picture(findings):
        problems.append(FROZEN)
    if dirt is not None and findings.captured_at >= dirt.since and memory.dirt.explains(findings.boxes):
        problems.append(LENS_DIRT)
    return problems
