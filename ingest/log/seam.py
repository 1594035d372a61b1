"""The log: the one seam between qcfuse and what carries its records. Two implementations of equal meaning:
`embedded.py` (SQLite, one machine) and `kafka.py` (Apache Kafka).

A *member* belongs to a consumer group and owns partition numbers: the same numbers of all its topics. Each owned number
is a *lane*, and all it does to the world is one call, `Lane.commit`: records and offsets together, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read. `logged_at_ms`: the log's own time of appending (Kafka's LogAppendTime)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    body: bytes | None = field(repr=False)
    headers: Headers
    logged_at_ms: int

    def header(self, name: str) -> str | None:
        """The first header of that name as text (undecodable bytes replaced), or None."""
        for key, value in self.headers:
            if key == name:
                return value.decode("utf-8", "replace")
        return None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to append. `partition` None: murmur2 of the key, as Kafka's default. `body` None: a tombstone."""

    topic: str
    key: bytes | None
    body: bytes | None = field(repr=False)
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int
    compacted: bool = False
    retention_ms: int | None = None
    record_bytes_max: int = 16 * 1024 * 1024


class Producer(Protocol):
    """Appends records from outside any lane (sources, orders, reviews). Not transactional."""

    def append(self, record: Outgoing) -> None:
        """Queue one record; may block while the log's disk limit is reached. Raises LogUnavailable within limits."""

    def flush(self) -> None:
        """Return when all appended records are durable. Raises LogUnavailable."""

    def close(self) -> None: ...


class Reader(Protocol):
    """Reads every partition of some topics outside any group; sees committed records only."""

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]: ...

    def positions(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset of the next record this reader will return."""

    def ends(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset just past the last committed record, asked of the log now."""

    def close(self) -> None: ...


class Lane(Protocol):
    """One owned partition number of all the member's topics. Creating it fenced whoever had it before."""

    @property
    def partition(self) -> int: ...

    @property
    def committed(self) -> Mapping[str, int]:
        """topic -> the committed offset found at takeover (0, or the first kept offset, where there was none)."""

    @property
    def ends(self) -> Mapping[str, int]:
        """topic -> end offset (of committed records) found at takeover."""

    def caught_up(self) -> bool:
        """True once `Member.poll` has returned everything before `ends`. Record offsets alone do not say so: on Kafka
        the last offsets may hold no record but the marks of transactions."""

    def read_state(self, topic: str) -> Iterator[Record]:
        """This partition of a compacted topic from the beginning to its committed end: a key's last record wins,
        earlier ones and tombstones may or may not still be there."""

    def commit(self, outgoing: Sequence[Outgoing], offsets: Mapping[str, int]) -> None:
        """Append `outgoing` and move this lane's offsets (topic -> next offset to read), as one transaction.

        Raises Fenced when another member has taken the lane over, LogUnavailable when the log is away; in both cases
        nothing happened and the lane must be dropped (`Member.forget`)."""


#: What one lane commits: the records to append, and topic -> next offset to read.
Batch = tuple[Sequence[Outgoing], Mapping[str, int]]


class Member(Protocol):
    """A member of a consumer group. Not thread-safe: one member, one thread."""

    def poll(self, timeout_s: float, records_max: int = 500) -> list[Record]:
        """Records of owned lanes in offset order per (topic, partition), from the committed offset at takeover on.

        Also keeps the membership alive and settles who owns what: compare `lanes()` before and after."""

    def lanes(self) -> Mapping[int, Lane]:
        """The lanes owned now. A lane that was lost and won again is another object."""

    def commit_lanes(self, batches: Mapping[int, Batch]) -> set[int]:
        """`Lane.commit` of several lanes (by number), side by side where the log allows. Returns the numbers that were
        fenced, or are not owned any more: these are forgotten. Raises LogUnavailable after all were tried; each lane by
        itself is all or nothing."""

    def seek(self, partition: int, offsets: Mapping[str, int]) -> None:
        """Read these topics of an owned lane again from these offsets."""

    def forget(self, partition: int) -> None:
        """Give up what was read of this lane and not committed: take it over afresh at the next poll, if still ours."""

    def close(self) -> None:
        """Leave the group at once, so that others need not wait for the session to time out."""


class Log(Protocol):
    """Open by `ingest.log.opening.open_log(settings)`. Topic names are full names (prefix included)."""

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create those that are missing; return their names. Raises BadInput when one is there with another number
        of partitions."""

    def partitions(self, topic: str) -> int:
        """Number of partitions, 0 when there is no such topic."""

    def producer(self) -> Producer: ...

    def reader(self, topics: Sequence[str], start: str | Mapping[tuple[str, int], int]) -> Reader:
        """`start`: "beginning", "end", or (topic, partition) -> offset (absent: beginning)."""

    def member(self, group: str, topics: Sequence[str]) -> Member:
        """Join a group. The topics must have the same number of partitions. Lanes write under the transactional id
        `<prefix><group>-<partition>`, which belongs to the partition and not to the worker."""

    def close(self) -> None: ...
