"""Two simulated plants of two lines side by side: four lines whose partitions lie in both halves of 12."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

#: The simulated lines fall into partitions 3 and 0 of 12; under these names the second pair falls into 7 and 9.
RENAMED = {"L1": "L4", "L2": "L6"}
SECOND = "X"  # put before the second plant's part ids


def join_plants(first: Path, second: Path, target: Path) -> Path:
    """A replay folder with the lines of `first`, and those of `second` renamed."""
    shutil.copytree(first, target)
    for table in ("production.csv", "frames.csv", "defects.csv"):
        _append_rows(second / table, target / table)
    shutil.copytree(second / "frames", target / "frames" / "second")
    for line_id, renamed in RENAMED.items():
        shutil.copytree(second / "sensors" / line_id, target / "sensors" / renamed)
    (target / "plan.yaml").write_text(four_line_plan((first / "plan.yaml").read_text("utf-8")), "utf-8")
    return target


def four_line_plan(plan: str) -> str:
    """A plan of the simulated plant with each line twice."""
    head, _, lines = plan.partition("lines:\n")
    copies = re.sub(r"line_id: (L\d)", lambda match: f"line_id: {RENAMED[match[1]]}", lines)
    return f"{head}lines:\n{lines.rstrip()}\n{copies}"


def _append_rows(source: Path, target: Path) -> None:
    with source.open(newline="") as read, target.open("a", newline="") as write:
        rows = csv.DictReader(read)
        writer = csv.DictWriter(write, rows.fieldnames or [])
        for row in rows:
            row["part_id"] = SECOND + row["part_id"]
            row["line_id"] = RENAMED[row["line_id"]]
            if "file" in row:
                row["file"] = f"second/{row['file']}"
            writer.writerow(row)
