"""Records of the log into a harvest for the store: typed once, here; what does not parse is counted and left.

Bad records of the plant's topics are the workers' dead letters; the collector only leaves them out of the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from api.store.rows import Harvest, LoggedOrder, Made, Review
from ingest.decode.door import Door
from ingest.errors import BadRecord
from ingest.log.seam import Record
from ingest.messages import Defect, Instant
from ingest.plan.plan import Plan
from ingest.settings import Settings

TOPICS = ("verdicts", "production", "findings", "defects", "control")
REVIEW_HEADER = "review"


class ReviewHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a review adds to its defect record: which case it settles."""

    review_id: str
    gate_id: str
    attempt: int
    made: Made = Made()
    undoes: str = ""


class Harvester:
    """Sorts records into a harvest. `left_out`: (topic, reason) -> records that could not be used."""

    def __init__(self, settings: Settings, plan: Plan | None = None) -> None:
        self._short = {settings.topic(name): name for name in TOPICS}
        self._door = Door(settings, plan)
        self.left_out: Counter[tuple[str, str]] = Counter()

    @property
    def topics(self) -> list[str]:
        """Full names of the topics to read."""
        return list(self._short)

    def gather(self, records: Iterable[Record], known: Mapping[tuple[str, int], int]) -> Harvest:
        """One harvest of these records. `known`: the offsets of the store, from which these records were read."""
        found: dict[str, list[Any]] = {name: [] for name in (*TOPICS, "reviews")}
        moved: dict[tuple[str, int], int] = {}
        for record in records:
            moved[(record.topic, record.partition)] = record.offset + 1
            name = self._short[record.topic]
            if record.body is None:
                continue  # a tombstone: nothing to keep
            try:
                self._sort(name, record, record.body, found)
            except BadRecord as error:
                self.left_out[(name, error.reason)] += 1
        return Harvest(
            verdicts=tuple(found["verdicts"]),
            visits=tuple(found["production"]),
            findings=tuple(found["findings"]),
            defects=tuple(found["defects"]),
            reviews=tuple(found["reviews"]),
            orders=tuple(found["control"]),
            offsets={place: (known.get(place, 0), offset) for place, offset in moved.items()},
        )

    def _sort(self, name: str, record: Record, body: bytes, found: dict[str, list[Any]]) -> None:
        message = self._read(name, record, body)
        if name == "verdicts":
            found[name].append((message, body.decode()))
        elif name == "control":
            found[name].append(LoggedOrder(record.partition, record.offset, Instant(record.logged_at_ms), message))
        else:
            found[name].append(message)
            if name == "defects" and (header := record.header(REVIEW_HEADER)):
                found["reviews"].append(_review(header, message))

    def _read(self, name: str, record: Record, body: bytes) -> Any:
        if b"\\u0000" in body:
            raise BadRecord("nul_character", "PostgreSQL keeps no text with a NUL in it")
        return self._door.decode(name, record)


def _review(header: str, defect: Defect) -> Review:
    try:
        told = msgspec.json.decode(header, type=ReviewHeader)
    except msgspec.MsgspecError as error:
        raise BadRecord("bad_review_header", str(error)) from error
    return Review(told.review_id, told.gate_id, told.attempt, defect, told.made, told.undoes)
