"""What is remembered of one camera, and its way into `qc.state` and back."""

from __future__ import annotations

import msgspec

from fusion.cameras.false_alarms import Ledger, Tally
from fusion.cameras.lens_dirt import LensDirt
from fusion.cameras.moved import CameraPose
from fusion.cameras.promises import USUAL_PROMISE
from fusion.incidents import Incident
from ingest.messages import Findings

RECENT = 32  # frames: more than arrive out of order from eyes that work side by side


class Seen(msgspec.Struct, array_like=True, frozen=True):
    """A frame that was taken in, with the problems it was given then: a repeat gets the same."""

    part_id: str
    captured_at: int
    fingerprint: str
    problems: list[str]


class CameraMemory(msgspec.Struct):
    """One camera. `eyes`: hash of each eye that looks, by name; `fresh`: parts in a row with a picture of their own.

    `late`: frames in a row older than all recent ones; `looks`: parts the eye looked at; `tally`: what the latest test
    of its promise saw; `doubted`: a label was withdrawn since."""

    recent: list[Seen] = []
    eyes: dict[str, str] = {}
    promised: float = USUAL_PROMISE
    dirt: LensDirt = msgspec.field(default_factory=LensDirt)
    pose: CameraPose = msgspec.field(default_factory=CameraPose)
    fresh: int = 0
    late: int = 0
    looks: int = 0
    tally: Tally | None = None
    doubted: bool = False
    incidents: dict[str, Incident] = {}

    def repeat(self, findings: Findings) -> Seen | None:
        """The same part and time of this camera, if it was taken in lately."""
        at = int(findings.captured_at)
        return next((s for s in self.recent if s.captured_at == at and s.part_id == findings.part_id), None)

    def is_new(self, part_id: str) -> bool:
        return all(seen.part_id != part_id for seen in self.recent)

    def same_picture(self, findings: Findings) -> list[Seen]:
        """Recent frames of other parts that are the same picture; any of them, for a buffer that runs in a circle."""
        if not findings.fingerprint:
            return []
        mine = findings.part_id, findings.fingerprint
        return [seen for seen in self.recent if seen.fingerprint == mine[1] and seen.part_id != mine[0]]


class CameraBook:
    """The memory of one camera with its ledger, whether it changed, and its changelog."""

    def __init__(self) -> None:
        self.memory = CameraMemory()
        self.ledger = Ledger()
        self.changed = False

    def changes(self) -> list[tuple[str, bytes | None]]:
        """(key, body) since the last call: the memory has the empty key, each part of the ledger its own."""
        out: list[tuple[str, bytes | None]] = [(part_id, body) for part_id, body in self.ledger.changes()]
        if self.changed:
            out.append(("", _PACK.encode(self.memory)))
            self.changed = False
        return out

    def restore(self, key: str, body: bytes | None) -> None:
        if key:
            self.ledger.restore(key, body)
        elif body is not None:
            self.memory = _UNPACK.decode(body)


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(CameraMemory)
