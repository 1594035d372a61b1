"""The small tables of a replay folder (production, frames, defects, truth) as typed rows. A bad row is noted, a bad
file or column refused.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.errors import BadInput, BadRecord
from ingest.messages import Instant

DEAD_ROWS_MAX = 100_000  # a folder with more is not a recording with bad rows but another file; memory has a limit
HEADER_TOLD = 500  # characters of a header that is not the wanted one; a picture's first line may be long
KINDS_TOLD = 6  # files and reasons that are told one by one; the others stand in the file


@dataclass(frozen=True, slots=True)
class DeadRow:
    """One row that cannot be used. `row` counts lines of the file, its header being 1; 0 means the whole file."""

    file: str
    row: int
    reason: str
    detail: str


def write_dead_rows(home: Path, rows: Sequence[DeadRow], tell: Callable[[str], None]) -> None:
    """`deadletters.jsonl` under the home: one row a line, in place of what an earlier run left there.

    Tells what could not be used and why: by file and reason, the most frequent first."""
    home.mkdir(parents=True, exist_ok=True)
    half = home / "deadletters.jsonl.half"
    half.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    half.replace(home / "deadletters.jsonl")
    kinds: dict[tuple[str, str], list[DeadRow]] = {}
    for row in rows:
        kinds.setdefault((row.file, row.reason), []).append(row)
    for of_kind in sorted(kinds.values(), key=len, reverse=True)[:KINDS_TOLD]:
        tell(_told(of_kind))
    if rows:
        more = f"{len(kinds) - KINDS_TOLD} more kinds of trouble; " if len(kinds) > KINDS_TOLD else ""
        tell(f"{more}{len(rows)} in all: {home / 'deadletters.jsonl'}")


def _told(rows: Sequence[DeadRow]) -> str:
    """Rows of one file and reason in a sentence. Row 0 is the file as a whole."""
    first = rows[0]
    if first.row == 0:
        return f"{first.file} could not be used: {first.detail}"
    many = f"{len(rows)} rows could not be used, the first is row {first.row}" if len(rows) > 1 else f"row {first.row}"
    return f"{first.file}: {many}: {first.reason}: {first.detail}"


class DeadRows:
    """Where a folder's dead letters are noted: each row once, at most DEAD_ROWS_MAX of them."""

    def __init__(self, letters: list[DeadRow]) -> None:
        self._letters = letters
        self._seen: set[tuple[str, int]] = set()

    def note(self, file: str, row: int, trouble: BadRecord) -> None:
        """Raises BadInput when there are more bad rows than a recording can have."""
        if (file, row) in self._seen:
            return
        self._seen.add((file, row))
        self._letters.append(DeadRow(file, row, trouble.reason, trouble.detail))
        if len(self._letters) > DEAD_ROWS_MAX:
            first = next(letter for letter in self._letters if letter.file == file)
            raise BadInput(f"{file}: over {DEAD_ROWS_MAX} bad rows, the first at row {first.row}: {first.reason}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row by column name. `number`: the line of the file where it ends."""

    number: int
    cells: dict[str, str] = field(repr=False)

    def instant(self, column: str) -> Instant:
        """The time in this column. Raises BadRecord `bad_time`."""
        try:
            return Instant.parse(self.cells[column])
        except ValueError as error:
            raise BadRecord("bad_time", f"{column}: {error}") from error

    def received_at(self, otherwise: Instant) -> Instant:
        """`received_at` where the file has it and the row fills it, else the given moment."""
        return self.instant("received_at") if self.cells.get("received_at") else otherwise


def check_columns(file: str, columns: Sequence[str], required: Sequence[str]) -> None:
    """Raises BadInput naming the file and the column that is missing or stands twice."""
    for column in required:
        if column not in columns:
            there = ", ".join(one if one.isprintable() else ascii(one) for one in columns)
            raise BadInput(f"{file}: missing column '{column}'; it has {there[:HEADER_TOLD] or 'none'}")
    for column in columns:
        if columns.count(column) > 1:
            raise BadInput(f"{file}: column '{column}' stands twice")


def read_rows(path: Path, name: str, required: Sequence[str], dead: DeadRows) -> Iterator[Row]:
    """The rows of a CSV file (UTF-8, first row names the columns); rows of another width become dead letters.

    What is not UTF-8 arrives as lone surrogates, which no name check lets pass, so that only its row is lost.
    Raises BadInput for a missing file or column.
    """
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise BadInput(f"{path}: cannot read it ({error.strerror})") from error
    with file:
        reader = csv.reader(file)
        try:
            columns = [column.strip() for column in next(reader, [])]
        except csv.Error as error:
            raise BadInput(f"{path}: not a CSV file: {error}") from error
        check_columns(str(path), columns, required)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                dead.note(name, reader.line_num, BadRecord("bad_row", str(error)))
                continue
            if len(cells) == len(columns):
                yield Row(reader.line_num, dict(zip(columns, cells, strict=True)))
            elif cells:
                what = f"{len(cells)} cells in a table of {len(columns)} columns"
                dead.note(name, reader.line_num, BadRecord("bad_row", what))
