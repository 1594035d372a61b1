#!/usr/bin/env python3
"""How good qcfuse is on real data: train, replay and evaluate as a user would, each as a process of its own.

    python tests/bench/results.py               every set; prints the table and rewrites it in the README
    python tests/bench/results.py mill tiles    only these; prints the table and leaves the README alone

The data are found by `QCFUSE_SHARED_DATA`, else in `../shared/data` beside the project. Parts are split by time: a
model learns from those that began before the cut and is judged on the later ones, never at random.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from written_table import machine, markdown_table, rewritten

ROOT = Path(__file__).resolve().parents[2]

#: From the data's own README: between batches, at 57 to 60 % of the parts, so that a group of pictures is never split.
CUTS = {
    "tile_mill": "2026-01-05T08:08:20.000Z",
    "tiles": "2026-01-05T06:51:20.000Z",
    "mill": "2026-01-05T22:40:00.000Z",
}

#: Heading of the table -> key of `qcfuse evaluate --json`, and how it is written.
COLUMNS = {
    "parts judged": ("judged", "{:d}"),
    "AUC": ("auc", "{:.3f}"),
    "AP": ("ap", "{:.3f}"),
    "recall at 5 % false alarms": ("recall_at_5pct_fpr", "{:.3f}"),
    "ECE": ("ece", "{:.4f}"),
    "cause top-1": ("cause_top1", "{:.3f}"),
    "exact": ("cause_top1_exact", "{:.3f}"),
    "top-3": ("cause_top3", "{:.3f}"),
    "escapes": ("escapes", "{:d}"),
    "review share": ("review_share", "{:.3f}"),
    "train s": ("train_s", "{:.0f}"),
    "replay s": ("replay_s", "{:.0f}"),
}
BAD_INPUT = 2


class CommandFailed(Exception):
    """A qcfuse command did not end well."""


@dataclass(frozen=True, slots=True)
class Home:
    """A scratch installation."""

    folder: Path

    def run(self, *arguments: str) -> tuple[str, float]:
        """One qcfuse command; its output and wall seconds, start of Python included. Raises CommandFailed."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("QCFUSE_")}
        environ |= {"QCFUSE_HOME": str(self.folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "api.cli", *arguments]
        began = time.monotonic()
        ended = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=False)
        if ended.returncode:
            raise CommandFailed(f"qcfuse {arguments[0]} ended with status {ended.returncode}")
        return ended.stdout, time.monotonic() - began


def real_sets() -> Path | None:
    """The folder of the real data, None when it is not on this machine."""
    folder = Path(os.environ.get("QCFUSE_SHARED_DATA") or ROOT.parent / "shared" / "data").resolve()
    return folder if all((folder / name / "plan.yaml").is_file() for name in CUTS) else None


def measure(name: str, folder: Path) -> dict[str, Any]:
    """The figures of one set: what `evaluate` says, and wall seconds of `train` and `replay`."""
    cut = CUTS[name]
    with tempfile.TemporaryDirectory(prefix=f"qcfuse-results-{name}-") as scratch:
        home, verdicts = Home(Path(scratch)), str(Path(scratch) / "verdicts.jsonl")
        _, train_s = home.run("train", str(folder), "--until", cut)
        _, replay_s = home.run("replay", str(folder), "--since", cut, "--out", verdicts)
        told, _ = home.run("evaluate", str(folder), "--since", cut, "--verdicts", verdicts, "--json")
    return {**json.loads(told), "train_s": train_s, "replay_s": replay_s}


def table(measured: dict[str, dict[str, Any]]) -> str:
    """One row a set; a figure that cannot be said is a dash."""
    rows = [
        [name, *("–" if figures[key] is None else form.format(figures[key]) for key, form in COLUMNS.values())]
        for name, figures in measured.items()
    ]
    return markdown_table(["set", *COLUMNS], rows) + f"\n\nMeasured on {machine()}."


def main(asked: list[str]) -> int:
    """Measure the sets asked for, all without any. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="*", help=f"of {', '.join(CUTS)}")
    asked = parser.parse_args(asked).set
    if unknown := sorted(set(asked) - set(CUTS)):
        print(f"there is no set {unknown[0]!r}; there are {', '.join(CUTS)}", file=sys.stderr)
        return BAD_INPUT
    shared = real_sets()
    if shared is None:
        where = os.environ.get("QCFUSE_SHARED_DATA") or "../shared/data beside the project"
        sets = ", ".join(CUTS)
        print(f"no real data: {where} does not hold {sets}; name their folder in QCFUSE_SHARED_DATA", file=sys.stderr)
        return BAD_INPUT
    measured = {}
    for name in asked or CUTS:
        print(f"== {name}", file=sys.stderr)
        try:
            measured[name] = measure(name, shared / name)
        except CommandFailed as error:
            print(f"{name}: {error}; what it said stands above", file=sys.stderr)
            return 1
    print(table(measured))
    return 0 if asked else rewritten("results", table(measured))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
