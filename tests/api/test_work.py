"""How much the store does for what is asked often: counted in the database's own steps, not in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from api.store.database import migrate
from api.store.queue import QueueFilter, QueueStore
from api.store.rows import Harvest
from api.store.write import StoreWriter
from tests.api.factory import make_verdict, make_visit, now

EVERY = 100  # steps of SQLite's virtual machine between two looks
FEW, MANY = 40, 2000


@contextmanager
def steps() -> Iterator[Callable[[], int]]:
    """Counts the steps of every connection opened within."""
    looks = [0]

    def look() -> int:
        looks[0] += 1
        return 0

    def watch(connection: object, _record: object) -> None:
        connection.set_progress_handler(look, EVERY)  # type: ignore[attr-defined]

    sa.event.listen(sa.Engine, "connect", watch)
    try:
        yield lambda: looks[0]
    finally:
        sa.event.remove(sa.Engine, "connect", watch)


def waiting(writer: StoreWriter, parts: int) -> None:
    """So many parts wait."""
    verdicts = [make_verdict(f"P{number}", risk=(number + 1) / (parts + 1)) for number in range(parts)]
    writer.apply(Harvest(verdicts=tuple((verdict, "{}") for verdict in verdicts)), now())


def test_collecting_a_part_costs_as_little_however_many_wait(tmp_path: Path) -> None:
    took = []
    for parts in (FEW, MANY):
        url = f"sqlite:///{tmp_path / f'{parts}.db'}"
        migrate(url)
        with steps() as taken:
            writer = StoreWriter(url, holder="test")
            waiting(writer, parts)
            before = taken()
            for number in range(20):
                verdicts = tuple((make_verdict(f"new-{number}-{place}"), "{}") for place in range(3))
                writer.apply(Harvest(verdicts=verdicts, visits=(make_visit(f"new-{number}-0"),)), now())
            took.append(taken() - before)
            writer.close()
    assert took[1] < 2 * took[0]


def asked_of(folder: Path, parts: int, ask: Callable[[QueueStore], None]) -> int:
    """How much it takes to ask the queue while so many parts wait."""
    url = f"sqlite:///{folder / f'{parts}.db'}"
    migrate(url)
    with steps() as taken:
        writer, queue = StoreWriter(url, holder="test"), QueueStore(url)
        waiting(writer, parts)
        before = taken()
        ask(queue)
        took = taken() - before
        writer.close()
        queue.close()
    return took


def test_what_an_inspector_has_spoken_of_is_counted_by_an_index(tmp_path: Path) -> None:
    def ask(queue: QueueStore) -> None:
        for _ in range(100):
            assert queue.count_spoken(QueueFilter(inspector="anna")) == 0

    assert asked_of(tmp_path, MANY, ask) <= 2 * asked_of(tmp_path, FEW, ask) + 1


def test_a_page_of_one_line_costs_as_little_however_many_wait_there(tmp_path: Path) -> None:
    def ask(queue: QueueStore) -> None:
        for _ in range(50):
            assert len(queue.page(QueueFilter(line_id="L1", inspector="anna"), now(), 20)) == 20

    assert asked_of(tmp_path, MANY, ask) < 2 * asked_of(tmp_path, FEW, ask)
