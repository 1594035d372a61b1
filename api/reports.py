"""The batch report: can this batch ship, and what is known about it. One value, three formats."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from api.certificates import NO_STANDINGS, Promise, Standings, promises_of, standings_now
from api.http.views import read_verdict
from api.screens.pages import render
from api.store.database import migrate
from api.store.read import StoreReader
from api.store.rows import Case, Review
from api.wording.reader import reading, say, usual_reader
from fusion.labels import standing
from ingest.errors import BadInput
from ingest.messages import Defect, Instant, Verdict, encode
from ingest.settings import Settings

MISSING_SHOWN_MAX = 200  # parts named one by one; their number is always told in full


class Counted(msgspec.Struct, frozen=True):
    """How many parts something is true of."""

    name: str
    parts: int


class Escape(msgspec.Struct, frozen=True):
    """A part that passed and was found defective afterwards."""

    part_id: str
    source: str
    defect_code: str
    cause_code: str
    recorded_at: Instant


class PartLine(msgspec.Struct, frozen=True):
    """The last verdict of one part at one gate, and what a person said."""

    part_id: str
    gate_id: str
    attempt: int
    revision: int
    decision: str
    risk: float | None
    reasons: list[str]
    cause: str
    missing: list[str]
    state: str
    outcome: str
    event_at: Instant


class BatchReport(msgspec.Struct, frozen=True):
    """All that the report says. `open_points`: what stands against shipping, in sentences; empty: nothing does.
    `promises`: the escape certificates of the batch's gates; `late`: verdicts later than the plan allows
    although all evidence was there (what waits for its deadline is late by the plan's own word)."""

    batch_id: str
    products: list[str]
    made_at: Instant
    parts_made: int
    parts_judged: int
    parts_without_verdict: list[str]
    open_points: list[str]
    decisions: dict[str, int]
    reviews: dict[str, int]
    open_cases: int
    defective_found: int
    escapes: list[Escape]
    causes: list[Counted]
    reasons: list[Counted]
    evidence_missing: list[Counted]
    evidence_unfit: list[Counted]
    models: list[Counted]
    plans: list[Counted]
    manual_mode: int
    lines: list[PartLine]
    promises: list[Promise] = []
    late: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """What the store has of one batch."""

    booked: frozenset[str]
    cases: tuple[Case, ...]
    verdicts: Mapping[int, Verdict]
    reviews: tuple[Review, ...]
    defects: tuple[Defect, ...]


def render_batch(settings: Settings, batch_id: str, report_format: str) -> bytes:
    """The report of one batch as html, json or csv. Raises BadInput when no such batch is known."""
    migrate(settings.store)
    store = StoreReader(settings.store)
    try:
        with reading(usual_reader(settings)):
            now = Instant(time.time() * 1000)
            report = report_batch(store, batch_id, now, standings_now(settings, now))
            if report is None:
                raise BadInput(f"{batch_id}: no part of such a batch has been collected in {settings.store}")
            return format_report(report, report_format)
    finally:
        store.close()


def format_report(report: BatchReport, report_format: str) -> bytes:
    """html, json or csv."""
    if report_format == "json":
        return encode(report)
    if report_format == "csv":
        return _as_csv(report)
    return render("report.html", report=report).encode()


def report_batch(
    reader: StoreReader, batch_id: str, made_at: Instant, standings: Standings = NO_STANDINGS
) -> BatchReport | None:
    """Fold the store's records of a batch; None when there is none."""
    found = _Found(
        booked=frozenset(reader.batch_visits(batch_id)),
        cases=tuple(reader.batch_cases(batch_id)),
        verdicts={stored.row_id: read_verdict(stored) for stored in reader.batch_verdicts(batch_id)},
        reviews=_that_stand(reader.batch_reviews(batch_id)),
        defects=tuple(standing(reader.batch_defects(batch_id), lambda record: record)),
    )
    return _fold(batch_id, found, made_at, standings) if found.booked or found.cases else None


def _that_stand(reviews: Sequence[Review]) -> tuple[Review, ...]:
    """What was taken back was never said, nor was that it is."""
    undone = {review.undoes for review in reviews}
    own = (review for review in reviews if not review.undoes and not review.made.with_gate)
    return tuple(review for review in own if review.review_id not in undone)


def _fold(batch_id: str, found: _Found, made_at: Instant, standings: Standings) -> BatchReport:
    verdicts = [found.verdicts[case.row_id] for case in found.cases]
    judged = {case.part_id for case in found.cases}
    unjudged = sorted(found.booked - judged)
    escapes = _escapes(found)
    open_cases = sum(case.state == "open" for case in found.cases)
    flagged = [verdict for verdict in verdicts if verdict.decision != "pass"]
    return BatchReport(
        batch_id=batch_id,
        products=sorted({case.product for case in found.cases if case.product}),
        made_at=made_at,
        parts_made=len(found.booked | judged),
        parts_judged=len(judged),
        parts_without_verdict=unjudged[:MISSING_SHOWN_MAX],
        open_points=_open_points(len(unjudged), len(escapes), found),
        decisions=_tally(verdict.decision for verdict in verdicts),
        reviews=_tally(review.defect.outcome for review in found.reviews),
        open_cases=open_cases,
        defective_found=len({defect.part_id for defect in found.defects if defect.outcome == "defect"}),
        escapes=escapes,
        causes=_count(verdict.causes[0].cause for verdict in flagged if verdict.causes),
        reasons=_count(reason for verdict in flagged for reason in verdict.reasons),
        evidence_missing=_count(source for verdict in verdicts for source in verdict.evidence.missing),
        evidence_unfit=_count(source for verdict in verdicts for source in verdict.evidence.unfit),
        models=_count(_name_model(verdict) for verdict in verdicts),
        plans=_count(verdict.plan_sha256 for verdict in verdicts),
        manual_mode=sum(verdict.mode == "manual" for verdict in verdicts),
        lines=[_line(case, found.verdicts[case.row_id]) for case in found.cases],
        promises=promises_of(verdicts, standings.certificates),
        late=sum(v.evidence.complete and (v.latency_ms or 0.0) > standings.latency_ms_max for v in verdicts),
    )


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _count(names: Iterable[str]) -> list[Counted]:
    return [
        Counted(name, parts) for name, parts in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    ]


def _name_model(verdict: Verdict) -> str:
    model = verdict.model
    return f"{model.name} {model.version} ({model.sha256})" if model else say("no model spoke")


def _escapes(found: _Found) -> list[Escape]:
    """Parts whose every last verdict was `pass`, and which were found defective all the same."""
    passed = {case.part_id for case in found.cases} - {case.part_id for case in found.cases if case.decision != "pass"}
    records = [defect for defect in found.defects if defect.outcome == "defect" and defect.part_id in passed]
    first = {defect.part_id: defect for defect in reversed(records)}
    return [
        Escape(defect.part_id, defect.source, defect.defect_code, defect.cause_code, defect.recorded_at)
        for defect in sorted(first.values(), key=lambda defect: (defect.recorded_at, defect.part_id))
    ]


def _open_points(unjudged: int, escapes: int, found: _Found) -> list[str]:
    waiting = len({case.part_id for case in found.cases if case.state == "open"})  # at several gates: one part
    unsure = sum(review.defect.outcome == "unsure" for review in found.reviews)
    points = (
        (unjudged, say("{count} parts were booked but have no verdict", count=unjudged)),
        (waiting, say("{count} flagged parts wait for an inspector", count=waiting)),
        (escapes, say("{count} parts passed and were found defective afterwards", count=escapes)),
        (unsure, say("{count} reviews ended unsure", count=unsure)),
    )
    return [sentence for count, sentence in points if count]


def _line(case: Case, verdict: Verdict) -> PartLine:
    return PartLine(
        part_id=case.part_id,
        gate_id=case.gate_id,
        attempt=case.attempt,
        revision=case.revision,
        decision=case.decision,
        risk=case.risk,
        reasons=verdict.reasons,
        cause=verdict.causes[0].cause if verdict.causes else "",
        missing=verdict.evidence.missing,
        state=case.state,
        outcome=case.outcome or "",
        event_at=case.event_at,
    )


def _as_csv(report: BatchReport) -> bytes:
    """A row a part and gate; parts without a verdict too."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    table.writerow(("batch_id", *PartLine.__struct_fields__))
    for line in report.lines:
        cells = [getattr(line, name) for name in PartLine.__struct_fields__]
        table.writerow([cell(one) for one in (report.batch_id, *cells)])
    for part_id in report.parts_without_verdict:
        table.writerow([cell(report.batch_id), cell(part_id), *[""] * (len(PartLine.__struct_fields__) - 1)])
    return out.getvalue().encode()


def cell(value: object) -> str:
    """A value as a cell of a CSV file."""
    if value is None:
        return ""
    if isinstance(value, Instant):
        return value.isoformat()
    text = ";".join(value) if isinstance(value, list) else str(value)
    # A spreadsheet would run a text that begins like a formula.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
