"""The collector killed at each statement of its transaction, before its commit, and after it: everything once."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from api.collect import Collector
from api.harvest import REVIEW_HEADER, Harvester, ReviewHeader
from api.store.database import migrate
from api.store.tables import case_counts, cases, offsets, reviews, verdicts, visits
from api.store.write import StoreWriter
from ingest.log.opening import open_log
from ingest.log.seam import Log, Outgoing
from ingest.messages import encode
from ingest.settings import Settings
from ingest.topics import create_topics
from tests.api.factory import make_defect, make_pass, make_verdict, make_visit, publish, settings_at
from tests.killed import Killed

PARTS = 12
STATEMENTS_MAX = 60  # more than a transaction has, with those that take the lease


def fill(log: Log, settings: Settings) -> None:
    """Parts with visits, revisions, a defect, and a review that settles a case."""
    made = [make_verdict(f"P{n}") if n % 3 else make_pass(f"P{n}") for n in range(PARTS)]
    revised = [make_pass(f"P{n}", revision=2) for n in range(0, PARTS, 4)]
    publish(
        log, settings, verdicts=[*made, *revised, *made[:3]], production=[make_visit(f"P{n}") for n in range(PARTS)]
    )
    publish(log, settings, defects=[make_defect("P2")])
    told = ReviewHeader("r1", "EOL", 1)
    producer = log.producer()
    body, headers = encode(make_defect("P1")), ((REVIEW_HEADER, msgspec.json.encode(told)),)
    producer.append(Outgoing(settings.topic("defects"), b"L1", body, headers))
    producer.flush()
    producer.close()


@contextmanager
def killing(writer: StoreWriter, at: int, event: str) -> Iterator[list[int]]:
    """Killed at the event of this number of the writer's engine; how many there were."""
    seen = [0]

    def count(*_: Any) -> None:
        seen[0] += 1
        if seen[0] == at:
            raise Killed

    sa.event.listen(writer._engine, event, count)
    try:
        yield seen
    finally:
        sa.event.remove(writer._engine, event, count)


def collect(settings: Settings, at: int, event: str = "before_cursor_execute") -> bool:
    """One life of a collector, killed there; False when it lived and had collected everything."""
    writer = StoreWriter(settings.store, "one")
    stop = threading.Event()

    def told() -> None:
        stop.set()
        if event == "after_commit":
            raise Killed

    collector = Collector(lambda: open_log(settings), writer, Harvester(settings), on_stored=told)
    try:
        with killing(writer, at, "commit" if event == "after_commit" else event):
            collector.run(stop)
    except Killed:
        return True
    finally:
        writer._engine.dispose()
        writer.close()
    return False


def stored(settings: Settings) -> dict[str, list[Any]]:
    """What the store says, but for the numbers of its rows."""
    engine = sa.create_engine(settings.store)
    of: dict[str, Any] = {
        "verdicts": sa.select(verdicts.c.verdict_id, verdicts.c.body),
        "cases": sa.select(cases.c.part_id, cases.c.revision, cases.c.decision, cases.c.state, cases.c.outcome),
        "counts": sa.select(case_counts.c.decision, case_counts.c.cases),
        "reviews": sa.select(reviews.c.review_id),
        "visits": sa.select(visits.c.part_id),
        "offsets": sa.select(offsets.c.topic, offsets.c.partition, offsets.c.next_offset),
    }
    with engine.connect() as connection:
        found = {name: sorted(tuple(row) for row in connection.execute(question)) for name, question in of.items()}
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, dict[str, list[Any]]]]:
    """A log, and what one life makes of it."""
    settings = settings_at(tmp_path_factory.mktemp("killed") / "home")
    log = open_log(settings)
    create_topics(log, settings)
    fill(log, settings)
    migrate(settings.store)
    shutil.copy(sa.make_url(settings.store).database or "", Path(settings.home) / "empty.db")
    assert not collect(settings, at=0)
    yield settings, stored(settings)
    log.close()


def of_its_own(settings: Settings, folder: Path) -> Settings:
    """The same log, an empty store."""
    shutil.copy(Path(settings.home) / "empty.db", folder / "store.db")
    return replace(settings, store=f"sqlite:///{folder / 'store.db'}")


@pytest.mark.parametrize("event", ["before_cursor_execute", "commit"])
def test_a_collector_killed_at_any_statement_or_before_any_commit_stores_everything_once(
    filled: tuple[Settings, dict[str, list[Any]]], tmp_path: Path, event: str
) -> None:
    settings, whole = filled
    assert len(whole["verdicts"]) == PARTS + len(range(0, PARTS, 4))
    for at in range(1, STATEMENTS_MAX):
        folder = tmp_path / str(at)
        folder.mkdir()
        again = of_its_own(settings, folder)
        died = collect(again, at, event)
        if died and stored(again) != whole:
            assert stored(again) == {name: [] for name in whole}
            assert not collect(again, at=0)
        assert stored(again) == whole
        if not died:
            return
    raise AssertionError("a transaction has more statements than thought")


def test_a_collector_killed_before_it_could_say_that_it_had_stored_anything_stores_nothing_twice(
    filled: tuple[Settings, dict[str, list[Any]]], tmp_path: Path
) -> None:
    settings, whole = filled
    again = of_its_own(settings, tmp_path)
    assert collect(again, at=0, event="after_commit")
    assert stored(again) == whole
    later = StoreWriter(again.store, "two")
    assert later.offsets() == {(topic, partition): offset for topic, partition, offset in whole["offsets"]}
    later.close()
