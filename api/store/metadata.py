"""What all tables of the store belong to."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData()

# SQLite numbers rows by itself only in a column of type INTEGER; PostgreSQL's INTEGER ends at 2^31.
RowId = BigInteger().with_variant(Integer, "sqlite")
