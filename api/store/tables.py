"""The tables of the store. Every table but `cases`, `case_counts`, `batches`, `exposures`, `repeats`, `offsets`,
`leases`, `holds`, `views`, `accounts`, `sessions`, `known_parts`, `exercises`, `drawing_keys` is a record that is only
added to.

Times are whole milliseconds since 1970 UTC. `migrations/versions` makes these tables; a test holds the two together.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text, false

import api.store.tables_exposed
import api.store.tables_quality  # noqa: F401 -- tables of the same metadata
from api.store.metadata import RowId
from api.store.metadata import metadata as metadata
from api.store.tables_cases import case_counts as case_counts
from api.store.tables_cases import cases as cases
from api.store.tables_cases import is_open as is_open
from api.store.tables_cases import is_settled as is_settled
from api.store.tables_cases import is_spoken_of as is_spoken_of

verdicts = Table(
    "verdicts",
    metadata,
    Column("row_id", RowId, primary_key=True, autoincrement=False),
    Column("verdict_id", Text, nullable=False, unique=True),
    Column("line_id", Text, nullable=False),
    Column("gate_id", Text, nullable=False),
    Column("part_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("batch_id", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("verdicts_part", "part_id", "row_id"),
    Index("verdicts_batch", "batch_id", "row_id"),
    Index("verdicts_decision", "decision", "row_id"),
    Index("verdicts_line", "line_id", "row_id"),
    Index("verdicts_product", "product", "row_id"),
    Index("verdicts_decided", "decided_at"),
)

causes = Table(
    "causes",
    metadata,
    Column("row_id", RowId, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("cause", Text, nullable=False),
    Column("share", Float, nullable=False),
    Index("causes_cause", "cause", "row_id"),
)

#: What requests with a key were answered, for a day.
repeats = Table(
    "repeats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_sha256", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

#: Of every batch the newest verdict: the newest batches without counting all.
batches = Table(
    "batches",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("last_row", RowId, nullable=False),
    Index("batches_last", "last_row"),
)

visits = Table(
    "visits",
    metadata,
    Column("line_id", Text, primary_key=True),
    Column("part_id", Text, primary_key=True),
    Column("station_id", Text, primary_key=True),
    Column("started_at", BigInteger, primary_key=True, autoincrement=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("batch_id", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("attributes", Text, nullable=False),
    Index("visits_part", "part_id"),
    Index("visits_batch", "batch_id"),
    Index("visits_order", "started_at", "line_id", "part_id", "station_id"),
)

findings = Table(
    "findings",
    metadata,
    Column("part_id", Text, primary_key=True),
    Column("frame_id", Text, primary_key=True),
    Column("camera_id", Text, nullable=False),
    Column("captured_at", BigInteger, nullable=False),
    Column("inspected_at", BigInteger, nullable=False),
    Column("frame_ref", Text, nullable=False),
    Column("heatmap_ref", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("findings_camera", "camera_id", "captured_at"),
)

#: `heard`: it tells the truth of a part from elsewhere than a review, and is no `history`.
defects = Table(
    "defects",
    metadata,
    Column("record_sha256", Text, primary_key=True),
    Column("line_id", Text, nullable=False),
    Column("part_id", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("heard", Boolean, nullable=False, server_default=false()),
    Index("defects_part", "part_id"),
    Index("defects_heard", "heard", "recorded_at", "part_id", "outcome"),
    Index("defects_recorded", "outcome", "recorded_at"),
)

#: Each mark of the defect records, to be counted and listed; `body` is the mark's own JSON.
marks = Table(
    "marks",
    metadata,
    Column("record_sha256", Text, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("line_id", Text, nullable=False),
    Column("part_id", Text, nullable=False),
    Column("camera_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("marks_camera", "camera_id", "kind", "recorded_at"),
    Index("marks_recorded", "recorded_at", "record_sha256", "place"),
)

#: `said`, `took_ms`: what is counted of `outcome` and `made` (decisions.py).
reviews = Table(
    "reviews",
    metadata,
    Column("review_id", Text, primary_key=True),
    Column("line_id", Text, nullable=False),
    Column("gate_id", Text, nullable=False),
    Column("part_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("undoes", Text, nullable=False, server_default=""),
    Column("made", Text, nullable=False, server_default=""),
    Column("recorded_by", Text, nullable=False, server_default=""),
    Column("said", Integer, nullable=False, server_default="0"),
    Column("took_ms", BigInteger, nullable=False, server_default="0"),
    Index("reviews_part", "part_id"),
    Index("reviews_undoes", "undoes", "recorded_at"),
    Index("reviews_recorded", "recorded_at"),
)

orders = Table(
    "orders",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("line_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("logged_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)

#: Who looks at which part; ends by itself.
holds = Table(
    "holds",
    metadata,
    Column("part_id", Text, primary_key=True),
    Column("held_by", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)

#: Filters of the queue that people named. The one without a name is what its owner's queue begins with.
views = Table(
    "views",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("query", Text, nullable=False),
    Column("shared", Boolean, nullable=False, server_default=false()),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_sha256", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger),
    Column("revoked", Boolean, nullable=False),
)

#: Begun with a token, or by an account (`account`).
sessions = Table(
    "sessions",
    metadata,
    Column("session_sha256", Text, primary_key=True),
    Column("token_sha256", Text, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("account", Text, nullable=False, server_default=""),
    Column("seen_at", BigInteger, nullable=False, server_default="0"),
)

#: People who log in with a password, or (`directory_id`: issuer and subject there) by the plant's own directory.
accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("must_change", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("display_name", Text, nullable=False, server_default=""),
    Column("group_name", Text, nullable=False, server_default=""),
    Column("language", Text, nullable=False, server_default=""),
    Column("directory_id", Text, nullable=False, server_default=""),
    Index("accounts_directory", "directory_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", RowId, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_by", "by", "audit_id"),
    Index("audit_action", "action", "audit_id"),
    Index("audit_at", "at"),
)
