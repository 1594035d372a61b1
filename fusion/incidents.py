"""What goes wrong, as one incident from its opening to its end: of a camera, of a channel, of a tool or a lot."""

from __future__ import annotations

from typing import Literal

import msgspec

from ingest.messages import Instant

IncidentKind = Literal[
    "frozen", "lens_dirt", "camera_moved", "false_alarms",  # a camera's order (`fusion/cameras/watch.py`)
    "excess",  # more defects or flags than expected from a level, a pair of levels, or all
    "shift",  # a channel or a camera moved, and that explains more flags than expected
    "drift", "miscalibrated", "unlike_training",  # what models see is no longer what they learned from
]  # fmt: skip
PARTS_NAMED = 10  # of the parts concerned the latest are named, all are counted


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One open incident of a line. `what`: a sentence for the person at the line. `measure`: figures behind it.

    `camera_id`: of a camera's incident, else ""; `cause`: in CONTRACT's words (`tool_id=T7`, `OP20.torque_nm`), ""
    where the incident names none; `parts`: the latest parts concerned, PARTS_NAMED at most; `parts_count`: how many.
    """

    line_id: str
    incident: IncidentKind
    camera_id: str = ""
    cause: str = ""
    since: int
    parts: list[str] = []
    parts_count: int = 0
    what: str = ""
    measure: dict[str, float] = {}

    def concerning(self, part_id: str) -> Incident:
        """The same incident, one part on."""
        if part_id in self.parts:
            return self
        named = [*self.parts, part_id][-PARTS_NAMED:]
        return msgspec.structs.replace(self, parts=named, parts_count=self.parts_count + 1)

    def told(self) -> dict[str, object]:
        """JSON for the heartbeat and `/api/incidents`."""
        return {
            "camera_id": self.camera_id,
            "line_id": self.line_id,
            "incident": self.incident,
            "cause": self.cause,
            "since": Instant(self.since).isoformat(),
            "parts": list(self.parts),
            "parts_count": self.parts_count,
            "what": self.what,
            "measure": dict(self.measure),
        }
