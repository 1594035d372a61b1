"""The store, on SQLite and on a real PostgreSQL: nothing twice, nothing thinner, nothing half, nothing undone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from api.store.database import MIGRATIONS, StoreUnavailable, migrate, open_engine
from api.store.decisions import Decided
from api.store.quality import QualityStore
from api.store.queue import QueueFilter, QueueStore
from api.store.read import StoreReader
from api.store.rows import Harvest, Made, Review, VerdictFilter
from api.store.tables import metadata
from api.store.write import StoreWriter
from ingest.errors import BadInput, Fenced
from ingest.messages import Cause, Instant, Verdict, Visit, encode
from tests.api.factory import make_defect, make_findings, make_pass, make_verdict, make_visit, now

EVERY = VerdictFilter()


def harvest(*verdicts: Verdict, offsets: tuple[int, int] | None = None, **more: object) -> Harvest:
    moved = {("qc.verdicts", 0): offsets} if offsets else {}
    return Harvest(verdicts=tuple((one, encode(one).decode()) for one in verdicts), offsets=moved, **more)  # type: ignore[arg-type]


class Store:
    """A store under test; whatever is opened on it is closed with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reader = StoreReader(url)
        self._opened: list[StoreWriter] = []

    def writer(self, name: str) -> StoreWriter:
        self._opened.append(StoreWriter(self.url, name))
        return self._opened[-1]

    def apply(self, *harvests: Harvest) -> StoreReader:
        writer = self.writer("one")
        for one in harvests:
            writer.apply(one, now())
        return self.reader

    def close(self) -> None:
        self.reader.close()
        for writer in self._opened:
            writer.close()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url)
    yield opened
    opened.close()


def states(reader: StoreReader, part_id: str) -> list[tuple[str, int, str, str | None]]:
    record = reader.part(part_id)
    assert record is not None
    return sorted((case.gate_id, case.attempt, case.state, case.outcome) for case in record.cases)


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(store_url: str) -> None:
    engine = open_engine(store_url, writing=False)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def back_to(url: str, revision: str) -> None:
    """As the store was with this revision, and forward again."""
    engine = open_engine(url, writing=True)
    with engine.connect() as connection:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, revision)
        connection.commit()
    engine.dispose()
    migrate(url)


def test_migrations_go_back_and_forward_again_and_keep_the_record(store: Store) -> None:
    undone = review("P2", "defect")
    reader = store.apply(
        harvest(make_verdict("P1"), make_verdict("P2")),
        Harvest(reviews=(review("P1"), undone, review("P2", "unsure", undoes=undone.review_id))),
    )
    before = (states(reader, "P1"), states(reader, "P2"))
    back_to(store.url, "0002")
    again = StoreReader(store.url)
    assert (states(again, "P1"), states(again, "P2")) == before
    record = again.part("P2")
    assert record is not None
    assert [one.defect.outcome for one in record.reviews] == ["defect", "unsure"]
    assert again.last_row_id() == 2
    assert [(one.batch_id, one.parts_judged, one.last_row) for one in again.batches(9)] == [("B77", 2, 2)]
    assert [(one.part_id, one.urgency, one.row_id) for one in again.open_cases(10)] == [("P2", 0.8731, 2)]
    again.close()
    queue = QueueStore(store.url)
    assert [one.part_id for one in queue.page(QueueFilter(), now(), 10)] == ["P2"]
    queue.close()


def counted(url: str) -> tuple[list[Decided], dict[str, tuple[int, str]]]:
    """What the figures on people's judgement are made of."""
    quality, every = QualityStore(url), (Instant(0), Instant(2 * now()))
    told = list(quality.decisions(*every).rows()), quality.truths(*every)
    quality.close()
    return told


def test_what_is_counted_of_decisions_is_worked_out_again_from_the_record(store: Store) -> None:
    seen = Made(risk=0.9, threshold=0.1, risk_shown=True, took_ms=4100, unaware=True, also=(("MID", 1),))
    said = (review("P1", made=seen), review("P2", "defect", made=Made(risk_shown=False, final=True)))
    own = tuple(one.defect for one in said)
    old = make_defect("P2", source="history")
    store.apply(Harvest(reviews=said, defects=(*own, make_defect("P1"), old, make_defect("P3", outcome="unsure"))))
    before = counted(store.url)
    assert [one.took_ms for one in before[0]] == [4100, 0]
    assert list(before[1]) == ["P1"]
    back_to(store.url, "0011")
    assert counted(store.url) == before
    engine = open_engine(store.url, writing=True)
    with pytest.raises(sa.exc.DBAPIError, match="only added to"), engine.begin() as connection:
        connection.execute(sa.text("UPDATE reviews SET said = 0"))
    engine.dispose()


