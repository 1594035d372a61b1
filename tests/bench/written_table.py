"""Tables that commands write into documents: what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "deploy" / "measured.md")


class MarkersMissing(Exception):
    """The document has no place for this table; the message names the markers."""


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose other columns are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_table(text: str, name: str, table: str) -> str:
    """The document with this table between the markers of `name`; the rest untouched. Raises MarkersMissing."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise MarkersMissing(f"there is no {begin} ... {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def document_of(name: str) -> Path:
    """The document with a place for this table. Raises MarkersMissing, OSError."""
    for path in DOCUMENTS:
        if f"<!-- {name}:begin -->" in path.read_text("utf-8"):
            return path
    raise MarkersMissing(f"neither {' nor '.join(path.name for path in DOCUMENTS)} has a place for the table {name}")


def write_table(name: str, table: str) -> None:
    """Rewrite one table where it stands. Raises MarkersMissing, OSError."""
    path = document_of(name)
    path.write_text(with_table(path.read_text("utf-8"), name, table), "utf-8")


def rewritten(name: str, table: str) -> int:
    """Rewrite one table where it stands, or say why not. Returns the exit status."""
    try:
        write_table(name, table)
    except (MarkersMissing, OSError) as error:
        print(f"the table {name} was not written: {error}", file=sys.stderr)
        return 1
    return 0


def machine() -> str:
    """The machine a measurement was made on, in a few words."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}"
