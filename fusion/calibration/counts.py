"""Labels of one gate's model by lot, by own risk and by cell: what its calibration is tested and corrected with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.calibration.calibrate import sigmoid
from fusion.calibration.correction import PRODUCT, WITHOUT, Recalibration, groups_of
from fusion.calibration.lot_spread import Lots, LotSpread, Tilt

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BIN = 0.25  # logits: labels are counted by their risk's logit, rounded to this; changes a bin's mean risk by .3 %
OUTCOMES_MIN = 3  # of each kind: a register of defects alone says nothing of risks
GROUPS_MAX = 24  # with most labels: others have no test and no offset of their own


class LotLabels(msgspec.Struct, array_like=True, gc=False):
    """Labels of one lot: when its first part came (ms since 1970), and bin of own logit → [parts, defects], of parts of
    no known cell (`bins`) and of each cell (`cells`)."""

    at: int
    bins: dict[int, tuple[int, int]] = {}
    cells: dict[str, dict[int, tuple[int, int]]] = {}

    def count(self, place: int, parts: int, defects: int, cell: str = "") -> None:
        """Count labels of one bin, or take them back."""
        bins = self.cells.setdefault(cell, {}) if cell else self.bins
        before = bins.get(place, (0, 0))
        bins[place] = (before[0] + parts, before[1] + defects)
        if not bins[place][0]:
            del bins[place]
        if cell and not bins:
            del self.cells[cell]

    @property
    def empty(self) -> bool:
        """No label of it stands."""
        return not self.bins and not self.cells


def bin_of(own: float) -> int:
    """The bin of an own logit."""
    return round(own / BIN)


@dataclass(frozen=True, slots=True)
class Counts:
    """Labels of lots in the order of their first parts. A column is a bin of own logit in one cell, by rising logit.
    `own`: float64[columns]; `cell`: of each column; `parts`, `defects`: float64[lots, columns]; `at`: when each lot
    began."""

    own: Doubles
    cell: tuple[str, ...]
    parts: Doubles
    defects: Doubles
    at: Sequence[int]

    @classmethod
    def of(cls, lots: Mapping[str, LotLabels], start: int) -> Counts:
        """Of the lots that began at `start` or later."""
        kept = sorted(((lot.at, key) for key, lot in lots.items() if lot.at >= start))
        told = [{"": lots[key].bins, **lots[key].cells} for _, key in kept]
        columns = sorted({(place, cell) for lot in told for cell, bins in lot.items() for place in bins})
        column = {named: i for i, named in enumerate(columns)}
        parts, defects = np.zeros((len(kept), len(columns))), np.zeros((len(kept), len(columns)))
        for row, lot in enumerate(told):
            for cell, bins in lot.items():
                for place, (n, bad) in bins.items():
                    at = column[place, cell]
                    parts[row, at], defects[row, at] = n, bad
        own = np.array([place for place, _ in columns], dtype=np.float64) * BIN
        return cls(own, tuple(cell for _, cell in columns), parts, defects, [at for at, _ in kept])

    def of_columns(self, kept: Bools) -> Counts:
        """These columns alone."""
        cells = tuple(cell for cell, keeps in zip(self.cell, kept.tolist(), strict=True) if keeps)
        return Counts(self.own[kept], cells, self.parts[:, kept], self.defects[:, kept], self.at)

    def families(self) -> list[dict[str, Bools]]:
        """Group → its columns, bool[columns], by kind of group; kinds of which there are two groups at least."""
        columns: dict[str, Bools] = {}
        for i, cell in enumerate(self.cell):
            for group in groups_of(cell):
                columns.setdefault(group, np.zeros(len(self.own), dtype=np.bool_))[i] = True
        labels = self.parts.sum(axis=0)
        most = sorted(columns, key=lambda group: (-float(labels[columns[group]].sum()), group))[:GROUPS_MAX]
        kinds = [{group: columns[group] for group in most if group.startswith(kind)} for kind in (WITHOUT, PRODUCT)]
        return [kind for kind in kinds if len(kind) > 1]

    def since(self, lot: int) -> Counts:
        """From lot number `lot` on."""
        return Counts(self.own, self.cell, self.parts[lot:], self.defects[lot:], self.at[lot:])

    @property
    def tells(self) -> bool:
        """Are there outcomes of both kinds?"""
        bad = self.defects.sum()
        return bool(min(bad, self.parts.sum() - bad) >= OUTCOMES_MIN)

    def risks(self, correction: Recalibration | None) -> Doubles:
        """float64[columns]: what is said of a part of each."""
        if correction is None:
            return sigmoid(self.own)
        narrowed = {cell: correction.narrowed(groups_of(cell)) for cell in set(self.cell)}
        told = [narrowed[cell].corrected(own) for own, cell in zip(self.own.tolist(), self.cell, strict=True)]
        return sigmoid(np.array(told))

    def residuals(self, risk: Doubles, spread: LotSpread) -> Lots:
        """Of each lot, were `risk` (of each column) what holds."""
        information = risk * (1.0 - risk)
        weight = self.parts @ information
        return Lots(
            (self.defects - self.parts * risk).sum(axis=1),
            weight,
            self.parts @ (information * (1.0 - 2.0 * risk)),
            weight + spread.variance_high * weight**2,
        )

    def tilts(self, risk: Doubles, spread: LotSpread, tilt: Tilt) -> Lots:
        """Of each lot, residuals weighted by how far the own logit lies from the middle: their mean shows a slope."""
        information, x = risk * (1.0 - risk), tilt.place(self.own)
        weight = self.parts @ (information * x**2)
        leak = self.parts @ (information * x)  # of the lot's intercept into its slope
        return Lots(
            (self.defects - self.parts * risk) @ x,
            weight,
            self.parts @ (information * (1.0 - 2.0 * risk) * x**3),
            weight + spread.variance_high * leak**2 + tilt.variance * weight**2,
        )