def test_migrating_again_and_by_several_at_once_changes_nothing(store: Store) -> None:
    threads = [threading.Thread(target=migrate, args=(store.url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.reader.last_row_id() == 0


def test_a_verdict_comes_back_byte_for_byte(store: Store) -> None:
    verdict = make_verdict("Bohrung-Ø/1")
    reader = store.apply(harvest(verdict))
    assert [stored.body for stored in reader.verdicts(EVERY, 10)] == [encode(verdict)]


def test_a_repeat_cannot_overwrite(store: Store) -> None:
    first, forged = make_verdict(decision="review"), make_verdict(decision="pass", reasons=[])
    reader = store.apply(harvest(first, first), harvest(forged))
    assert [stored.body for stored in reader.verdicts(EVERY, 10)] == [encode(first)]
    assert states(reader, "P1") == [("EOL", 1, "open", None)]


def test_a_lower_revision_that_comes_later_does_not_replace_a_higher_one(store: Store) -> None:
    reader = store.apply(harvest(make_pass("P1", revision=2)), harvest(make_verdict("P1", revision=1)))
    assert states(reader, "P1") == [("EOL", 1, "done", None)]
    assert len(reader.verdicts(EVERY, 10)) == 2  # both stay in the record
    assert reader.verdicts(VerdictFilter(state="open"), 10) == []


def test_offsets_and_verdicts_are_written_together_or_not_at_all(store: Store) -> None:
    writer = store.writer("one")
    writer.apply(harvest(make_verdict("P1"), offsets=(0, 1)), now())
    with pytest.raises(Fenced):
        writer.apply(harvest(make_verdict("P2"), offsets=(0, 2)), now())  # somebody has moved it from 0 to 1
    assert writer.offsets() == {("qc.verdicts", 0): 1}
    assert store.reader.last_row_id() == 1


def test_two_collectors_cannot_both_write(store: Store) -> None:
    one, other = store.writer("one"), store.writer("other")
    assert one.take_lease(now())
    assert not other.take_lease(now())
    with pytest.raises(Fenced):
        other.apply(harvest(make_verdict("P1")), now())
    assert store.reader.last_row_id() == 0
    later = Instant(now() + 60_000)
    assert other.take_lease(later)  # the first has been silent for a minute
    with pytest.raises(Fenced):
        one.apply(harvest(make_verdict("P1")), later)


def test_a_collector_that_leaves_makes_room_at_once(store: Store) -> None:
    one, other = store.writer("one"), store.writer("other")
    assert one.take_lease(now())
    one.close()
    assert other.take_lease(now())


@pytest.mark.parametrize("table", ["verdicts", "causes", "defects", "reviews", "audit"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET {column} = {column}"])
def test_the_record_has_no_delete_path(store: Store, table: str, change: str) -> None:
    filled = harvest(make_verdict(), defects=(make_defect(),), reviews=(review(),))
    store.apply(filled)
    engine = open_engine(store.url, writing=True)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(metadata.tables["audit"]).values(at=1, by="a", role="", action="x", subject="", detail="")
        )
    column = metadata.tables[table].columns.keys()[-1]
    with pytest.raises(sa.exc.DBAPIError, match="only added to"), engine.begin() as connection:
        connection.execute(sa.text(change.format(table, column=f'"{column}"')))
    engine.dispose()


def review(part_id: str = "P1", outcome: str = "ok", **changes: object) -> Review:
    fields = {"review_id": f"r-{part_id}-{outcome}", "gate_id": "EOL", "attempt": 1} | changes
    return Review(defect=make_defect(part_id, source="inspector", outcome=outcome), **fields)  # type: ignore[arg-type]


def test_a_review_closes_its_case_whichever_of_the_two_is_collected_first(store: Store) -> None:
    reader = store.apply(
        harvest(make_verdict("P1")),
        Harvest(reviews=(review("P1"),)),
        Harvest(reviews=(review("P2", "defect"),)),
        harvest(make_verdict("P2")),
    )
    assert states(reader, "P1") == [("EOL", 1, "done", "ok")]
    assert states(reader, "P2") == [("EOL", 1, "done", "defect")]


def test_a_decision_taken_back_leaves_the_case_as_if_it_had_never_been(store: Store) -> None:
    wrong = review("P1", "defect")
    undo = review("P1", "unsure", undoes=wrong.review_id)
    reader = store.apply(
        harvest(make_verdict("P1"), make_pass("P2"), make_verdict("P3")),
        Harvest(reviews=(undo,)),  # whichever is collected first
        Harvest(reviews=(wrong,), defects=(wrong.defect,)),
        Harvest(reviews=(review("P2", "defect"), review("P2", "unsure", undoes="r-P2-defect"))),
        Harvest(reviews=(review("P3", "defect"), review("P3", "unsure", undoes="r-P3-defect"))),
        harvest(make_verdict("P3", attempt=2)),
    )
    assert states(reader, "P1") == [("EOL", 1, "open", None)]
    assert states(reader, "P2") == [("EOL", 1, "done", None)]
    assert states(reader, "P3") == [("EOL", 1, "done", "superseded"), ("EOL", 2, "open", None)]
    assert reader.undone(wrong)
    store.apply(Harvest(reviews=(review("P1", "ok", review_id="another"),)))
    assert states(reader, "P1") == [("EOL", 1, "done", "ok")]


def test_a_decision_taken_back_after_the_part_came_again_is_superseded(store: Store) -> None:
    reader = store.apply(
        harvest(make_verdict("P1")),
        Harvest(reviews=(review("P1", "ok"),)),
        harvest(make_verdict("P1", attempt=2)),
        Harvest(reviews=(review("P1", "unsure", undoes="r-P1-ok"),)),
    )
    assert states(reader, "P1") == [("EOL", 1, "done", "superseded"), ("EOL", 2, "open", None)]


def test_a_record_from_elsewhere_that_is_taken_back_opens_the_case_and_leaves_what_others_said(store: Store) -> None:
    slips = [make_defect(part, record_id=f"slip {part}") for part in ("P1", "P2", "P3")]
    undone = [make_defect(one.part_id, outcome="unsure", undoes=one.record_id) for one in slips]
    reader = store.apply(
        harvest(make_verdict("P1"), make_verdict("P2"), make_verdict("P3")),
        Harvest(defects=(slips[0], slips[1], make_defect("P2", outcome="ok", record_id="another"))),
        Harvest(defects=(undone[2],)),  # before what it takes back
        Harvest(defects=(undone[0], undone[1], slips[2])),
    )
    assert states(reader, "P1") == [("EOL", 1, "open", None)]
    assert states(reader, "P2") == [("EOL", 1, "done", "ok")]
    assert states(reader, "P3") == [("EOL", 1, "open", None)]


def test_what_came_of_the_latest_parts_with_a_cause_is_counted_without_the_part_itself(store: Store) -> None:
    reader = store.apply(
        harvest(*(make_verdict(f"P{n}") for n in range(4)), make_verdict("OTHER", causes=[])),
        Harvest(reviews=(review("P0", "defect"), review("P1", "ok"), review("P2", "defect"))),
    )
    assert reader.came_of("tool_id=T7", "P3") == {"defect": 2, "ok": 1}
    assert reader.came_of("tool_id=T7", "P0") == {"defect": 1, "ok": 1, "": 1}
    assert reader.came_of("tool_id=T8", "P0") == {}


def test_unsure_closes_nothing(store: Store) -> None:
    reader = store.apply(harvest(make_verdict("P1")), Harvest(reviews=(review("P1", "unsure"),)))
    assert states(reader, "P1") == [("EOL", 1, "open", None)]


def test_a_revision_after_the_review_does_not_open_the_case_again(store: Store) -> None:
    reader = store.apply(
        harvest(make_verdict("P1")),
        Harvest(reviews=(review("P1"),)),
        harvest(make_verdict("P1", revision=2, risk=0.99)),
    )
    assert states(reader, "P1") == [("EOL", 1, "done", "ok")]


def test_a_review_closes_only_the_gate_it_was_made_at(store: Store) -> None:
    made = review("P1")
    reader = store.apply(
        harvest(make_verdict("P1"), make_verdict("P1", gate_id="MID")),
        Harvest(reviews=(made,), defects=(made.defect,)),
    )
    assert states(reader, "P1") == [("EOL", 1, "done", "ok"), ("MID", 1, "open", None)]


def test_a_record_of_another_inspection_settles_what_was_decided_before_it(store: Store) -> None:
    early, late = make_verdict("P1", event_at=Instant(1000)), make_verdict("P1", attempt=2, event_at=Instant(3000))
    found = make_defect("P1", source="inspector", outcome="defect", recorded_at=Instant(2000))
    history = make_defect("P2", source="history", recorded_at=Instant(9000))
    reader = store.apply(harvest(early), Harvest(defects=(found, history)), harvest(late, make_verdict("P2")))
    assert states(reader, "P1") == [("EOL", 1, "done", "defect"), ("EOL", 2, "open", None)]
    assert states(reader, "P2") == [("EOL", 1, "open", None)]


def test_a_new_attempt_supersedes_the_open_one_before_it(store: Store) -> None:
    reader = store.apply(harvest(make_verdict("P1")), harvest(make_verdict("P1", attempt=2)))
    assert states(reader, "P1") == [("EOL", 1, "done", "superseded"), ("EOL", 2, "open", None)]


def test_filters_choose_and_pages_meet_without_gap_or_repeat(store: Store) -> None:
    lot = Cause(cause="supplier_lot=S_1%", kind="attribute", station_id="OP20", share=0.5)
    made = [make_verdict(f"P{n}", batch_id=f"B{n % 2}", decided_at=Instant(1000 * n)) for n in range(10)]
    made.append(make_verdict("P10", line_id="L2", product="X", causes=[lot], decided_at=Instant(10_000)))
    made.append(make_pass("P11", decided_at=Instant(11_000)))
    reader = store.apply(harvest(*made))

    def parts(limit: int = 100, before: int | None = None, **wanted: object) -> list[int]:
        found = reader.verdicts(VerdictFilter(**wanted), limit, before)  # type: ignore[arg-type]
        return [stored.row_id - 1 for stored in found]

    assert parts(line_id="L2") == [10]
    assert parts(product="X") == [10]
    assert parts(cause="supplier_lot=S_1%") == [10]
    assert parts(cause="supplier_lot=S_1x") == []
    assert parts(batch_id="B1") == [9, 7, 5, 3, 1]
    assert parts(since=Instant(9000)) == [11, 10, 9]
    assert parts(decision=("pass",)) == [11]
    assert parts(state="done") == [11]
    assert parts(limit=5) + parts(limit=5, before=8) + parts(limit=5, before=3) == list(range(11, -1, -1))
    assert [stored.row_id for stored in reader.verdicts_after(9, 2)] == [10, 11]


def test_a_part_shows_all_its_evidence_once(store: Store) -> None:
    visit, seen, found = make_visit("P1"), make_findings("P1"), make_defect("P1")
    again = make_findings("P1", frame_id=seen.frame_id, inspected_at=Instant(seen.inspected_at + 5), score=0.9)
    twice = Harvest(visits=(visit, visit), findings=(seen, again), defects=(found, found))
    record = store.apply(twice, twice).part("P1")
    assert record is not None
    assert record.visits == (visit,)
    assert record.findings == (again,)
    assert record.defects == (found,)
    assert store.reader.part("P2") is None


def test_exposed_finds_the_value_and_nothing_like_it(store: Store) -> None:
    values = ["T7", "T70", "T_", "T%", 'T"7', "t7"]
    visits = tuple(make_visit(f"P{n}", attributes={"tool_id": value}) for n, value in enumerate(values))
    reader = store.apply(Harvest(visits=visits))
    for n, value in enumerate(values):
        found = reader.exposed(f"tool_id={value}", None, 10)
        # SQLite's LIKE does not tell T7 from t7; what it must never do is miss one.
        assert f"P{n}" in {visit.part_id for visit in found}
        assert {visit.attributes["tool_id"].lower() for visit in found} == {value.lower()}


def test_exposed_to_a_pair_are_the_parts_that_hold_both_wherever_they_booked_them(store: Store) -> None:
    def visit(part_id: str, station_id: str, **attributes: str) -> Visit:
        return make_visit(part_id, station_id=station_id, attributes=attributes)

    visits = (
        visit("P1", "OP10", recipe="R2"), visit("P1", "OP20", tool_id="T7"), visit("P1", "OP30", shift="B"),
        visit("P2", "OP10", recipe="R2"), visit("P2", "OP20", tool_id="T8"),
        visit("P3", "OP20", tool_id="T7", recipe="R1"), visit("P4", "OP20", tool_id="T7 & T8"),
    )  # fmt: skip
    reader = store.apply(Harvest(visits=visits))
    found = reader.exposed("recipe=R2 & tool_id=T7", None, 10)
    assert {(one.part_id, one.station_id) for one in found} == {("P1", "OP10"), ("P1", "OP20")}
    assert reader.count_exposed("recipe=R2 & tool_id=T7", None) == 1
    assert [one.part_id for one in reader.exposed("tool_id=T7 & T8", None, 10)] == ["P4"]


def test_a_batch_counts_parts_made_against_parts_judged(store: Store) -> None:
    visits = tuple(make_visit(f"P{n}") for n in range(4))
    reader = store.apply(harvest(make_verdict("P0"), make_pass("P1"), make_pass("P2"), visits=visits))
    (batch,) = reader.batches(10)
    assert (batch.parts_made, batch.parts_judged, batch.passed, batch.review, batch.open_cases) == (4, 3, 2, 1, 1)


def test_a_url_that_is_no_store_is_refused_in_one_sentence() -> None:
    for url in ("nonsense", "mysql://x/y", "sqlite://"):
        with pytest.raises(BadInput, match="QCFUSE_STORE"):
            open_engine(url, writing=False)


def test_a_store_that_is_away_is_the_world_and_not_our_bug() -> None:
    reader = StoreReader("postgresql+psycopg://qcfuse@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        reader.last_row_id()
