"""Sensor files of a replay folder cut into the records in which they came in: by `received_at` and part where the file
says so, else one record per visit, and one per gap between visits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ingest.decode.checks import check_id
from ingest.errors import BadInput, BadRecord
from ingest.folder.columns import BoolArray, IntArray, column_names, numbers, read_columns, texts, times_ms
from ingest.folder.items import Arrival
from ingest.folder.rows import DeadRows, check_columns
from ingest.messages import FloatArray, Instant, SensorRecord, Visit
from ingest.plan.plan import Station

VALUES_PER_RECORD = 100_000  # half of what a record may hold by default: whole cycles stay whole, a file does not
_PART_SHIFT = 42  # ms since the first visit fit into 42 bits (139 years), the part's index into the other 21
_OWN = ("ts", "part_id", "received_at")


@dataclass(frozen=True, slots=True)
class SensorColumns:
    """One station's samples in the order of their records. `lines`: each sample's line in the file."""

    file: str
    line_id: str
    station_id: str
    ts_ms: FloatArray = field(repr=False)
    channels: Mapping[str, FloatArray] = field(repr=False)
    lines: IntArray = field(repr=False)


@dataclass(frozen=True, slots=True)
class SensorRun:
    """One record's place in the columns. `part_id`: whose samples they are ("" nobody's); `named`: the file says so."""

    received_at: Instant
    part_id: str
    named: bool
    columns: SensorColumns = field(repr=False)
    start: int
    stop: int

    @property
    def moment_ms(self) -> float:
        return float(self.columns.ts_ms[self.start])

    def arrival(self) -> Arrival:
        columns, span = self.columns, slice(self.start, self.stop)
        channels = {name: samples[span] for name, samples in columns.channels.items()}
        part_id = self.part_id if self.named else None
        record = SensorRecord(columns.line_id, columns.station_id, columns.ts_ms[span], channels, part_id)
        where = f"{columns.file}:{columns.lines[self.start]}-{columns.lines[self.stop - 1]}"
        return Arrival(self.received_at, record, where, self.part_id)


@dataclass(frozen=True, slots=True)
class _Samples:
    """A file as read: bad rows gone, file order. `received_ms` NaN and `part` -1 where the file does not say."""

    lines: IntArray
    ts_ms: FloatArray
    received_ms: FloatArray
    part: IntArray
    parts: Sequence[str]
    channels: dict[str, FloatArray]


def sensor_runs(
    path: Path, name: str, line_id: str, station: Station, visits: Sequence[Visit], earliest_ms: float, dead: DeadRows
) -> list[SensorRun]:
    """The records of one station's file. Raises BadInput for a missing column; bad rows become dead letters."""
    samples = _read(path, name, station, earliest_ms, dead)
    ordered = sorted(visits, key=lambda visit: (visit.started_at, visit.ended_at, visit.part_id))
    owner = _visit_of(samples.ts_ms, ordered)
    columns, keys, owner = _in_order(samples, owner, ordered, name, line_id, station.station_id)
    named = keys[1]
    runs = []
    for start, stop, end in _bounds(keys, max(1, VALUES_PER_RECORD // max(1, len(columns.channels)))):
        visit = int(owner[stop - 1])
        # a visit's samples come in with its last one, idle samples as they fill a record
        until = end if visit >= 0 or named[start] >= 0 else stop
        last = int(keys[0][start]) if keys[0][start] >= 0 else round(float(columns.ts_ms[start:until].max()))
        part_id = samples.parts[named[start]] if named[start] >= 0 else ordered[visit].part_id if visit >= 0 else ""
        runs.append(SensorRun(Instant(last), part_id, bool(named[start] >= 0), columns, start, stop))
    return runs


def _in_order(
    samples: _Samples, owner: IntArray, visits: Sequence[Visit], name: str, line_id: str, station_id: str
) -> tuple[SensorColumns, tuple[FloatArray, IntArray, IntArray], IntArray]:
    """The samples so that a record's stand together; received_at (-1: not told), part and group of each; its visit."""
    recorded = np.isfinite(samples.received_ms)
    received = np.where(recorded, samples.received_ms, -1.0)
    order: IntArray | slice = slice(None)
    group = owner
    if recorded.any() or (samples.part >= 0).any():
        group = np.where(samples.part >= 0, _visit_of_part(samples, visits), owner)
        group = np.where(recorded, 0, group)
        within = np.where(recorded, 0.0, samples.ts_ms)  # what came in together stays in the order in which it came
        order = np.lexsort((within, group, samples.part, received))
    elif (samples.ts_ms[1:] < samples.ts_ms[:-1]).any():
        order = np.argsort(samples.ts_ms, kind="stable")
    channels = {channel: values[order] for channel, values in samples.channels.items()}
    columns = SensorColumns(name, line_id, station_id, samples.ts_ms[order], channels, samples.lines[order])
    return columns, (received[order], samples.part[order], group[order]), owner[order]


def channels_of(path: Path, station: Station) -> tuple[list[str], list[str]]:
    """All columns of a sensor file, and those that are channels: the declared ones, or all when the plan declares none.

    Raises BadInput for a column that is missing or stands twice.
    """
    present = column_names(path)
    declared = [channel.channel for channel in station.channels]
    check_columns(str(path), present, ["ts", *declared])
    return present, declared or [column for column in present if column not in _OWN]


def _read(path: Path, name: str, station: Station, earliest_ms: float, dead: DeadRows) -> _Samples:
    present, channels = channels_of(path, station)
    kinds = {"ts": "time"} | dict.fromkeys(channels, "number")
    kinds |= {column: kind for column, kind in (("received_at", "time"), ("part_id", "text")) if column in present}
    table, lines = read_columns(path, name, kinds, dead)
    ts_ms, bad_ts = times_ms(table["ts"])
    values, bad_value = {}, np.zeros(len(lines), np.bool_)
    for channel in channels:
        values[channel], bad = numbers(table[channel])
        bad_value |= bad
    received_ms, bad_received = np.full(len(lines), np.nan), np.zeros(len(lines), np.bool_)
    if "received_at" in present:
        received_ms, bad_received = times_ms(table["received_at"])
    parts, part = texts(table["part_id"]) if "part_id" in present else ([], np.full(len(lines), -1))
    empty = np.isnan(ts_ms) & ~bad_ts & ~bad_value & (part < 0)
    for column in values.values():
        empty &= np.isnan(column)
    troubles = (
        (bad_ts | (np.isnan(ts_ms) & ~empty), "bad_time", "ts is no RFC 3339 time"),
        (bad_received, "bad_time", "received_at is no RFC 3339 time"),
        (bad_value, "not_finite", "a sample is no finite number"),
        (~(ts_ms >= earliest_ms) & ~empty, "clock_out_of_range", "ts is before the earliest sane time"),
        (_bad_names(parts)[part] if parts else empty & False, "bad_id", "part_id wants 1 to 200 printable characters"),
    )
    good = ~empty
    for bad, reason, detail in troubles:
        for line in lines[bad & good]:
            dead.note(name, int(line), BadRecord(reason, detail))
        good &= ~bad
    keep: BoolArray | slice = slice(None) if good.all() else good
    kept = {channel: column[keep] for channel, column in values.items()}
    return _Samples(lines[keep], ts_ms[keep], np.rint(received_ms[keep]), part[keep], parts, kept)


def _bad_names(parts: Sequence[str]) -> BoolArray:
    """Per name whether it is no id; the last entry (what index -1 reads) is False: no name is not a bad one."""
    bad = np.zeros(len(parts) + 1, np.bool_)
    for place, part_id in enumerate(parts):
        try:
            check_id("part_id", part_id)
        except BadRecord:
            bad[place] = True
    return bad


def _visit_of(ts_ms: FloatArray, visits: Sequence[Visit]) -> IntArray:
    """Index of the latest begun visit each sample falls in; for samples in a gap -(2 + index of the visit before)."""
    if not visits:
        return np.full(len(ts_ms), -1)
    starts = np.array([visit.started_at for visit in visits], np.float64)
    ends = np.array([visit.ended_at for visit in visits], np.float64)
    before = np.searchsorted(starts, ts_ms, "right") - 1
    return np.where((before >= 0) & (ts_ms <= ends[before]), before, -2 - before)


def _visit_of_part(samples: _Samples, visits: Sequence[Visit]) -> IntArray:
    """For samples that name their part: a number that is the same within one visit of it (the part may come back)."""
    if not samples.parts or not visits:
        return np.zeros(len(samples.ts_ms), np.int64)
    index = {part_id: place for place, part_id in enumerate(samples.parts)}
    origin = int(visits[0].started_at)
    starts = [
        (index[visit.part_id] << _PART_SHIFT) + int(visit.started_at) - origin
        for visit in visits
        if visit.part_id in index
    ]
    ordered = np.unique(np.array(starts, np.int64))
    since = np.maximum(samples.ts_ms - origin, 0.0).astype(np.int64)
    found = np.searchsorted(ordered, (samples.part << _PART_SHIFT) + since, "right")
    first = np.searchsorted(ordered, samples.part << _PART_SHIFT)
    return np.maximum(found, first + 1)  # before its first visit (a skewed clock): with the first


def _bounds(keys: Sequence[FloatArray | IntArray], samples_max: int) -> Iterator[tuple[int, int, int]]:
    """[start, stop) of each stretch of equal keys, cut into at most `samples_max`, and where the whole stretch ends."""
    length = len(keys[0])
    change = np.zeros(max(0, length - 1), np.bool_)
    for key in keys:
        change |= key[1:] != key[:-1]
    edges = [0, *(np.flatnonzero(change) + 1).tolist(), length] if length else [0]
    for start, stop in pairwise(edges):
        for cut in range(start, stop, samples_max):
            yield cut, min(stop, cut + samples_max), stop


def sensor_files(
    folder: Path, dead: DeadRows, known: Callable[[str, str], None]
) -> Iterator[tuple[Path, str, str, str]]:
    """(path, name in the folder, line_id, station_id) of each sensor file; `known` raises BadRecord for a stranger."""
    seen: set[tuple[str, str]] = set()
    for path in sorted(folder.glob("*/*")):
        name = f"{folder.name}/{path.parent.name}/{path.name}"
        if path.name.startswith(".") or path.suffix not in (".csv", ".parquet"):
            continue
        line_id, station_id = path.parent.name, path.stem
        try:
            known(line_id, station_id)
        except BadRecord as trouble:
            dead.note(name, 0, trouble)
            continue
        if (line_id, station_id) in seen:
            raise BadInput(f"{path}: station '{station_id}' of line '{line_id}' has a .csv and a .parquet; keep one")
        seen.add((line_id, station_id))
        yield path, name, line_id, station_id
