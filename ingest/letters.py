"""Dead letters: a record nobody can use, its body untouched, with the reason and where it came from."""

from __future__ import annotations

from ingest.errors import BadRecord
from ingest.log.seam import Outgoing, Record
from ingest.messages import Instant

DETAIL_BYTES_MAX = 1000


def dead_letter(record: Record, trouble: BadRecord, topic: str, failed_at: int) -> Outgoing:
    """The record of `qc.deadletter` (CONTRACT section 2); `detail` (ours) is a sentence for a person."""
    headers = (
        ("reason", trouble.reason.encode()),
        ("detail", trouble.detail.encode("utf-8", "replace")[:DETAIL_BYTES_MAX]),
        ("source_topic", record.topic.encode()),
        ("source_partition", str(record.partition).encode()),
        ("source_offset", str(record.offset).encode()),
        ("failed_at", Instant(failed_at).isoformat().encode()),
    )
    return Outgoing(topic, record.key, record.body, headers, partition=record.partition)
