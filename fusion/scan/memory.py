"""The latest parts of a line as the scan counts them: what each carried, its base risk, flag and label, in arrays.

Counts are whole numbers (risks in millionths), so sums do not depend on the order in which state was restored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.scan.rates import ALL, NONE

PARTS_MAX = 16_384  # parts remembered: an excess of x2.5 on a third of the parts shows within 8000
ATTRIBUTES_MAX = 64  # of one part; a part that books more is counted by the first in the alphabet
BATCH = "\0batch="  # begins the level of a part's batch: natural spread, never a cause
_UNIT = 1e-6
_PART = "p:"

Ints = npt.NDArray[np.int64]


class ScanPart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One part. `risk`: base risk in millionths, -1 without; `flag`, `label`: 1, 0, -1 not known; `looks`: how many the
    scan had taken when it got its label."""

    at: int
    part_id: str
    levels: list[str]
    risk: int = -1
    flag: int = -1
    label: int = -1
    looks: int = -1


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(ScanPart)


@dataclass(frozen=True, slots=True)
class Remembered:
    """The remembered parts, the oldest first. `levels`: int32[m, 1 + a], the others of m; `start`: position of the
    first; `risk`: NaN without."""

    start: int
    levels: npt.NDArray[np.int32]
    at: Ints
    risk: npt.NDArray[np.float64]
    flag: npt.NDArray[np.int8]
    label: npt.NDArray[np.int8]


class ScanMemory:
    """A ring of `PARTS_MAX` parts with its changelog. A part's position is its place in the line's settled order."""

    def __init__(self, parts_max: int = PARTS_MAX) -> None:
        self.names: list[str] = ["", "-"]  # of ALL and NONE
        self.end = 0  # position of the next part
        self._parts_max = parts_max
        self._numbers: dict[str, int] = {}
        self._parts: dict[int, ScanPart] = {}
        self._places: dict[str, int] = {}
        self._changed: dict[int, None] = {}
        self._levels = np.full((2 * parts_max, 8), NONE, dtype=np.int32)
        self._at = np.zeros(2 * parts_max, dtype=np.int64)
        self._state = np.full((2 * parts_max, 3), -1, dtype=np.int64)  # risk, flag, label
        self._base = 0  # position of row 0 of the arrays
        self._laid_out = True

    @property
    def start(self) -> int:
        """Position of the oldest part remembered."""
        return max(0, self.end - self._parts_max)

    def part_id(self, position: int) -> str:
        return self._parts[position].part_id

    def knows(self, part_id: str) -> bool:
        return part_id in self._places

    def enter(self, part: ScanPart) -> None:
        """Count a part, once."""
        if part.part_id in self._places:
            return
        if not self._laid_out or self.end >= self._base + len(self._at):
            self._lay_out()
        self._parts[self.end] = part
        self._places[part.part_id] = self.end
        self._write(self.end, part)
        self._changed[self.end] = None
        self.end += 1
        gone = self.start - 1
        if gone in self._parts:
            del self._places[self._parts.pop(gone).part_id]
            self._changed[gone] = None

    def label(self, part_id: str, label: int, looks: int = 0) -> tuple[int, ScanPart] | None:
        """The label of a part from now on, -1 none any more; the position of the part and what it was, where that
        changes it."""
        position = self._places.get(part_id)
        if position is None or self._parts[position].label == label:
            return None
        before = self._parts[position]
        self._parts[position] = msgspec.structs.replace(before, label=label, looks=looks)
        if self._laid_out:
            self._state[position - self._base, 2] = label
        self._changed[position] = None
        return position, before

    def remembered(self) -> Remembered:
        """Views of the arrays, valid until the next `enter`."""
        if not self._laid_out:
            self._lay_out()
        rows = slice(self.start - self._base, self.end - self._base)
        state = self._state[rows]
        risk = np.where(state[:, 0] >= 0, state[:, 0] * _UNIT, np.nan)
        return Remembered(
            self.start,
            self._levels[rows],
            self._at[rows],
            risk,
            state[:, 1].astype(np.int8),
            state[:, 2].astype(np.int8),
        )

    def number(self, level: str) -> int | None:
        """The number of a level, None of one that no part carried."""
        return ALL if level == "" else self._numbers.get(level)

    # -- state ---------------------------------------------------------------------------------------------------------

    def changes(self) -> list[tuple[str, bytes | None]]:
        changed = [
            (f"{_PART}{at}", _PACK.encode(self._parts[at]) if at in self._parts else None) for at in self._changed
        ]
        self._changed.clear()
        return changed

    def restore(self, key: str, value: bytes | None) -> bool:
        """Put one entry back; False when it is none of these."""
        if not key.startswith(_PART):
            return False
        position = int(key[len(_PART) :])
        known = self._parts.pop(position, None)
        if known is not None:
            self._places.pop(known.part_id, None)
        if value is not None:
            part = _UNPACK.decode(value)
            self._parts[position] = part
            self._places[part.part_id] = position
            self.end = max(self.end, position + 1)
        self._laid_out = False
        return True

    def _lay_out(self) -> None:
        """Lay the parts out in fresh arrays, the oldest in row 0; levels no part carries any more are forgotten."""
        self._base, self._laid_out = self.start, True
        self._levels[:] = NONE
        self.names, self._numbers = ["", "-"], {}
        for position in sorted(self._parts):
            self._write(position, self._parts[position])

    def _write(self, position: int, part: ScanPart) -> None:
        row = position - self._base
        numbers = self._interned(part.levels[:ATTRIBUTES_MAX])
        if len(numbers) >= self._levels.shape[1]:
            wider = np.full((len(self._at), len(numbers) + 8), NONE, dtype=np.int32)
            wider[:, : self._levels.shape[1]] = self._levels
            self._levels = wider
        self._levels[row] = NONE
        self._levels[row, 0] = ALL
        self._levels[row, 1 : 1 + len(numbers)] = numbers
        self._at[row] = part.at
        self._state[row] = part.risk, part.flag, part.label

    def _interned(self, levels: Sequence[str]) -> list[int]:
        numbers = []
        for level in levels:
            number = self._numbers.get(level)
            if number is None:
                number = self._numbers[level] = len(self.names)
                self.names.append(level)
            numbers.append(number)
        return numbers
