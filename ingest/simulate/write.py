"""Writes a simulated plant as a replay folder: the tables, the frames, the samples, and the truth beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.errors import BadInput
from ingest.messages import Instant
from ingest.simulate.cycles import Cycles, sample_cycles
from ingest.simulate.disorder import Disorder, Receipt, receive
from ingest.simulate.labels import draw_labels
from ingest.simulate.lines import Line, draw_lines
from ingest.simulate.plant import (
    LINES,
    PLAN_YAML,
    STARTED_AT,
    CameraPlace,
    Ints,
    LineLayout,
    stream,
)
from ingest.simulate.render import Studio
from ingest.simulate.roster import joined
from ingest.simulate.scenes import scene_of
from ingest.simulate.schedule import StationVisits, draw_schedule
from ingest.simulate.shifts import operators_of, shifts_of
from ingest.simulate.tables import times, write_csv, write_samples

ATTRIBUTES = ("tool_id", "fixture_id", "supplier_lot", "recipe", "coolant_tank", "shift", "operator_id")
VISIT_COLUMNS = ("part_id", "line_id", "station_id", "started_at", "ended_at", "batch_id", "product", *ATTRIBUTES)
FRAME_COLUMNS = ("part_id", "line_id", "station_id", "camera_id", "captured_at", "file")
DEFECT_COLUMNS = ("part_id", "line_id", "recorded_at", "source", "outcome", "defect_code", "cause_code")
TRUTH_COLUMNS = ("part_id", "line_id", "batch_id", "defect", "mechanism", "cause")
DROPOUT_SHARE = 0.001  # samples that the logger lost
CAPTURE_BEFORE_END_MS = (120, 260)  # the camera looks when the part has come to rest
PROGRESS_FRAMES = 250
OURS = ("truth.csv", "production.csv", "frames.csv", "defects.csv", "plan.yaml")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table with the time it is about and the time it came in (None: no disorder, no such column)."""

    at: int
    received_at: int | None
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """All that one writing of a line needs."""

    folder: Path
    seed: int
    layout: LineLayout
    line: Line
    visits: tuple[StationVisits, ...]
    disorder: Disorder | None


def write_plant(
    folder: Path,
    parts: int,
    seed: int,
    disorder: Disorder | None = None,
    progress: Callable[[str], None] = lambda message: None,
    started_at: Instant = STARTED_AT,
) -> None:
    """Write a replay folder of a simulated plant with so many parts, and `truth.csv`.

    The same arguments give the same bytes. A folder that an earlier simulation wrote is replaced; the plan is written
    last, so that an interrupted simulation is no folder yet. Raises BadInput on a folder that holds something else,
    on fewer than 10 parts, or on a skewed source that the plant has not.
    """
    if parts < 10:
        raise BadInput(f"simulate: a plant makes at least 10 parts, got {parts}")
    _check_skew(disorder)
    _clear(folder)
    runs = [
        Run(folder, seed, layout, line, draw_schedule(seed, layout, line.roster, started_at), disorder)
        for layout, line in draw_lines(seed, parts)
    ]
    write_csv(folder / "truth.csv", TRUTH_COLUMNS, (row for run in runs for row in _truth(run)))
    progress(f"simulated {parts} parts on {len(runs)} lines")
    stamp = ("received_at",) if disorder else ()
    frames = [row for run in runs for row in _write_frames(run, progress)]
    write_csv(folder / "frames.csv", FRAME_COLUMNS + stamp, _ordered(frames, disorder))
    for run in runs:
        _write_sensors(run, progress)
    bookings = [row for run in runs for row in _bookings(run)]
    write_csv(folder / "production.csv", VISIT_COLUMNS + stamp, _ordered(bookings, disorder))
    defects = [row for run in runs for row in _defects(run)]
    write_csv(folder / "defects.csv", DEFECT_COLUMNS + stamp, _ordered(defects, disorder))
    (folder / "plan.yaml").write_text(PLAN_YAML, encoding="utf-8", newline="\n")
    progress(f"wrote {folder}")


def _check_skew(disorder: Disorder | None) -> None:
    cameras = {f"camera:{place.camera_id}" for layout in LINES for place in layout.cameras}
    known = cameras | {f"sensors:{s.station_id}" for layout in LINES for s in layout.stations if s.rate_hz}
    for source in disorder.skew_ms if disorder else ():
        if source not in known:
            raise BadInput(f"disorder: no source {source!r} to skew; there are {', '.join(sorted(known))}")


