"""What the page of a part holds beside it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from api.store.examples import good_frames
from api.store.tables import cases, findings, verdicts


def _row(table: sa.Table, **told: object) -> dict[str, object]:
    """A row with what is told; the rest is of no matter here."""
    plain = {bytes: b"", str: "", int: 1, float: 0.0, bool: False}
    return {column.name: plain[column.type.python_type] for column in table.c if not column.nullable} | told


def _examples(*gates: tuple[str, str, str | None]) -> list[bytes]:
    """Frames offered as good when the only other part went through these gates: gate, decision, outcome."""
    engine = sa.create_engine("sqlite://")
    cases.metadata.create_all(engine)
    with engine.begin() as connection:
        for row, (gate, decision, outcome) in enumerate(gates, 1):
            told = {"part_id": "other", "gate_id": gate, "product": "A", "decision": decision, "outcome": outcome}
            connection.execute(cases.insert().values(_row(cases, row_id=row, **told)))
            of_verdict = {name: told[name] for name in ("part_id", "gate_id", "product", "decision")}
            connection.execute(verdicts.insert().values(_row(verdicts, row_id=row, verdict_id=gate, **of_verdict)))
        connection.execute(findings.insert().values(_row(findings, part_id="other", camera_id="cam", body=b"seen")))
        found = list(connection.execute(good_frames("cam", "A")).scalars())
    engine.dispose()
    return found


@pytest.mark.parametrize("outcome", [None, "ok"])
def test_a_part_that_passed_is_a_good_example(outcome: str | None) -> None:
    assert _examples(("G1", "pass", outcome)) == [b"seen"]


def test_a_part_that_is_doubted_at_another_gate_is_no_good_example_until_somebody_calls_it_ok() -> None:
    assert _examples(("MID", "pass", None), ("EOL", "review", None)) == []
    assert _examples(("MID", "pass", None), ("EOL", "review", "ok")) != []


def test_a_part_found_defective_at_any_gate_is_no_good_example() -> None:
    assert _examples(("G1", "pass", None), ("G2", "flag", "defect")) == []
    assert _examples(("G1", "pass", "defect")) == []
