"""Control charts of many signals at once, block by block: an EWMA and two one-sided CUSUMs each, with their onsets.

EWMA: Roberts 1959, weight .2; CUSUM: Page 1954, k = 1 in standard deviations of a block mean: between them large and
small shifts are seen early (measured on simulated plants against Page-Hinkley, ADWIN, KS, PSI and MMD).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

EWMA_WEIGHT = 0.2
CUSUM_K = 1.0
CUSUM_CAP = 1.5  # of the limit: a long shift must not count more than a plain one
BACK_SHARE = 0.5  # of the slack: three deviations of the EWMA below a shift that the CUSUM just sees

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Run:
    """What a CUSUM has gathered since it was last zero. `since`: ms since 1970; `residual`: mean of the `parts` since
    then, in spreads of a part."""

    since: int
    parts: int
    residual: float
    upwards: bool


@dataclass(frozen=True, slots=True)
class Gathered:
    """Of one block and each signal: the sum of its residuals, float64[signals], and of how many parts."""

    began_at: int
    totals: Doubles
    parts: Doubles


class _Packed(msgspec.Struct, array_like=True):
    signals: int
    level: bytes
    sums: bytes
    since: bytes
    totals: bytes
    parts: bytes


class Charts:
    """The charts of some signals. Two charts that took the same blocks are equal to the last bit."""

    def __init__(self, signals: int) -> None:
        self.level = np.zeros(signals)
        self.sums = np.zeros((2, signals))  # upwards, downwards
        self._since = np.zeros((2, signals))
        self._totals = np.zeros((2, signals))
        self._parts = np.zeros((2, signals))

    def step(self, z: Doubles, gathered: Gathered, slack: Doubles, cusum: Doubles) -> None:
        """One block. `z`: float64[signals], standardised block means, NaN where not measured; `slack`: the CUSUM's k;
        `cusum`: its limits, of which it is held to CUSUM_CAP times."""
        there = np.isfinite(z)
        plain = np.where(there, z, 0.0)
        self.level += np.where(there, EWMA_WEIGHT * (plain - self.level), 0.0)
        stepped = self.sums + np.stack([plain, -plain]) - slack
        sums = np.where(there, np.minimum(np.maximum(0.0, stepped), CUSUM_CAP * cusum), self.sums)
        begins = there & (sums > 0) & (self.sums == 0)
        goes_on = sums > 0
        self._since = np.where(begins, gathered.began_at, self._since)
        kept = np.where(goes_on & ~begins, 1.0, 0.0)
        self._totals = kept * self._totals + goes_on * gathered.totals
        self._parts = kept * self._parts + goes_on * gathered.parts
        self.sums = sums

    def rescale(self, centre: Doubles, scale: Doubles, new_centre: Doubles, new_scale: Doubles) -> None:
        """Block means are standardised otherwise from now on: what was gathered is said in the new figures."""
        self.level = (self.level * scale + centre - new_centre) / new_scale
        self.sums = self.sums * scale / new_scale

    def beyond(self, ewma: Doubles, cusum: Doubles) -> Bools:
        """bool[signals]: beyond a limit now."""
        return np.asarray((np.abs(self.level) > ewma) | (self.sums.max(axis=0) > cusum))

    def back(self, slack: Doubles) -> Bools:
        """bool[signals]: the level lately was well within what a CUSUM lets pass."""
        return np.asarray(np.abs(self.level) < BACK_SHARE * slack)

    def forget(self, signals: Bools) -> None:
        """A shift is over: its CUSUMs begin anew."""
        self.sums[:, signals] = 0.0
        self._totals[:, signals] = 0.0
        self._parts[:, signals] = 0.0

    def run(self, signal: int) -> Run:
        """The run of the side that has gathered more; the EWMA's side when none has."""
        up, down = self.sums[:, signal]
        side = int(down > up or (down == up and self.level[signal] < 0))
        parts = int(self._parts[side, signal])
        mean = self._totals[side, signal] / parts if parts else 0.0
        return Run(int(self._since[side, signal]), parts, float(mean), side == 0)

    def pack(self) -> bytes:
        arrays = (self.level, self.sums, self._since, self._totals, self._parts)
        return _PACK.encode(_Packed(len(self.level), *(one.tobytes() for one in arrays)))

    @classmethod
    def unpack(cls, packed: bytes) -> Charts:
        held = _UNPACK.decode(packed)
        charts = cls(held.signals)
        charts.level = np.frombuffer(held.level).copy()
        charts.sums, charts._since, charts._totals, charts._parts = (
            np.frombuffer(one).reshape(2, held.signals).copy()
            for one in (held.sums, held.since, held.totals, held.parts)
        )
        return charts


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(_Packed)
