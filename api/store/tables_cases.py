"""The table of cases, and its indices of what waits. Times are whole milliseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    Table,
    Text,
    and_,
    false,
    literal_column,
    text,
)

from api.store.metadata import RowId, metadata

OPEN = "state = 'open'"
#: What a filter of the queue asks about, and the page takes; `state`, for SQLite looks at it all the same.
WAITS_FOR = ("row_id", "urgency", "line_id", "product", "decision", "batch_id", "event_at", "cameras", "blind",
             "people_said", "pressing", "moves_on_at", "part_id", "gate_id", "attempt", "state")  # fmt: skip


def of_what_waits(name: str, *leading: str) -> Index:
    """An index of the few cases that wait, whatever there is besides. It holds all that a filter asks about: cases that
    wait lie scattered among all there ever were, and whichever of these indices a planner takes, it need not look at
    them. A statement takes it that says `is_open`."""
    return _index_of(OPEN, name, *leading, *(other for other in WAITS_FOR if other not in leading))


def _index_of(rows: str, name: str, *columns: str) -> Index:
    return Index(name, *columns, postgresql_where=text(rows), sqlite_where=text(rows))


#: What a person works off: one row for each (line, gate, part, attempt), pointing at its last revision.
cases = Table(
    "cases",
    metadata,
    Column("line_id", Text, primary_key=True),
    Column("gate_id", Text, primary_key=True),
    Column("part_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("row_id", RowId, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("batch_id", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("risk", Float),
    Column("event_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("outcome", Text),
    Column("urgency", Float, nullable=False, server_default="1"),
    Column("blind", Boolean, nullable=False, server_default=false()),
    Column("people_wanted", Integer, nullable=False, server_default="1"),
    Column("people_said", Integer, nullable=False, server_default="0"),
    Column("moves_on_at", BigInteger),
    Column("pressing", Float),
    Column("cameras", Text, nullable=False, server_default=""),
    of_what_waits("cases_urgency", "urgency"),
    of_what_waits("cases_line", "line_id", "urgency"),
    of_what_waits("cases_product", "product", "urgency"),
    of_what_waits("cases_open", "row_id"),
    of_what_waits("cases_waits", "part_id", "line_id"),
    _index_of(f"{OPEN} AND pressing IS NOT NULL", "cases_pressing", "pressing", "row_id", "moves_on_at"),
    _index_of(f"{OPEN} AND people_said > 0", "cases_said", "people_said"),
    _index_of("state = 'done' AND decision <> 'pass'", "cases_settled", "row_id"),
    Index("cases_part", "part_id"),
    Index("cases_row", "row_id"),
    Index("cases_batch", "batch_id", "row_id"),
)

#: Does a case wait? In so many words: of a parameter no planner would know that it is what its index is of.
is_open = cases.c.state == literal_column("'open'")
#: Was it flagged, and waits no more? In so many words, too.
is_settled = and_(cases.c.state == literal_column("'done'"), cases.c.decision != literal_column("'pass'"))
#: Has anybody spoken of a case that several are shown? In so many words, too.
is_spoken_of = cases.c.people_said > literal_column("0")

#: How many cases there are by last decision.
case_counts = Table(
    "case_counts",
    metadata,
    Column("decision", Text, primary_key=True),
    Column("cases", BigInteger, nullable=False),
)
