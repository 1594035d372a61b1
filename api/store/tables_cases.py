"""The table of cases, and its indices of what waits. Times are whole milliseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text, false, literal_column, text

from api.store.metadata import RowId, metadata

OPEN = "state = 'open'"
#: What a filter of the queue asks about: with these in it, an index tells what fits without a look at the cases, which
#: lie scattered among all there ever were.
WAITS_FOR = ("line_id", "product", "decision", "batch_id", "event_at", "cameras", "blind", "people_said", "moves_on_at",
             "pressing", "part_id", "gate_id", "attempt")  # fmt: skip


def of_what_waits(name: str, *columns: str) -> Index:
    """An index of the few cases that wait, whatever there is besides. A statement takes it that says `is_open`."""
    return Index(name, *columns, postgresql_where=text(OPEN), sqlite_where=text(OPEN))


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
    of_what_waits("cases_urgency", "urgency", "row_id", *WAITS_FOR),
    of_what_waits("cases_pressing", "pressing", "row_id", "moves_on_at"),
    of_what_waits("cases_line", "line_id", "urgency", "row_id"),
    of_what_waits("cases_product", "product", "urgency", "row_id"),
    of_what_waits("cases_open", "row_id"),
    of_what_waits("cases_said", "people_said"),
    of_what_waits("cases_waits", "part_id", "line_id"),
    Index("cases_part", "part_id"),
    Index("cases_row", "row_id"),
    Index("cases_batch", "batch_id", "row_id"),
)

#: Does a case wait? In so many words: of a parameter no planner would know that it is what its index is of.
is_open = cases.c.state == literal_column("'open'")

#: How many cases there are by last decision.
case_counts = Table(
    "case_counts",
    metadata,
    Column("decision", Text, primary_key=True),
    Column("cases", BigInteger, nullable=False),
)
