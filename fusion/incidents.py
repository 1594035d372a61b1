"""What goes wrong with a camera, as one incident from its opening to its end."""

from __future__ import annotations

from typing import Literal

import msgspec

from ingest.messages import Instant

IncidentKind = Literal["frozen", "lens_dirt", "camera_moved", "false_alarms"]
PARTS_NAMED = 10  # of the parts concerned the latest are named, all are counted


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One open incident of one camera. `what`: a sentence for the person at the line. `measure`: figures behind it.

    `parts`: the latest parts concerned, PARTS_NAMED at most; `parts_count`: how many there were.
    """

    line_id: str
    camera_id: str
    incident: IncidentKind
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
            "since": Instant(self.since).isoformat(),
            "parts": list(self.parts),
            "parts_count": self.parts_count,
            "what": self.what,
            "measure": dict(self.measure),
        }
