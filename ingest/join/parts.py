"""What is remembered of one part on one line: visits, findings, windows, and each gate's attempts.

Mutable working memory of the join (`assemble.py`), packed for the changelog and for parts that wait. Thousands of
these live at a time and are trees, never rings: `gc=False` keeps the collector from walking them in front of a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_origin

import msgspec
import numpy as np

from ingest.join.evidence import StationWindow
from ingest.messages import Findings, Instant, Visit, decode_hook


class VisitMemory(msgspec.Struct, gc=False):
    """One visit; `window` once reduced, `frozen` when no further sample can change it."""

    visit: Visit
    logged_at: int
    samples_at: int = 0
    window: StationWindow | None = None
    frozen: bool = False
    dirty: bool = True


class FindingsMemory(msgspec.Struct, gc=False):
    """Findings of one frame. `captured_at` is corrected by the camera's clock offset, `shift_ms`."""

    findings: Findings
    logged_at: int
    captured_at: float
    shift_ms: float = 0.0


class Attempt(msgspec.Struct, gc=False):
    """One attempt at a gate. Times are the log's. `opened_at` None: only named so far, `booked_at` is when it opens."""

    number: int
    booked_at: int | None = None
    opened_at: int | None = None
    due_at: int = 0
    missed: bool = False
    closed_at: int | None = None
    final: bool = False
    revision: int = 0
    digest: bytes = b""
    history: bytes = b""
    at_close: list[str] = []

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None and self.closed_at is None


class PartMemory(msgspec.Struct, gc=False):
    """One part on one line. `passed`: its last verdict was a pass; `entered`: its base risk is in the history;
    `unseen`: evidence came while nobody judged, which the owner who next judges must look at, whoever that is."""

    part_id: str
    line_id: str
    heard_at: int
    visits: list[VisitMemory] = []
    findings: list[FindingsMemory] = []
    named: list[tuple[str, float, int]] = []
    gates: dict[str, list[Attempt]] = {}
    passed: bool = False
    entered: bool = False
    unseen: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.line_id, self.part_id

    def visits_at(self, station_id: str) -> list[VisitMemory]:
        """Visits at a station, by start."""
        return [v for v in self.visits if v.visit.station_id == station_id]

    def attempts(self) -> Iterator[tuple[str, Attempt]]:
        for gate_id, attempts in self.gates.items():
            for attempt in attempts:
                yield gate_id, attempt


class Asleep(msgspec.Struct, frozen=True):
    """A part whose gates have all spoken their last word, packed."""

    heard_at: int
    body: bytes


def _pack_hook(value: Any) -> Any:
    if isinstance(value, Instant):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return value.astype(np.float32).tobytes()
    raise NotImplementedError(type(value))


def _unpack_hook(kind: Any, value: Any) -> Any:
    if get_origin(kind) is np.ndarray:
        return np.frombuffer(value, np.float32)
    return decode_hook(kind, value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_pack_hook)
_decoder = msgspec.msgpack.Decoder(PartMemory, dec_hook=_unpack_hook)


def pack_part(part: PartMemory) -> bytes:
    """A part as it stands in the changelog."""
    return _encoder.encode(part)


def unpack_part(body: bytes) -> PartMemory:
    """A part of the changelog, which another version may have written: what this one does not know is left out."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        known = _known(msgspec.msgpack.decode(body), msgspec.inspect.type_info(PartMemory))
        return msgspec.convert(known, PartMemory, dec_hook=_unpack_hook)


def _known(value: Any, kind: msgspec.inspect.Type) -> Any:
    """The value without fields that its structs have not: messages refuse these, as they must where they come in."""
    if isinstance(kind, msgspec.inspect.UnionType) and value is not None:
        return _known(value, kind.types[0])
    if isinstance(kind, msgspec.inspect.StructType):
        fields = {one.encode_name: one.type for one in kind.fields}
        return {name: _known(one, fields[name]) for name, one in value.items() if name in fields}
    if isinstance(kind, msgspec.inspect.ListType):
        return [_known(one, kind.item_type) for one in value]
    if isinstance(kind, msgspec.inspect.DictType):
        return {key: _known(one, kind.value_type) for key, one in value.items()}
    return value
