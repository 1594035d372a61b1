"""Defect records and the marks they came with: kept together, told apart so that marks can be counted and listed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from api.store.database import insert_new
from api.store.rows import MarkPlace, Review, StoredMark
from api.store.tables import defects, marks, reviews
from ingest.messages import CONCLUSIVE, Defect, Instant, Mark, encode, json_decoder

_MARK = json_decoder(Mark)


def add_defects(connection: sa.Connection, found: Sequence[Defect], found_reviews: Sequence[Review]) -> None:
    """Add records that are new, and their marks. Two equal records are one. `found_reviews`: whose records are among
    them."""
    own = {encode(review.defect) for review in found_reviews}
    rows = [_defect_row(defect, own) for defect in found]
    insert_new(connection, defects, rows)
    for defect, row in zip(found, rows, strict=True):
        if defect.outcome == "defect":
            insert_new(connection, marks, _mark_rows(defect, row["record_sha256"]))


def _defect_row(defect: Defect, of_reviews: set[bytes]) -> dict[str, Any]:
    body = encode(defect)
    return {
        "record_sha256": hashlib.sha256(body).hexdigest(),
        "line_id": defect.line_id,
        "part_id": defect.part_id,
        "recorded_at": int(defect.recorded_at),
        "source": defect.source,
        "outcome": defect.outcome,
        "body": body.decode(),
        "heard": defect.outcome in CONCLUSIVE and defect.source != "history" and body not in of_reviews,
    }


def _mark_rows(defect: Defect, record_sha256: str) -> list[dict[str, Any]]:
    return [
        {
            "record_sha256": record_sha256,
            "place": place,
            "line_id": defect.line_id,
            "part_id": defect.part_id,
            "camera_id": mark.camera_id,
            "kind": mark.kind,
            "recorded_at": int(defect.recorded_at),
            "recorded_by": defect.recorded_by,
            "body": encode(mark).decode(),
        }
        for place, mark in enumerate(defect.drawn)
    ]


def listed_marks(camera_id: str, kind: str, after: MarkPlace | None) -> sa.Select[Any]:
    """Marks of a camera and a kind ("" of any), newest record first, behind `after`; not of records taken back."""
    at, record, place = marks.c.recorded_at, marks.c.record_sha256, marks.c.place
    statement = sa.select(marks).where(_stands()).order_by(at.desc(), record, place)
    if after is not None:
        same = sa.and_(at == after.recorded_at, sa.tuple_(record, place) > (after.record_sha256, after.place))
        # Said twice, for the index: a range that an OR alone does not tell.
        statement = statement.where(at <= after.recorded_at, sa.or_(at < after.recorded_at, same))
    if camera_id:
        statement = statement.where(marks.c.camera_id == camera_id)
    return statement.where(marks.c.kind == kind) if kind else statement


def counted_marks() -> sa.Select[Any]:
    """camera_id, kind, marks, parts; in the order of their names."""
    parts = sa.func.count(sa.distinct(marks.c.part_id))
    grouped = sa.select(marks.c.camera_id, marks.c.kind, sa.func.count(), parts).where(_stands())
    return grouped.group_by(marks.c.camera_id, marks.c.kind).order_by(marks.c.camera_id, marks.c.kind)


def _stands() -> sa.ColumnElement[bool]:
    """A mark goes with the decision that it was drawn for: its author may have taken that back."""
    said, undo = reviews.alias(), reviews.alias()
    same = [said.c[name] == marks.c[name] for name in ("part_id", "recorded_at", "recorded_by")]
    taken_back = (undo.c.part_id == said.c.part_id, undo.c.undoes == said.c.review_id)
    return ~sa.exists().where(*same, *taken_back)


def read_mark(row: Any) -> StoredMark:
    """A row of the table as a typed value."""
    stands = MarkPlace(row.recorded_at, row.record_sha256, row.place)
    mark = _MARK.decode(row.body)
    return StoredMark(row.part_id, row.line_id, Instant(row.recorded_at), row.recorded_by, mark, stands)
