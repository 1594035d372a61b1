"""What the store takes and gives, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingest.messages import Defect, Findings, Instant, Mark, Order, Verdict, Visit


class Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """How a decision was made. `verdict_id`: the revision on the screen, with its `model`, `risk` and `threshold`;
    `risk_shown`: were risk and causes on the screen too; `took_ms`: from the page's appearance to the key. None: not
    known. `plan_sha256`: of the plan whose shares held; `blind`: risk and causes were left out by the draw; `final`: of
    somebody whose word settles what two others disagree about; `unaware`: what others had found was not shown;
    `seeded`: an exercise on a part whose truth is known; `also`: (gate, attempt) of other cases of the part that the
    same decision settles; `with_gate`: of such a case, the gate at which the decision was made."""

    verdict_id: str = ""
    model: str = ""
    threshold: float | None = None
    risk_shown: bool | None = None
    took_ms: int | None = None
    risk: float | None = None
    plan_sha256: str = ""
    blind: bool = False
    final: bool = False
    unaware: bool = False
    seeded: bool = False
    also: tuple[tuple[str, int], ...] = ()
    with_gate: str = ""

    def model_said(self) -> str:
        """What the model said of the part: `defect` or `ok`; "" where none spoke."""
        if self.risk is None or self.threshold is None:
            return ""
        return "defect" if self.risk >= self.threshold else "ok"


NOT_KNOWN = Made()


@dataclass(frozen=True, slots=True)
class Review:
    """What an inspector decided about one case, and about those of `made.also`. Travels as the header `review` of its
    record on `qc.defects`.

    `undoes`: the review that this one takes back; its case is as if that had never been."""

    review_id: str
    gate_id: str
    attempt: int
    defect: Defect
    made: Made = NOT_KNOWN
    undoes: str = ""


@dataclass(frozen=True, slots=True)
class LoggedOrder:
    """One order with its place on the log: the newest order that names a line, or every line, holds."""

    partition: int
    offset: int
    logged_at: Instant
    order: Order


@dataclass(frozen=True, slots=True)
class Harvest:
    """What one read of the log brought, with the offsets it moved: (topic, partition) -> (was, is now)."""

    verdicts: tuple[tuple[Verdict, str], ...] = ()  # with the body as it stood on the log
    visits: tuple[Visit, ...] = ()
    findings: tuple[Findings, ...] = ()
    defects: tuple[Defect, ...] = ()
    reviews: tuple[Review, ...] = ()
    orders: tuple[LoggedOrder, ...] = ()
    offsets: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a harvest changed: new verdicts, and repeats that were left out."""

    verdicts: int
    repeats: int


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """One verdict record of the store. `row_id` counts verdict records in the order they were collected."""

    row_id: int
    decision: str
    revision: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """The state of one (line, gate, part, attempt). `blind`: drawn to be shown without what the model says;
    `people_wanted`: to how many people it is shown, of whom `people_said` have said defect or ok; `urgency`,
    `moves_on_at`, `pressing`: its rank in the queue (api/urgency.py); `cameras` its verdict names: `|side|top|`."""

    line_id: str
    gate_id: str
    part_id: str
    attempt: int
    row_id: int
    revision: int
    batch_id: str
    product: str
    decision: str
    risk: float | None
    event_at: Instant
    state: str
    outcome: str | None
    urgency: float = 1.0
    blind: bool = False
    people_wanted: int = 1
    people_said: int = 0
    moves_on_at: Instant | None = None
    pressing: float | None = None
    cameras: str = ""


@dataclass(frozen=True, slots=True)
class PartRecord:
    """All the store knows of one part. Bodies are JSON as it stood on the log; verdicts last revision first."""

    verdicts: tuple[StoredVerdict, ...]
    cases: tuple[Case, ...]
    visits: tuple[Visit, ...]
    findings: tuple[Findings, ...]
    defects: tuple[Defect, ...]
    reviews: tuple[Review, ...]


@dataclass(frozen=True, slots=True)
class VerdictFilter:
    """Which verdicts a list shows; empty means any. `state` open|done looks at last revisions only."""

    decision: tuple[str, ...] = ()
    line_id: str = ""
    batch_id: str = ""
    product: str = ""
    cause: str = ""
    since: Instant | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class BatchCount:
    """One batch in figures: parts with a visit, parts with a verdict, last decisions, cases still open."""

    batch_id: str
    product: str
    parts_made: int
    parts_judged: int
    passed: int
    review: int
    cannot_tell: int
    open_cases: int
    last_event_at: Instant
    last_row: int


@dataclass(frozen=True, slots=True)
class MarkPlace:
    """A place in the list of marks, newest record first."""

    recorded_at: int
    record_sha256: str
    place: int


@dataclass(frozen=True, slots=True)
class StoredMark:
    """One mark with the record it came with. `mark.kind` is never left to the record's code here."""

    part_id: str
    line_id: str
    recorded_at: Instant
    recorded_by: str
    mark: Mark
    stands: MarkPlace


@dataclass(frozen=True, slots=True)
class MarkCount:
    """How many marks of one kind there are on one camera, and on how many parts."""

    camera_id: str
    kind: str
    marks: int
    parts: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail: who did what to what, and when."""

    at: Instant
    by: str
    role: str
    action: str
    subject: str
    detail: str
    audit_id: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asking. `must_change`: may do nothing before the one-time password is changed; `language`: a tag, empty
    where the browser's is good; `group`: as the account says; `csrf`: what forms and scripts of the session send."""

    name: str
    role: str
    must_change: bool = False
    language: str = ""
    group: str = ""
    csrf: str = field(default="", repr=False)


def read_visit(row: Any) -> Visit:
    """A visit from its row of the table `visits`."""
    return Visit(
        part_id=row.part_id,
        line_id=row.line_id,
        station_id=row.station_id,
        started_at=Instant(row.started_at),
        ended_at=Instant(row.ended_at),
        batch_id=row.batch_id,
        product=row.product,
        attributes=msgspec.json.decode(row.attributes, type=dict[str, str]),
    )
