"""The latest parts of a gate as rows in memory, for what needs more of a part than its place in a block.

They are not in `qc.state`: 2000 rows of 400 figures would be the bulk of it. After a takeover they are gathered anew,
so that what is looked for in them is looked for some hundred parts later; incidents and charts go on as they were.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fusion.risk.features import Floats

RECENT_PARTS = 2000  # some hours of a fast line; 3 MB a gate


class RecentRows:
    """A ring of the latest parts: raw rows, bounded residuals, product, model that spoke, risk."""

    def __init__(self, width: int, signals: int, parts: int = RECENT_PARTS) -> None:
        self._raw = np.empty((parts, width), dtype=np.float32)
        self._residuals = np.empty((parts, signals), dtype=np.float32)
        self._product = np.empty(parts, dtype=np.intp)
        self._model = np.empty(parts, dtype=np.intp)
        self._risk = np.empty(parts, dtype=np.float64)
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, len(self._raw))

    def enter(self, raw: Floats, residuals: Floats, product: int, model: int, risk: float) -> None:
        """One part. `model`: which of the gate's risk models spoke."""
        at = self.seen % len(self._raw)
        self._raw[at], self._residuals[at] = raw, residuals
        self._product[at], self._model[at], self._risk[at] = product, model, risk
        self.seen += 1

    def residuals(self, parts: int) -> Floats:
        """float32[parts, signals] of the latest `parts`, in the order of judging."""
        return self._residuals[self._latest(parts)]

    def latest(self, parts: int) -> Rows:
        """The latest `parts`, in the order of judging."""
        at = self._latest(parts)
        return Rows(self._raw[at], self._residuals[at], self._product[at], self._model[at], self._risk[at])

    def _latest(self, parts: int) -> npt.NDArray[np.intp]:
        first = self.seen - min(parts, len(self))
        return np.arange(first, self.seen, dtype=np.intp) % len(self._raw)


class Rows:
    """Some parts: `raw`: float32[n, raw columns]; `residuals`: float32[n, signals]; `product`, `model`: intp[n];
    `risk`: float64[n]."""

    def __init__(
        self,
        raw: Floats,
        residuals: Floats,
        product: npt.NDArray[np.intp],
        model: npt.NDArray[np.intp],
        risk: npt.NDArray[np.float64],
    ) -> None:
        self.raw, self.residuals, self.product, self.model, self.risk = raw, residuals, product, model, risk

    def __len__(self) -> int:
        return len(self.raw)

    def take(self, at: npt.NDArray[np.intp] | Sequence[int]) -> Rows:
        """These of them."""
        return Rows(self.raw[at], self.residuals[at], self.product[at], self.model[at], self.risk[at])
