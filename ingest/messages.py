"""The messages of CONTRACT section 2 as frozen, typed values; parsed once, at the door (`ingest/decode/door.py`).

JSON bodies are msgspec structs whose field names are the wire's names. Times are `Instant`:
whole milliseconds since 1970 UTC inside, RFC 3339 with milliseconds on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.instant import Instant as Instant

FloatArray = npt.NDArray[np.float64]
CONCLUSIVE = ("defect", "ok")  # outcomes of a `Defect` that say what its part is; `unsure` says nothing


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Base of every JSON message: frozen, unknown keys refused."""


class Visit(Message, frozen=True, kw_only=True):
    """One part at one station (`qc.production`)."""

    part_id: str
    line_id: str
    station_id: str
    started_at: Instant
    ended_at: Instant
    batch_id: str
    product: str
    attributes: dict[str, str] = {}


class MarkBox(Message, frozen=True, kw_only=True):
    """A filled rectangle in pixels of the frame as it came."""

    x: int
    y: int
    width: int
    height: int


class Stroke(Message, frozen=True, kw_only=True):
    """A brush stroke: a line through its points, round at its ends, `width_px` wide, in pixels of the frame."""

    points: list[tuple[float, float]]
    width_px: float


class Mark(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Where a person saw a defect in a frame: one `box` or one `stroke`. `kind` "": the record's defect code."""

    camera_id: str
    frame_id: str
    kind: str = ""
    box: MarkBox | None = None
    stroke: Stroke | None = None


class Defect(Message, frozen=True, kw_only=True):
    """One defect record (`qc.defects`): what somebody found out about a part. Without marks or ids it has no such key.
    `record_id` (ours, optional): its sender's name for it. `undoes` (ours, optional): the `record_id` of a record of
    this part that it takes back; it says `unsure`, which is all that older readers see of it."""

    part_id: str
    line_id: str
    recorded_at: Instant
    source: Literal["inspector", "audit", "history", "customer", "challenge"]
    outcome: Literal["defect", "ok", "unsure"]
    defect_code: str = ""
    cause_code: str = ""
    recorded_by: str = ""
    comment: str = ""
    marks: list[Mark] | msgspec.UnsetType = msgspec.UNSET
    record_id: str | msgspec.UnsetType = msgspec.UNSET
    undoes: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def drawn(self) -> tuple[Mark, ...]:
        """The marks, each with its kind."""
        marks = () if self.marks is msgspec.UNSET else self.marks
        return tuple(mark if mark.kind else msgspec.structs.replace(mark, kind=self.defect_code) for mark in marks)

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes named, `;` separated on the wire, in the order given."""
        return tuple(c.strip() for c in self.cause_code.split(";") if c.strip())


class ModelName(Message, frozen=True, kw_only=True):
    name: str
    version: str
    sha256: str


class Fitness(Message, frozen=True, kw_only=True):
    """May this frame be trusted? `problems` names each way in which it may not (`blur`, `exposure` ...)."""

    ok: bool
    problems: list[str] = []
    blur: float | None = None
    exposure: float | None = None
    saturated: float | None = None
    measures: dict[str, float] = {}


class Box(Message, frozen=True, kw_only=True):
    """A region in pixels of the frame as it came."""

    x: int
    y: int
    width: int
    height: int
    score: float
    kind: str = ""


class Findings(Message, frozen=True, kw_only=True):
    """What vision saw in one frame (`qc.findings`). `score` is null when the frame could not be inspected.

    `product` (ours, optional): what the frame said of it. `scores` (ours, optional): of each of the eye's scorers, how
    far above a usual good frame, in units of good frames' spread; the score is made of them."""

    part_id: str
    line_id: str
    station_id: str
    camera_id: str
    frame_id: str
    captured_at: Instant
    inspected_at: Instant
    score: float | None
    threshold: float | None
    fitness: Fitness
    boxes: list[Box] = []
    fingerprint: str = ""
    frame_ref: str = ""
    heatmap_ref: str = ""
    model: ModelName | None = None
    product: str = ""
    scores: dict[str, float] = {}


class Order(Message, frozen=True, kw_only=True):
    """One order to the system (`qc.control`). `line_id` is `*` for every line."""

    order: Literal["mode"]
    mode: Literal["manual", "auto"]
    line_id: str
    by: str
    reason: str = ""
    at: Instant


class EvidenceSummary(Message, frozen=True, kw_only=True):
    """The `evidence` object of a verdict. Sources are named as in a gate's `needs`: `camera:C`, `sensors:S`.

    `clock` (ours, optional): the correction in ms applied to the clock of each source that was off.
    """

    complete: bool
    present: list[str]
    missing: list[str]
    late: list[str]
    unfit: list[str]
    clock: dict[str, float] = {}


class Cause(Message, frozen=True, kw_only=True):
    """A ranked, evidenced reason. `evidence` holds short sentences or references a person can check."""

    cause: str
    kind: Literal["attribute", "channel", "camera", "combination", "unknown"]
    station_id: str
    share: float
    evidence: list[str] = []


class Verdict(Message, frozen=True, kw_only=True):
    """The decision on one part at one gate, with its reasons (`qc.verdicts`).

    `remarks`: sentences that name what training never saw of the part: a value out of range, a combination of values, a
    new tool, another product."""

    verdict_id: str
    part_id: str
    line_id: str
    gate_id: str
    batch_id: str
    product: str
    attempt: int
    revision: int
    sequence: int
    decision: Literal["pass", "review", "cannot_tell"]
    risk: float | None
    risk_low: float | None
    risk_high: float | None
    threshold: float | None
    reasons: list[str]
    evidence: EvidenceSummary
    causes: list[Cause]
    model: ModelName | None
    plan_sha256: str
    mode: Literal["auto", "manual"]
    event_at: Instant
    decided_at: Instant
    latency_ms: float | None
    audit: bool
    evidence_ref: str = ""
    remarks: list[str] = []


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera frame (`qc.frames`): headers as fields, the encoded image as `body` (empty when `ref` is given).

    `product`: what the line was running, where the camera's controller says it."""

    part_id: str
    line_id: str
    camera_id: str
    captured_at: Instant
    content_type: str
    body: bytes = field(repr=False)
    station_id: str = ""
    frame_id: str = ""
    ref: str = ""
    product: str = ""


@dataclass(frozen=True, slots=True)
class SensorRecord:
    """Samples of one station (`qc.sensors`).

    `ts_ms`: float64[n], ms since 1970, ascending not required; `channels`: name -> float64[n], NaN where a sample
    is missing (`null`). Without `part_id` the samples belong to whichever visit of that station they fall in.
    """

    line_id: str
    station_id: str
    ts_ms: FloatArray
    channels: Mapping[str, FloatArray]
    part_id: str | None = None


LineMessage = Visit | SensorRecord | Findings | Defect  # what fusion reads; a frame reaches it only as findings


def decode_hook(kind: type, value: Any) -> Any:
    if kind is Instant:
        if not isinstance(value, str):
            raise ValueError("a time is a string in RFC 3339")
        return Instant.parse(value)
    raise NotImplementedError(kind)


def encode_hook(value: Any) -> Any:
    if isinstance(value, Instant):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(type(value))


_ENCODER = msgspec.json.Encoder(enc_hook=encode_hook)


def encode(message: msgspec.Struct) -> bytes:
    """The JSON body of a message, as it goes on the wire."""
    return _ENCODER.encode(message)


def json_decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    """A decoder of one message type; it raises msgspec's errors, which the door turns into `BadRecord`."""
    return msgspec.json.Decoder(kind, dec_hook=decode_hook)
