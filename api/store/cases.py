"""Which cases a person has settled. Order-free: a review may be collected before the verdict it is about."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api.store.rows import Harvest, Made
from api.store.tables import cases, defects, reviews
from fusion.labels import standing
from ingest.messages import CONCLUSIVE, Defect, json_decoder

_MADE = json_decoder(Made)
_DEFECT = json_decoder(Defect)
_KEY = (cases.c.line_id, cases.c.gate_id, cases.c.part_id, cases.c.attempt)

# Of each collection and of each decision, and put together once.
_PARTS: sa.BindParameter[Any] = sa.bindparam("parts", expanding=True)
_NAMES = ("line", "gate", "part", "try")
_REVIEWS = sa.select(reviews).where(reviews.c.part_id.in_(_PARTS)).order_by(reviews.c.recorded_at, reviews.c.review_id)
_RECORDS = (
    sa.select(defects)
    .where(defects.c.part_id.in_(_PARTS), defects.c.source != "history")
    .order_by(defects.c.recorded_at, defects.c.record_sha256)
)
_SHOWN_TO_TWO = sa.select(*_KEY, cases.c.people_said).where(
    cases.c.part_id.in_(_PARTS), cases.c.people_wanted > 1, cases.c.decision != "pass"
)
_SETTLED = (
    sa.update(cases)
    .where(*(column == sa.bindparam(name) for column, name in zip(_KEY, _NAMES, strict=True)))
    .where(sa.or_(cases.c.people_wanted == 1, cases.c.decision == "pass"))
    .values(state="done", outcome=sa.bindparam("said"))
)


def settle_cases(connection: sa.Connection, harvest: Harvest) -> None:
    """Close what reviews, other defect records and later attempts have settled.

    `unsure` settles nothing. A review settles the attempt it names, unless it was taken back; a defect record from
    elsewhere settles every case of the part that was decided on before it, unless that was taken back. `history` came
    before qcfuse and settles nothing.
    """
    parts = {verdict.part_id for verdict, _ in harvest.verdicts}
    parts |= {review.defect.part_id for review in harvest.reviews}
    parts |= {defect.part_id for defect in harvest.defects if defect.source != "history"}
    if not parts:
        return
    records = _records_that_stand(connection, parts)
    own_bodies = _settle_by_reviews(connection, parts)
    _settle_by_records(connection, [record for record in records if record.body not in own_bodies])
    _supersede(connection, harvest)


def _settle_by_reviews(connection: sa.Connection, parts: set[str]) -> set[str]:
    """Returns the bodies of these reviews: on `qc.defects` they must not count a second time as somebody else's. Of
    what was reported before any verdict the record counts, as anybody's does, unless it was taken back."""
    known = connection.execute(_REVIEWS, {"parts": list(parts)}).all()
    undone = {review.undoes for review in known if review.undoes}
    for review in known:
        if review.review_id in undone:
            _open_again(connection, *_same_case(review))
    for review in known:
        if review.gate_id and review.outcome in CONCLUSIVE and review.review_id not in undone:
            key = (review.line_id, review.gate_id, review.part_id, review.attempt)
            connection.execute(_SETTLED, dict(zip(_NAMES, key, strict=True)) | {"said": review.outcome})
    standing = [one for one in known if one.outcome in CONCLUSIVE and one.review_id not in undone]
    _settle_shown_to_two(connection, parts, standing)
    return {review.body for review in known if review.gate_id or review.review_id in undone}


def _settle_shown_to_two(connection: sa.Connection, parts: set[str], standing: list[sa.Row[Any]]) -> None:
    """A case that is shown to two people is settled when they agree; otherwise by the word of a QA lead."""
    for case in connection.execute(_SHOWN_TO_TWO, {"parts": list(parts)}).all():
        said = [one for one in standing if (one.line_id, one.gate_id, one.part_id, one.attempt) == tuple(case[:4])]
        words = {one.recorded_by: one.outcome for one in said}  # of each person the latest
        final = [one.outcome for one in said if one.made and _MADE.decode(one.made).final]
        changes: dict[str, Any] = {} if len(words) == case.people_said else {"people_said": len(words)}
        if final:
            changes |= {"state": "done", "outcome": final[-1]}
        elif len(words) > 1 and len(set(words.values())) == 1:
            changes |= {"state": "done", "outcome": next(iter(words.values()))}
        if changes:
            same = [column == value for column, value in zip(_KEY, case[:4], strict=True)]
            connection.execute(sa.update(cases).where(*same).values(**changes))


def _same_case(review: sa.Row[Any]) -> list[sa.ColumnElement[bool]]:
    """What was reported before any gate had judged the part is about all of its cases."""
    if not review.gate_id:
        return [cases.c.line_id == review.line_id, cases.c.part_id == review.part_id]
    key = (review.line_id, review.gate_id, review.part_id, review.attempt)
    return [column == value for column, value in zip(_KEY, key, strict=True)]


def _open_again(connection: sa.Connection, *meant: sa.ColumnElement[bool]) -> None:
    """As if nobody had decided yet; what others have said of the case settles it anew."""
    later = cases.alias()
    came_back = sa.exists().where(
        later.c.line_id == cases.c.line_id,
        later.c.gate_id == cases.c.gate_id,
        later.c.part_id == cases.c.part_id,
        later.c.attempt > cases.c.attempt,
    )
    decided = sa.update(cases).where(*meant, cases.c.outcome.in_(CONCLUSIVE))
    state = sa.case((sa.or_(cases.c.decision == "pass", came_back), "done"), else_="open")
    connection.execute(decided.values(state=state, outcome=sa.case((came_back, "superseded"), else_=None)))


def _records_that_stand(connection: sa.Connection, parts: set[str]) -> list[sa.Row[Any]]:
    """The records that settle cases, oldest first. What one settled that was taken back waits again."""
    known = connection.execute(_RECORDS, {"parts": list(parts)}).all()
    stand = [row for row, _ in standing([(row, _DEFECT.decode(row.body)) for row in known], lambda read: read[1])]
    gone = {row.record_sha256 for row in known} - {row.record_sha256 for row in stand}
    for row in known:
        if row.outcome in CONCLUSIVE and row.record_sha256 in gone:
            _open_again(connection, *_decided_before(row))
    return [row for row in stand if row.outcome in CONCLUSIVE]


def _decided_before(record: sa.Row[Any]) -> list[sa.ColumnElement[bool]]:
    of_part = (cases.c.part_id == record.part_id, cases.c.line_id == record.line_id)
    return [*of_part, cases.c.event_at <= record.recorded_at]


def _settle_by_records(connection: sa.Connection, records: list[sa.Row[Any]]) -> None:
    for record in records:
        unsettled = sa.update(cases).where(*_decided_before(record), cases.c.outcome.is_(None))
        connection.execute(unsettled.values(state="done", outcome=record.outcome))


def _supersede(connection: sa.Connection, harvest: Harvest) -> None:
    """A part that came back for another attempt waits for nobody at its earlier one."""
    for verdict, _ in harvest.verdicts:
        if verdict.attempt > 1:
            connection.execute(
                sa.update(cases)
                .where(
                    cases.c.line_id == verdict.line_id,
                    cases.c.gate_id == verdict.gate_id,
                    cases.c.part_id == verdict.part_id,
                    cases.c.attempt < verdict.attempt,
                    cases.c.outcome.is_(None),
                )
                .values(state="done", outcome="superseded")
            )
