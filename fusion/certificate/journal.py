"""When certificates were void: the last spans of each gate, so that a report can tell what held during a batch."""

from __future__ import annotations

import msgspec

from fusion.certificate.standing import Standing
from fusion.incidents import Incident
from fusion.labels import PartLabel
from fusion.watch import Judged
from ingest.messages import Instant

SPANS_KEPT = 8  # of a gate: a heartbeat carries them, and must stay small
WHY_MAX = 80  # characters


class _Span(msgspec.Struct, array_like=True):
    """`until` 0: void still."""

    since: int
    until: int
    why: str


class VoidJournal:
    """Notes how certificates stand each time somebody looks; survives a takeover like any watch."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], list[_Span]] = {}
        self._changed: dict[tuple[str, str], None] = {}

    @property
    def changed(self) -> bool:
        """Is there something that the changelog does not have yet? It is noted between records, which may be long in
        coming."""
        return bool(self._changed)

    def note(self, standing: Standing, now: int) -> None:
        """How one gate's certificate stands at `now` (ms since 1970)."""
        key = (standing.line_id, standing.gate_id)
        spans = self._spans.get(key, [])
        is_open = bool(spans) and not spans[-1].until
        if is_open == (standing.standing == "void"):
            return
        if is_open:
            spans[-1].until = now
        else:
            since = int(standing.since) if standing.since is not None else now
            self._spans[key] = [*spans, _Span(since, 0, standing.why[:WHY_MAX])][-SPANS_KEPT:]
        self._changed[key] = None

    def told(self, line_id: str, gate_id: str, last: int = SPANS_KEPT) -> dict[str, object]:
        """JSON: `voids`, the last spans of a gate, the oldest first, `until` null while it lasts; `voids_cut`: there
        may have been others before them."""
        spans = self._spans.get((line_id, gate_id), [])
        shown = spans[-last:]
        voids = [
            {
                "since": Instant(one.since).isoformat(),
                "until": Instant(one.until).isoformat() if one.until else None,
                "why": one.why,
            }
            for one in shown
        ]
        return {"voids": voids, "voids_cut": len(spans) > len(shown) or len(spans) >= SPANS_KEPT}

    def judged(self, judged: Judged) -> None:
        """Verdicts are looked at by others."""

    def label(self, told: PartLabel) -> None:
        """So are labels."""

    def incidents(self) -> list[Incident]:
        """A void certificate follows from incidents; it is none."""
        return []

    def changes(self) -> list[tuple[str, str, bytes | None]]:
        """Changelog since the last call: (line_id, key, value)."""
        out = [(line, gate, msgspec.msgpack.encode(self._spans[line, gate])) for line, gate in self._changed]
        self._changed.clear()
        return list(out)

    def restore(self, line_id: str, key: str, value: bytes | None) -> None:
        """Put one changelog entry back; the last one of a key counts."""
        self._spans[line_id, key] = msgspec.msgpack.decode(value, type=list[_Span]) if value is not None else []
