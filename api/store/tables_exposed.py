"""Which visits booked what, to be looked up by cause: worked out from `visits.attributes`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from api.store.metadata import metadata

#: `cause` as it is said of a part: `tool_id=T7`. In this order the visits of a cause lie by time.
exposures = Table(
    "exposures",
    metadata,
    Column("cause", Text, primary_key=True),
    Column("started_at", BigInteger, primary_key=True, autoincrement=False),
    Column("line_id", Text, primary_key=True),
    Column("part_id", Text, primary_key=True),
    Column("station_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)
