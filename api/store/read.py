"""What the screen, the API, the reports and the PLC may do with the store: read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from api.store.audit import ANY_LINE, AuditWanted, audit_lines
from api.store.batches import counted_cases, counted_visits, newest_batches, read_batch
from api.store.database import leave_engine, reaching_store, share_engine
from api.store.examples import good_frames
from api.store.exposed import VisitPlace, counted_exposures, exposed_parts, exposed_visits, sides_of
from api.store.listed import BODY, FEW, decided_since, listed_verdicts
from api.store.marks import counted_marks, listed_marks, read_mark
from api.store.rows import (
    AuditEntry,
    BatchCount,
    Case,
    LoggedOrder,
    Made,
    MarkCount,
    MarkPlace,
    PartRecord,
    Review,
    StoredMark,
    StoredVerdict,
    VerdictFilter,
    read_visit,
)
from api.store.tables import case_counts, cases, causes, defects, findings, is_open, orders, reviews, verdicts, visits
from ingest.messages import Defect, Findings, Instant, Order, Visit, json_decoder

CAUSE_PARTS = 20  # what a person can picture
CODES_FROM = 300  # the latest defect records: what is frequent changes with the product and the season

Row = sa.Row[*tuple[Any, ...]]

_FINDINGS = json_decoder(Findings)
_DEFECT = json_decoder(Defect)
_ORDER = json_decoder(Order)
_MADE = json_decoder(Made)


def _of_part(table: sa.Table, *columns: Any, by: Sequence[Any]) -> sa.Select[Any]:
    of_part = table.c.part_id == sa.bindparam("part_id")
    return sa.select(*columns or (table,)).where(of_part).order_by(*by)


_SEEN = _of_part(findings, findings.c.body, by=(findings.c.captured_at, findings.c.frame_id))
_OF_PART = (
    _of_part(verdicts, *BODY, by=(verdicts.c.row_id.desc(),)),
    _of_part(cases, by=(cases.c.row_id.desc(),)),
    _of_part(visits, by=(visits.c.started_at,)),
    _SEEN,
    _of_part(defects, defects.c.body, by=(defects.c.recorded_at,)),
    _of_part(reviews, by=(reviews.c.recorded_at,)),
)
_REVIEW = sa.select(reviews).where(reviews.c.review_id == sa.bindparam("review_id"))


class StoreReader:
    """A read-only view of the store; safe to share between threads. Every method raises StoreUnavailable."""

    def __init__(self, url: str) -> None:
        self._engine = share_engine(url, writing=False)

    def close(self) -> None:
        leave_engine(self._engine)

    def _rows(self, statement: Any, given: dict[str, Any] | None = None) -> list[Row]:
        with reaching_store(), self._engine.connect() as connection:
            return list(connection.execute(statement, given or {}).all())

    def verdicts(self, wanted: VerdictFilter, limit: int, before: int | None = None) -> list[StoredVerdict]:
        """Verdict records, newest first (so a last revision stands before its earlier ones), below row `before`."""
        return [_stored(row) for row in self._rows(listed_verdicts(wanted, limit, before, self._few_since(wanted)))]

    def _few_since(self, wanted: VerdictFilter) -> bool:
        """Were so few decided since then that they are found by their time?"""
        return wanted.since is not None and len(self._rows(decided_since(wanted.since, FEW + 1))) <= FEW

    def verdicts_after(self, row_id: int, limit: int) -> list[StoredVerdict]:
        """Verdict records above `row_id`, in the order they were collected."""
        statement = sa.select(*BODY).where(verdicts.c.row_id > row_id).order_by(verdicts.c.row_id).limit(limit)
        return [_stored(row) for row in self._rows(statement)]

    def last_row_id(self) -> int:
        rows = self._rows(sa.select(sa.func.coalesce(sa.func.max(verdicts.c.row_id), 0)))
        return int(rows[0][0])

    def part(self, part_id: str) -> PartRecord | None:
        """Everything about one part; None when neither a verdict nor any evidence names it."""
        of_part = {"part_id": part_id}
        with reaching_store(), self._engine.connect() as connection:
            bodies, decided, booked, seen, reported, reviewed = (
                connection.execute(statement, of_part).all() for statement in _OF_PART
            )
        record = PartRecord(
            verdicts=tuple(map(_stored, bodies)),
            cases=tuple(map(_case, decided)),
            visits=tuple(map(read_visit, booked)),
            findings=tuple(_FINDINGS.decode(row[0]) for row in seen),
            defects=tuple(_DEFECT.decode(row[0]) for row in reported),
            reviews=tuple(map(_review, reviewed)),
        )
        return record if record.verdicts or record.visits or record.findings or record.defects else None

    def review(self, review_id: str) -> Review | None:
        rows = self._rows(_REVIEW, {"review_id": review_id})
        return _review(rows[0]) if rows else None

    def undone(self, review: Review) -> bool:
        """Was this review taken back?"""
        same = (reviews.c.part_id == review.defect.part_id, reviews.c.undoes == review.review_id)
        return bool(self._rows(sa.select(reviews.c.review_id).where(*same).limit(1)))

    def defect_codes(self, limit: int) -> list[str]:
        """The kinds of defect that people named most often of late, the most frequent first."""
        found = sa.select(defects.c.body).where(defects.c.outcome == "defect").order_by(defects.c.recorded_at.desc())
        named = Counter(_DEFECT.decode(row[0]).defect_code for row in self._rows(found.limit(CODES_FROM)))
        return [code for code, _ in sorted(named.items(), key=lambda one: (-one[1], one[0])) if code][:limit]

    def findings(self, part_id: str) -> list[Findings]:
        """What vision saw in each frame of a part, in the order they were taken."""
        rows = self._rows(_SEEN, {"part_id": part_id})
        return [_FINDINGS.decode(row[0]) for row in rows]

    def good_examples(self, camera_id: str, product: str) -> list[Findings]:
        """Of the latest good parts of a product the frames of a camera, the one that looks most usual first."""
        found = [_FINDINGS.decode(row[0]) for row in self._rows(good_frames(camera_id, product))]
        usual = [seen for seen in found if seen.frame_ref and seen.fitness.ok and seen.score is not None]
        return sorted(usual, key=lambda seen: seen.score or 0.0)

    def came_of(self, cause: str, part_id: str) -> Counter[str]:
        """What people found on the latest CAUSE_PARTS parts with this cause, but this one: outcome, or "" -> parts."""
        named = sa.select(cases.c.outcome).join(causes, causes.c.row_id == cases.c.row_id)
        named = named.where(causes.c.cause == cause, cases.c.part_id != part_id)
        rows = self._rows(named.order_by(causes.c.row_id.desc()).limit(CAUSE_PARTS))
        return Counter(row[0] or "" for row in rows)

    def open_cases(self, limit: int) -> list[Case]:
        """Cases that wait for a person, the newest first."""
        statement = sa.select(cases).where(is_open).order_by(cases.c.row_id.desc()).limit(limit)
        return [_case(row) for row in self._rows(statement)]

    def count_cases(self) -> dict[tuple[str, str], int]:
        """(state, decision) -> number of cases."""
        waiting = sa.select(cases.c.decision, sa.func.count()).where(is_open).group_by(cases.c.decision)
        every = {name: int(number) for name, number in self._rows(sa.select(case_counts)) if number}
        opened = {name: int(number) for name, number in self._rows(waiting)}
        done = {("done", name): number - opened.get(name, 0) for name, number in every.items()}
        return {("open", name): number for name, number in opened.items()} | {at: n for at, n in done.items() if n}

    def count_open(self) -> int:
        """Cases that wait for a person."""
        return int(self._rows(sa.select(sa.func.count()).where(is_open))[0][0])

    def batches(self, limit: int, before: int | None = None) -> list[BatchCount]:
        """Batches in figures, the one judged last first, of those whose last verdict stands below row `before`."""
        newest = self._rows(newest_batches(limit, before))
        shown = [row.batch_id for row in newest]
        decided = {row.batch_id: row for row in self._rows(counted_cases(shown))}
        made = {row[0]: int(row[1]) for row in self._rows(counted_visits(shown))}
        return [read_batch(name, row, decided.get(name), made.get(name, 0)) for name, row in newest]

    def batch_verdicts(self, batch_id: str) -> list[StoredVerdict]:
        """The last revision of every case of a batch."""
        shown = sa.select(cases.c.row_id).where(cases.c.batch_id == batch_id)
        statement = sa.select(*BODY).where(verdicts.c.row_id.in_(shown)).order_by(verdicts.c.row_id)
        return [_stored(row) for row in self._rows(statement)]

    def batch_cases(self, batch_id: str) -> list[Case]:
        """Every case of a batch, in the order of its last revision."""
        statement = sa.select(cases).where(cases.c.batch_id == batch_id).order_by(cases.c.row_id)
        return [_case(row) for row in self._rows(statement)]

    def batch_visits(self, batch_id: str) -> set[str]:
        """Parts booked to a batch."""
        rows = self._rows(sa.select(visits.c.part_id).where(visits.c.batch_id == batch_id).distinct())
        return {row[0] for row in rows}

    def batch_defects(self, batch_id: str) -> list[Defect]:
        """Defect records of the batch's parts, oldest first."""
        made = sa.select(visits.c.part_id).where(visits.c.batch_id == batch_id)
        judged = sa.select(cases.c.part_id).where(cases.c.batch_id == batch_id)
        statement = sa.select(defects.c.body).where(defects.c.part_id.in_(made.union(judged)))
        return [_DEFECT.decode(row[0]) for row in self._rows(statement.order_by(defects.c.recorded_at))]

    def batch_reviews(self, batch_id: str) -> list[Review]:
        """Reviews of the batch's parts, oldest first."""
        judged = sa.select(cases.c.part_id).where(cases.c.batch_id == batch_id)
        statement = sa.select(reviews).where(reviews.c.part_id.in_(judged)).order_by(reviews.c.recorded_at)
        return [_review(row) for row in self._rows(statement)]

    def exposed(self, cause: str, since: Instant | None, limit: int, after: VisitPlace | None = None) -> list[Visit]:
        """Visits exposed to `cause` (`tool_id=T7`, or a pair), newest first, behind `after`."""
        return [read_visit(row) for row in self._rows(exposed_visits(self._sides(cause), since, after, limit))]

    def count_exposed(self, cause: str, since: Instant | None) -> int:
        """Parts exposed to `cause`."""
        return int(self._rows(exposed_parts(self._sides(cause), since))[0][0])

    def _sides(self, cause: str) -> Sequence[str]:
        """The sides of a cause, that with fewer visits first."""
        sides = sides_of(cause)
        if len(sides) == 1:
            return sides
        return sorted(sides, key=lambda side: int(self._rows(counted_exposures(side))[0][0]))

    def marks(self, camera_id: str, kind: str, limit: int, after: MarkPlace | None = None) -> list[StoredMark]:
        """Marks of a camera and a kind ("" of any), newest record first, behind `after`."""
        return [read_mark(row) for row in self._rows(listed_marks(camera_id, kind, after).limit(limit))]

    def count_marks(self) -> list[MarkCount]:
        """How many marks there are, by camera and kind."""
        return [MarkCount(*row) for row in self._rows(counted_marks())]

    def newest_orders(self) -> dict[str, LoggedOrder]:
        """line_id or `*` -> the newest order that names it, by the log's time."""
        newest: dict[str, LoggedOrder] = {}
        for row in self._rows(sa.select(orders).order_by(orders.c.logged_at, orders.c.partition, orders.c.offset)):
            newest[row.line_id] = LoggedOrder(
                row.partition, row.offset, Instant(row.logged_at), _ORDER.decode(row.body)
            )
        return newest

    def audit(self, limit: int, before: int | None = None, wanted: AuditWanted = ANY_LINE) -> list[AuditEntry]:
        """The audit trail, newest first."""
        statement = audit_lines(wanted, before).limit(limit)
        return [
            AuditEntry(Instant(row.at), row.by, row.role, row.action, row.subject, row.detail, row.audit_id)
            for row in self._rows(statement)
        ]


def _stored(row: Row) -> StoredVerdict:
    return StoredVerdict(row.row_id, row.decision, row.revision, row.body.encode())


def _case(row: Row) -> Case:
    moves_on_at = None if row.moves_on_at is None else Instant(row.moves_on_at)
    return Case(**{**row._asdict(), "event_at": Instant(row.event_at), "moves_on_at": moves_on_at})


def _review(row: Row) -> Review:
    made = _MADE.decode(row.made) if row.made else Made()
    return Review(row.review_id, row.gate_id, row.attempt, _DEFECT.decode(row.body), made, row.undoes)