def _clear(folder: Path) -> None:
    """Make room: only what an earlier simulation wrote (it has a truth) may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: not a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / "truth.csv").exists():
        raise BadInput(f"{folder}: holds something that no simulation wrote; name a new folder")
    try:
        (folder / "plan.yaml").unlink(missing_ok=True)
        for name in ("frames", "sensors"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in OURS:
            (folder / name).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot write there ({error.strerror})") from error


def _truth(run: Run) -> Iterator[tuple[str, ...]]:
    roster = run.line.roster
    for part in range(len(roster)):
        mechanism, _, cause = joined(run.line.faults, part)
        defect = "1" if mechanism else "0"
        yield (roster.part_ids[part], run.layout.line_id, roster.batch_ids[part], defect, mechanism, cause)


def _receipt(run: Run, complete_at: Ints, name: str) -> Receipt | None:
    if run.disorder is None:
        return None
    return receive(run.disorder, complete_at, stream(run.seed, run.layout.line_id, "disorder", name))


def _received(run: Run, rows: list[Row], name: str) -> list[Row]:
    """The rows as they came in; without disorder, as they are."""
    receipt = _receipt(run, np.array([row.at for row in rows], dtype=np.int64), name)
    if receipt is None:
        return rows
    pairs = zip(receipt.record, receipt.received_at, strict=True)
    return [Row(rows[record].at, int(moment), rows[record].cells) for record, moment in pairs]


def _ordered(rows: list[Row], disorder: Disorder | None) -> Iterator[tuple[str, ...]]:
    if disorder is None or not disorder.shuffle:
        rows = sorted(rows, key=lambda row: row.at if row.received_at is None else row.received_at)
    for row in rows:
        yield row.cells if row.received_at is None else (*row.cells, Instant(row.received_at).isoformat())


def _skew(run: Run, source: str) -> int:
    return run.disorder.skew_ms.get(source, 0) if run.disorder else 0


def _bookings(run: Run) -> list[Row]:
    rows: list[Row] = []
    roster, line_id = run.line.roster, run.layout.line_id
    for visits in run.visits:
        booked = dict(run.line.attributes(visits.station_id))
        by_part = [booked.get(name) for name in ATTRIBUTES]
        shift = shifts_of(visits.started_at)
        operator = operators_of(line_id, visits.station_id, shift)
        started, ended = times(visits.started_at), times(visits.ended_at)
        for place, part in enumerate(visits.part):
            values = ["" if column is None else str(column[part]) for column in by_part]
            values[-2:] = [str(shift[place]), str(operator[place])]
            head = (roster.part_ids[part], line_id, visits.station_id, started[place], ended[place])
            cells = (*head, roster.batch_ids[part], roster.products[part], *values)
            rows.append(Row(int(visits.ended_at[place]), None, cells))
    return _received(run, rows, "production")


def _defects(run: Run) -> list[Row]:
    last = run.visits[-1]
    left_at = np.zeros(len(run.line.roster), dtype=np.int64)
    np.maximum.at(left_at, last.part, last.ended_at)
    rng = stream(run.seed, run.layout.line_id, "labels")
    labels = draw_labels(rng, run.line.roster, run.line.faults, left_at)
    rows = [
        Row(
            label.recorded_at,
            None,
            (
                label.part_id,
                run.layout.line_id,
                Instant(label.recorded_at).isoformat(),
                "history",
                label.outcome,
                label.defect_code,
                label.cause_code,
            ),
        )
        for label in labels
    ]
    return _received(run, rows, "defects")


def _write_frames(run: Run, progress: Callable[[str], None]) -> list[Row]:
    studio = Studio(run.seed)
    return [row for camera in run.layout.cameras for row in _write_camera(run, camera, studio, progress)]


def _write_camera(run: Run, camera: CameraPlace, studio: Studio, progress: Callable[[str], None]) -> list[Row]:
    visits = next(v for v in run.visits if v.station_id == camera.station_id)
    roster, line_id = run.line.roster, run.layout.line_id
    below = Path(line_id) / camera.camera_id
    (run.folder / "frames" / below).mkdir(parents=True)
    before = stream(run.seed, line_id, camera.camera_id, "capture").integers(*CAPTURE_BEFORE_END_MS, len(visits.part))
    captured = visits.ended_at - before
    reported = times(captured + _skew(run, f"camera:{camera.camera_id}"))
    rows: list[Row] = []
    for place, part in enumerate(visits.part):
        name = str(roster.part_ids[part])
        file = below / f"{name}-{visits.attempt[place]}.jpg"
        rng = stream(run.seed, camera.camera_id, name, int(visits.attempt[place]))
        scene = scene_of(run.line, camera, int(part), place, int(captured[place]))
        (run.folder / "frames" / file).write_bytes(studio.photograph(scene, rng))
        cells = (name, line_id, camera.station_id, camera.camera_id, reported[place], file.as_posix())
        rows.append(Row(int(captured[place]), None, cells))
        if (place + 1) % PROGRESS_FRAMES == 0:
            progress(f"{line_id} camera {camera.camera_id}: {place + 1} of {len(visits.part)} frames")
    return _received(run, rows, f"camera:{camera.camera_id}")


def _write_sensors(run: Run, progress: Callable[[str], None]) -> None:
    for timing, visits in zip(run.layout.stations, run.visits, strict=True):
        if timing.rate_hz == 0:
            continue
        rng = stream(run.seed, run.layout.line_id, timing.station_id, "sampling")
        cycles = sample_cycles(visits, timing.rate_hz, rng)
        channels = run.line.samples(run.seed, timing.station_id, cycles)
        for samples in channels.values():
            samples[rng.random(len(samples)) < DROPOUT_SHARE] = np.nan
        path = run.folder / "sensors" / run.layout.line_id / f"{timing.station_id}.parquet"
        source = f"sensors:{timing.station_id}"
        ts_ms = cycles.ts_ms + _skew(run, source)
        receipt = _receipt(run, _last_samples(cycles), source)
        if receipt is None:
            write_samples(path, ts_ms, channels, None)
        else:
            rows, received_at = _rows_of(cycles, receipt)
            write_samples(path, ts_ms[rows], {name: s[rows] for name, s in channels.items()}, received_at)
        progress(f"{run.layout.line_id} {timing.station_id}: {len(cycles)} samples")


def _last_samples(cycles: Cycles) -> Ints:
    """Time of each visit's last sample: when its record is complete."""
    ends = np.append(np.flatnonzero(np.diff(cycles.visit)), len(cycles) - 1)
    return np.asarray(cycles.ts_ms[ends], dtype=np.int64)


def _rows_of(cycles: Cycles, receipt: Receipt) -> tuple[Ints, Ints]:
    """The samples of the visits received, visit by visit, and when each came in."""
    starts = np.searchsorted(cycles.visit, receipt.record, side="left")
    counts = np.searchsorted(cycles.visit, receipt.record, side="right") - starts
    first = np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return first + np.arange(int(counts.sum())), np.repeat(receipt.received_at, counts)
