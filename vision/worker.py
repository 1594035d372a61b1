"""The role that looks: frames in, findings out. Keeps no memory from frame to frame, so workers are added freely."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ingest.blobs import Blobs
from ingest.decode.door import Door
from ingest.errors import BadRecord
from ingest.letters import dead_letter
from ingest.log.opening import open_log
from ingest.log.seam import Batch, Member, Outgoing, Record
from ingest.messages import Frame, Instant, encode
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from ingest.role import Role, ShelfWatch, wall_ms
from ingest.settings import Settings
from vision.inspect import Eyes
from vision.keep import fetch, keep_pictures

CYCLE_FRAMES = 16  # frames of one transaction: a frame waits for at most so many others before its findings go out
WAIT_S = 0.1


@dataclass(frozen=True, slots=True)
class _Seen:
    """What became of one frame record: findings (if a part could be told) and perhaps a dead letter."""

    findings: Outgoing | None
    letter: Outgoing | None
    misses_product: bool = False


def _batch(seen: list[tuple[Record, _Seen]]) -> Batch:
    """What goes out for the records of one lane, and the offset behind the last of them."""
    out = [letter for _, one in seen for letter in (one.findings, one.letter) if letter is not None]
    last = seen[-1][0]
    return out, {last.topic: last.offset + 1}


class VisionWorker:
    """Inspects the frames of the lanes it owns; findings, dead letters and offsets go out in one transaction."""

    def __init__(self, plan: Plan, settings: Settings, eyes: Eyes) -> None:
        self.settings = settings
        self.eyes = eyes
        self.counts: Counter[str] = Counter()
        self._door = Door(settings, plan)
        self._blobs = Blobs(settings.blobs)

    def cycle(self, member: Member, pool: ThreadPoolExecutor) -> None:
        """One round: look at what there is, and commit it. Raises LogUnavailable; what was not committed is looked at
        again, by whoever has its lane then."""
        records = member.poll(WAIT_S, CYCLE_FRAMES)
        seen = list(pool.map(self.see, records))
        by_lane: dict[int, list[tuple[Record, _Seen]]] = defaultdict(list)
        for record, one in zip(records, seen, strict=True):
            by_lane[record.partition].append((record, one))
        fenced = member.commit_lanes({partition: _batch(looked_at) for partition, looked_at in by_lane.items()})
        self.counts["fenced"] += len(fenced)
        self.counts["frames"] += sum(record.partition not in fenced for record in records)
        self.counts["dead_letters"] += sum(one.letter is not None for one in seen)
        self.counts["without_product"] += sum(one.misses_product for one in seen)

    def see(self, record: Record) -> _Seen:
        """Inspect one frame record. Pure but for the pictures it keeps."""
        topic = self.settings.topic("deadletter")
        try:
            frame = self._door.decode("frames", record)
            assert isinstance(frame, Frame)
            body = fetch(frame, self._blobs)
        except BadRecord as trouble:
            return _Seen(None, dead_letter(record, trouble, topic, wall_ms()))
        look = self.eyes.inspect(dataclasses.replace(frame, body=body), Instant(wall_ms()))
        findings = keep_pictures(self._blobs, frame, look)
        out = Outgoing(self.settings.topic("findings"), findings.line_id.encode(), encode(findings))
        letter = dead_letter(record, look.trouble, topic, wall_ms()) if look.trouble else None
        return _Seen(out, letter, self.eyes.misses_product(frame))


def run(settings: Settings) -> None:
    """Look until told to stop. Raises LogUnavailable when the log stays away; nothing is then committed."""
    plan = load_plan(Path(settings.plan))
    cameras = [camera.camera_id for line in plan.lines for camera in line.cameras]
    shelf = Path(settings.shelf)
    worker = VisionWorker(plan, settings, Eyes.open(shelf, cameras, settings.image_pixels_max))
    watch = ShelfWatch(shelf, "vision-*")
    log = open_log(settings)
    member = log.member("vision", [settings.topic("frames")])

    def told() -> dict[str, object]:
        return {"partitions": sorted(member.lanes()), "counts": dict(worker.counts)}

    with Role("vision", settings.home) as role, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            while not role.stopping:
                worker.cycle(member, pool)
                if role.beat(told) and watch.changed():
                    worker.eyes = Eyes.open(shelf, cameras, settings.image_pixels_max)
        finally:
            member.close()
            log.close()
