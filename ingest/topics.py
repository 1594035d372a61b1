"""The topics of CONTRACT section 2: what they are called, how they are kept, and reading one from outside any group."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.errors import BadInput
from ingest.log.seam import Log, Record, TopicSpec
from ingest.settings import Settings

#: Topics of which a line's (or a part's) records live under the same partition number.
LINE_TOPICS = ("findings", "sensors", "production", "defects", "verdicts", "state")
TOPICS = ("frames", *LINE_TOPICS, "control", "deadletter")

#: A record may be sent on with a few headers more than it came with; a dead letter carries five.
FORWARD_BYTES = 4096
DEADLETTER_BYTES = 64 * 1024
DEADLETTER_RETENTION_MS = 7 * 86_400_000  # long enough for somebody to look; no group reads them, so age must end them
TAIL_WAIT_S = 1.0


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Every topic of this installation, with its full name."""
    return [_spec(name, settings) for name in TOPICS]


def _spec(name: str, settings: Settings) -> TopicSpec:
    is_deadletter = name == "deadletter"
    return TopicSpec(
        settings.topic(name),
        partitions=1 if name == "control" else settings.partitions,
        compacted=name in ("control", "state"),
        retention_ms=DEADLETTER_RETENTION_MS if is_deadletter else None,
        record_bytes_max=settings.record_bytes_max + (DEADLETTER_BYTES if is_deadletter else FORWARD_BYTES),
    )


def create_topics(log: Log, settings: Settings) -> list[str]:
    """Create what is missing; returns the names created. Raises BadInput when one has other partitions than it must:
    a line's records would not meet in one worker."""
    return log.create_topics(topic_specs(settings))


def describe_topics(log: Log, settings: Settings) -> list[tuple[str, int, int]]:
    """(full name, partitions, offsets in use; on Kafka marks of transactions count too) of each topic there is."""
    described = []
    for spec in topic_specs(settings):
        partitions = log.partitions(spec.name)
        if partitions == 0:
            continue
        reader = log.reader([spec.name], "beginning")
        try:
            first, ends = reader.positions(), reader.ends()
        finally:
            reader.close()
        described.append((spec.name, partitions, sum(ends[place] - first[place] for place in ends)))
    return described


def tail(log: Log, settings: Settings, topic: str, start: str = "beginning", follow: bool = False) -> Iterator[Record]:
    """Records of a topic, named with or without its prefix: up to the end found now, or for ever with `follow`.

    Raises BadInput for an unknown topic."""
    name = topic if log.partitions(topic) else settings.topic(topic)
    if log.partitions(name) == 0:
        known = ", ".join(TOPICS)
        raise BadInput(f"there is no topic {topic!r} on the log; known are {known} (`qcfuse topics` creates them)")
    reader = log.reader([name], start)
    try:
        ends = reader.ends()
        while follow or any(reader.positions()[place] < end for place, end in ends.items()):
            for record in reader.poll(TAIL_WAIT_S):
                if follow or record.offset < ends[(record.topic, record.partition)]:
                    yield record
    finally:
        reader.close()
