"""Columns of a sensor file (CSV or Parquet) as numpy arrays, with every bad cell marked. Columnar: no row is touched
unless its column does not parse as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ingest.errors import BadInput, BadRecord
from ingest.folder.rows import DeadRows
from ingest.messages import FloatArray, Instant

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

US_PER_MS = 1000.0
_TIME = pa.timestamp("ns", "UTC")


def column_names(path: Path) -> list[str]:
    """The file's column names. Raises BadInput when it cannot be read."""
    try:
        if path.suffix == ".parquet":
            return [str(name) for name in pq.read_schema(path).names]
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (pa.ArrowException, csv.Error) as error:
        raise BadInput(f"{path}: not a {path.suffix[1:]} file: {error}") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot read it ({error.strerror or error})") from error


def read_columns(path: Path, name: str, kinds: dict[str, str], dead: DeadRows) -> tuple[pa.Table, IntArray]:
    """The named columns and each row's line in the file. `kinds`: column -> "time", "number" or "text".

    When one does not parse as its kind all come as text; rows of another width become dead letters.
    """
    if path.suffix == ".parquet":
        table = pq.read_table(path, columns=list(kinds))
        return table, np.arange(2, 2 + table.num_rows)
    types = {"time": _TIME, "number": pa.float64(), "text": pa.string()}
    skipped: list[tuple[int, str]] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        skipped.append((row.number, f"{row.actual_columns} cells in a table of {row.expected_columns} columns"))
        return "skip"

    try:
        table = _read_csv(path, {column: types[kind] for column, kind in kinds.items()}, skip, threads=True)
    except pa.ArrowInvalid:
        table = None
    if table is None or skipped:  # something is wrong in it: as text, and on one thread, where rows know their numbers
        skipped.clear()
        try:
            table = _read_csv(path, dict.fromkeys(kinds, pa.binary()), skip, threads=False)
        except pa.ArrowInvalid as error:
            raise BadInput(f"{path}: not a CSV file: {error}") from error
    lines = np.delete(np.arange(2, 2 + table.num_rows + len(skipped)), [number - 2 for number, _ in skipped])
    for number, what in skipped:
        dead.note(name, number, BadRecord("bad_row", what))
    return table, lines


def _read_csv(path: Path, types: dict[str, Any], skip: Callable[[Any], str], threads: bool) -> pa.Table:
    names = column_names(path)
    return pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(use_threads=threads, column_names=names, skip_rows=1),
        parse_options=pa_csv.ParseOptions(invalid_row_handler=skip, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=False
        ),
    )


def times_ms(column: pa.ChunkedArray) -> tuple[FloatArray, BoolArray]:
    """ms since 1970 (NaN where there is none) and which cells are no time. Numbers are ms; zoneless stamps are UTC."""
    if _is_text(column):
        return _each(column, lambda text: float(Instant.parse(text)))
    if pa.types.is_timestamp(column.type):
        # microseconds are exact as float64 ms; nanoseconds are not, and a sample on the edge of its visit is lost
        whole = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        moments = pc.fill_null(whole, 0).to_numpy() / US_PER_MS
        moments[column.is_null().to_numpy()] = np.nan
        return moments, np.zeros(len(moments), np.bool_)
    return numbers(column)


def numbers(column: pa.ChunkedArray) -> tuple[FloatArray, BoolArray]:
    """float64 with NaN where the cell is empty, and which cells are no finite number (`nan` and `inf` are none)."""
    if _is_text(column):
        found, bad = _each(column, float)
        filled = ~column.is_null().to_numpy() & ~_blank(column)
        return found, bad | (filled & ~np.isfinite(found))
    if not any(fits(column.type) for fits in (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal)):
        return np.full(len(column), np.nan), np.ones(len(column), np.bool_)
    found = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    return found, ~column.is_null().to_numpy() & ~np.isfinite(found)


def texts(column: pa.ChunkedArray) -> tuple[list[str], IntArray]:
    """Distinct values and each row's index among them; -1 where the cell is empty."""
    names: dict[str, int] = {}
    codes = np.empty(len(column), np.int64)
    encoded = column.dictionary_encode().combine_chunks()
    local = [_text(value) for value in encoded.dictionary.to_pylist()]
    to_code = np.array([names.setdefault(name, len(names)) if name else -1 for name in local] + [-1], np.int64)
    codes[:] = to_code[pc.fill_null(encoded.indices.cast(pa.int64()), len(local)).to_numpy()]
    return list(names), codes


def _is_text(column: pa.ChunkedArray) -> bool:
    kinds: Sequence[Callable[[Any], bool]] = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
        pa.types.is_string_view, pa.types.is_dictionary,
    )  # fmt: skip
    return any(is_kind(column.type) for is_kind in kinds)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)


def _blank(column: pa.ChunkedArray) -> BoolArray:
    return np.array([not _text(value).strip() for value in column.to_pylist()], np.bool_)


def _each(column: pa.ChunkedArray, read: Callable[[str], float]) -> tuple[FloatArray, BoolArray]:
    """The slow road, for columns with a cell that does not parse: cell by cell."""
    found = np.full(len(column), np.nan)
    bad = np.zeros(len(column), np.bool_)
    for place, value in enumerate(column.to_pylist()):
        text = _text(value).strip()
        if not text:
            continue
        try:
            found[place] = read(text)
        except ValueError:
            bad[place] = True
    return found, bad
