#!/usr/bin/env python3
"""What history is worth: log-loss taken off the later lots, by what history holds and how late its labels come.

    python tests/bench/results_fusion_history.py [streams]

Streams of 20 000 parts with transient tool problems and lots that differ (`tests/fusion/history_stream.py`), judged
through the code that trains. A linear model on the logit of the base risk learns on the first 60 % what history adds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.bench.written_table import machine, markdown_table  # noqa: E402
from tests.fusion.conftest import make_plan  # noqa: E402
from tests.fusion.history_stream import (  # noqa: E402
    Doubles,
    Stream,
    base_risk,
    history_columns,
    lot_gains,
    make_stream,
    risks_of_the_rest,
)

STREAMS, PARTS = 6, 20_000
DELAYS = (300, 1300, 3300, 10_300)  # parts until a label is released; the second is the first with 1000 hidden
RISK, RATE, BOTH = (0, 2), (1, 3), (0, 1, 2, 3)
HEAD = ("history of", "labels after (parts)", "log-loss taken off", "AP without", "AP with", "streams better")


def table(streams: int = STREAMS) -> str:
    """One row for each kind of history and delay; ± is twice the standard error between streams."""
    made = [make_stream(PARTS, seed) for seed in range(streams)]
    bases = [base_risk(stream) for stream in made]
    rows = []
    for delay in DELAYS:
        columns = [history_columns(s, b, delay, make_plan()) for s, b in zip(made, bases, strict=True)]
        kinds = [("risk", RISK)] if delay == DELAYS[0] else []
        for name, chosen in (*kinds, ("released labels", RATE), ("both", BOTH)):
            rows.append(_row(name, delay, made, bases, [c[:, list(chosen)] for c in columns]))
    return markdown_table(HEAD, rows) + f"\n\n{streams} streams of {PARTS} parts. Measured on {machine()}."


def _row(name: str, delay: int, made: list[Stream], bases: list[Doubles], columns: list[Doubles]) -> list[str]:
    gains = np.array([lot_gains(s, b, c).mean() for s, b, c in zip(made, bases, columns, strict=True)])
    plain, told = [], []
    for stream, base, column in zip(made, bases, columns, strict=True):
        defect, without, with_history = risks_of_the_rest(stream, base, column)
        plain.append(average_precision_score(defect, without))
        told.append(average_precision_score(defect, with_history))
    doubt = 2.0 * gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
    return [
        name,
        "–" if name == "risk" else str(delay),
        f"{gains.mean():.4f} ± {doubt:.4f}",
        f"{np.mean(plain):.3f}",
        f"{np.mean(told):.3f}",
        f"{int((gains > 0).sum())} of {len(gains)}",
    ]


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS))
