"""What the screens and the routes ask of the store, by name: the statements that are measured with many parts in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.store.quality import QualityStore
from api.store.queue import Place, QueueFilter, QueueStore
from api.store.read import StoreReader
from api.store.rows import VerdictFilter
from ingest.messages import Instant
from tests.api.factory import now
from tests.bench.store_copied import IDLE_LINE, IDLE_PRODUCT

PAGE, LONG, HOUR_MS, DAY_MS = 100, 1000, 3_600_000, 86_400_000
ANY, NEVER = QueueFilter(), "no such thing"
TOOL, LOT = "tool_id=T7", "supplier_lot=S31"
PAIR = f"{TOOL} & {LOT}"

Asks = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Known:
    """What is asked about: an instant, a place in the middle of the queue, a batch, a part, a verdict in the middle of
    the list, when the tool was last used."""

    at: Instant
    place: Place | None
    batch: str
    part: str
    product: str
    row_id: int
    used_at: Instant

    @property
    def hour(self) -> Instant:
        return Instant(self.at - HOUR_MS)


@dataclass(frozen=True)
class Opened:
    """A store, as the API holds it."""

    queue: QueueStore
    reader: StoreReader
    quality: QualityStore


@contextmanager
def opened(url: str) -> Iterator[Opened]:
    """The store for a while."""
    stores = Opened(QueueStore(url), StoreReader(url), QualityStore(url))
    yield stores
    for one in (stores.queue, stores.reader, stores.quality):
        one.close()


def look(stores: Opened, waiting: int, every: int) -> Known:
    """Find something to ask about; the instant is that of the newest visit, or now."""
    newest = stores.reader.exposed(LOT, None, 1)
    at = newest[0].started_at if newest else now()
    place, page = None, stores.queue.page(ANY, at, 1)
    for _ in range(max(1, waiting // 2 // 1000)):
        page, place = stores.queue.read(ANY, at, 1000, place)
    middle = stores.reader.verdicts(VerdictFilter(), 1, every // 2)[0].row_id
    batch = stores.reader.batches(1)[0].batch_id
    used = stores.reader.exposed(TOOL, None, 1)
    return Known(at, place, batch, page[0].part_id, page[0].product, middle, used[0].started_at if used else at)


def questions(stores: Opened, known: Known) -> Asks:
    """All of them, by the words of the table."""
    rooms = (_pages, _counts, _parts, _settled, _lists, _exposed)
    return {words: ask for room in rooms for words, ask in room(stores, known).items()}


def _pages(stores: Opened, known: Known) -> Asks:
    filters = {
        "of one line": QueueFilter(line_id="L3"),
        "of a line where nothing waits": QueueFilter(line_id=IDLE_LINE),
        "of one product": QueueFilter(product=known.product),
        "of a product of which nothing waits": QueueFilter(product=IDLE_PRODUCT),
        "of both, where nothing waits": QueueFilter(line_id="L3", product=IDLE_PRODUCT),
        "of a decision that nothing waits with": QueueFilter(decision=("cannot_tell",)),
        "of one camera": QueueFilter(camera="top"),
        "of a camera that saw nothing": QueueFilter(camera=NEVER),
        "of one cause": QueueFilter(cause=TOOL),
        "of a cause that nothing has": QueueFilter(cause=NEVER),
        "of one batch": QueueFilter(batch_id=known.batch),
        "of the last hour": QueueFilter(since=known.hour),
        "of what is older": QueueFilter(until=known.hour),
        "as an inspector sees it": QueueFilter(inspector="anna"),
    }

    def first(wanted: QueueFilter) -> Callable[[], object]:
        return lambda: stores.queue.page(wanted, known.at, PAGE)

    whole: Asks = {
        "queue: first page": first(ANY),
        "queue: a page in its middle": lambda: stores.queue.page(ANY, known.at, PAGE, known.place),
    }
    return whole | {f"queue: first page {words}": first(wanted) for words, wanted in filters.items()}


def _counts(stores: Opened, known: Known) -> Asks:
    filters = {
        "how many wait": ANY,
        "how many on one line": QueueFilter(line_id="L3"),
        "how many of a product, none": QueueFilter(product=IDLE_PRODUCT),
        "how many of one camera": QueueFilter(camera="top"),
        "how many of one cause": QueueFilter(cause=TOOL),
        "how many of the last hour": QueueFilter(since=known.hour),
        "how many for an inspector": QueueFilter(inspector="anna"),
    }

    def count(wanted: QueueFilter) -> Callable[[], object]:
        return lambda: stores.queue.count(wanted)

    shown = [f"P{number:08d}" for number in range(0, 100 * PAGE, PAGE)]
    return {f"queue: {words}": count(wanted) for words, wanted in filters.items()} | {
        "queue: decided today": lambda: stores.queue.decided(Instant(known.at - DAY_MS)),
        "queue: how 100 parts stand": lambda: stores.queue.standing(shown, known.at),
        "queue: which of 100 parts are hidden": lambda: stores.quality.hidden_from("anna", shown),
        "queue: what two disagree about": lambda: stores.quality.disagreements(PAGE),
        "oversight: cases by state": stores.reader.count_cases,
    }


def _parts(stores: Opened, known: Known) -> Asks:
    reader, batch = stores.reader, known.batch
    return {
        "part: all of it": lambda: reader.part(known.part),
        "part: good examples of a camera": lambda: reader.good_examples("top", known.product),
        "part: what came of a cause": lambda: reader.came_of(TOOL, known.part),
        "part: kinds of defect to choose from": lambda: reader.defect_codes(8),
        "batch: every verdict": lambda: reader.batch_verdicts(batch),
        "batch: every case": lambda: reader.batch_cases(batch),
        "batch: parts made": lambda: reader.batch_visits(batch),
        "batch: defect records": lambda: reader.batch_defects(batch),
        "batches: 100 in figures": lambda: reader.batches(PAGE),
        "batches: 200 in figures": lambda: reader.batches(2 * PAGE),
        "batches: 100 from the middle": lambda: reader.batches(PAGE, known.row_id),
    }


def _lists(stores: Opened, known: Known) -> Asks:
    filters = {
        "the newest": VerdictFilter(),
        "of one batch": VerdictFilter(batch_id=known.batch),
        "of one line": VerdictFilter(line_id=IDLE_LINE),
        "of a line that judged nothing": VerdictFilter(line_id=NEVER),
        "of a product that is none": VerdictFilter(product=NEVER),
        "of one cause": VerdictFilter(cause=TOOL),
        "of what waits": VerdictFilter(state="open"),
        "of what waits of a product, none": VerdictFilter(state="open", product=IDLE_PRODUCT),
        "of what is done": VerdictFilter(state="done"),
        "of one decision": VerdictFilter(decision=("review",)),
        "of a decision that none has": VerdictFilter(decision=("cannot_tell",)),
        "since an hour": VerdictFilter(since=known.hour),
        "since a time when none was": VerdictFilter(since=Instant(2 * known.at)),
    }

    def listed(wanted: VerdictFilter) -> Callable[[], object]:
        return lambda: stores.reader.verdicts(wanted, PAGE)

    return {f"verdicts: {words}": listed(wanted) for words, wanted in filters.items()}


def _settled(stores: Opened, known: Known) -> Asks:
    filters = {"first page": ANY, "of one line": QueueFilter(line_id="L3"), "of a product that is none":
               QueueFilter(product=NEVER), "of one cause": QueueFilter(cause=TOOL)}  # fmt: skip

    def read(wanted: QueueFilter) -> Callable[[], object]:
        return lambda: stores.queue.settled(wanted, PAGE)

    return {f"settled: {words}": read(wanted) for words, wanted in filters.items()} | {
        "settled: a page in its middle": lambda: stores.queue.settled(ANY, PAGE, known.row_id)
    }


def _exposed(stores: Opened, known: Known) -> Asks:
    reader, since, turns = stores.reader, Instant(known.used_at - HOUR_MS), itertools.count()
    return {
        "exposed: 1000 visits of a tool": lambda: reader.exposed(TOOL, None, LONG),
        "exposed: 1000 visits of a tool and a lot": lambda: reader.exposed(PAIR, None, LONG),
        "exposed: visits of a tool that none used": lambda: reader.exposed(f"tool_id={NEVER}", None, LONG),
        "exposed: parts of a tool in an hour": lambda: reader.count_exposed(TOOL, since),
        "exposed: all parts of a tool": lambda: reader.count_exposed(TOOL, None),
        "exposed: parts of a tool and a lot in an hour": lambda: reader.count_exposed(PAIR, since),
        "exposed: parts of a tool that none used": lambda: reader.count_exposed(f"tool_id={NEVER}", None),
        # Asked with another time each turn: what was found is kept for a while.
        "incident: the part that shows it best": lambda: stores.queue.shows_best(TOOL, Instant(next(turns)), known.at),
    }
