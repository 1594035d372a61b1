"""The tables of known parts and exercises. Times are whole milliseconds since 1970 UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from api.store.metadata import metadata

#: What is drawn by a keyed hash is drawn with these.
drawing_keys = Table(
    "drawing_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", Text, nullable=False),
)


def _case_key(*, primary_key: bool) -> list[Column[Any]]:
    texts = [Column(name, Text, primary_key=primary_key, nullable=False) for name in ("line_id", "gate_id", "part_id")]
    return [*texts, Column("attempt", Integer, primary_key=primary_key, autoincrement=False, nullable=False)]


#: Settled cases whose truth is known, to be shown as exercises.
known_parts = Table(
    "known_parts",
    metadata,
    *_case_key(primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("defect_code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("marked_by", Text, nullable=False),
    Column("marked_at", BigInteger, nullable=False),
    Column("in_use", Boolean, nullable=False),
)

#: The exercise a person is at, one at most. `before_part`: what comes behind it, at its gate at `before_at`.
exercises = Table(
    "exercises",
    metadata,
    Column("name", Text, primary_key=True),
    *_case_key(primary_key=False),
    Column("before_part", Text, nullable=False),
    Column("before_at", BigInteger, nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("given_at", BigInteger, nullable=False),
)

#: What people said of known parts. It is on no topic: nothing learns from it.
exercise_answers = Table(
    "exercise_answers",
    metadata,
    Column("answer_id", Text, primary_key=True),
    *_case_key(primary_key=False),
    Column("before_part", Text, nullable=False),
    Column("truth", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("defect_code", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("made", Text, nullable=False),
    Column("said", Integer, nullable=False, server_default="0"),
    Column("took_ms", BigInteger, nullable=False, server_default="0"),
    Index("exercise_answers_person", "recorded_by", "part_id"),
    Index("exercise_answers_recorded", "recorded_at"),
)
