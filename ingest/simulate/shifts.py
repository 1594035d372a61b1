"""Who works when: three shifts a day, one operator for each station and shift."""

from __future__ import annotations

import zlib

import numpy as np

from ingest.simulate.plant import Ints, Texts

HOUR_MS = 3_600_000


def shifts_of(moments: Ints) -> Texts:
    """A from 6 to 14 h, B from 14 to 22 h, C through the night (UTC)."""
    hour = (moments // HOUR_MS) % 24
    return np.where((hour >= 6) & (hour < 14), "A", np.where((hour >= 14) & (hour < 22), "B", "C"))


def operators_of(line_id: str, station_id: str, shifts: Texts) -> Texts:
    """The operator of each visit. He explains nothing, and may not be blamed: the plan forbids it."""
    first = zlib.crc32(f"{line_id}/{station_id}".encode()) % 30
    number = first + 30 * np.char.equal(shifts, "B") + 60 * np.char.equal(shifts, "C")
    return np.char.add("op-", np.char.zfill(number.astype(np.str_), 2))
