"""Writes the tables of a replay folder: CSV as in the contract, sensor samples as Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.messages import Instant
from ingest.simulate.plant import Floats, Ints


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """One CSV file, lines ending in a line feed on every system."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def times(moments: Ints) -> list[str]:
    """RFC 3339 of ms since 1970."""
    return [Instant(moment).isoformat() for moment in moments]


def write_samples(path: Path, ts_ms: Ints, channels: Mapping[str, Floats], received_at: Ints | None) -> None:
    """One row a sample: `ts` in UTC with milliseconds, channels as 32-bit floats (null where missing)."""
    moment = pa.timestamp("ms", tz="UTC")
    columns: dict[str, pa.Array] = {"ts": pa.array(ts_ms, type=moment)}
    for channel, samples in channels.items():
        columns[channel] = pa.array(np.round(samples, 4).astype(np.float32), mask=np.isnan(samples))
    if received_at is not None:
        columns["received_at"] = pa.array(received_at, type=moment)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="zstd")
