"""A replay folder: recorded production in plain files (CONTRACT section 3), as arrivals in the order they came in.

folder = Folder("line7")
for arrival in folder.arrivals(since=cut):
    ...                      # arrival.received_at is the replay's clock
folder.dead_letters          # the rows that could not be used
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ingest.decode.checks import Checks
from ingest.errors import BadInput, BadRecord
from ingest.folder.items import (
    DEFECT_COLUMNS,
    FRAME_COLUMNS,
    TRUTH_COLUMNS,
    VISIT_COLUMNS,
    Arrival,
    DefectRow,
    FrameRow,
    Item,
    Part,
    Truth,
    VisitRow,
    read_defect,
    read_frame,
    read_truth,
    read_visit,
)
from ingest.folder.marks import MARK_COLUMNS, MarkRow, MaskFile, read_mark
from ingest.folder.products import BookedProducts
from ingest.folder.rows import DeadRow, DeadRows, Row, read_rows
from ingest.folder.sensors import SensorRun, channels_of, sensor_files, sensor_runs
from ingest.messages import Instant, Visit
from ingest.plan.file import load_plan
from ingest.plan.plan import Station
from ingest.settings import Settings

__all__ = ["Arrival", "DeadRow", "DefectRow", "Folder", "FrameRow", "MarkRow", "MaskFile", "Part", "Truth", "VisitRow"]

LINK_BYTES_MAX = 1024  # a symbolic link that was checked out as a plain file holds one short path

_Read = TypeVar("_Read")
#: received_at, kind, place in its file, and the item: the first three are the order of arrival.
_Ranked = tuple[int, int, int, Item]


class Folder:
    """A replay folder. Streams that its plan does not grant are not read; bad rows become `dead_letters`.

    Raises BadInput naming the file and column that is missing or wrong.
    """

    def __init__(self, path: Path | str, settings: Settings | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise BadInput(f"{self.path}: no such folder")
        settings = settings or Settings()
        self.plan = load_plan(self.path / "plan.yaml")
        self.dead_letters: list[DeadRow] = []
        self._dead = DeadRows(self.dead_letters)
        self._checks = Checks(settings, self.plan)
        self._visits = self._rows("production.csv", VISIT_COLUMNS, lambda row: read_visit(row, self._checks))
        self._frames = self._optional("frames", FRAME_COLUMNS, self._read_frames())
        self._defects = self._optional("defects", DEFECT_COLUMNS, lambda row: read_defect(row, self._checks))
        self._marks = self._read_marks()
        self._parts = _first_visits(self._visits)
        self._sensor_files = [self._station_of(*found) for found in self._find_sensor_files()]

    def visits(self) -> list[VisitRow]:
        """Every visit with the time it came in, in the order of the file."""
        return self._visits if self.plan.may_read("production") else []

    def defects(self) -> list[DefectRow]:
        """Every defect record with the time it came in, in the order of the file."""
        return self._defects

    def frames(self) -> list[FrameRow]:
        """Every frame whose picture is there, in the order of the file; `load()` reads the picture."""
        return self._frames

    def marks(self) -> list[MarkRow]:
        """Where people saw defects in frames, in the order of `marks.csv`."""
        return self._marks

    def refuse_mark(self, mark: MarkRow, trouble: BadRecord) -> None:
        """Note a mark that turned out not to fit its frame, once somebody could open both."""
        self._dead.note("marks.csv", mark.row, trouble)

    def parts(self) -> Mapping[str, Part]:
        """Each part that production booked, with its first visit's line, start, batch and product."""
        return self._parts

    def truth(self) -> Mapping[str, Truth] | None:
        """What a simulated plant knows about its parts; None for a real one."""
        if not (self.path / "truth.csv").is_file():
            return None
        return {truth.part_id: truth for truth in self._rows("truth.csv", TRUTH_COLUMNS, read_truth)}

    def arrivals(self, since: Instant | None = None, until: Instant | None = None) -> Iterator[Arrival]:
        """Every record in the order of `received_at`, then sensors, frames, production, defects, then file order.

        `since`: only parts whose first visit began then or later, samples of nobody from then on, and every defect
        record that came in then or later. `until`: only parts that began before. Pictures are read as the iteration
        reaches them.
        """
        return self._arrive(self._ranked(since, until))

    def blocks(self, since: Instant | None = None) -> Iterator[tuple[Instant, Iterator[Arrival]]]:
        """Everything of one part at a time, with the time its last record came in, in the order of these times.

        A defect record is a block of its own; samples of nobody are in none.
        """
        whole: dict[str, list[_Ranked]] = {}
        alone: list[list[_Ranked]] = []
        for entry in self._ranked(since, None):
            if isinstance(entry[3], DefectRow):
                alone.append([entry])
            elif entry[3].part_id:
                whole.setdefault(entry[3].part_id, []).append(entry)
        for block in sorted([*whole.values(), *alone], key=lambda block: block[-1][:3]):
            yield Instant(block[-1][0]), self._arrive(block)

    def _ranked(self, since: Instant | None, until: Instant | None) -> list[_Ranked]:
        ranked: list[_Ranked] = []
        # at one moment what ended comes before the booking that says so, and labels come last
        kinds: tuple[Sequence[Item], ...] = (self._sensors, self._frames, self.visits(), self._defects)
        for kind, items in enumerate(kinds):
            ranked += [
                (item.received_at, kind, place, item)
                for place, item in enumerate(items)
                if self._wanted(item, since, until)
            ]
        ranked.sort(key=lambda entry: entry[:3])
        return ranked

    def _arrive(self, ranked: Sequence[_Ranked]) -> Iterator[Arrival]:
        for _, _, _, item in ranked:
            try:
                yield item.arrival()
            except BadRecord as trouble:  # only a picture that went away since the folder was opened
                self._dead.note("frames.csv", item.row if isinstance(item, FrameRow) else 0, trouble)

    def _wanted(self, item: Item, since: Instant | None, until: Instant | None) -> bool:
        part = self._parts.get(item.part_id)
        began = part.started_at if part else item.moment_ms
        if until is not None and began >= until:
            return False
        return since is None or began >= since or (isinstance(item, DefectRow) and item.received_at >= since)

    def _optional(self, topic: str, columns: tuple[str, ...], read: Callable[[Row], _Read]) -> list[_Read]:
        name = f"{topic}.csv"
        if not self.plan.may_read(topic) or not (self.path / name).exists():
            return []
        return self._rows(name, columns, read)

    def _rows(self, name: str, columns: tuple[str, ...], read: Callable[[Row], _Read]) -> list[_Read]:
        found = []
        for row in read_rows(self.path / name, name, columns, self._dead):
            try:
                found.append(read(row))
            except BadRecord as trouble:
                self._dead.note(name, row.number, trouble)
        return found

    def _read_marks(self) -> list[MarkRow]:
        name, masks = "marks.csv", self.path / "masks"
        if not self.plan.may_read("defects") or not (self.path / name).exists():
            return []
        return self._rows(name, MARK_COLUMNS, lambda row: read_mark(row, self._checks, masks))

    def _read_frames(self) -> Callable[[Row], FrameRow]:
        pictures = self.path / "frames"
        if pictures.is_file() and pictures.stat().st_size <= LINK_BYTES_MAX:
            # where symbolic links are not to be had, git writes one as a file that holds its target
            pictures = self.path / pictures.read_text("utf-8", "replace").strip()
        booked = BookedProducts(self.visits())
        return lambda row: read_frame(row, self._checks, pictures, booked.before)

    def _find_sensor_files(self) -> Iterator[tuple[Path, str, str, str]]:
        if self.plan.may_read("sensors"):
            yield from sensor_files(self.path / "sensors", self._dead, self._checks.place)

    def _station_of(self, path: Path, name: str, line_id: str, station_id: str) -> tuple[Path, str, str, Station]:
        line = self.plan.line(line_id)
        assert line is not None  # `place` let no other through
        station = line.stations[line.order(station_id)]
        channels_of(path, station)
        return path, name, line_id, station

    @cached_property
    def _sensors(self) -> list[SensorRun]:
        at_station: dict[tuple[str, str], list[Visit]] = {}
        for row in self._visits:
            at_station.setdefault((row.visit.line_id, row.visit.station_id), []).append(row.visit)
        runs: list[SensorRun] = []
        for path, name, line_id, station in self._sensor_files:
            visits = at_station.get((line_id, station.station_id), [])
            runs += sensor_runs(path, name, line_id, station, visits, self._checks.earliest_ms, self._dead)
        return runs


def _first_visits(visits: list[VisitRow]) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for row in visits:
        visit = row.visit
        known = parts.get(visit.part_id)
        if known is None or visit.started_at < known.started_at:
            parts[visit.part_id] = Part(visit.part_id, visit.line_id, visit.started_at, visit.batch_id, visit.product)
    return parts
