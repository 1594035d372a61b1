"""The collector's hand on the store: a harvest and the offsets it moved go in together, or nothing does.

Two collectors cannot both write: the lease says whose turn it is, and each offset moves only from where the harvest
found it (compare and set), so that even a collector that slept through its lease changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import sqlalchemy as sa

from api.agreement.draw import CaseKey, Draw
from api.store.batches import keep_batches
from api.store.cases import settle_cases
from api.store.database import insert_into, insert_new, leave_engine, reaching_store, share_engine
from api.store.exposed import exposure_rows
from api.store.marks import add_defects
from api.store.rank import PACE_EVERY_MS, latest_visits, rank_cases
from api.store.reviews import review_rows
from api.store.rows import Harvest, LoggedOrder, Stored
from api.store.tables import case_counts, cases, causes, findings, leases, offsets, orders, reviews, verdicts, visits
from api.store.tables_exposed import exposures
from api.urgency import Ranking
from ingest.errors import Fenced
from ingest.messages import Instant, Verdict, Visit, encode

NOTHING_DRAWN = Draw()
Row = sa.Row[*tuple[Any, ...]]
_KEY = (cases.c.line_id, cases.c.gate_id, cases.c.part_id, cases.c.attempt)
LEASE_MS = 5000  # a dead collector's place is taken after this long


class StoreWriter:
    """One collector's connection to the store."""

    def __init__(self, url: str, holder: str, draw: Draw = NOTHING_DRAWN, ranking: Ranking | None = None) -> None:
        self._engine = share_engine(url, writing=True)
        self._holder = holder
        self._draw = draw
        self._ranking = ranking or Ranking()
        self._pace_at = Instant(0)

    def close(self) -> None:
        """Give the lease back, so that another collector need not wait for it to run out."""
        with reaching_store(), self._engine.begin() as connection:
            connection.execute(sa.update(leases).where(leases.c.holder == self._holder).values(until=0))
        leave_engine(self._engine)

    def take_lease(self, now: Instant) -> bool:
        """Become, or stay, the one collector. False while another one is at work."""
        with reaching_store(), self._engine.begin() as connection:
            return self._renew_lease(connection, now)

    def offsets(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset of the next record to collect."""
        with reaching_store(), self._engine.begin() as connection:
            rows = connection.execute(sa.select(offsets.c.topic, offsets.c.partition, offsets.c.next_offset))
            return {(row.topic, row.partition): row.next_offset for row in rows}

    def apply(self, harvest: Harvest, now: Instant) -> Stored:
        """Write a harvest. Raises Fenced when another collector has been here since, StoreUnavailable; then nothing
        was written."""
        with reaching_store(), self._engine.begin() as connection:
            if not self._renew_lease(connection, now):
                raise Fenced("another collector holds the store's lease")
            _move_offsets(connection, harvest)
            stored = _add_verdicts(connection, harvest.verdicts, self._draw)
            harvest = _without_known(connection, harvest)
            _add_evidence(connection, harvest)
            insert_new(connection, reviews, [row for review in harvest.reviews for row in review_rows(review)])
            settle_cases(connection, harvest)
            self._rank(connection, harvest, now)
        return stored

    def _rank(self, connection: sa.Connection, harvest: Harvest, now: Instant) -> None:
        if harvest.visits and now - self._pace_at >= PACE_EVERY_MS:
            self._ranking.learn(latest_visits(connection))
            self._pace_at = now
        rank_cases(connection, harvest, self._ranking)

    def _renew_lease(self, connection: sa.Connection, now: Instant) -> bool:
        free = sa.or_(leases.c.holder == self._holder, leases.c.until < int(now))
        row = {"name": "collector", "holder": self._holder, "until": int(now) + LEASE_MS}
        statement = insert_into(connection, leases).values(row)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=row, where=free)
        return connection.execute(statement.returning(leases.c.holder)).first() is not None


def _move_offsets(connection: sa.Connection, harvest: Harvest) -> None:
    for (topic, partition), (was, now) in harvest.offsets.items():
        row = {"topic": topic, "partition": partition, "next_offset": now}
        statement = insert_into(connection, offsets).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["topic", "partition"], set_={"next_offset": now}, where=offsets.c.next_offset == was
        )
        if connection.execute(statement.returning(offsets.c.next_offset)).first() is None:
            raise Fenced(f"{topic}[{partition}]: another collector has moved this offset")


def _add_verdicts(connection: sa.Connection, collected: Sequence[tuple[Verdict, str]], draw: Draw) -> Stored:
    """Add verdicts that are new. A verdict seen again (same id) is a repeat, whatever its body says now."""
    if not collected:
        return Stored(0, 0)
    first_seen = {verdict.verdict_id: (verdict, body) for verdict, body in reversed(collected)}
    known = connection.execute(sa.select(verdicts.c.verdict_id).where(verdicts.c.verdict_id.in_(list(first_seen))))
    for row in known:
        del first_seen[row.verdict_id]
    new = [pair for pair in collected if first_seen.pop(pair[0].verdict_id, None) is not None]
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(verdicts.c.row_id), 0))).scalar_one()
    numbered = [(last + place, verdict, body) for place, (verdict, body) in enumerate(new, start=1)]
    if numbered:
        connection.execute(sa.insert(verdicts), [_verdict_row(*entry) for entry in numbered])
        _add_causes(connection, numbered)
        _raise_cases(connection, numbered, draw)
        keep_batches(connection, numbered)
    return Stored(len(new), len(collected) - len(new))


def _verdict_row(row_id: int, verdict: Verdict, body: str) -> dict[str, Any]:
    return {
        "row_id": row_id,
        "verdict_id": verdict.verdict_id,
        "line_id": verdict.line_id,
        "gate_id": verdict.gate_id,
        "part_id": verdict.part_id,
        "attempt": verdict.attempt,
        "revision": verdict.revision,
        "sequence": verdict.sequence,
        "batch_id": verdict.batch_id,
        "product": verdict.product,
        "decision": verdict.decision,
        "decided_at": int(verdict.decided_at),
        "body": body,
    }


def _add_causes(connection: sa.Connection, numbered: Sequence[tuple[int, Verdict, str]]) -> None:
    rows = [
        {"row_id": row_id, "place": place, "cause": cause.cause, "share": cause.share}
        for row_id, verdict, _ in numbered
        for place, cause in enumerate(verdict.causes)
    ]
    if rows:
        connection.execute(sa.insert(causes), rows)


def _raise_cases(connection: sa.Connection, numbered: Sequence[tuple[int, Verdict, str]], draw: Draw) -> None:
    """Point each case at its highest revision; a lower one that comes later changes nothing, nor does any change what
    was drawn of the part when it was first seen."""
    stand = _cases_of(connection, {verdict.part_id for _, verdict, _ in numbered})
    drawn: dict[tuple[str, str], bool] = {}
    for row in stand.values():
        drawn[(row.line_id, row.part_id)] = drawn.get((row.line_id, row.part_id), False) or row.blind
    highest: dict[CaseKey, dict[str, Any]] = {}
    for row_id, verdict, _ in numbered:
        key = (verdict.line_id, verdict.gate_id, verdict.part_id, verdict.attempt)
        if key not in highest or verdict.revision > highest[key]["revision"]:
            part = (verdict.line_id, verdict.part_id)
            blind = drawn[part] if part in drawn else draw.is_blind(*part)
            highest[key] = _case_row(row_id, verdict, blind, draw.people_wanted(key))
    _count_cases(connection, stand, highest)
    statement = insert_into(connection, cases)
    newer = statement.excluded
    followed = ("row_id", "revision", "batch_id", "product", "decision", "risk", "event_at")
    state = sa.case((cases.c.outcome.is_not(None), cases.c.state), else_=newer.state)
    urgency = sa.case((cases.c.blind, cases.c.urgency), else_=newer.urgency)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["line_id", "gate_id", "part_id", "attempt"],
            set_={name: newer[name] for name in followed} | {"state": state, "urgency": urgency},
            where=newer.revision > cases.c.revision,
        ),
        list(highest.values()),
    )


def _cases_of(connection: sa.Connection, parts: set[str]) -> Mapping[CaseKey, Row]:
    """How the cases of some parts stand."""
    known = sa.select(*_KEY, cases.c.revision, cases.c.decision, cases.c.blind).where(cases.c.part_id.in_(parts))
    return {(row.line_id, row.gate_id, row.part_id, row.attempt): row for row in connection.execute(known)}


def _count_cases(
    connection: sa.Connection, stand: Mapping[CaseKey, Row], highest: Mapping[CaseKey, Mapping[str, Any]]
) -> None:
    """How many cases there are by last decision, with these. To count them all anew takes seconds with ten million."""
    more = Counter[str]()
    for key, row in highest.items():
        revision, decision = (stand[key].revision, stand[key].decision) if key in stand else (0, "")
        if row["revision"] > revision:
            more[row["decision"]] += 1
            more[decision] -= 1
    changed = [{"decision": name, "cases": number} for name, number in sorted(more.items()) if name and number]
    if changed:
        statement = insert_into(connection, case_counts)
        counted = {"cases": case_counts.c.cases + statement.excluded.cases}
        connection.execute(statement.on_conflict_do_update(index_elements=["decision"], set_=counted), changed)


def _case_row(row_id: int, verdict: Verdict, blind: bool, people_wanted: int) -> dict[str, Any]:
    return {
        "line_id": verdict.line_id,
        "gate_id": verdict.gate_id,
        "part_id": verdict.part_id,
        "attempt": verdict.attempt,
        "row_id": row_id,
        "revision": verdict.revision,
        "batch_id": verdict.batch_id,
        "product": verdict.product,
        "decision": verdict.decision,
        "risk": verdict.risk,
        "event_at": int(verdict.event_at),
        "state": "done" if verdict.decision == "pass" else "open",
        "outcome": None,
        # The place of a blind part must not tell its risk: it stands with those of which nobody knows any.
        "urgency": 1.0 if blind or verdict.risk is None else verdict.risk,
        "blind": blind,
        "people_wanted": people_wanted,
    }


def _without_known(connection: sa.Connection, harvest: Harvest) -> Harvest:
    """Without the reviews that the API has written and settled already: nearly all of them."""
    if not harvest.reviews:
        return harvest
    asked = sa.select(reviews.c.review_id).where(reviews.c.review_id.in_([one.review_id for one in harvest.reviews]))
    known = set(connection.execute(asked).scalars())
    written = {encode(one.defect) for one in harvest.reviews if one.review_id in known}
    return replace(
        harvest,
        reviews=tuple(one for one in harvest.reviews if one.review_id not in known),
        defects=tuple(defect for defect in harvest.defects if not written or encode(defect) not in written),
    )


def _add_evidence(connection: sa.Connection, harvest: Harvest) -> None:
    insert_new(connection, visits, [_visit_row(visit) for visit in harvest.visits])
    insert_new(connection, exposures, [row for visit in harvest.visits for row in exposure_rows(visit)])
    add_defects(connection, harvest.defects, harvest.reviews)
    insert_new(connection, orders, [_order_row(logged) for logged in harvest.orders])
    rows = [
        {
            "part_id": seen.part_id,
            "frame_id": seen.frame_id,
            "camera_id": seen.camera_id,
            "captured_at": int(seen.captured_at),
            "inspected_at": int(seen.inspected_at),
            "frame_ref": seen.frame_ref,
            "heatmap_ref": seen.heatmap_ref,
            "body": encode(seen).decode(),
        }
        for seen in harvest.findings
    ]
    if rows:
        statement = insert_into(connection, findings)
        newer = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["part_id", "frame_id"],
                set_={name: newer[name] for name in rows[0] if name not in ("part_id", "frame_id")},
                where=newer.inspected_at >= findings.c.inspected_at,
            ),
            rows,
        )


def _visit_row(visit: Visit) -> dict[str, Any]:
    return {
        "line_id": visit.line_id,
        "part_id": visit.part_id,
        "station_id": visit.station_id,
        "started_at": int(visit.started_at),
        "ended_at": int(visit.ended_at),
        "batch_id": visit.batch_id,
        "product": visit.product,
        "attributes": msgspec.json.encode(dict(sorted(visit.attributes.items()))).decode(),
    }


def _order_row(logged: LoggedOrder) -> dict[str, Any]:
    return {
        "partition": logged.partition,
        "offset": logged.offset,
        "line_id": logged.order.line_id,
        "mode": logged.order.mode,
        "logged_at": int(logged.logged_at),
        "body": encode(logged.order).decode(),
    }
