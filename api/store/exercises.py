"""Parts whose truth is known, and the exercises that people do on them: what they say there changes no part."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.agreement.draw import CaseKey
from api.store.database import TwoHands, insert_into, insert_new, reaching_store
from api.store.decisions import said_of
from api.store.rows import Made
from api.store.tables import reviews
from api.store.tables_quality import drawing_keys, exercise_answers, exercises, known_parts
from ingest.messages import Instant, encode, json_decoder

KNOWN_MAX = 1000  # what a plant's QA leads can keep in mind; more would be a training set
_MADE = json_decoder(Made)
Row = sa.Row[*tuple[Any, ...]]

# Asked for with each part that is shown, and put together once.
_OF_PERSON = sa.select(exercises).where(exercises.c.name == sa.bindparam("name"))
_ANSWERED = sa.select(exercise_answers).where(exercise_answers.c.answer_id == sa.bindparam("answer_id"))


@dataclass(frozen=True, slots=True)
class KnownPart:
    """A settled case with its truth, `defect` or `ok`, and how that is known."""

    case: CaseKey
    outcome: str
    defect_code: str
    reason: str
    marked_by: str
    marked_at: Instant


@dataclass(frozen=True, slots=True)
class Exercise:
    """What a person is at. It stands before a real part, and looks as old as that."""

    name: str
    case: CaseKey
    before_part: str
    before_at: Instant
    blind: bool
    given_at: Instant


@dataclass(frozen=True, slots=True)
class ExerciseAnswer:
    """What a person said of a known part."""

    answer_id: str
    case: CaseKey
    before_part: str
    truth: str
    outcome: str
    defect_code: str
    comment: str
    recorded_by: str
    recorded_at: Instant
    made: Made


class ExerciseStore(TwoHands):
    """Every method raises StoreUnavailable when the store is away."""

    def drawing_key(self) -> bytes:
        """The installation's key of all draws: made once, the same for every process on this store."""
        with reaching_store(), self._engine.begin() as connection:
            insert_new(connection, drawing_keys, [{"name": "reviews", "key": secrets.token_hex(32)}])
            kept = connection.execute(sa.select(drawing_keys.c.key).where(drawing_keys.c.name == "reviews"))
            return bytes.fromhex(str(kept.scalar_one()))

    def keep_known(self, known: KnownPart) -> bool:
        """Keep a known part, in place of what was said of it before. False when there are KNOWN_MAX others."""
        with reaching_store(), self._engine.begin() as connection:
            others = sa.select(sa.func.count()).where(known_parts.c.in_use, ~sa.and_(*_same(known_parts, known.case)))
            if connection.execute(others).scalar_one() >= KNOWN_MAX:
                return False
            told = {
                "outcome": known.outcome,
                "defect_code": known.defect_code,
                "reason": known.reason,
                "marked_by": known.marked_by,
                "marked_at": int(known.marked_at),
                "in_use": True,
            }
            statement = insert_into(connection, known_parts).values(_named(known.case) | told)
            connection.execute(statement.on_conflict_do_update(index_elements=list(_named(known.case)), set_=told))
        return True

    def drop_known(self, case: CaseKey) -> bool:
        """Show it as an exercise no more. False: it was none."""
        with reaching_store(), self._engine.begin() as connection:
            meant = sa.and_(*_same(known_parts, case), known_parts.c.in_use)
            dropped = connection.execute(sa.update(known_parts).where(meant).values(in_use=False)).rowcount
            connection.execute(sa.delete(exercises).where(*_same(exercises, case)))
        return bool(dropped)

    def known(self) -> list[KnownPart]:
        """Every known part in use, the one marked last first."""
        return self._known(sa.select(known_parts).where(known_parts.c.in_use))

    def unseen_by(self, name: str, line_id: str) -> list[KnownPart]:
        """Known parts of a line of which this person has said nothing, neither as an exercise nor before."""
        seen = (
            sa.exists().where(table.c.part_id == known_parts.c.part_id, table.c.recorded_by == name)
            for table in (exercise_answers, reviews)
        )
        meant = sa.select(known_parts).where(known_parts.c.in_use, known_parts.c.line_id == line_id)
        return self._known(meant.where(*(~one for one in seen)))

    def exercise_of(self, name: str) -> Exercise | None:
        """The exercise this person is at."""
        rows = self._rows(_OF_PERSON, {"name": name})
        if not rows:
            return None
        row = rows[0]
        return Exercise(name, _case(row), row.before_part, Instant(row.before_at), row.blind, Instant(row.given_at))

    def has_answered_before(self, name: str, before_part: str) -> bool:
        """Has this person had the exercise that stands before this part?"""
        same = (exercise_answers.c.recorded_by == name, exercise_answers.c.before_part == before_part)
        return bool(self._rows(sa.select(exercise_answers.c.answer_id).where(*same).limit(1)))

    def give(self, exercise: Exercise) -> Exercise:
        """Begin an exercise; the one that is at work afterwards: an earlier one, if there is."""
        row = _named(exercise.case) | {
            "name": exercise.name,
            "before_part": exercise.before_part,
            "before_at": int(exercise.before_at),
            "blind": exercise.blind,
            "given_at": int(exercise.given_at),
        }
        with reaching_store(), self._engine.begin() as connection:
            insert_new(connection, exercises, [row])
        return self.exercise_of(exercise.name) or exercise

    def cancel(self, name: str) -> None:
        """End a person's exercise without an answer."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.delete(exercises).where(exercises.c.name == name))

    def answer(self, answer: ExerciseAnswer) -> None:
        """Record what a person said, once, and end the exercise."""
        row = _named(answer.case) | {
            "answer_id": answer.answer_id,
            "before_part": answer.before_part,
            "truth": answer.truth,
            "outcome": answer.outcome,
            "defect_code": answer.defect_code,
            "comment": answer.comment,
            "recorded_by": answer.recorded_by,
            "recorded_at": int(answer.recorded_at),
            "made": encode(answer.made).decode(),
            "said": said_of(answer.outcome, answer.made),
            "took_ms": answer.made.took_ms or 0,
        }
        with reaching_store(), self._engine.begin() as connection:
            insert_new(connection, exercise_answers, [row])
            connection.execute(sa.delete(exercises).where(exercises.c.name == answer.recorded_by))

    def answered(self, answer_id: str) -> ExerciseAnswer | None:
        """An answer by its id."""
        rows = self._rows(_ANSWERED, {"answer_id": answer_id})
        return read_answer(rows[0]) if rows else None

    def truth_of(self, case: CaseKey) -> KnownPart | None:
        """A known part by its case, in use or not."""
        found = self._known(sa.select(known_parts).where(*_same(known_parts, case)))
        return found[0] if found else None

    def _known(self, statement: sa.Select[Any]) -> list[KnownPart]:
        rows = self._rows(statement.order_by(known_parts.c.marked_at.desc(), known_parts.c.part_id))
        return [
            KnownPart(_case(row), row.outcome, row.defect_code, row.reason, row.marked_by, Instant(row.marked_at))
            for row in rows
        ]

    def _rows(self, statement: Any, given: dict[str, Any] | None = None) -> list[Row]:
        with reaching_store(), self._reading.connect() as connection:
            return list(connection.execute(statement, given or {}).all())


def read_answer(row: Row) -> ExerciseAnswer:
    """A row of `exercise_answers`."""
    return ExerciseAnswer(
        row.answer_id, _case(row), row.before_part, row.truth, row.outcome, row.defect_code, row.comment,
        row.recorded_by, Instant(row.recorded_at), _MADE.decode(row.made),
    )  # fmt: skip


def _case(row: Row) -> CaseKey:
    return row.line_id, row.gate_id, row.part_id, row.attempt


def _named(case: CaseKey) -> dict[str, Any]:
    return dict(zip(("line_id", "gate_id", "part_id", "attempt"), case, strict=True))


def _same(table: sa.Table, case: CaseKey) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in _named(case).items()]
